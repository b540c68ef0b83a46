"""The privileged channel from a test's side: joblet with relay_api.c for joblet-api, which passes every packet on to us. The
layouts are those of src/channel/message.h; a wrong one ends the stand-in, as joblet checks the size of each message."""
import ctypes
import fcntl
import hashlib
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest
import uuid

HELLO, LIST_JOBS, JOB_START, JOB_SIGNAL, JOB_RELEASE, JOB_REMOVE, JOB_LOOK, BUILD_START, TOOL_START, BUILD_PUBLISH, \
    RUNTIME_REMOVE, HOST_STATE, AUDIT_APPEND, BASE_FIND, BASE_SEAL = range(1, 16)
EVENT_JOB_ENDED, EVENT_SHUTDOWN, EVENT_JOB_VIEW = 64, 65, 66
KILL = 2
COLLECT, VERIFY, LOOK = 1, 2, 3
NO_BASE, MAKE_BASE, USE_BASE = range(3)
NO_KEY = bytes(32)
STANDARD, BUILD, COLLECT_JOB, VERIFY_JOB, SWEEP = range(1, 6)
EXITED, STOPPED, SETUP_FAILURE = 1, 5, 8
ERROR = struct.Struct("=iI192s")
SPEC_MAGIC, SPEC_VERSION = 0x4350534A, 1


def limits(memory=0, timeout_ns=0, cpu=0, processes=0, io_bps=0, open_files=0):
    return struct.pack("=QQIIQII128x", memory, timeout_ns, cpu, processes, io_bps, open_files, 0)


def runtime(name="", version=""):
    return struct.pack("=65s33s6x", name.encode(), version.encode())


def sealed(data):
    fd = os.memfd_create("spec", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, data)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL)
    return fd


def spec(words, environment=("PATH=/usr/bin:/bin",), work_dir="/work"):
    """As src/plan/spec.h has it."""
    texts = b"".join(text.encode() + b"\0" for text in (work_dir, *words, *environment))
    return sealed(struct.pack("<IIIII", SPEC_MAGIC, SPEC_VERSION, 20 + len(texts), len(words), len(environment)) + texts)


class Error:
    def __init__(self, data):
        self.code, self.stage, text = ERROR.unpack(data)
        self.text = text.split(b"\0")[0].decode()

    def __repr__(self):
        return f"Error({self.code}, stage {self.stage}, {self.text!r})"


class Ended:
    """struct channel_job_ended."""

    def __init__(self, data):
        self.id = data[8:24]
        self.reason, self.exit_code, self.signal = struct.unpack_from("=Iii", data, 24)
        self.error = Error(data[72:72 + ERROR.size])

    def __repr__(self):
        return f"Ended(reason {self.reason}, exit {self.exit_code}, {self.error})"


class HostState:
    def __init__(self, data):
        self.error = Error(data[8:208])
        self.fingerprint = data[208:240]
        self.free_bytes, = struct.unpack_from("=Q", data, 240)
        texts = struct.unpack_from("=32s64s32s16s", data, 248)
        self.distribution, self.like, self.version, self.architecture = (t.split(b"\0")[0].decode() for t in texts)


