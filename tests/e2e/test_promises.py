"""The promises seen from the host's side: what a hostile job does while we look at the host, and what happens when the
kernel cannot, or says that it did and did not. (What a job sees from inside is in test_hostile.py.)"""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess

import grpc
import pytest

from conftest import ANY_KERNEL, BUILD, IN_VM, SLOWER, differences, eventually, read, seconds

IDS = 65536


def id_base(pid):
    """The first host id of the job's range."""
    return int(read(f"/proc/{pid}/uid_map").split()[1])


def processes_of_range(base):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if base <= os.stat(f"/proc/{pid}").st_uid < base + IDS:
                found.append(int(pid))
            elif int(re.search(rb"^Uid:\s+(\d+)", read(f"/proc/{pid}/status"), re.M)[1]) in range(base, base + IDS):
                found.append(int(pid))
    return found


def job_pids(server, job):
    """joblet-init and every process below it, as the host sees them."""
    init = eventually(lambda: server.init_pid(job), what="joblet-init runs")
    return init, [pid for pid in processes_of_range(id_base(init)) if pid != init]


def sleeping(server, **fields):
    job = server.run("sh", "-c", "echo ready; exec sleep 600", **fields)
    server.wait_for_output(job, "ready\n")
    return job


def status_fields(pid):
    return dict(line.split(":\t", 1) for line in read(f"/proc/{pid}/status").decode().splitlines() if ":\t" in line)


# --- P1

@ANY_KERNEL
@pytest.mark.parametrize("name", ["JOB_TYPE", "JOBLET_TYPE", "JOBLET_MODE", "JOBLET_CHROOT", "JOB_ID", "JOBLET_RUNTIME_BUILD"])
@pytest.mark.parametrize("kind", ["environment", "secret_environment"])
@pytest.mark.shows("CIS-Docker 5.5", "NIST 4.1.2", "OWASP D04")
def test_p1_no_variable_chooses_the_isolation(server, name, kind):
    with pytest.raises(grpc.RpcError) as refused:
        server.run("true", **{kind: {name: "runtime-build"}})
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT and name in refused.value.details()


@ANY_KERNEL
@pytest.mark.parametrize("role", ["admin", "maintainer", "developer"])
@pytest.mark.shows("CIS-Docker 5.5")
def test_p1_every_role_gets_the_same_isolation(server, role):
    job = server.run("sh", "-c", "echo $JOB_TYPE; id -u; grep CapBnd /proc/self/status; cat /proc/1/comm", role=role)
    server.wait(job)
    assert server.logs(job).decode() == "standard\n65534\nCapBnd:\t0000000000000000\njoblet-init\n"


@pytest.mark.host_only("looks for packages of the distribution")
@pytest.mark.parametrize("role", ["admin", "maintainer"])
def test_p1_a_build_is_a_build_for_every_role(server, role):
    script = "echo $JOB_TYPE $(id -u) $JOBLET_CHROOT; grep CapBnd /proc/self/status; cat /proc/1/comm; exit 3"
    text = ("schema_version: '1.0'\nname: kind\nversion: 1.0.0\ndescription: d\nbase: {language: python, version: '3.11'}\n"
            f"hooks: {{pre_install: '{script}'}}\n")
    stub = server.stubs.RuntimeServiceStub(server.channel(role))
    stream = stub.BuildRuntime(server.pb.BuildRuntimeRequest(yaml_content=text), timeout=server.seconds(60))
    said = [progress.log.message for progress in stream if progress.WhichOneof("progress_type") == "log"]
    assert {"runtime-build 0 true", "CapBnd:\t00000000800400fb", "joblet-init"} <= set(said), said


# --- P2

def host_facts():
    facts = {"hostname": os.uname().nodename}
    for path in ("/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/kernel/hotplug", "/proc/modules",
                 "/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv4/ip_unprivileged_port_start", "/proc/sys/kernel/domainname",
                 "/proc/sys/user/max_user_namespaces", "/proc/sys/vm/overcommit_memory", "/proc/swaps"):
        with contextlib.suppress(OSError):
            facts[path] = read(path)
    # Modules are used more and less; which there are is the host's.
    facts["/proc/modules"] = sorted(line.split()[0] for line in facts.get("/proc/modules", b"").splitlines())
    for directory in ("/etc", "/usr/bin", "/usr/sbin", "/usr/lib", "/var/lib/dpkg"):
        for where, _, files in os.walk(directory):
            for path in (os.path.join(where, name) for name in files):
                with contextlib.suppress(OSError):
                    status = os.lstat(path)
                    facts[path] = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_mode, status.st_uid)
    return facts


