"""What hostile programs leave on the host (H), hostile requests (A), roots with links in them (L), and jobs beside each
other (B). docs/ESCAPES.md has a row for each number. (The programs themselves are in tests/e2e/hostile; each attempt is a
test in test_hostile.py.)"""

import contextlib
import ctypes
import os
import re
import signal
import socket
import subprocess
import time

import grpc
import pytest

from conftest import ANY_KERNEL, BUILD, IN_VM, ROOT, differences, eventually, read

ONE_KERNEL_PER_TEST = pytest.mark.skipif(not IN_VM, reason="sets what the whole kernel runs: in the virtual machine only")
PROGRAM = os.path.join(BUILD, "tests/e2e/hostile/hostile")


# --- the list

def documented():
    """Number -> (name, mechanism, what must hold) of the tables of docs/ESCAPES.md."""
    text = read(os.path.join(ROOT, "docs/ESCAPES.md")).decode()
    rows = re.findall(r"(?m)^\| ([A-Z]\d\d) \| ([^|]+?) \| ([^|]+?) \| ([^|]+?) \|$", text)
    assert len(rows) == len({row[0] for row in rows}), "a number stands twice"
    return {number: tuple(rest) for number, *rest in rows}


def here():
    """Number -> name of the tests of this file."""
    found = {}
    for number, name in re.findall(r"(?m)^def test_([ahlb]\d\d)_(\w+)\(", read(__file__).decode()):
        found[number.upper()] = name.replace("_", "-")
    return found


@pytest.mark.host_only("compares files of the checkout")
def test_the_list_is_the_programs():
    listed = subprocess.run([PROGRAM, "--list"], capture_output=True, text=True, check=True).stdout.splitlines()
    wanted = {number: (name, mechanism) for number, _, name, mechanism in (line.split("\t") for line in listed)}
    # U is held against its hook by test_hostile_builds.py.
    found = {number: row for number, row in documented().items() if number[0] != "U"}
    assert len(wanted) == len(listed) and len(wanted) > 100
    assert {number: row[:2] for number, row in found.items() if number in wanted} == wanted
    assert {number: row[0] for number, row in found.items() if number not in wanted} == here()
    assert f"{len(wanted)} attempts of hostile programs" in read(os.path.join(ROOT, "docs/SECURITY.md")).decode()


# --- H: the host's state

@contextlib.contextmanager
def setting(path, value):
    before = read(path)
    with open(path, "w", encoding="utf-8") as file:
        file.write(value)
    try:
        yield
    finally:
        with open(path, "wb") as file:
            file.write(before)


@contextlib.contextmanager
def canary(path, value):
    """A program that the kernel runs as the setting @path says; yields a function: the lines that it was called with."""
    log, program = "/var/tmp/joblet-canary.log", "/var/tmp/joblet-canary"
    with open(program, "w", encoding="utf-8") as file:
        file.write(f'#!/bin/sh\necho "$*" >>{log}\n')
    os.chmod(program, 0o755)
    try:
        with setting(path, value.format(program)):
            yield lambda: read(log).decode().splitlines() if os.path.exists(log) else []
    finally:
        for name in (log, program):
            with contextlib.suppress(OSError):
                os.unlink(name)


@ONE_KERNEL_PER_TEST
def test_h01_modprobe_canary(server):
    """Two ways stay open (see "What cannot be kept away" in docs/ESCAPES.md): only their names may be asked for."""
    server.shell("true")
    with canary("/proc/sys/kernel/modprobe", "{}") as calls:
        server.attempt()
        asked = calls()
        with pytest.raises(OSError):
            socket.socket(socket.AF_INET, socket.SOCK_STREAM, 33)
        eventually(lambda: any("net-pf-2-proto-33" in call for call in calls()), what="the canary sings when we ask")
    print("\n".join(asked))
    assert not [call for call in asked if not re.search(r" (binfmt-[0-9a-f]{4}|(net-)?cls[_-]hostilecanar)$", call)]


# A crash of each kind: by signal, by memory, by an instruction, in a thread's name, in a child, without a parent.
CRASHES = """for s in QUIT ILL TRAP ABRT BUS FPE SEGV XCPU XFSZ SYS; do sh -c "kill -$s \\$\\$"; done
ulimit -c 0; sh -c 'kill -SEGV $$'; ulimit -c unlimited 2>/dev/null; sh -c 'kill -ABRT $$'
(setsid sh -c 'kill -SEGV $$' &)
cp /bin/sh /tmp/own; /tmp/own -c 'kill -SEGV $$'; chmod 111 /tmp/own; /tmp/own -c 'kill -SEGV $$'
ulimit -s 64; sh -c 'kill -QUIT $$'; kill -SEGV $$"""


