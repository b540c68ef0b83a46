"""End-to-end tests: the real service as root, driven by rnx and by a client that is not ours (Python grpcio, stubs generated
from proto/). They run on this host and, those without the mark `host_only`, in a virtual machine (scripts/vm-leg.sh).

To add one: a function in test_TOPIC.py with the fixture `server` (one for the whole run) or `own_server` (one for the test
alone, when it kills or stops something). Server has what a test needs:

    job = server.run("echo", "hello")                 RunJob; returns the uuid. Fields of RunJobRequest as keywords
    status = server.wait(job)                         waits for the end; GetJobStatusResponse
    server.logs(job)                                  the whole log, bytes; server.logs(job, stream=2) one stream
    server.shell("cd /; ls")                          runs `sh -c` to its end; Outcome(status, text, uuid)
    server.jobs("reader").ListJobs(server.pb.EmptyRequest(), timeout=server.seconds(5))
    server.rnx("job", "list", role="developer")       subprocess.CompletedProcess, text
    server.attempt("NAME")                            runs attempts of the hostile program in a job

Waits have an end, which is for what hangs: write server.seconds(n), which is several times as long, because the machine may have
much else to do. No test sleeps to let something happen; use eventually(). Each test ends with its jobs gone: the fixture sees to
it, and fails when something stays.

Marks: host_only(reason) is not run in the virtual machine, ANY_KERNEL is the most frequent reason; full is run with FULL=1 alone:
another one of its kind is run always."""

import collections
import concurrent.futures
import contextlib
import importlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import grpc
import pytest

import host_snapshot

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
IN_VM = os.environ.get("JOBLET_IN_VM") == "1"
FULL = os.environ.get("FULL") == "1"
# What takes a second takes so many in the machine; and how much longer is waited, which may have the processor seldom.
SLOWER = 12 if IN_VM else 1
PATIENCE = 40 if IN_VM else 6
FINAL = {"COMPLETED", "FAILED", "STOPPED", "CANCELED", "TIMEOUT"}
ROLES = ("admin", "maintainer", "developer", "reader")
BUILD = os.environ.get("JOBLET_BUILD", os.path.join(ROOT, "build"))

Outcome = collections.namedtuple("Outcome", "status text uuid")


def seconds(number):
    return number * PATIENCE


ANY_KERNEL = pytest.mark.host_only("no kernel answers differently")


def eventually(check, within=5, what=""):
    """Calls check() until it returns something true; returns that. Fails after `within` seconds."""
    deadline = time.monotonic() + seconds(within)
    while True:
        found = check()
        if found:
            return found
        assert time.monotonic() < deadline, f"did not come true within {seconds(within)} s: {what or check}"
        time.sleep(0.02 * SLOWER)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def differences(before, after):
    """What is not the same in two dictionaries, as texts; of many the first ones. For what must not have changed on the host."""
    found = [f"{name}: {before.get(name, 'not there')!r} -> {after.get(name, 'gone')!r}" for name in {**before, **after}
             if before.get(name) != after.get(name)]
    return found[:20]


def pem_blocks(path):
    """The first node's cert, key and ca of an rnx configuration."""
    found = {}
    for name, block in re.findall(r"^ +(cert|key|ca): \|[+-]?\n((?:(?: {6,}.*)?\n)+)", read(path).decode(), re.M):
        found.setdefault(name, "\n".join(line.strip() for line in block.splitlines()).strip().encode() + b"\n")
    return found


# Of servers that are stopped: see Server.stop.
removals = concurrent.futures.ThreadPoolExecutor(8)
pending = []


def load_stubs(directory):
    sys.path.insert(0, directory)
    return importlib.import_module("joblet_pb2"), importlib.import_module("joblet_pb2_grpc")