@pytest.mark.shows("NIST 4.5.5", "CIS-Linux 6.1", "Checklist 3")
def test_p2_the_host_is_the_same_after_a_hostile_job(server):
    before = host_facts()
    assert server.attempt().status.exit_code == 0
    assert not differences(before, host_facts())


@pytest.mark.shows("CIS-Linux 1.5.1")
def test_p2_a_crash_runs_no_program_of_the_host(server):
    """The limit that keeps the host's core handler from being run is in force for every process of the job."""
    ended = server.shell("grep core /proc/self/limits; (ulimit -c 0; grep core /proc/self/limits); kill -SEGV $$")
    assert re.findall(r"(?m)^Max core file size +(\d+) +(\d+) ", ended.text) == [("1", "1"), ("1", "1")], ended.text
    assert ended.status.end_signal == signal.SIGSEGV


# --- P3

@ANY_KERNEL
@pytest.mark.shows("Checklist 1", "CIS-Docker 5.6")
def test_p3_files_of_the_host_cannot_be_found(server):
    marker = "joblet-marker-" + os.urandom(6).hex()
    places = [place for place in ("/tmp", "/var/tmp", "/root", "/home", "/srv", "/opt", "/run", "/dev/shm", "/var/lib",
                                  server.prefix, os.path.join(server.prefix, "config")) if os.path.isdir(place)]
    try:
        for place in places:
            with open(os.path.join(place, marker), "w", encoding="utf-8") as file:
                file.write("a secret of the host")
            os.chmod(os.path.join(place, marker), 0o644)
        ended = server.shell(f"find / -name '{marker}*' 2>/dev/null; for d in {' '.join(places)}; do cat $d/{marker}; done 2>/dev/null; "
                             f"cat /proc/*/root/tmp/{marker} /proc/*/cwd/{marker} 2>/dev/null; echo searched")
    finally:
        for place in places:
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(place, marker))
    assert ended.text == "searched\n"


@pytest.mark.shows("CIS-Docker 5.16")
def test_p3_processes_of_the_host_cannot_be_seen(server):
    marker = "600." + str(int.from_bytes(os.urandom(4), "big"))
    process = subprocess.Popen(["sleep", marker])
    try:
        ended = server.shell(f"cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c '{marker}' ; ls -d /proc/{process.pid} 2>/dev/null; "
                             f"kill -KILL {process.pid} 2>/dev/null; ps ax | wc -l")
        # The script itself holds the marker: once in its own command line.
        lines = ended.text.split()
        assert int(lines[0]) <= 1 and int(lines[-1]) < 12 and f"/proc/{process.pid}" not in lines
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


@pytest.mark.shows("NIST 4.3.4", "OWASP D05")
def test_p3_two_jobs_know_nothing_of_each_other(server):
    first = sleeping(server)
    init, pids = job_pids(server, first)
    ended = server.shell(f"ps ax | grep -c 'sleep 60[0]'; kill -KILL {init} {' '.join(map(str, pids))} 2>/dev/null; "
                         "cat /proc/self/uid_map; ls /tmp | wc -l; echo $JOB_ID")
    lines = ended.text.splitlines()
    assert lines[0] == "0" and first not in ended.text
    assert int(lines[1].split()[1]) != id_base(init), "two jobs share a range of ids"
    assert lines[2] == "1"
    assert server.status(first).status == "RUNNING"


@pytest.mark.shows("NIST 4.4.2", "CIS-Docker 5.10", "OWASP D03")
def test_p3_services_of_the_host_cannot_be_reached(server):
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as abstract:
        name = "joblet-test-" + os.urandom(6).hex()
        abstract.bind("\0" + name)
        abstract.listen()
        port = tcp.getsockname()[1]
        own = server.address.rsplit(":", 1)[1]
        job = server.run("bash", "-c", f"for p in {port} {own}; do (echo >/dev/tcp/127.0.0.1/$p) 2>/dev/null && echo reached $p; done; "
                         f"grep -c {name} /proc/net/unix; cat /proc/net/tcp | wc -l; cat /proc/net/route | wc -l")
        server.wait(job)
        assert server.logs(job) == b"0\n1\n1\n"


