"""Services with one protection left out (tests/broken): `joblet verify`, of the plain build, has to say so, of exactly the
promises that the protection belongs to. And each of the services is seen to be broken in that one thing: facts(), which knows nothing of
verify, finds exactly the facts changed that the row names.

SAMPLE and SAMPLE_OF_BUILDS run always; BROKEN=all and FULL=1 run all, in thirteen minutes."""

import collections
import contextlib
import glob
import json
import os
import re
import shutil
import subprocess

import grpc
import pytest

from conftest import BUILD, FULL, Server, eventually, read, seconds

pytestmark = pytest.mark.host_only("programs that the virtual machine is not given, and builds")

Row = collections.namedtuple("Row", "promises facts also", defaults=("",))

# Protection -> promises, facts that change without it; also: promises that may be broken with them, as the host is.
JOBS = {
    "pid-namespace": Row("P3", "pid-ns first-pid host-processes"),
    "mount-namespace": Row("P2 P3 P4 P8", "mnt-ns root mounts root-options masks devices proc-sys tmp-size shm-size work-size "
                           "first-pid propagation host-processes", also="P1 P7"),
    "uts-namespace": Row("P2", "uts-ns hostname"),
    "ipc-namespace": Row("P3", "ipc-ns"),
    "net-namespace": Row("P3", "net-ns links"),
    "cgroup-namespace": Row("P3", "cgroup-ns cgroup-paths"),
    "user-namespace": Row("P2", "user-ns id-map inner-id namespace-limits"),
    "old-root": Row("P2 P3 P4", "mounts"),
    "mount-propagation": Row("P2", "propagation"),
    "root-read-only": Row("P4", "root-options"),
    "root-nosuid": Row("P2", "root-options"),
    "root-nodev": Row("P2", "root-options"),
    "proc-masks": Row("P3", "masks"),
    "proc-sys": Row("P2 P4", "proc-sys"),
    "devices": Row("P2", "devices"),
    "tmp-size": Row("P8", "tmp-size"),
    "shm-size": Row("P8", "shm-size"),
    "work-size": Row("P8", "work-size"),
    "groups": Row("P3", "groups"),
    "own-id": Row("P3", "init-id"),
    "capabilities": Row("P2", "init-capabilities"),
    "ambient": Row("P2", "init-capabilities capabilities"),
    "bounding-set": Row("P2", "bounding-set"),
    "no-new-privileges": Row("P2", "no-new-privileges"),
    "command-filter": Row("P2", "seccomp"),
    "init-filter": Row("P2", "init-seccomp"),
    "dumpable": Row("P3", "init-dumpable"),
    "landlock": Row("P4", "landlock"),
    "core-limit": Row("P2", "core-limit"),
    "open-files": Row("P8", "open-files"),
    "time-limit": Row("P8", "time-limit"),
    "namespace-limits": Row("P2", "namespace-limits"),
    "session-keyring": Row("P3", "session-keyring"),
    "cgroup-membership": Row("P8", "group"),
    # On version 1 the limit of swap is one of memory and swap together.
    "memory-limit": Row("P8", "memory-limit swap-limit"),
    "swap-limit": Row("P8", "swap-limit"),
    "process-limit": Row("P8", "process-limit"),
    "cpu-limit": Row("P8", "cpu-limit"),
    "cpu-cores": Row("P8", "cpu-cores"),
    "io-limit": Row("P8", "io-limit"),
    "log-quota": Row("P8", "log-quota"),
    "descriptors": Row("P3", "descriptors"),
    "type": Row("P1", "type"),
    "log": Row("P9", "errors-in-log"),
    "exit-status": Row("P9", "exit-status"),
    "audit": Row("P9", "audited"),
    "view": Row("P5", "view"),
    "adoption": Row("P10", "adoption"),
    "disk-removal": Row("P7", "disk-left"),
    "group-removal": Row("P7", "groups-left"),
    "file-removal": Row("P7", "files-left"),
}
SAMPLE = ["capabilities", "root-read-only", "memory-limit"]

