"""P6: every call that a start of a job makes, from the request to the exec of the command, is made to fail, one by one, at
each of its occurrences. Each time nothing is executed, the error says what it was, nothing is left.

The programs are joblet-faults and joblet-init-faults (tests/faults): the objects of the plain build with a wrapper around
every call of the C library that can reach the kernel. A first start without a fault lists the points; so a call that is new
in the code is tested without a change here. Which failures are rightly no reason to refuse is said in HARMLESS."""

import contextlib
import ctypes
import errno
import mmap
import os
import re

import grpc
import pytest

from conftest import IN_VM, Server, eventually, read

pytestmark = pytest.mark.host_only("long in an emulated machine; run it there by VM_COMMAND, which fails joblet's part")

ROLES = ["", "joblet", "slot", "child", "init", "command", "exec", "started", "follow"]
OFF, COUNT, FAIL = 0, 1, 2


JOBS = 8  # that can run at the same time


class Entry(ctypes.Structure):
    _fields_ = [("role", ctypes.c_uint32), ("occurrence", ctypes.c_uint32), ("code", ctypes.c_int32),
                ("reserved", ctypes.c_uint32), ("call", ctypes.c_char * 32), ("detail", ctypes.c_char * 80)]


class Shared(ctypes.Structure):
    """struct faults of tests/faults/faults.h"""
    _fields_ = [("mode", ctypes.c_uint32), ("renew_slots", ctypes.c_uint32), ("role", ctypes.c_uint32),
                ("occurrence", ctypes.c_uint32), ("code", ctypes.c_int32), ("fired", ctypes.c_uint32),
                ("count", ctypes.c_uint32), ("reserved", ctypes.c_uint32), ("call", ctypes.c_char * 32),
                ("entries", Entry * 4096)]


class Point:
    """One call at one occurrence."""

    def __init__(self, entry):
        self.role, self.call, self.occurrence = ROLES[entry.role], entry.call.decode(), entry.occurrence
        self.code, self.detail = entry.code, entry.detail.decode(errors="replace")

    def __str__(self):
        return f"{self.role} {self.call}#{self.occurrence}({self.detail})"


def children(pid):
    return read(f"/proc/{pid}/task/{pid}/children").split()


def open_descriptors(pid):
    """But for the disks in stock, which come and go."""
    links = []
    for number in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            links.append(os.readlink(f"/proc/{pid}/fd/{number}"))
    return len([link for link in links if link != "/"])


def groups_of(prefix):
    """The directories of cgroups that hold those of the service's jobs."""
    value = 2166136261
    for byte in prefix.encode():
        value = ((value ^ byte) * 16777619) & 0xFFFFFFFF
    return [path for path, _, _ in os.walk("/sys/fs/cgroup") if os.path.basename(path) == f"joblet-{value:08x}"]


# What a call answers when it fails: what the kernel says in earnest, where that is not EPERM.
CODES = {errno.EIO: "read pread write pwrite recv recvmsg send sendmsg readdir fstat readlink",
         errno.ENOMEM: "malloc calloc realloc asprintf poll",
         errno.EMFILE: "open openat opendir memfd_create socketpair pipe2 eventfd signalfd timerfd_create fcntl dup2 dup3",
         errno.EAGAIN: "fork clone3",
         errno.EINTR: "waitid"}
CODE_OF = {call: code for code, calls in CODES.items() for call in calls.split()}
# A second one for calls where our code tells one errno from another, or a kernel without the feature would say it.
SECOND = {errno.ENOENT: "open openat openat2 stat fstatat statx readlink opendir open_tree",
          errno.EINVAL: "prctl setrlimit landlock_add_rule landlock_create_ruleset seccomp",
          errno.ENOSYS: "clone3 close_range fsopen fsconfig fsmount keyctl landlock_restrict_self mount_setattr move_mount "
                        "pivot_root setns unshare"}
SECOND_OF = {call: code for code, calls in SECOND.items() for call in calls.split()}