# --- P5: what the kernel says from outside

def check_confined(pid, own_filters):
    fields = status_fields(pid)
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(fields[name], 16) == 0, f"{name} of {pid}"
    assert fields["NoNewPrivs"].strip() == "1" and fields["Seccomp"].strip() == "2"
    assert int(fields["Seccomp_filters"]) == own_filters
    assert set(fields["Groups"].split()) <= {fields["Gid"].split()[0]}
    for kind in ("pid", "mnt", "uts", "ipc", "net", "cgroup", "user"):
        assert os.readlink(f"/proc/{pid}/ns/{kind}") != os.readlink(f"/proc/self/ns/{kind}"), kind
    limits = dict(re.findall(r"(?m)^(Max [a-z ]+?) {2,}(.*)$", read(f"/proc/{pid}/limits").decode()))
    assert limits["Max core file size"].split()[:2] == ["1", "1"]


def check_mounts(pid):
    mounts = [line.split() for line in read(f"/proc/{pid}/mountinfo").decode().splitlines()]
    by_target = {line[4]: set(line[5].split(",")) for line in mounts}
    assert {"/", "/dev", "/proc", "/work", "/tmp", "/dev/pts", "/dev/shm", "/dev/mqueue"} <= set(by_target)
    for target, options in by_target.items():
        assert "nosuid" in options, target
        # Device nodes are only where we made them: /dev itself, and what is bound over a file of it.
        assert "nodev" in options or target.startswith("/dev"), target
    assert "ro" in by_target["/"]
    for line in mounts:
        separator = line.index("-")
        assert not [field for field in line[6:separator] if field.startswith(("shared", "master"))], line
        # Of file systems on a disk there is the base alone.
        if line[separator + 2].startswith("/dev/"):
            assert line[3].endswith("/base") or "/base/" in line[3], line


@pytest.mark.shows("CIS-Docker 5.25", "CIS-Docker 5.31", "CIS-Docker 2.14")
def test_p5_seen_from_outside(server):
    job = sleeping(server)
    init, pids = job_pids(server, job)
    base = id_base(init)
    assert pids
    for pid in [init] + pids:
        check_confined(pid, 1)
        check_mounts(pid)
        assert read(f"/proc/{pid}/uid_map").split() == [b"0", str(base).encode(), b"65536"]
        assert read(f"/proc/{pid}/gid_map").split() == [b"0", str(base).encode(), b"65536"]
    assert {status_fields(pid)["Uid"] for pid in pids} == {"\t".join([str(base + 65534)] * 4)}
    assert status_fields(init)["Uid"] == "\t".join([str(base + 65535)] * 4)
    assert not [fd for pid in pids for fd in os.listdir(f"/proc/{pid}/fd") if int(fd) > 2]


# --- P6: fail closed

class Lying:
    """A server whose joblet-init is told lies by the C library (hostile/lying.c)."""

    def __init__(self, server):
        self.server = server
        self.directory = server.use_programs(joblet_init="tests/e2e/hostile/lying-init")
        path = os.path.join(self.directory, "joblet-init")
        program = read(path)
        place = program.index(b"@DIRECTORY@\0")
        name = self.directory.encode() + b"\0"
        with open(path, "wb") as file:
            file.write(program[:place] + name + program[place + len(name):])
        self.take_away()
        server.restart()

    def take_away(self, *calls):
        with open(os.path.join(self.directory, "refuse"), "w", encoding="utf-8") as file:
            file.writelines(f"{call}\n" for call in calls)


@pytest.fixture(scope="module")
def lying(stubs, host):
    from conftest import Server
    server = Server(*stubs)
    try:
        yield Lying(server)
    finally:
        server.stop()


def assert_refused(server):
    """The job is refused with its reason, nothing of it is executed, nothing of it is left."""
    before = {job.uuid for job in server.list()}
    with pytest.raises(grpc.RpcError) as refused:
        server.wait(server.run("sh", "-c", "echo executed"))
    text = refused.value.details()
    assert refused.value.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED), text
    for job in {job.uuid for job in server.list()} - before:
        status = server.status(job)
        assert (status.status, status.end_reason) == ("FAILED", "setup failure"), str(status)
        assert b"executed" not in server.logs(job)
    eventually(lambda: not server.init_pids(), what="no joblet-init is left")
    eventually(lambda: not server.job_cgroups(), what="no control group is left")
    return text