# Of builds: protection -> promise; "build-NAME": NAME, left out of builds alone. The two fences of the network, routes inside and
# rules on the host, are each left out alone and together.
BUILDS = {
    "masks": "P3",
    "accounts": "P3",
    "run": "P3",
    "routes": "P3",
    "rules": "P3",
    "fences": "P3",
    "port-isolation": "P3",
    "link-removal": "P7",
    "service-policy": "P2",
    "build-dumpable": "P3",
    "build-init-filter": "P2",
    "build-groups": "P3",
    "build-core-limit": "P2",
    "build-uts-namespace": "P2",
    "build-ipc-namespace": "P3",
    "build-cgroup-namespace": "P3",
    "build-proc-masks": "P3",
    "build-proc-sys": "P2",
    "build-devices": "P2",
    "build-mount-propagation": "P2",
    "build-shm-size": "P8",
    "build-landlock": "P4",
    "build-session-keyring": "P3",
    "build-descriptors": "P3",
    "build-ambient": "P2",
    "build-bounding-set": "P2",
    "build-no-new-privileges": "P2",
    "build-command-filter": "P2",
    "build-memory-limit": "P8",
    "build-swap-limit": "P8",
    "build-process-limit": "P8",
    "build-cgroup-membership": "P8",
    "build-time-limit": "P8",
    "build-disk-size": "P8",
}
SAMPLE_OF_BUILDS = ["masks"]
# What is made once, and kept for the next, is made anew: of disks those that were held and not touched go back into the stock.
FRESH = ["namespace-limits", "rules", "fences", "disk-removal", "work-size", "build-disk-size"]
LOG_MIB = 4
ALL = FULL or os.environ.get("BROKEN") == "all"

SCRIPT = """
echo type=$JOB_TYPE
echo first-pid=$(cat /proc/1/comm)
echo host-processes=$(($(ls -d /proc/[0-9]* | wc -l) > 20))
echo hostname=$(hostname | cut -c 1-4)
echo links=$(tail -n +3 /proc/net/dev | cut -d: -f1)
echo cgroup-paths=$(cut -d: -f3 /proc/self/cgroup | sort -u)
echo inner-id=$(id -u)
echo namespace-limits=$(cat /proc/sys/user/max_*_namespaces | sort -u)
echo landlock=$(mknod /tmp/node b 1 1 2>&1 | grep -o 'Permission denied\\|not permitted')
echo touched >/work/touched
sleep 600 &
echo ready
wait
"""


def status_of(pid):
    return dict(line.split(":\t", 1) for line in read(f"/proc/{pid}/status").decode().splitlines() if ":\t" in line)


def child_of(pid):
    for other in filter(str.isdigit, os.listdir("/proc")):
        try:
            if status_of(other)["PPid"] == str(pid):
                return int(other)
        except (OSError, KeyError):
            continue
    raise AssertionError(f"process {pid} has no child")


def size_of(path):
    try:
        space = os.statvfs(path)
    except OSError:
        return "none"
    return str(space.f_blocks * space.f_frsize)


def of_mounts(pid, base):
    lines = [line.split(" ") for line in read(f"/proc/{pid}/mountinfo").decode().splitlines()]
    options = {line[4]: set(line[5].split(",")) for line in lines}
    super_options = {line[4]: line[-1] for line in lines}
    return {
        "root": str(os.stat(f"/proc/{pid}/root").st_ino == base),
        "mounts": " ".join(sorted({"/".join(target.split("/")[:3]) for target in options if not target.startswith("/proc/")})),
        "propagation": str(any("-" != line[6] for line in lines)),
        "root-options": " ".join(sorted(options["/"] & {"ro", "nosuid", "nodev"})),
        "masks": " ".join(sorted(target for target in options if target.startswith("/proc/") and target != "/proc/sys")),
        "proc-sys": str("ro" in options.get("/proc/sys", set())),
        "devices": " ".join(sorted(os.listdir(f"/proc/{pid}/root/dev"))),
        "tmp-size": str("size=" in super_options.get("/tmp", "")),
        # That of the host may have one, too, but no owner.
        "shm-size": str(bool(re.search("size=.*uid=", super_options.get("/dev/shm", "")))),
        "work-size": size_of(f"/proc/{pid}/root/work"),
    }