# Failures that are rightly no reason to refuse: (role, call, which of them, see explain()): why.
HARMLESS = {
    ("child", "sigprocmask", ""): "joblet-init blocks all signals itself, and the command opens them",
    ("child", "setsid", ""): "the command has a session of its own, or is refused; joblet-init holds no terminal",
    ("slot", "pidfd_send_signal", ""): "the holder of a new namespace is ended by kill() then",
    ("slot", "waitid", ""): "interrupted: asked again",
    ("joblet", "openat", "memory.memsw.limit_in_bytes ENOENT"): "on a host without swap: there is nothing to limit",
    ("exec", "malloc", ""): "after the go: the C library's own; asprintf keeps its larger buffer",
    ("exec", "sigprocmask", ""): "after the go, the last call before the exec; a blocked signal is no right",
    ("started", "recv", ""): "after the go: the command may run, how it ends is recorded",
    ("started", "send", ""): "after the go: joblet takes the closed socket for the answer",
    ("follow", "recvmsg", ""): "after the go: joblet takes the lost word for a start, how it ends is recorded",
    ("follow", "openat", "/run"): "the note from before the go is there; only the time of the start is missing",
    ("follow", "pwrite", ""): "likewise",
    ("follow", "renameat", ""): "likewise",
    ("joblet", "scratch_send", ""): "the start has its disk; joblet-scratch is ended and started anew",
    ("joblet", "sendmsg", ""): "likewise",
    ("joblet", "setsockopt", "#2"): "a spec that is a socket could linger; this one is checked to be a sealed file",
    ("follow", "write", ""): "a line of the service's log",
}
# Failures by which the command cannot be executed: the job is accepted, and ends with 126 and the reason.
NOT_EXECUTED = {
    ("exec", "calloc", ""): "no memory for the environment",
    ("exec", "malloc", ""): "likewise",
    ("exec", "asprintf", ""): "likewise",
    ("exec", "chdir", ""): "the working directory is the client's to name",
    ("exec", "execve", ""): "the command is the client's to name",
}
# Calls that put a protection in place, and say that they did, but did not: only the proof can tell.
LIES = set("""capset close_range keyctl landlock_restrict_self mkdirat mknodat mount_setattr move_mount pivot_root prctl seccomp
    sethostname setgroups setns setresgid setresuid setrlimit umount2 unshare write""".split())
# What only asks, and cannot lie in this way.
ASKS = {("keyctl", "0"), ("prctl", "3"), ("prctl", "21"), ("prctl", "39")}
# Lies that leave the kernel's state as it should be: why.
NO_TRACE = {
    ("init", "mount_setattr", "/ #1"): "where the host's mounts are private, they are so before",
    ("init", "mount_setattr", "#2"): "likewise for the clone of the base root",
    ("init", "mount_setattr", "#3"): "likewise for the disk",
    ("init", "move_mount", "#1"): "newer kernels clone what is not attached",
    ("init", "write", "127.0.0.1"): "the hosts file is empty",
    ("init", "write", "job-"): "the file with the host name is empty",
    ("init", "write", "This job has no network"): "resolv.conf is empty",
    **{("init", "setrlimit", number): "joblet has the same value; the core limit, 4, is another"
       for number in ("7", "8", "12", "13", "14")},
    ("init", "prctl", "47"): "the join empties the ambient set",
    ("init", "prctl", "4"): "where fs.suid_dumpable is 0, the change of ids clears the flag",
    ("command", "prctl", "4"): "likewise",
    ("init", "setgroups", ""): "joblet has no group here; the swapped steps are tried with some",
}
# Calls of which a start makes now more and now fewer: the last ones may not come again.
BY_CHANCE = {("child", "fcntl"): "a descriptor of joblet's is in the way of joblet-init's numbers, or not",
             ("joblet", "recvmsg"): "an empty socket is asked once more, or not", ("follow", "recvmsg"): "likewise",
             ("joblet", "sendmsg"): "a disk is asked for when one is missing", ("joblet", "scratch_send"): "likewise",
             **{(role, call): "a disk comes when it is made" for role in ("joblet", "follow")
                for call in ("scratch_receive", "malloc")}}