@ONE_KERNEL_PER_TEST
def test_h02_core_handler_canary(server):
    with canary("/proc/sys/kernel/core_pattern", "|{} %p %u %e") as calls:
        ended = server.shell(CRASHES)
        assert ended.status.end_signal == signal.SIGSEGV
        assert calls() == []
        subprocess.run(["sh", "-c", "ulimit -c 0; kill -SEGV $$"], check=False)
        eventually(calls, what="the canary sings when we crash")


@ONE_KERNEL_PER_TEST
def test_h03_core_socket_is_refused(server):
    """A kernel that sends dumps to a socket does not look at the limit: there no job may run."""
    with setting("/proc/sys/kernel/core_pattern", "@/run/cores.socket"):
        with pytest.raises(grpc.RpcError) as refused:
            server.wait(server.run("true"))
        assert "core pattern" in refused.value.details()
        assert "core pattern names a socket" in subprocess.run(
            [server.joblet_program, "--prefix", server.prefix, "doctor"], capture_output=True, text=True, check=False).stdout
    assert server.shell("echo fine").text == "fine\n"


FACTS = ("/proc/sys/kernel/sysrq", "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/kernel/hostname",
         "/proc/sys/kernel/domainname", "/proc/sys/kernel/random/boot_id", "/proc/sys/fs/aio-nr", "/proc/sys/fs/aio-max-nr",
         "/proc/sys/fs/pipe-max-size", "/proc/sys/kernel/panic", "/proc/sys/kernel/sched_rt_runtime_us",
         "/proc/sys/vm/swappiness",
         "/proc/sys/kernel/dmesg_restrict", "/proc/sys/kernel/kptr_restrict", "/proc/filesystems", "/proc/devices",
         "/proc/misc",
         "/proc/swaps", "/proc/net/protocols", "/proc/sys/kernel/tainted")


def host_facts():
    facts = {path: read(path) for path in FACTS if os.path.exists(path)}
    # Counters move; which protocols there are does not.
    facts["/proc/net/protocols"] = sorted(line.split()[0] for line in facts.pop("/proc/net/protocols").splitlines())
    if os.path.exists("/proc/modules"):
        facts["/proc/modules"] = sorted(line.split()[0] for line in read("/proc/modules").splitlines())
    return facts


@pytest.mark.host_only("the attempts one by one are in test_hostile.py, and long in an emulated machine")
def test_h04_hostile_jobs_at_once(server):
    """All attempts twice at the same time, beside a job that only counts: it loses nothing, and the host is as before."""
    server.attempt("x32")  # it puts the program into the root
    before, offset = host_facts(), time.time() - time.monotonic()
    counting = server.run("sh", "-c", "i=0; while [ $i -lt 200 ]; do i=$((i+1)); echo $i; sleep 0.01; done")
    for job in [server.run("hostile") for _ in range(2)]:
        assert server.wait(job, 60).exit_code == 0, server.logs(job).decode()[-2000:]
    assert server.wait(counting, 60).exit_code == 0
    assert server.logs(counting).decode() == "".join(f"{i}\n" for i in range(1, 201))
    assert not differences(before, host_facts())
    assert abs(time.time() - time.monotonic() - offset) < 5


# --- L: roots with links in them

@pytest.mark.parametrize("place", ["dev", "etc/hosts", "etc"] + [
    pytest.param(place, marks=ANY_KERNEL) for place in ("proc", "tmp", "work", "etc/hostname")])
def test_l01_mount_points_swapped_for_links(server, place):
    """CVE-2019-16884, CVE-2019-18837, CVE-2021-30465: an image whose mount point is a link out of it."""
    hosts = read("/etc/hosts")
    path = os.path.join(server.prefix, "base", place)
    os.rename(path, path + ".aside")
    try:
        os.symlink("../" * 12 + "etc" if "/" not in place else "/etc/hosts", path)
        if not os.path.isdir(path + ".aside"):
            # The link is covered, not followed: the job sees its own file.
            assert "job-" in server.shell("cat /etc/hosts /etc/hostname").text
            assert read("/etc/hosts") == hosts
            return
        with pytest.raises(grpc.RpcError) as refused:
            server.wait(server.run("true"))
        assert "root: mount '/" in refused.value.details() or "mount point" in refused.value.details(), refused.value.details()
        eventually(lambda: not server.init_pids(), what="no joblet-init is left")
    finally:
        os.unlink(path)
        os.rename(path + ".aside", path)


# --- A: hostile requests