def of_ids(init, command):
    inside, base, count = read(f"/proc/{init}/uid_map").split()
    return {
        "id-map": f"{inside} {count}" if int(base) else "none",
        "init-id": str(status_of(init)["Uid"] != status_of(command)["Uid"]),
        "groups": status_of(command)["Groups"].strip() + status_of(init)["Groups"].strip(),
        "capabilities": " ".join(status_of(command)[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")),
        "init-capabilities": " ".join(status_of(init)[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")),
        "bounding-set": " ".join(status_of(pid)["CapBnd"] for pid in (init, command)),
        "no-new-privileges": status_of(command)["NoNewPrivs"],
        "seccomp": status_of(command)["Seccomp"],
        "init-seccomp": status_of(init)["Seccomp"],
        # Of who is not dumpable the files belong to the host's root.
        "init-dumpable": str(os.stat(f"/proc/{init}/environ").st_uid != 0),
        "descriptors": " ".join(sorted(os.listdir(f"/proc/{command}/fd"))),
    }


def armed_timers(pid):
    for name in os.listdir(f"/proc/{pid}/fd"):
        if os.readlink(f"/proc/{pid}/fd/{name}") == "anon_inode:[timerfd]":
            yield re.search(r"it_value: \((\d+),", read(f"/proc/{pid}/fdinfo/{name}").decode())[1] != "0"


def memory_group(pid):
    """On version 1 its own hierarchy, else version 2."""
    lines = read(f"/proc/{pid}/cgroup").decode().splitlines()
    return next((line for line in lines if "memory" in line.split(":")[1].split(",")), lines[-1])


def in_group(server, job, *names):
    for path in server.job_cgroups():
        for name in names if path.endswith(job) else ():
            if os.path.exists(os.path.join(path, name)):
                return (read(os.path.join(path, name)).decode().split() or ["none"])[0]
    return "nowhere"


def of_traffic(server):
    """Of a job with a limit of disk traffic: whether it has one, or was refused where there can be none."""
    try:
        job = server.run("sleep", "600", max_io_bps=1 << 20)
    except grpc.RpcError as error:
        return error.code().name
    limit = in_group(server, job, "io.max")
    server.stop_job(job)
    return str(limit not in ("nowhere", "none"))


def of_log(server):
    """Of a job that writes more than is kept: whether that was left out."""
    job = server.run("head", "-c", str((LOG_MIB + 1) << 20), "/dev/zero")
    server.wait(job)
    return str(os.path.getsize(os.path.join(server.prefix, "state/jobs", job, "log")) > LOG_MIB << 20 | 4096)


def of_limits(server, job, init, command):
    limits = dict(re.findall(r"(?m)^(Max [a-z ]+?) {2,}(\S+ +\S+)", read(f"/proc/{command}/limits").decode()))
    return {
        "core-limit": limits["Max core file size"].split()[0],
        "open-files": limits["Max open files"].split()[0],
        "time-limit": str(any(armed_timers(init))),
        "group": str(job in memory_group(command)),
        "memory-limit": in_group(server, job, "memory.limit_in_bytes", "memory.max"),
        "swap-limit": in_group(server, job, "memory.memsw.limit_in_bytes", "memory.swap.max"),
        "process-limit": in_group(server, job, "pids.max"),
        "cpu-limit": in_group(server, job, "cpu.cfs_quota_us", "cpu.max"),
        "cpu-cores": in_group(server, job, "cpuset.cpus"),
    }


def session_keyrings():
    return {line.split()[0] for line in read("/proc/keys").decode().splitlines() if line.split()[8].startswith("_ses")}


def backing(device):
    """The file below a loop device and which one in order it is: names and inodes come again. Nothing: it has none."""
    try:
        return read(f"{device}/loop/backing_file") + read(f"{device}/diskseq")
    except OSError:
        return b""


def disk_of(pid):
    for line in read(f"/proc/{pid}/mountinfo").decode().splitlines():
        if line.split(" ")[4] == "/work":
            path = f"/sys/dev/block/{line.split(' ')[2]}"
            return path, backing(path)
    return "/nowhere", b""


def comes_true(check):
    try:
        eventually(check, 10)
        return True
    except AssertionError:
        return False


def groups_of(job):
    return [path for path, _, _ in os.walk("/sys/fs/cgroup") if path.endswith(job)]


def what_is_left(server, job, disk):
    directory = os.path.join(server.prefix, "state/jobs", job)
    return {
        "disk-left": str(not comes_true(lambda: backing(disk[0]) != disk[1] or not disk[1])),
        "groups-left": str(not comes_true(lambda: not groups_of(job))),
        "files-left": str(not comes_true(lambda: not os.path.exists(directory))),
    }


def audit_lines(server):
    return [line for path in glob.glob(f"{server.prefix}/state/audit/*.jsonl") for line in read(path).decode().splitlines()]


def facts(server):
    """What there is to be seen of a job, the same each time if the service is the same."""
    keyrings = session_keyrings()
    joblet = server.pid
    job = server.run("sh", "-c", SCRIPT, max_memory=64, max_cpu=50, max_processes=64, max_open_files=512, timeout="600s",
                     cpu_cores=str(min(os.sched_getaffinity(0))))
    text = server.wait_for_output(job, "\nready\n").decode()
    init = server.init_pid(job)
    command = child_of(init)
    found = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    for kind in ("pid", "mnt", "uts", "ipc", "net", "cgroup", "user"):
        found[f"{kind}-ns"] = str(os.readlink(f"/proc/{command}/ns/{kind}") != os.readlink(f"/proc/{joblet}/ns/{kind}"))
    found.update(of_mounts(command, os.stat(os.path.join(server.prefix, "base")).st_ino))
    found.update(of_ids(init, command))
    found.update(of_limits(server, job, init, command))
    found["session-keyring"] = str(len(session_keyrings() - keyrings))
    found["adoption"] = str(os.path.exists(os.path.join(server.prefix, "state/jobs", job, "run")))
    told = server.status(job).kernel.command.no_new_privs
    found["view"] = str(told == (status_of(command)["NoNewPrivs"] == "1"))
    disk = disk_of(init)
    found["audited"] = str(any(job in line and '"job.start"' in line for line in audit_lines(server)))
    server.stop_job(job)
    ended = server.shell("echo error >&2; exit 7")
    found["errors-in-log"], found["exit-status"] = ended.text, str(ended.status.exit_code)
    found["io-limit"], found["log-quota"] = of_traffic(server), of_log(server)
    server.clear()
    found.update(what_is_left(server, job, disk))
    return found


class Broken:
    """A server of the broken programs."""

    def __init__(self, server):
        self.server = server
        self.directory = server.use_programs(joblet="tests/broken/joblet-broken", joblet_init="tests/broken/joblet-init-broken")
        self.leave_out("")
        # So small that verify fills it.
        path = os.path.join(server.prefix, "config/joblet-config.yml")
        text = re.sub(r"(?m)^( *logSize:).*", rf"\1 {LOG_MIB}", read(path).decode())
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        server.restart()
        self.whole = facts(server)

    def leave_out(self, protection):
        with open(os.path.join(self.directory, "broken"), "w", encoding="utf-8") as file:
            file.write(protection)


def take_back(server):
    """A job without a mount namespace of its own has the host's /tmp: what ids of this service own there goes."""
    text = read(os.path.join(server.prefix, "config/joblet-config.yml")).decode()
    start, count = (int(re.search(rf"(?m)^ *{name}: *(\d+)", text)[1]) for name in ("idRangeStart", "idRangeCount"))
    for entry in list(os.scandir("/tmp")):
        if start <= entry.stat(follow_symlinks=False).st_uid < start + count * 65536:
            shutil.rmtree(entry.path) if entry.is_dir(follow_symlinks=False) else os.unlink(entry.path)


@pytest.fixture(scope="module")
def broken(stubs, host):
    server = Server(*stubs)
    try:
        service = Broken(server)
        yield service
        # What was left on purpose goes with the next start.
        service.leave_out("")
        take_back(server)
        server.restart()
    finally:
        server.stop()


@contextlib.contextmanager
def without(broken, protection):
    broken.leave_out(protection)
    if protection in FRESH:
        broken.server.restart()
    try:
        yield broken.server
    finally:
        broken.leave_out("")
        if protection in FRESH:
            broken.server.restart()


def broken_promises(server, *options):
    """What joblet verify says of the service: the broken promises, and all rows that are not kept."""
    result = subprocess.run([os.path.join(BUILD, "src/joblet/joblet"), "--prefix", server.prefix, "verify", "--json", *options],
                            capture_output=True, text=True, check=False, timeout=seconds(150), stdin=subprocess.DEVNULL)
    assert result.stdout, result.stderr
    promises = json.loads(result.stdout)["promises"]
    rows = [(promise["id"], row["tried"], row["result"], row["seen"], row["source"]) for promise in promises for row in promise["rows"]
            if row["result"] not in ("kept", "not-tried")]
    broken = {promise["id"] for promise in promises if promise["result"] == "broken"}
    assert result.returncode == (1 if broken else 2 if rows else 0)
    assert not [row for row in rows if row[2] != "broken"], rows
    return broken, rows


def test_the_programs_themselves_keep_everything(broken):
    found, rows = broken_promises(broken.server)
    assert not found, rows


@pytest.mark.shows("NIST 4.3.5")
@pytest.mark.parametrize("protection", JOBS if ALL else SAMPLE)
def test_of_jobs(broken, protection):
    row = JOBS[protection]
    with without(broken, protection) as server:
        found = facts(server)
        told, rows = broken_promises(server, "--no-build")
    changed = {name for name in set(found) | set(broken.whole) if found.get(name) != broken.whole.get(name)}
    # A kernel that does not count swap has no file for its limit.
    expected = {name for name in row.facts.split() if broken.whole[name] != "nowhere"}
    if not expected:
        pytest.skip(f"this kernel has no {row.facts}")
    assert changed == expected, {name: (broken.whole.get(name), found.get(name)) for name in changed}
    assert set(row.promises.split()) <= told <= set(row.promises.split() + row.also.split()), rows


@pytest.mark.shows("NIST 4.3.5")
@pytest.mark.parametrize("protection", BUILDS if ALL else SAMPLE_OF_BUILDS)
def test_of_builds(broken, protection):
    with without(broken, protection) as server:
        told, rows = broken_promises(server)
    assert told == {BUILDS[protection]}, rows
    # In jobs all is as it was.
    assert not [row for row in rows if "build" not in row[1] and row[4] != "inside-build"], rows