class Faults:
    """A server of the programs with failing calls."""

    def __init__(self, server):
        self.server = server
        directory = server.use_programs(joblet="tests/faults/joblet-faults", joblet_init="tests/faults/joblet-init-faults")
        path = os.path.join(directory, "faults")
        with open(path, "wb") as file:
            file.truncate(ctypes.sizeof(Shared))
        with open(path, "r+b") as file:
            self.memory = mmap.mmap(file.fileno(), ctypes.sizeof(Shared))
        self.shared = Shared.from_buffer(self.memory)
        config = os.path.join(server.prefix, "config/joblet-config.yml")
        text = read(config).decode()
        with open(config, "w", encoding="utf-8") as file:
            file.write(re.sub(r"maxConcurrentJobs: .*", f"maxConcurrentJobs: {JOBS}", text))
        server.restart()
        self.groups = groups_of(os.path.realpath(server.prefix))

    def arm(self, mode, point=None, code=0, renew_slots=False):
        """For the starts from now on."""
        self.shared.mode = OFF
        self.shared.fired = self.shared.count = 0
        ctypes.memset(self.shared.entries, 0, ctypes.sizeof(self.shared.entries) if mode == COUNT else ctypes.sizeof(Entry))
        self.shared.renew_slots = renew_slots
        if point:
            self.shared.role, self.shared.occurrence = ROLES.index(point.role), point.occurrence
            self.shared.call, self.shared.code = point.call.encode(), code
        self.shared.mode = mode

    def list(self, renew_slots):
        """The points of a start, from a good one."""
        self.arm(COUNT, renew_slots=renew_slots)
        job = self.start()
        self.assert_ran(job)
        self.shared.mode = OFF
        self.server.clear()
        assert self.shared.count < 4096
        return [Point(entry) for entry in self.shared.entries[:self.shared.count]]

    def start(self):
        """A job with every limit that a request can name."""
        return self.server.run("/bin/sh", "-c", "echo executed", max_cpu=100, max_memory=64, max_processes=50, timeout="60s")

    def assert_ran(self, job):
        status = self.server.wait(job)
        assert (status.status, status.exit_code) == ("COMPLETED", 0), str(status)
        assert self.server.logs(job) == b"executed\n"

    def assert_nothing_left(self):
        pid = self.server.pid
        eventually(lambda: not [path for name in self.groups for path in os.listdir(name) if path.startswith("job-")],
                   what="no control group is left")
        eventually(lambda: len(children(pid)) == 3, what="joblet has no child but joblet-api, joblet-scratch and joblet-audit")
        eventually(lambda: not self.server.init_pids(), what="no joblet-init is left")


@pytest.fixture(scope="module")
def faults(stubs, host):
    server = Server(*stubs)
    try:
        yield Faults(server)
    finally:
        server.stop()



def explain(table, point, code):
    """Why this is in @table: role and call, and each word of the third is the number of the occurrence ("#2"), the errno, or
    the detail: a number, or a part of a text."""
    words = [f"#{point.occurrence}", errno.errorcode.get(code), *point.detail.split()]

    def fits(word):
        return word in words or (not word.isdigit() and word[0] != "#" and word in point.detail)
    return next((why for (role, call, which), why in table.items()
                 if role == point.role and call == point.call and all(map(fits, which.split()))), None)


class NotAgain(AssertionError):
    """The start did not come to the point."""


class Run:
    """Fails one point after the other, and keeps count."""

    def __init__(self, faults):
        self.faults, self.server = faults, faults.server
        self.tried = self.refused = self.harmless = self.not_executed = 0
        self.bad = []

    def try_point(self, point, code, renew_slots):
        assert len(self.bad) < 20, "too many to go on:\n" + "\n".join(self.bad)
        if code and code == point.code:
            return  # it fails in this way in every start
        self.tried += 1
        for left in (2, 1, 0):
            try:
                self.fail_one(point, code, renew_slots)
                return
            except NotAgain as error:
                if left == 0 and (point.role, point.call) in BY_CHANCE:
                    self.tried -= 1
                elif left == 0:
                    self.bad.append(f"{point} {errno.errorcode.get(code, 'lie')}: {error}")
            except AssertionError as error:
                self.bad.append(f"{point} {errno.errorcode.get(code, 'lie')}: {error}")
                return

    def fail_one(self, point, code, renew_slots):
        self.faults.arm(FAIL, point, code, renew_slots)
        try:
            job = self.faults.start()
            self.judge_started(job, code)
        except grpc.RpcError as error:
            if (point.role, point.call) == ("follow", "sendmsg"):
                self.judge_cut(error.code())
            else:
                self.judge_refused(error.code(), error.details())
        finally:
            self.faults.shared.mode = OFF
            self.server.clear()

    def judge_started(self, job, code):
        if self.faults.shared.fired == 0:
            raise NotAgain("the call was not made again")
        point = Point(self.faults.shared.entries[0])
        status = self.server.wait(job)
        if explain(NOT_EXECUTED, point, code) and status.exit_code == 126:
            assert status.status == "FAILED" and b"executed\n" not in self.server.logs(job), str(status)
            self.not_executed += 1
        else:
            self.faults.assert_ran(job)
            assert explain(HARMLESS if code else NO_TRACE, point, code), "the failure was ignored" if code else "nobody saw it"
            self.harmless += 1

    def judge_cut(self, code):
        """joblet-api missed a message, so joblet ended it: the client's call is cut, and the job is there all the same."""
        assert code == grpc.StatusCode.UNAVAILABLE, code

        def listed():
            try:
                return self.server.list()
            except grpc.RpcError:
                self.server.close_channels()
                return None
        job, = eventually(listed, 20, "joblet-api is back")
        self.faults.assert_ran(job.uuid)
        self.harmless += 1

    def judge_refused(self, code, text):
        assert code not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED), f"answered {code}"
        assert self.faults.shared.fired == 1, f"failed {self.faults.shared.fired} times: {text}"
        job, = self.server.list()
        status = self.server.status(job.uuid)
        assert (status.status, status.end_reason) == ("FAILED", "setup failure"), str(status)
        assert status.error and text.endswith(f": {status.error}"), f"the record says '{status.error}', the answer '{text}'"
        assert ": none: " not in text, f"no stage in '{text}'"
        assert self.server.logs(job.uuid) == b"", "something was executed"
        self.faults.assert_nothing_left()
        self.refused += 1

    def summary(self, what, harmless="harmless"):
        good = self.refused + self.harmless + self.not_executed
        return (f"{good} of {self.tried} {what} answered as they must be: {self.refused} refused, {self.not_executed} not "
                f"executed (exit 126), {self.harmless} {harmless} by the list")


