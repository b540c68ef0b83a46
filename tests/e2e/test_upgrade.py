"""All binaries are replaced and the service is started again, while fifty jobs run and write: none is lost."""

import os
import shutil
import signal

import pytest

from conftest import BUILD, IN_VM, Server, eventually

JOBS = 8 if IN_VM else 50
PROGRAMS = ("src/joblet/joblet", "src/joblet/joblet-api", "src/joblet/joblet-init", "src/joblet/joblet-scratch",
            "src/rnx/rnx")
# Writes until it is told to end.
SCRIPT = """trap go=1 USR1; echo error before >&2; i=0
while [ -z "$go" ]; do echo line $i; i=$((i+1)); sleep 0.1; done
echo last $i; exit %d"""


def put(source, target):
    """As a package manager does it: a new file takes the old one's name."""
    shutil.copy(source, target + ".new")
    with open(target + ".new", "ab") as file:
        file.write(b"another build")
    os.rename(target + ".new", target)


@pytest.fixture
def installed(stubs, host, tmp_path, monkeypatch):
    """A server whose programs are its own."""
    directory = str(tmp_path / "programs")
    for name in PROGRAMS:
        os.makedirs(os.path.dirname(os.path.join(directory, name)), exist_ok=True)
        shutil.copy(os.path.join(BUILD, name), os.path.join(directory, name))
    for part in (tmp_path.parent, tmp_path, directory):
        os.chmod(part, 0o755)
    monkeypatch.setenv("JOBLET_BUILD", directory)
    server = Server(*stubs)
    yield server, directory
    server.stop()
    shutil.rmtree(directory)


def inode(path):
    stat = os.stat(path)
    return stat.st_dev, stat.st_ino


@pytest.mark.host_only(reason="slow in an emulated machine, where nothing of it differs; run it there by VM_COMMAND")
def test_upgrade_in_place(installed):
    server, directory = installed
    jobs = {server.run("sh", "-c", SCRIPT % number): number for number in range(JOBS)}
    for job in jobs:
        server.wait_for_output(job, "line 1\n")
    inits = {job: server.init_pid(job) for job in jobs}
    assert all(inits.values())
    init = os.path.join(directory, "src/joblet/joblet-init")
    old = inode(init)
    assert all(inode(f"/proc/{pid}/exe") == old for pid in inits.values())
    for name in PROGRAMS:
        put(os.path.join(directory, name), os.path.join(directory, name))
    pid = server.pid
    os.kill(pid, signal.SIGTERM)
    eventually(lambda: not os.path.exists(f"/proc/{pid}/exe"), 20, "the old service has ended")
    server.launch()
    server.close_channels()
    assert inode(f"/proc/{server.pid}/exe") == inode(os.path.join(directory, "src/joblet/joblet"))
    api, = server.children("joblet-api")
    assert inode(f"/proc/{api}/exe") == inode(os.path.join(directory, "src/joblet/joblet-api"))
    running = {job.uuid for job in server.list() if job.status == "RUNNING"}
    assert running == set(jobs)
    assert {job: server.init_pid(job) for job in jobs} == inits
    # A new job beside them has the new joblet-init, an old one is stopped by the new service.
    fresh = server.run("sleep", "600")
    assert inode(f"/proc/{server.init_pid(fresh)}/exe") == inode(init) != old
    assert server.stop_job(fresh).status == "STOPPED"
    stopped = next(iter(jobs))
    assert server.stop_job(stopped).status == "STOPPED"
    for pid, job in server.environment_pids("sh"):
        if job in jobs:
            os.kill(pid, signal.SIGUSR1)
    for job, code in jobs.items():
        status = server.wait(job, 30)
        said = server.logs(job, stream=1)
        lines = said.count(b"line ")
        whole = "".join(f"line {i}\n" for i in range(lines))
        assert said.decode() == whole + ("" if job == stopped else f"last {lines}\n")
        assert server.logs(job, stream=2) == b"error before\n"
        assert status.end_reason == ("stopped" if job == stopped else "exited"), status
        assert job == stopped or status.exit_code == code, status
    server.clear()
    server.assert_nothing_left()
