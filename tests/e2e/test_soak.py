"""Jobs by the thousand, one after the other with some in flight, then hundreds at the same time: the service is as large
afterwards as before, and nothing is left.

SOAK_JOBS: how many in a row."""

import os
import re
import subprocess
import time

import pytest

from conftest import BUILD, IN_VM, eventually, seconds

JOBS = int(os.environ.get("SOAK_JOBS", 60 if IN_VM else 600))
WIDE = 40 if IN_VM else 500
# What the allocators of libc, TLS and SQLite keep may differ by so much.
JOBLET_KIB, API_KIB = 256, 2048
BENCH = os.path.join(BUILD, "tests/bench/bench")


def bench(server, *words):
    result = subprocess.run([BENCH, *map(str, words)], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
                            env={**os.environ, "RNX_CONFIG": server.rnx_config}, timeout=3000)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def memory_kib(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return int(re.search(r"^RssAnon:\s+(\d+)", file.read(), re.M)[1])


def descriptors(pid):
    """But for id ranges' namespaces, of which two are kept for each range that was ever used, and disks in stock."""
    found = []
    for number in os.listdir(f"/proc/{pid}/fd"):
        try:
            found.append(os.readlink(f"/proc/{pid}/fd/{number}"))
        except FileNotFoundError:
            pass  # closed meanwhile
    return len([link for link in found if link != "/" and not link.startswith("user:[")])


class Look:
    """What the service holds, once it is at rest."""

    def __init__(self, server):
        server.close_channels()
        self.api, = server.children("joblet-api")
        self.pid = server.pid
        self.joblet_kib, self.api_kib = memory_kib(self.pid), memory_kib(self.api)
        self.joblet_fds = descriptors(self.pid)
        self.api_fds = descriptors(self.api)
        with open(f"/proc/{self.pid}/mountinfo", encoding="utf-8") as file:
            self.mounts = len(file.readlines())
        self.files = sum(len(names) for _, _, names in os.walk(os.path.join(server.prefix, "state/jobs")))
        self.groups = sum(os.path.basename(path).startswith("job-") and self.of(server, path)
                          for path, _, _ in os.walk("/sys/fs/cgroup"))

    @staticmethod
    def of(server, path):
        """A group of this server's: named after its prefix."""
        value = 2166136261
        for byte in os.path.realpath(server.prefix).encode():
            value = ((value ^ byte) * 16777619) & 0xFFFFFFFF
        return f"/joblet-{value:08x}/" in path

    def __str__(self):
        return (f"joblet {self.joblet_kib} KiB, {self.joblet_fds} descriptors; joblet-api {self.api_kib} KiB, {self.api_fds} "
                f"descriptors; {self.mounts} mounts, {self.groups} groups, {self.files} files")


def delete_all(server):
    # The connection may have been idle for longer than the service keeps one.
    server.close_channels()
    answer = server.jobs().DeleteAllJobs(server.pb.DeleteAllJobsRequest(), timeout=seconds(120))
    assert answer.success and answer.skipped_count == 0, answer
    server.assert_nothing_left()


def run_wide(server):
    """So many at the same time, which are all that there are id ranges for; then all are stopped."""
    began = time.monotonic()
    bench(server, "sleepers", WIDE, 8)
    server.close_channels()
    running = [job.uuid for job in server.list() if job.status == "RUNNING"]
    assert len(running) == WIDE
    calls = [server.jobs().StopJob.future(server.pb.StopJobRequest(uuid=job), timeout=seconds(60)) for job in running]
    assert {call.result().status for call in calls} == {"STOPPED"}
    delete_all(server)
    return time.monotonic() - began


@pytest.fixture
def narrow_server(own_server):
    """With as many id ranges as jobs at the same time: one that is lost is missed."""
    path = os.path.join(own_server.prefix, "config/joblet-config.yml")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    with open(path, "w", encoding="utf-8") as file:
        file.write(re.sub(r"^(  maxConcurrentJobs:) .*$", rf"\1 {WIDE}", text, flags=re.M))
    own_server.kill_joblet()
    own_server.launch()
    return own_server


@pytest.mark.host_only(reason="slow in an emulated machine, where nothing of it differs; run it there by VM_COMMAND")
def test_soak(narrow_server):
    server = narrow_server
    run_wide(server)
    bench(server, "rate", max(JOBS // 10, 4), 4)
    delete_all(server)
    before = eventually(lambda: settled(server), 20, "the service is at rest")
    rate = bench(server, "rate", JOBS, 4)
    delete_all(server)
    seconds_wide = run_wide(server)
    after = eventually(lambda: settled(server), 20, "the service is at rest")
    print(f"{JOBS} jobs in a row, {rate} a second; {WIDE} at once, started, stopped and deleted in {seconds_wide:.0f} s")
    print(f"before: {before}\nafter:  {after}")
    assert (after.pid, after.api) == (before.pid, before.api)
    assert after.joblet_kib <= before.joblet_kib + JOBLET_KIB
    assert after.api_kib <= before.api_kib + API_KIB
    assert (after.joblet_fds, after.api_fds) == (before.joblet_fds, before.api_fds)
    assert (after.mounts, after.groups, after.files) == (before.mounts, 0, 0)


def settled(server):
    """Two looks that see the same: connections close in their own time."""
    one, two = Look(server), Look(server)
    return two if str(one) == str(two) and two.groups == 0 else None
