"""Processes of ours are killed while jobs run: the jobs go on, no byte of their logs is lost or doubled, their ends are exact."""

import os
import signal
import subprocess

import grpc
import pytest

from conftest import ANY_KERNEL, IN_VM, Server, eventually, seconds


@pytest.fixture(scope="module")
def module_server(stubs, host):
    server = Server(*stubs)
    yield server
    server.stop()


@pytest.fixture
def restarted(module_server):
    """One server for all tests here, for each of them as if it were new."""
    yield module_server
    module_server.close_channels()
    if not os.path.exists(f"/proc/{module_server.pid_or_0()}/exe"):
        module_server.launch()
    module_server.clear()
    module_server.assert_nothing_left()


COUNTING = "i=0; while [ $i -lt %d ]; do echo line $i; i=$((i+1)); %s done; exit 5"


def expected(count):
    return "".join(f"line {i}\n" for i in range(count)).encode()


def run_through(server, job):
    """Waits for the job although calls may fail meanwhile."""
    def ended():
        try:
            status = server.status(job)
        except grpc.RpcError:
            return None
        return status if status.end_time else None
    return eventually(ended, 60, "the end")


def api_pid(server):
    return eventually(lambda: server.children("joblet-api"), what="joblet-api runs")[0]


@ANY_KERNEL
def test_joblet_api_killed(restarted):
    server = restarted
    job = server.run("sh", "-c", COUNTING % (300, "sleep 0.01;"))
    server.wait_for_output(job, "line 3\n")
    init = server.init_pid(job)
    for _ in range(3):
        old = api_pid(server)
        os.kill(old, signal.SIGKILL)
        eventually(lambda: server.children("joblet-api") not in ([], [old]), 20, "joblet-api is started again")
        eventually(lambda: answers(server), 20, "it answers")
    assert server.init_pid(job) == init or server.status(job).end_time
    status = run_through(server, job)
    assert (status.status, status.exit_code) == ("FAILED", 5)
    assert server.logs(job) == expected(300)


def answers(server):
    try:
        server.list()
        return True
    except grpc.RpcError:
        return False


@pytest.mark.shows("CIS-Docker 2.15")
def test_joblet_killed_and_started_again(restarted):
    server = restarted
    long = server.run("sh", "-c", COUNTING % (400, "sleep 0.01;"))
    stopped = server.run("sleep", "600")
    killed_alone = server.run("sleep", "600")
    limited = server.run("sleep", "600", timeout="24s" if IN_VM else "6s")
    short = server.run("sh", "-c", "echo before; sleep 0.5; echo after; exit 7")
    server.wait_for_output(short, "before\n")
    inits = {job: server.init_pid(job) for job in (long, stopped, killed_alone, limited)}
    assert all(inits.values())
    server.kill_joblet()
    # While nobody is there: the jobs run on, one ends by itself, one's process 1 is killed.
    eventually(lambda: server.init_pid(short) is None, 20, "the short job's end")
    os.kill(inits[killed_alone], signal.SIGKILL)
    for job in (long, stopped):
        assert server.init_pid(job) == inits[job]
    server.launch()
    server.close_channels()
    assert {job.uuid for job in server.list()} == {long, stopped, killed_alone, limited, short}
    status = run_through(server, short)
    assert (status.status, status.exit_code, status.end_reason) == ("FAILED", 7, "exited")
    assert server.logs(short) == b"before\nafter\n"
    status = run_through(server, killed_alone)
    assert status.status == "FAILED" and status.end_reason
    assert server.stop_job(stopped).status == "STOPPED"
    assert run_through(server, limited).status == "TIMEOUT"
    status = run_through(server, long)
    assert (status.status, status.exit_code) == ("FAILED", 5)
    assert server.logs(long) == expected(400)
    server.clear()
    server.assert_nothing_left()


@ANY_KERNEL
def test_joblet_init_killed(restarted):
    server = restarted
    job = server.run("sh", "-c", "echo said; sleep 600")
    server.wait_for_output(job, "said\n")
    os.kill(server.init_pid(job), signal.SIGKILL)
    status = run_through(server, job)
    assert status.status == "FAILED" and status.end_reason not in ("exited", "")
    assert server.logs(job).startswith(b"said\n")
    assert server.shell("echo next").text == "next\n"


@ANY_KERNEL
def test_output_of_a_killed_service_is_complete(restarted):
    """A job that writes as fast as it can, while joblet and joblet-api are killed again and again."""
    server = restarted
    count = 20000 if IN_VM else 200000
    job = server.run("awk", f"BEGIN {{for (i = 0; i < {count}; i++) print \"line\", i}}")
    other = server.run("sh", "-c", COUNTING % (200, "sleep 0.02;"))
    for _ in range(2):
        os.kill(api_pid(server), signal.SIGKILL)
        server.kill_joblet()
        server.launch()
        server.close_channels()
    assert run_through(server, job).exit_code == 0
    assert server.logs(job) == expected(count)
    assert run_through(server, other).exit_code == 5
    assert server.logs(other) == expected(200)


@ANY_KERNEL
@pytest.mark.shows("CIS-Docker 2.15")
def test_a_restart_shows_the_same(restarted):
    server = restarted
    jobs = [server.run("sh", "-c", f"echo {i}; exit {i}") for i in range(5)]
    before = {job: server.wait(job) for job in jobs}
    logs = {job: server.logs(job) for job in jobs}
    pid = server.pid
    os.kill(pid, signal.SIGTERM)
    eventually(lambda: not os.path.exists(f"/proc/{pid}/exe"), 20, "the service has ended")
    server.launch()
    server.close_channels()
    for job in jobs:
        assert server.status(job) == before[job]
        assert server.logs(job) == logs[job]


def test_sigterm_leaves_jobs_running(restarted):
    server = restarted
    job = server.run("sh", "-c", f"sleep {8 if IN_VM else 3}; echo end; exit 9")
    init = server.init_pid(job)
    pid = server.pid
    os.kill(pid, signal.SIGTERM)
    eventually(lambda: not os.path.exists(f"/proc/{pid}/exe"), 20, "the service has ended")
    assert server.init_pid(job) == init
    eventually(lambda: server.init_pid(job) is None, 20, "the job's end")
    server.launch()
    server.close_channels()
    status = run_through(server, job)
    assert (status.status, status.exit_code) == ("FAILED", 9)
    assert server.logs(job) == b"end\n"


@ANY_KERNEL
def test_a_second_service_on_the_same_prefix_is_refused(server):

    second = subprocess.run([server.joblet_program, "--prefix", server.prefix, "serve"], capture_output=True, text=True,
                            timeout=seconds(20), check=False, stdin=subprocess.DEVNULL)
    assert second.returncode != 0 and second.stderr
    assert server.shell("echo still here").text == "still here\n"


@ANY_KERNEL
@pytest.mark.parametrize("verb", [["version"], ["help"]])
def test_verbs_of_joblet(server, verb):

    result = subprocess.run([server.joblet_program, *verb], capture_output=True, text=True, timeout=seconds(10), check=False)
    assert result.returncode == 0 and "joblet" in result.stdout
