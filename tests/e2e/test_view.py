"""What the kernel says of a job: the field `kernel` of GetJobStatus, compared with what the test reads from /proc and
/sys/fs/cgroup itself."""

import json
import os
import re

import pytest

from conftest import eventually, read

SETS = {"inheritable": "CapInh", "permitted": "CapPrm", "effective": "CapEff", "bounding": "CapBnd", "ambient": "CapAmb"}
NO_LIMIT, NOT_SET = -1, -2


def status_of(pid):
    return dict(line.split(":\t", 1) for line in read(f"/proc/{pid}/status").decode().splitlines() if ":\t" in line)


def check_process(view, own_pid):
    """Each field of one process against /proc."""
    pid = view.pid
    status = status_of(pid)
    assert (view.inner_pid, view.group_count) == (int(status["NSpid"].split()[-1]), len(status["Groups"].split()))
    assert list(view.uids) == [int(word) for word in status["Uid"].split()]
    assert list(view.gids) == [int(word) for word in status["Gid"].split()]
    for name, found in (("uid_map", view.uid_map), ("gid_map", view.gid_map)):
        lines = read(f"/proc/{pid}/{name}").decode().splitlines()
        assert [found.inside, found.outside, found.count] == [int(word) for word in lines[0].split()]
        assert found.lines == len(lines) == 1
    for name, key in SETS.items():
        assert getattr(view.capabilities, name) == int(status[key], 16) == 0
    assert (view.no_new_privs, view.seccomp_mode) == (status["NoNewPrivs"] == "1", int(status["Seccomp"])) == (True, 2)
    assert view.seccomp_filters == int(status["Seccomp_filters"])
    kinds = ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"]
    assert [space.kind for space in view.namespaces] == kinds
    for space in view.namespaces:
        inode = os.stat(f"/proc/{pid}/ns/{space.kind}").st_ino
        assert space.inode == inode and space.own == (inode != os.stat(f"/proc/{own_pid}/ns/{space.kind}").st_ino)
        assert space.own


def groups_of(pid):
    """Hierarchy (as in /proc/PID/cgroup) -> path."""
    lines = read(f"/proc/{pid}/cgroup").decode().splitlines()
    return {names: path for _, names, path in (line.split(":", 2) for line in lines)}


def group_files(server, job, name):
    """The contents of the file of that name in the job's groups."""
    found = [os.path.join(path, name) for path in server.job_cgroups() if path.endswith(job)]
    return [read(path).decode().strip() for path in found if os.path.exists(path)]


def number(text):
    return NO_LIMIT if text in ("max", "-1") or int(text) > 2**62 else int(text)


def one(texts):
    return number(texts[0]) if texts else NOT_SET