def install(server, name, text):
    """A script in the base root."""
    path = os.path.join(server.prefix, "base/usr/bin", name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    owner = os.stat(os.path.join(server.prefix, "base/usr/bin/env"))
    os.chown(path, owner.st_uid, owner.st_gid)
    os.chmod(path, 0o755)
    return path


def ends(server, command, *arguments, **fields):
    status = server.wait(server.run(command, *arguments, **fields))
    return status.status, status.exit_code, status.error


def any_kernel(*rows):
    return [pytest.param(*row, marks=ANY_KERNEL) for row in rows]


@pytest.mark.parametrize("command,code", [
    ("/proc/self/exe", 126), ("/proc/1/exe", 126), ("/proc/self/fd/3", 126), ("/proc/1/root/bin/sh", 126), ("/dev/null", 126),
    ("/etc/passwd", 126)] + any_kernel(
        ("/proc/self/fd/0", 126), ("/proc/self/task/../exe", 126), ("/etc", 126), (".", 126), ("..", 126), ("/", 126),
        ("/bin/sh/", 127), ("/nonexistent", 127), ("../../../../../../../../nonexistent", 127), ("-c", 127), ("--help", 127),
        ("", None), (" ", 127), ("\n", 127), ("%n%s", 127), ("a" * 255, 127), ("a" * 5000, 127), ("/" + "a/" * 2100, None),
        ("sh\n-c", 127), ("$(reboot)", 127), ("`id`", 127), ("sh;id", 127), ("\u202esh", 127), ("\x1b[2Jsh", 127)))
def test_a01_commands_that_are_no_programs(server, command, code):
    """CVE-2019-5736 and CVE-2020-17367 by the command itself."""
    try:
        state, ended, error = ends(server, command)
    except grpc.RpcError as refused:
        assert refused.code() == grpc.StatusCode.INVALID_ARGUMENT and refused.details()
        assert code is None
        return
    assert (state, error != "") == ("FAILED", True)
    assert ended in ((126, 127) if code is None else (code,)), error


@ANY_KERNEL
@pytest.mark.parametrize("text,code", [
    ("#!/nonexistent/interpreter\n", 126), ("#!\n", 126), ("echo no interpreter\n", 126), ("#!/usr/bin/hostile-loop\n", 126),
    ("#!{outside}\n", 126), ("#!/proc/1/exe\n", 126), ("#!/proc/self/exe\n", None), ("\x7fELF", 126), ("", 126)],
    ids=["not-there", "none", "plain-text", "itself", "of-the-host", "init", "self", "cut-elf", "empty"])
def test_a02_scripts_without_interpreter(server, text, code):
    path = install(server, "hostile-loop", text.format(outside=server.joblet_program))
    try:
        state, ended, error = ends(server, "hostile-loop")
    finally:
        os.unlink(path)
    # No shell takes over: what the kernel cannot execute is not executed.
    assert state == "FAILED" and error and (code is None or ended == code), (ended, error)


@ANY_KERNEL
@pytest.mark.parametrize("arguments", [
    ["-n", "--", "--output=/etc/x", "-rf", "/"], ["$(id)", "`id`", "; id", "| id", "&& id", "> /etc/x"],
    ["%n%n%s%p", "%", "\\0", "\\x00"], ["a\nb", "\r", "\t", "\x01\x7f", "\x1b]0;x\x07"], ["", "", ""], ["a" * 100000],
    ["--prefix", "/", "serve"], ["JOB_ID=x", "--list"]],
    ids=["dashes", "shell", "formats", "controls", "empty", "long", "ours", "names"])
def test_a03_arguments_arrive_as_they_are(server, arguments):
    """CVE-2020-17367, CVE-2020-17368: nobody between the client and the command reads its arguments."""
    before = len(server.service_log.splitlines())
    job = server.run("printf", "<%s>", *arguments)
    assert server.wait(job).exit_code == 0
    assert server.logs(job).decode() == "".join(f"<{argument}>" for argument in arguments)
    # And none of them is a line, or a colour, of the service's log.
    for line in server.service_log.splitlines()[before:]:
        assert re.match(r"^(\S+ )?\S+ ?(DEBUG|INFO|WARN|ERROR)", line) and "\x1b" not in line, line


@pytest.mark.parametrize("place,code", [
    ("/proc/self/fd/3", 126), ("/proc/1/root", 126), ("/proc/1/cwd", 126), ("/proc/1/fd/5", 126), ("/proc/self/root", 0),
    ("/proc/thread-self/root/tmp", 0)] + any_kernel(
        ("/proc/self/fd/0", 126), ("/proc/self/cwd", 0), ("/proc/self/task/1/root", 126), ("/etc/passwd", 126),
        ("/root/../..", None), ("/.", None), ("-", None), ("relative", None), ("/\n", 126), ("/%n%s", 126),
        ("/" + "a" * 300, 126), ("/" + "a/" * 3000, None), ("//tmp//", 0)))
def test_a04_working_directories(server, place, code):
    """CVE-2024-21626, CVE-2019-11503: a directory that leads out of the root."""
    try:
        job = server.run("sh", "-c", "ls -di / . ; ls /; pwd -P", work_dir=place)
    except grpc.RpcError as refused:
        assert code is None and refused.code() == grpc.StatusCode.INVALID_ARGUMENT and "work_dir" in refused.details()
        return
    status = server.wait(job)
    assert status.exit_code == code, (status.error, server.logs(job))
    if code == 0:
        lines = server.logs(job).decode().splitlines()
        assert "config" not in lines and lines[-1] in ("/", "/tmp", "/work")
    else:
        assert "directory" in status.error


@ANY_KERNEL
@pytest.mark.parametrize("name", ["", "=", "A=B", "A B", "A\nB", "-A", "1A", "A\x1b", "JOB_ID", "JOBLET_X", "%n", "A" * 200000,
                                  "é"])
def test_a05_names_of_variables(server, name):
    with pytest.raises(grpc.RpcError) as refused:
        server.run("true", environment={name: "x"})
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT


@ANY_KERNEL
def test_a06_values_of_variables(server):
    """CVE-2016-9962's kind: what a loader, a shell or a library obeys is obeyed by the command alone, in its sandbox."""
    values = {"LD_PRELOAD": "/proc/1/root/evil.so", "LD_AUDIT": "/x", "LD_LIBRARY_PATH": "/proc/self/cwd", "IFS": "/",
              "BASH_ENV": "/proc/1/environ", "ENV": "/proc/1/environ", "GCONV_PATH": "/tmp", "MALLOC_CHECK_": "3", "HOME": "-",
              "PWD": "/proc/1/root", "NEWLINE": "a\nJOB_ID=forged", "FORMAT": "%n%s", "LONG": "v" * 30000,
              "SHELLOPTS": "xtrace", "TMPDIR": "/"}
    script = 'printf "<%s>" "$JOB_ID" "$JOB_TYPE" "$TMPDIR" "$NEWLINE" "$FORMAT" "${#LONG}"'
    job = server.run("sh", "-c", script, environment=values)
    status = server.wait(job)
    text = server.logs(job, stream=1).decode()
    assert status.exit_code == 0, (status.error, text)
    assert text == f"<{job}><standard></tmp/job-{job}><a\nJOB_ID=forged><%n%s><30000>"


@ANY_KERNEL
def test_a07_bytes_that_end_texts(server):
    """A NUL in the middle of a text: cut or refused, never a text of its own."""
    for fields in ({"command": "true\0x"}, {"command": "echo", "args": ["a\0--x"]},
                   {"command": "true", "work_dir": "/tmp\0/etc"}, {"command": "true", "environment": {"A": "b\0JOB_ID=x"}},
                   {"command": "true", "environment": {"A\0": "b"}}):
        try:
            job = server.jobs().RunJob(server.pb.RunJobRequest(**fields), timeout=server.seconds(20)).job_uuid
        except grpc.RpcError as refused:
            assert refused.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.INTERNAL), refused.details()
            continue
        server.wait(job)
        assert b"\0" not in server.logs(job) and b"--x" not in server.logs(job)