class Server:
    """A throw-away server (scripts/dev-server.sh) and its clients."""

    def __init__(self, pb, stubs):
        self.pb, self.stubs = pb, stubs
        # On a disk: file systems in memory cannot be mounted with other owners by the kernels that we support.
        self.directory = tempfile.mkdtemp(prefix="joblet-e2e-", dir="/var/tmp")
        os.chmod(self.directory, 0o755)  # joblet-api, which is not root, has to get through
        self.channels, self.idle_channels = {}, []
        self.seconds = seconds
        try:
            self.script("start")
        except BaseException:
            with contextlib.suppress(AssertionError):  # nothing to stop
                self.script("stop")
            shutil.rmtree(self.directory, ignore_errors=True)
            raise
        for line in read(os.path.join(self.directory, "env")).decode().splitlines():
            if "=" in line:
                name, value = line.split("=", 1)
                setattr(self, {"RNX": "rnx_program", "RNX_CONFIG": "rnx_config", "JOBLET": "joblet_program",
                               "JOBLET_PREFIX": "prefix", "JOBLET_ADDRESS": "address"}[name], value)

    def script(self, verb):
        result = subprocess.run([os.path.join(ROOT, "scripts/dev-server.sh"), verb, self.directory], capture_output=True,
                                text=True, check=False, timeout=seconds(60), stdin=subprocess.DEVNULL,
                                env={**os.environ, "JOBLET_PROGRAM": getattr(self, "joblet_program", "")})
        assert result.returncode == 0, f"dev-server.sh {verb}: {result.stdout}{result.stderr}"

    def stop(self):
        """Ends the service and its jobs. The files of runtimes take a while to remove: that goes on behind the next tests, and
        the fixture `host` waits for it."""
        self.close_channels()
        pid = self.pid_or_0()
        removal = removals.submit(self.end)
        pending.append(removal)
        while not removal.done() and (pid == 0 or os.path.exists(f"/proc/{pid}")):
            time.sleep(0.02)
        if removal.done():
            removal.result()

    def end(self):
        log = self.service_log
        try:
            self.script("stop")
        except BaseException:
            print(log[-3000:])
            # Whoever ended all of us ended that too: once more.
            self.script("stop")
            raise
        finally:
            shutil.rmtree(self.directory, ignore_errors=True)

    # --- processes

    @property
    def pid(self):
        return int(read(os.path.join(self.prefix, "run/joblet.pid")))

    def pid_or_0(self):
        """As pid; 0 when the service has ended in order."""
        try:
            return self.pid
        except OSError:
            return 0

    @property
    def service_log(self):
        return read(os.path.join(self.directory, "joblet.log")).decode(errors="replace")

    def children(self, name):
        """Pids of joblet's children of that name."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                stat = read(f"/proc/{pid}/stat").decode(errors="replace")
                if stat[stat.index("(") + 1:stat.rindex(")")] == name and int(stat[stat.rindex(")") + 2:].split()[1]) == self.pid:
                    found.append(int(pid))
        return found

    def init_pids(self):
        """Host pids of all joblet-init processes of this server's jobs, whoever their parent is."""
        return [pid for pid, job in self.environment_pids("joblet-init") if os.path.isdir(f"{self.prefix}/state/jobs/{job}")]

    @staticmethod
    def environment_pids(name):
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                if read(f"/proc/{pid}/comm").decode().strip() != name:
                    continue
                job = re.search(rb"(?:^|\0)JOB_ID=([0-9a-f-]{36})", read(f"/proc/{pid}/environ"))
                if job:
                    yield int(pid), job[1].decode()

    def init_pid(self, job):
        return next((pid for pid, owner in self.environment_pids("joblet-init") if owner == job), None)

    def kill_joblet(self):
        pid = self.pid
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: not os.path.exists(f"/proc/{pid}/exe"), what="joblet is gone")

    def launch(self):
        """Starts the service again on its prefix."""
        self.script("launch")

    def use_programs(self, **programs):
        """Ends the service and starts it again from a directory of its own with copies of joblet and the programs beside it,
        but for what @programs names: paths in the build directory. joblet takes what lies beside it. Returns the directory."""
        directory = os.path.join(self.directory, "programs")
        os.makedirs(directory, exist_ok=True)
        for name in ("joblet", "joblet-api", "joblet-init", "joblet-scratch", "joblet-builder"):
            path = os.path.join(directory, name)
            shutil.copy(os.path.join(BUILD, programs.get(name.replace("-", "_"), f"src/joblet/{name}")), path)
        self.joblet_program = os.path.join(directory, "joblet")
        return directory

    def restart(self):
        """Ends the service in order and starts it again."""
        pid = self.pid
        self.close_channels()
        os.kill(pid, signal.SIGTERM)
        eventually(lambda: not os.path.exists(f"/proc/{pid}/exe"), 20, "the service has ended")
        self.launch()

    def close_channels(self):
        for channel in [*self.idle_channels, *(channel for channel, _ in self.channels.values())]:
            channel.close()
        self.channels, self.idle_channels = {}, []

    # --- clients

    def credentials(self, role="admin"):
        pem = pem_blocks(os.path.join(self.prefix, f"config/rnx-config-{role}.yml"))
        return grpc.ssl_channel_credentials(pem["ca"], pem["key"], pem["cert"])

    def connect(self, credentials, *options):
        return grpc.secure_channel(self.address, credentials, options=[
            ("grpc.ssl_target_name_override", "joblet"), ("grpc.use_local_subchannel_pool", 1),
            ("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 500), *options])

    def channel(self, role="admin"):
        """A new one when the last was not asked for some time: grpcio answers no ping while nobody calls, and the server closes it.
        Streams that still run keep theirs."""
        channel, used = self.channels.get(role, (None, 0))
        if time.monotonic() - used > 8:
            if channel:
                self.idle_channels.append(channel)
            channel = self.connect(self.credentials(role))
        self.channels[role] = channel, time.monotonic()
        return channel

    def jobs(self, role="admin"):
        return self.stubs.JobServiceStub(self.channel(role))

    def rnx(self, *arguments, role=None, check=True, within=30, environment=None):
        words = [self.rnx_program, "--config", self.rnx_config] + (["--node", role] if role else []) + list(arguments)
        result = subprocess.run(words, capture_output=True, text=True, check=False, timeout=seconds(within),
                                stdin=subprocess.DEVNULL, env={**os.environ, **(environment or {})})
        if check:
            assert result.returncode == 0, f"rnx {arguments}: {result.returncode}: {result.stdout}{result.stderr}"
        return result

    # --- jobs

    def run(self, command, *arguments, role="admin", **fields):
        request = self.pb.RunJobRequest(command=command, args=arguments, **fields)
        return self.jobs(role).RunJob(request, timeout=seconds(20)).job_uuid

    def status(self, job):
        return self.jobs().GetJobStatus(self.pb.GetJobStatusRequest(uuid=job), timeout=seconds(10))

    def wait(self, job, within=20):
        def ended():
            status = self.status(job)
            return status if status.status in FINAL else None
        return eventually(ended, within, f"the end of job {job}")

    def chunks(self, job, within=60):
        return self.jobs().GetJobLogs(self.pb.GetJobLogsRequest(uuid=job), timeout=seconds(within))

    def logs(self, job, stream=None, within=60):
        return b"".join(chunk.payload for chunk in self.chunks(job, within) if stream is None or chunk.stream == stream)

    def shell(self, script, within=30, **fields):
        job = self.run("sh", "-c", script, **fields)
        status = self.wait(job, within)
        return Outcome(status, self.logs(job).decode(errors="replace"), job)

    def wait_for_output(self, job, text):
        """Follows until @text has been written."""
        seen = b""
        for chunk in self.chunks(job):
            seen += chunk.payload
            if text.encode() in seen:
                return seen
        raise AssertionError(f"the log ended without {text!r}: {seen!r}")

    def stop_job(self, job):
        return self.jobs().StopJob(self.pb.StopJobRequest(uuid=job), timeout=seconds(15))

    def list(self):
        return self.jobs().ListJobs(self.pb.EmptyRequest(), timeout=seconds(10)).jobs

    def clear(self):
        for job in self.list():
            if job.status not in FINAL:
                with contextlib.suppress(grpc.RpcError):
                    self.stop_job(job.uuid)
        for job in self.list():
            self.wait(job.uuid)
        self.jobs().DeleteAllJobs(self.pb.DeleteAllJobsRequest(), timeout=seconds(30))

    def job_cgroups(self):
        """Directories of cgroups that carry the name of a job of this server."""
        names = set(os.listdir(os.path.join(self.prefix, "state/jobs")))
        return [path for path, _, _ in os.walk("/sys/fs/cgroup") if os.path.basename(path).replace("job-", "") in names]

    def assert_nothing_left(self):
        eventually(lambda: not self.init_pids(), what="no joblet-init is left")
        eventually(lambda: not os.listdir(os.path.join(self.prefix, "state/jobs")), what="no files of jobs are left")

    def install(self, program):
        """Puts a program of tests/e2e/hostile where jobs see it: into the base root, read-only as all of it."""
        installed = os.path.join(self.prefix, "base/usr/bin", program)
        if not os.path.exists(installed):
            shutil.copy(os.path.join(BUILD, "tests/e2e/hostile", program), installed + ".new")
            stat = os.stat(os.path.join(self.prefix, "base/usr/bin/env"))
            os.chown(installed + ".new", stat.st_uid, stat.st_gid)
            os.chmod(installed + ".new", 0o755)
            os.rename(installed + ".new", installed)

    def attempt(self, *names):
        """Runs attempts of the hostile program (tests/e2e/hostile) in a job; all of them without names. Outcome."""
        self.install("hostile")
        job = self.run("hostile", *names)
        status = self.wait(job, 60)
        return Outcome(status, self.logs(job).decode(errors="replace"), job)


# --- fixtures


@pytest.fixture(scope="session")
def stubs():
    directory = os.environ.get("JOBLET_STUBS")
    if directory:
        yield load_stubs(directory)
        return
    with tempfile.TemporaryDirectory(prefix="joblet-stubs-") as directory:
        subprocess.run([os.path.join(ROOT, "scripts/stubs.sh"), directory], check=True)
        yield load_stubs(directory)


@pytest.fixture(scope="session")
def package_index():
    """apt's own cache of what its lists say. Images for containers switch it off; then each of a hundred builds reads all lists."""
    paths = [f"/var/cache/apt/{name}.bin" for name in ("pkgcache", "srcpkgcache")]
    made = shutil.which("apt-cache") and not any(map(os.path.exists, paths))
    if made:
        subprocess.run(["apt-cache", "-q", "-o", "Dir::Cache::pkgcache=pkgcache.bin", "-o", "Dir::Cache::srcpkgcache=srcpkgcache.bin",
                        "gencaches"], check=False, stdout=subprocess.DEVNULL)
    yield
    for path in paths if made else []:
        with contextlib.suppress(FileNotFoundError):
            os.remove(path)


@pytest.fixture(scope="session")
def host(stubs, package_index):
    """The host as it was before the first server; compared when the last one is gone."""
    before = host_snapshot.take()
    yield before
    for removal in pending:
        removal.result()
    found = host_snapshot.compare_wait(before, seconds(30))
    # The first ones on the first line, which is the reason that a summary shows.
    assert not found, f"the host is not as it was, {len(found)} differences: " + "; ".join(found[:3]) + "\n" + "\n".join(found[:100])


@pytest.fixture(scope="session")
def shared_server(stubs, host):
    server = Server(*stubs)
    yield server
    server.stop()


@pytest.fixture
def server(shared_server):
    yield shared_server
    shared_server.clear()
    shared_server.assert_nothing_left()


@pytest.fixture
def own_server(stubs, host):
    server = Server(*stubs)
    yield server
    server.stop()


# --- what scripts/check.sh and scripts/vm-leg.sh read


def interrupt(number, frame):
    raise KeyboardInterrupt


def pytest_configure(config):
    # Who is told to end takes the servers along.
    signal.signal(signal.SIGTERM, interrupt)
    config.addinivalue_line("markers", "vm: runs in the virtual machine too (given to all that are not host_only)")
    config.addinivalue_line("markers", "host_only: not in the virtual machine, with the reason")
    config.addinivalue_line("markers", "full: with FULL=1 alone")
    config.addinivalue_line("markers", "shows: sections of standards (scripts/compliance.py)")


def pytest_collection_modifyitems(config, items):
    for item in items:
        if not item.get_closest_marker("host_only"):
            item.add_marker("vm")
    left_out = [item for item in items if item.get_closest_marker("full") and not FULL]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def pytest_terminal_summary(terminalreporter):
    path = os.environ.get("JOBLET_TEST_COUNTS")
    if path:
        count = {kind: len(terminalreporter.stats.get(kind, [])) for kind in ("passed", "failed", "error", "skipped")}
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"{count['passed']} {count['failed'] + count['error']} {count['skipped']}\n")