def check_limits(server, job, limits, pid):
    def files(name):
        return group_files(server, job, name)

    if files("memory.max"):
        assert (limits.memory_bytes, limits.swap_bytes) == (one(files("memory.max")), one(files("memory.swap.max")))
    else:
        assert limits.memory_bytes == one(files("memory.limit_in_bytes"))
        both = one(files("memory.memsw.limit_in_bytes"))
        assert limits.swap_bytes == (both - limits.memory_bytes if both >= 0 else both)
    quota, period = (files("cpu.max")[0].split() if files("cpu.max")
                     else files("cpu.cfs_quota_us") + files("cpu.cfs_period_us"))
    assert limits.cpu_percent == (int(quota) * 100 // int(period) if number(quota) >= 0 else NO_LIMIT)
    assert limits.processes == one(files("pids.max"))
    assert limits.cpus == (files("cpuset.cpus.effective") + files("cpuset.effective_cpus") + [""])[0]
    assert len(limits.devices) == min(2, len("".join(files("io.max")).splitlines()))
    of_process = read(f"/proc/{pid}/limits").decode()
    for name, soft, hard in (("Max open files", limits.open_files_soft, limits.open_files_hard),
                             ("Max core file size", limits.core_bytes_soft, limits.core_bytes_hard)):
        words = re.search(rf"^{name} +(\S+) +(\S+)", of_process, re.M).groups()
        assert (soft, hard) == tuple(NO_LIMIT if word == "unlimited" else int(word) for word in words)


def check_view(server, job, view):
    init = server.init_pid(job)
    assert view.init.pid == init and view.init.inner_pid == 1
    assert int(status_of(view.command.pid)["PPid"]) == init
    for process in (view.init, view.command):
        check_process(process, server.pid)
    groups = groups_of(view.command.pid)
    seen = {names: group.path for group in view.cgroups for names in group.controllers}
    assert {"memory", "pids", "cpu"} <= set(seen) or "v2" in seen
    for names, path in groups.items():
        ours = {path for name, path in seen.items() if name in (names.split(",") if names else ["v2"])}
        assert ours <= {path}, f"{names}: {ours} and not {path}"
    assert all(group.path.endswith(job) for group in view.cgroups)
    check_limits(server, job, view.limits, view.command.pid)


@pytest.mark.shows("CIS-Docker 5.25", "CIS-Docker 2.14", "OWASP D10")
def test_view_of_a_running_job(server):
    fields = dict(max_cpu=50, max_memory=64, max_processes=40)
    job = server.run("sh", "-c", "ulimit -Sn 77; echo ready; read never <>/dev/null; exec sleep 600", **fields)
    server.wait_for_output(job, "ready")
    view = server.jobs("reader").GetJobStatus(server.pb.GetJobStatusRequest(uuid=job), timeout=server.seconds(10)).kernel
    assert not view.before_start
    check_view(server, job, view)
    limits = view.limits
    assert (limits.memory_bytes, limits.cpu_percent, limits.processes) == (64 << 20, 50, 40)
    # It is read anew: what the command did to itself shows.
    assert limits.open_files_soft == 77 < limits.open_files_hard and (limits.core_bytes_soft, limits.core_bytes_hard) == (1, 1)
    text = server.rnx("job", "status", job, role="reader").stdout
    assert f"process {view.command.pid} on the host, 2 in the job" in text and "Capabilities: none" in text
    assert all(group.path in text for group in view.cgroups)
    told = json.loads(server.rnx("job", "status", "--json", job).stdout)["kernel"]
    assert (told["command"]["pid"], told["limits"]["processes"], told["init"]["noNewPrivs"]) == (view.command.pid, 40, True)
    assert view.cgroups[0].path.encode() not in server.jobs().ListJobs(
        server.pb.EmptyRequest(), timeout=server.seconds(10)).SerializeToString()


def test_view_is_kept_in_the_record(server):
    job = server.run("sh", "-c", "ulimit -Sn 77; echo ready; sleep 600", max_memory=64, max_processes=40)
    server.wait_for_output(job, "ready")
    running = server.status(job).kernel
    server.stop_job(job)
    kept = server.status(job).kernel
    assert kept.before_start and server.jobs("reader").GetJobStatus(
        server.pb.GetJobStatusRequest(uuid=job), timeout=server.seconds(10)).kernel == kept
    # Before the command ran it was the same in all but what the command changed.
    assert kept.init == running.init and kept.command == running.command and kept.cgroups == running.cgroups
    assert running.limits.open_files_soft == 77 < kept.limits.open_files_soft
    running.limits.open_files_soft = kept.limits.open_files_soft
    assert kept.limits == running.limits
    assert "before the command ran" in server.rnx("job", "status", job).stdout


def test_view_of_the_shortest_job(server):
    """Whether it was seen running or not, and also when nothing could be executed."""
    for command, code in (("true", 0), ("no-such-command-anywhere", 127)):
        view = server.wait(server.run(command)).kernel
        assert view.before_start and view.command.seccomp_mode == 2 and view.init.no_new_privs, (command, code)


@pytest.mark.host_only("long in an emulated machine; run it there by VM_COMMAND")
def test_view_survives_the_service(own_server):
    server = own_server
    jobs = [server.run("sleep", "600", max_processes=41 + i) for i in range(3)]
    before = {job: server.status(job).kernel for job in jobs}
    joblet_api, = server.children("joblet-api")
    os.kill(joblet_api, 9)
    server.kill_joblet()
    inits = {job: server.init_pid(job) for job in jobs}
    os.kill(inits[jobs[2]], 15)  # it ends while nobody looks
    eventually(lambda: server.init_pid(jobs[2]) is None)
    server.launch()
    server.close_channels()
    check_view(server, jobs[0], server.status(jobs[0]).kernel)
    server.stop_job(jobs[0])
    server.stop_job(jobs[1])
    for i, job in enumerate(jobs):
        view = server.wait(job).kernel
        assert view.before_start and view.init == before[job].init and view.limits == before[job].limits
        assert view.limits.processes == 41 + i


@pytest.mark.parametrize("script", [
    # A name that would be another line of /proc/PID/status; other processes of the job beside the command's.
    "printf 'x\\nUid:\\t0\\t0\\t0\\t0\\nCapEff:\\tffff' >/proc/self/comm; echo ready; sleep 600",
    "sleep 600 & echo ready; wait",
])
def test_view_believes_no_job(server, script):
    job = server.run("sh", "-c", script)
    server.wait_for_output(job, "ready")
    check_view(server, job, server.status(job).kernel)