# --- B: jobs beside each other

def test_b01_nothing_of_another_job(server):
    """Group J, with the other job there."""
    server.attempt("processes-of-others")  # it puts the program into the root
    other = server.run("hostile", "--leave")
    server.wait_for_output(other, "ready\n")
    ended = server.attempt("J")
    assert ended.status.exit_code == 0 and "8 attempts, 0 escaped" in ended.text, ended.text
    assert server.status(other).status == "RUNNING"


def test_b02_all_processes_but_init(server):
    """A job may end all of its own processes, and its end is still recorded."""
    ended = server.shell("sleep 600 & sleep 600 & kill -KILL -1; wait; echo alive; exit 7")
    assert (ended.text, ended.status.exit_code) == ("alive\n", 7)
    assert server.shell("echo well").text == "well\n"


def host_can_take():
    """As host root: an inotify instance and a message queue of the usual size."""
    libc = ctypes.CDLL(None, use_errno=True)
    name = b"/joblet-test-" + os.urandom(6).hex().encode()
    instance, queue = libc.inotify_init(), libc.mq_open(name, os.O_RDWR | os.O_CREAT, 0o600, None)
    libc.mq_unlink(name)
    for fd in (instance, queue):
        if fd >= 0:
            os.close(fd)
    return instance >= 0, queue >= 0


def test_b03_what_is_counted_for_each_user(server):
    """A user namespace is charged to the user who made it too: were that host root, each job would take from it."""
    assert host_can_take() == (True, True)
    server.attempt("x32")
    taken = []
    for job in [server.run("hostile", "--take") for _ in range(2)]:
        taken.append(server.wait_for_output(job, "ready\n").splitlines()[0])
        assert host_can_take() == (True, True)
    assert taken[0] == taken[1] and b"EMFILE" in taken[0]