HOST_ONLY = pytest.mark.host_only("a joblet-init of the test's own, which the virtual machine is not given")

# Calls of joblet-init alone, with an errno: a kernel that cannot. The reason has to say what it was.
CANNOT = [
    ("unshare 38", "cgroup namespace"),
    ("fsopen 38", ""),
    ("fsmount 38", ""),
    ("move_mount 1", ""),
    ("mount_setattr 38", ""),
    ("pivot_root 22", "pivot"),
    ("umount2 1", ""),
    ("sethostname 1", "host name"),
    ("keyctl 38", "keyring"),
    ("setns 1", "user namespace"),
    ("prctl 1 24", "bounding"),
    ("setgroups 1", ""),
    ("setresuid 1", ""),
    ("setresgid 1", ""),
    ("capset 1", "capabilit"),
    ("prctl 22 38", "privileges"),
    ("prctl 22 4", "dumpable"),
    ("landlock_create_ruleset 38", "andlock"),
    ("landlock_add_rule 22", "andlock"),
    ("landlock_restrict_self 1", "andlock"),
    ("seccomp 38", "filter"),
    ("setrlimit64 1", "limit"),
    ("close_range 38", ""),
]

# The same calls say 0 and do nothing: a kernel that lies. Only reading back tells. PR_SET_DUMPABLE is not among them: the
# change of ids has cleared the flag already, so that there is nothing to find.
LIES = [
    "unshare 0",
    "move_mount 0",
    "pivot_root 0",
    "umount2 0",
    "setns 0",
    "prctl 0 24",
    "setresuid 0",
    "setresgid 0",
    "capset 0",
    "prctl 0 38",
    "landlock_restrict_self 0",
    "seccomp 0",
    "setrlimit64 0",
    "setrlimit64 0 4",
    "close_range 0",
    "keyctl 0",
    "sethostname 0",
    "mount_setattr 0",
]


@HOST_ONLY
def test_p6_the_stand_in_itself_is_no_reason(lying):
    """Else the tests below would pass for the wrong reason."""
    lying.take_away()
    assert lying.server.shell("echo fine").text == "fine\n"


@HOST_ONLY
@pytest.mark.parametrize("call,reason", CANNOT, ids=[call.replace(" ", "-") for call, _ in CANNOT])
@pytest.mark.shows("OWASP D04", "NIST 4.4.3")
def test_p6_what_the_kernel_cannot_is_refused(lying, call, reason):
    lying.take_away(call)
    assert reason in assert_refused(lying.server)


@HOST_ONLY
@pytest.mark.parametrize("call", LIES, ids=[call.replace(" ", "-") for call in LIES])
def test_p6_what_the_kernel_only_says_is_refused(lying, call):
    lying.take_away(call)
    assert_refused(lying.server)


@HOST_ONLY
def test_p6_afterwards_jobs_run(lying):
    lying.take_away()
    assert lying.server.shell("echo fine").text == "fine\n"


@pytest.mark.host_only("a server of its own is long in an emulated machine, and no kernel answers differently")
def test_p6_without_a_base_root(own_server):
    base = os.path.join(own_server.prefix, "base")
    os.rename(base, base + ".aside")
    try:
        assert "base" in assert_refused(own_server)
    finally:
        os.rename(base + ".aside", base)
    assert own_server.shell("echo fine").text == "fine\n"


@pytest.mark.host_only("a server of its own is long in an emulated machine, and no kernel answers differently")
def test_p6_a_base_root_of_another_owner(own_server):
    """Not the range of files on disk: what is in it is not what setup made."""
    base = os.path.join(own_server.prefix, "base")
    owner = os.stat(base)
    os.chown(base, 0, 0)
    try:
        assert_refused(own_server)
    finally:
        os.chown(base, owner.st_uid, owner.st_gid)
    assert own_server.shell("echo fine").text == "fine\n"


# --- P7: nothing outlives its job

DAEMONS = """trap '' HUP TERM INT
for i in 1 2 3; do (trap '' HUP TERM INT; setsid sh -c 'trap "" HUP TERM INT; (sleep 600 &) ; sleep 600' </dev/null >/dev/null 2>&1 &) ; done
(kill -STOP $(sh -c 'echo $PPID')) &
while [ $(ls -d /proc/[0-9]* | wc -l) -lt 9 ]; do sleep 0.02; done
echo ready
"""