@pytest.mark.shows("NIST 4.4.1", "OWASP D04")
def test_p6_every_failing_call_is_refused(faults, capsys):
    """N of N: with the errno that is most likely, then with one that our code or an older kernel could mean otherwise."""
    pid = faults.server.pid
    faults.list(renew_slots=True)  # so that one slot has its namespaces, then as now
    descriptors = open_descriptors(pid)
    points = [(point, renew) for renew in (False, True) for point in faults.list(renew) if (point.role == "slot") == renew]
    assert {point.role for point, _ in points} == set(ROLES[1:]) and len(points) > 500
    if IN_VM:  # slow: what differs there, the control groups, is joblet's part
        points = [(point, renew) for point, renew in points if point.role == "joblet" and "job-" in point.detail]
        assert len(points) >= 10
    run, second = Run(faults), Run(faults)
    for point, renew in points:
        run.try_point(point, CODE_OF.get(point.call, errno.EPERM), renew)
    for point, renew in points:
        if point.call in SECOND_OF and not IN_VM:
            second.try_point(point, SECOND_OF[point.call], renew)
    with capsys.disabled():
        print("\n" + "\n".join([run.summary("points"), *([second.summary("points with another errno")] if second.tried else []),
                                  *run.bad, *second.bad]))
    assert not run.bad + second.bad, "\n".join(run.bad + second.bad)
    assert faults.server.pid == pid, "joblet was started again"
    faults.list(renew_slots=True)
    eventually(lambda: open_descriptors(pid) == descriptors, what="joblet has as many descriptors as before")


@pytest.mark.host_only("joblet-init's part is the same on every host, and the machine is slow")
def test_p6_every_lie_is_found(faults, capsys):
    """joblet-init's calls that are not made and say that they were: nothing is executed, or it makes no difference."""
    points = [point for point in faults.list(renew_slots=True) if point.role in ("init", "command") and point.call in LIES and
              (point.call, point.detail) not in ASKS and point.code == 0]
    run = Run(faults)
    for point in points:
        run.try_point(point, 0, renew_slots=True)
    with capsys.disabled():
        print("\n" + "\n".join([run.summary("lies of the kernel", "without a trace"), *run.bad]))
    assert run.refused > 100 and not run.bad, "\n".join(run.bad)


def test_p6_no_slot_is_lost_by_failed_starts(faults):
    """After all of them as many jobs as ever run at the same time, and not one more."""
    jobs = [faults.server.run("sleep", "600") for _ in range(JOBS)]
    with pytest.raises(grpc.RpcError) as refused:
        faults.server.run("sleep", "600")
    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    for job in jobs:
        faults.server.stop_job(job)
    faults.server.clear()
    faults.server.assert_nothing_left()