def children_of(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return set(map(int, file.read().split()))
    except OSError:
        return set()


def state_of(pid):
    """As ps has it; X: there is none."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0]
    except OSError:
        return "X"


def wait_for(what, seconds=120.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = what()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError("not in time")


def chain(prefix, follow=True):
    """All records, each held against the one before it: as docs/AUDIT.md tells an auditor to do it. The first file that is there
    may be a later one. @follow: false for a log that is known to be wrong."""
    records, previous, sequence = [], None, None
    directory = prefix + "/state/audit"
    for name in sorted(n for n in os.listdir(directory) if re.fullmatch(r"[0-9]{20}\.jsonl", n)):
        sequence = int(name[:20]) - 1 if sequence is None else sequence
        previous = "0" * 64 if sequence == 0 else previous
        assert int(name[:20]) == sequence + 1, name
        with open(f"{directory}/{name}", "rb") as file:
            text = file.read()
        assert text.endswith(b"\n")
        for line in text.split(b"\n")[:-1]:
            record = json.loads(line)
            sequence += 1
            if follow:
                assert record["seq"] == sequence and record["prev"] == (previous or record["prev"]), line
                assert hashlib.sha256(line[:line.rindex(b',"hash":"')]).hexdigest() == record["hash"], line
            previous = record["hash"]
            records.append(record)
    return records


class Joblet:
    """A joblet on a prefix of its own, and the channel to it."""

    def __init__(self, programs, settings=""):
        """@programs: name → path of what lies beside each other. @settings: lines that replace those of their keys."""
        self.prefix = os.path.realpath(tempfile.mkdtemp(prefix="joblet-channel-", dir="/var/tmp"))
        os.chmod(self.prefix, 0o755)
        self.process = self.socket = self.listener = None
        self.command = []  # goes before joblet
        self.sequence = 0
        self.ends = {}
        os.mkdir(self.prefix + "/programs")
        for name, path in programs.items():
            shutil.copy(path, f"{self.prefix}/programs/{name}")
        subprocess.run([programs["joblet"], "--prefix", self.prefix, "setup", "--listen", "127.0.0.1"], check=True,
                       stdout=subprocess.DEVNULL)
        self.configure("port: 0\n" + settings)

    def configure(self, settings):
        path = self.prefix + "/config/joblet-config.yml"
        with open(path) as file:
            lines = file.read().split("\n")
        for setting in filter(None, settings.split("\n")):
            key = setting.split(":")[0].strip()
            found = [i for i, line in enumerate(lines) if line.strip().startswith(key + ":")]
            assert len(found) == 1, setting
            lines[found[0]] = "  " + setting.strip().replace("\\n", "\n    ")
        with open(path, "w") as file:
            file.write("\n".join(lines))

    # --- its life

    def start(self, greet=True):
        path = self.prefix + "/state/db/relay"
        if os.path.exists(path):
            os.unlink(path)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(path)
        os.chmod(path, 0o777)
        self.listener.listen(4)
        self.listener.settimeout(120)
        with open(f"{self.prefix}/log", "a") as log:
            self.process = subprocess.Popen(self.command + [self.prefix + "/programs/joblet", "--prefix", self.prefix, "serve"],
                                            stdin=subprocess.DEVNULL, stderr=log)
        self.accept(greet)

    def accept(self, greet=True):
        """The next joblet-api."""
        try:
            self.socket, _ = self.listener.accept()
        except TimeoutError:
            raise AssertionError("no joblet-api: " + self.log()) from None
        self.socket.settimeout(120)
        self.ends = {}
        if greet:
            assert not self.request(HELLO, struct.pack("=II", 2, 0))[16:20].strip(b"\0")
            return self.list()
        return None

    def stop(self):
        if self.socket:
            self.socket.close()
        if self.process:
            self.process.terminate()
            code = self.process.wait(30)
            self.process = None
            assert code == 0, self.log()
        if self.listener:
            self.listener.close()

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process = None
        self.socket.close()
        self.listener.close()

    def remove(self):
        if self.process:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.prefix)

    def log(self):
        with open(f"{self.prefix}/log") as file:
            return file.read()

    # --- the channel

    def send(self, operation, body, fds=()):
        self.sequence += 1
        data = struct.pack("=HHI", operation, 8 + len(body), self.sequence) + body
        socket.send_fds(self.socket, [data], fds)
        return self.sequence

    def receive(self):
        """The next message; an end of a job is kept."""
        data = self.socket.recv(4096)
        if not data:
            raise ConnectionError("joblet ended its joblet-api: " + self.log())
        operation, size, sequence = struct.unpack_from("=HHI", data)
        assert size == len(data)
        if operation == EVENT_JOB_ENDED:
            ended = Ended(data)
            self.ends[ended.id] = ended
        return operation, sequence, data

    def request(self, operation, body=b"", fds=()):
        wanted = self.send(operation, body, fds)
        while True:
            got, sequence, data = self.receive()
            if sequence == wanted:
                assert got == operation
                return data

    def answer(self, operation, body, fds=()):
        return Error(self.request(operation, body, fds)[8:208])

    def list(self):
        """id → (phase, type)."""
        found, cursor = {}, 0
        while True:
            data = self.request(LIST_JOBS, struct.pack("=II", cursor, 0))
            cursor, phase, kind = struct.unpack_from("=III", data, 8)
            if not cursor:
                return found
            found[data[24:40]] = (phase, kind)

    def start_request(self, operation, body, words, environment):
        fd = spec(words, environment, "/" if operation == TOOL_START else "/work")
        try:
            data = self.request(operation, body, [fd])
        finally:
            os.close(fd)
        return Error(data[184:384])

    def run(self, words, name="", version="", environment=("PATH=/usr/bin:/bin",), job=None):
        job = job or uuid.uuid4().bytes
        error = self.start_request(JOB_START, job + limits() + runtime(name, version), words, environment)
        return job, error

    def build(self, words, name="hello", version="1.0", language="python", dry_run=0, job=None, base=NO_BASE, key=NO_KEY,
              **wanted):
        job = job or uuid.uuid4().bytes
        body = job + limits(**wanted) + runtime(name, version)
        body += struct.pack("=16sII", language.encode(), dry_run, base) + key
        return job, self.start_request(BUILD_START, body, words, ())

    def collect(self, build, words):
        job = uuid.uuid4().bytes
        body = job + limits() + struct.pack("=II", COLLECT, 0) + build + runtime()
        return job, self.start_request(TOOL_START, body, words, ())

    def look(self, build, words):
        job = uuid.uuid4().bytes
        body = job + limits() + struct.pack("=II", LOOK, 0) + build + runtime()
        return job, self.start_request(TOOL_START, body, words, ())

    def verify(self, name, version, words=("verify", "digest", "-")):
        job = uuid.uuid4().bytes
        body = job + limits() + struct.pack("=II", VERIFY, 0) + bytes(16) + runtime(name, version)
        return job, self.start_request(TOOL_START, body, words, ())

    def publish(self, build, replace=0):
        return self.answer(BUILD_PUBLISH, build + struct.pack("=II", replace, 0))

    def find_base(self, key):
        """Error, the id of the build that it is, and its notes."""
        data = self.request(BASE_FIND, key)
        return Error(data[8:208]), data[208:224], data[232:744]

    def seal(self, build, notes=b""):
        return self.answer(BASE_SEAL, build + notes.ljust(512, b"\0"))

    def remove_runtime(self, name, version):
        return self.answer(RUNTIME_REMOVE, runtime(name, version))

    def host_state(self):
        return HostState(self.request(HOST_STATE))

    def end(self, job):
        while job not in self.ends:
            self.receive()
        return self.ends[job]

    def signal(self, job, number=KILL):
        return self.answer(JOB_SIGNAL, job + struct.pack("=II", number, 0))

    def release(self, *jobs):
        for job in jobs:
            for operation in (JOB_RELEASE, JOB_REMOVE):
                error = self.answer(operation, job)
                assert error.code == 0, error

    def records(self, **wanted):
        """Those of the audit log that have these facts."""
        return [r for r in chain(self.prefix) if all(r.get(key) == value for key, value in wanted.items())]

    def output(self, job):
        with open(f"{self.prefix}/state/jobs/{uuid.UUID(bytes=job)}/log", "rb") as file:
            return file.read().decode(errors="replace")

    # --- the host

    def groups(self):
        name = f"joblet-{fnv(self.prefix):08x}"
        return [os.path.join(path, name) for path, names, _ in os.walk("/sys/fs/cgroup") if name in names]

    def inits(self):
        """Pids of joblet-init in our groups."""
        found = set()
        for group in self.groups():
            for path, _, files in os.walk(group):
                if os.path.basename(path).startswith("job-") and "cgroup.procs" in files:
                    try:
                        with open(path + "/cgroup.procs") as file:
                            pids = file.read().split()
                    except OSError:
                        continue
                    found.update(int(pid) for pid in pids if name_of(pid) == "joblet-init")
        return found

    def network(self):
        """What the host has for builds of this prefix: links and tables of nftables."""
        status = os.stat(self.prefix)
        value = f"{fnv(f'joblet {os.major(status.st_dev)}:{os.minor(status.st_dev)}:{status.st_ino}'):08x}"
        tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout.split("\n")
        return [name for name in os.listdir("/sys/class/net") if name.startswith("jb" + value)] + \
            [table for table in tables if value in table]

    def store(self):
        """What lies in the store of runtimes: names, and NAME/VERSION."""
        found = []
        top = self.prefix + "/runtimes"
        for name in os.listdir(top):
            if name.startswith("."):
                found.append(name)
            else:
                found += [f"{name}/{version}" for version in os.listdir(f"{top}/{name}")]
        return sorted(found)


def fnv(text):
    value = 2166136261
    for byte in text.encode():
        value = ((value ^ byte) * 16777619) & 0xFFFFFFFF
    return value


def name_of(pid):
    try:
        with open(f"/proc/{pid}/comm") as file:
            return file.read().rstrip("\n")
    except OSError:
        return None  # it ended meanwhile


def be_subreaper():
    """Orphans of a killed joblet are reaped here, so that "gone" can be told from "dead"."""
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER


def run_tests(arguments):
    """Those of the calling program, which build; it ends with them. @arguments are unittest's."""
    for missing, why in ((os.geteuid() != 0, "needs root"), (not os.path.exists("/dev/loop-control"), "no loop devices on this host")):
        if missing:
            print("SKIP: " + why)
            sys.exit(77)
    be_subreaper()
    unittest.main(argv=sys.argv[:1] + arguments)