def namespaces_of(pid):
    return {os.readlink(f"/proc/{pid}/ns/{kind}") for kind in ("pid", "mnt", "net", "ipc", "uts")}


def namespaces_in_use():
    found = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        for kind in ("pid", "mnt", "net", "ipc", "uts"):
            with contextlib.suppress(OSError):
                found.add(os.readlink(f"/proc/{pid}/ns/{kind}"))
    return found


def end_by_itself(server, job):
    del server, job


def end_by_stop(server, job):
    server.stop_job(job)


def end_by_killing_init(server, job):
    os.kill(server.init_pid(job), signal.SIGKILL)


@pytest.mark.parametrize("end,script,fields", [
    (end_by_itself, "sleep 1; exit 3", {}),
    (end_by_stop, "sleep 600", {}),
    (end_by_itself, "sleep 600", {"timeout": "24s" if IN_VM else "5s"}),
    (end_by_killing_init, "sleep 600", {}),
    pytest.param(end_by_itself, "sleep 1; tail -c 500M /dev/zero", {"max_memory": 64},
                 marks=pytest.mark.host_only("takes minutes under emulation, now and then; test_limits.py has one that does not")),
], ids=["by-itself", "stopped", "timeout", "init-killed", "out-of-memory"])
@pytest.mark.shows("Checklist 5", "CIS-Docker 6.2")
def test_p7_nothing_outlives_its_job(server, end, script, fields):
    job = server.run("sh", "-c", DAEMONS + script, **fields)
    server.wait_for_output(job, "ready\n")
    init, pids = job_pids(server, job)
    base, namespaces = id_base(init), namespaces_of(init)
    assert len(pids) >= 5
    end(server, job)
    server.wait(job, 30)
    eventually(lambda: not processes_of_range(base), 1, "no process of the job's ids")
    assert not namespaces & namespaces_in_use()
    eventually(lambda: not [path for path in server.job_cgroups() if job in path], 1, "no control group of the job")
    mounts = read(f"/proc/{server.pid}/mountinfo").decode()
    assert job not in mounts and "/work" not in [line.split()[4] for line in mounts.splitlines()]


@ANY_KERNEL
def test_p7_a_job_that_stops_itself_is_stopped(server):
    """SIGSTOP in all of its processes keeps nobody from ending it."""
    job = server.run("sh", "-c", "sleep 600 & echo ready; kill -STOP $! $$")
    server.wait_for_output(job, "ready\n")
    assert server.stop_job(job).status == "STOPPED"
    job = server.run("sh", "-c", "kill -STOP $$", timeout=f"{SLOWER}s")
    assert server.wait(job).status == "TIMEOUT"


# --- P8

@ANY_KERNEL
@pytest.mark.shows("CIS-Docker 2.11", "OWASP D07")
def test_p8_file_systems_of_a_job_have_a_size(server):
    ended = server.shell("for d in /work /tmp /dev/shm; do head -c 400M /dev/zero >$d/big 2>/dev/null && echo endless $d; rm -f $d/big; done; echo full")
    assert ended.text == "full\n"


@ANY_KERNEL
def test_p8_file_systems_of_a_job_have_a_number_of_files(server):
    """Empty files take no block, but memory of the kernel."""
    ended = server.shell("""cd /tmp
        i=0; while [ $i -lt 500 ]; do touch $(seq -f "$i-%g" 1000) 2>&1 | head -n 1; [ -e $i-1000 ] || break; i=$((i+1)); done
        [ $i -lt 500 ] && echo bounded at ${i}000""", within=60)
    assert "No space left" in ended.text and "bounded at" in ended.text, ended.text[-300:]


@pytest.mark.shows("CIS-Docker 5.19")
def test_p8_limits_cannot_be_raised(server):
    ended = server.shell("""ulimit -n 1000000 2>/dev/null && echo files
        ulimit -Hl unlimited 2>/dev/null && echo locked
        nice -n -5 true 2>/dev/null; chrt -f 10 true 2>/dev/null && echo realtime
        echo -500 2>/dev/null >/proc/self/oom_score_adj && echo score
        ls /sys/fs/cgroup 2>/dev/null; echo end""")
    assert ended.text == "end\n"
