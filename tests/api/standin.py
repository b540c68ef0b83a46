"""A stand-in for joblet: starts joblet-api as joblet does (descriptors at fixed numbers, a user without rights) and speaks the
privileged channel with it. Its jobs are made of text: each argument of a job is a step (see Joblet.run_job).

Layouts mirror src/channel/message.h and view.h, src/plan/record.h, src/config/settings.h and src/joblog/format.h."""

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
import tempfile
import threading
import time
import zlib

API_UID = 61234
SEALS = 0x1 | 0x2 | 0x4 | 0x8
F_ADD_SEALS = 1033

HELLO, LIST, START, SIGNAL, RELEASE, REMOVE, LOOK = 1, 2, 3, 4, 5, 6, 7
BUILD_START, TOOL_START, PUBLISH, RUNTIME_REMOVE, HOST_STATE, AUDIT_APPEND, BASE_FIND, BASE_SEAL = range(8, 16)
STANDARD, BUILD, COLLECT, VERIFY = 1, 2, 3, 4
EKEYREJECTED = 129
EVENT_ENDED, EVENT_SHUTDOWN, EVENT_VIEW = 64, 65, 66
NO_LIMIT, NOT_SET = 2**64 - 1, 2**64 - 2
REASONS = {"exited": 1, "signal": 2, "timeout": 3, "oom": 4, "stopped": 5}


class Error(ctypes.Structure):
    _fields_ = [("code", ctypes.c_int32), ("stage", ctypes.c_uint32), ("text", ctypes.c_char * 192)]


class Header(ctypes.Structure):
    _fields_ = [("operation", ctypes.c_uint16), ("size", ctypes.c_uint16), ("sequence", ctypes.c_uint32)]


class Limits(ctypes.Structure):
    _fields_ = [("memory_bytes", ctypes.c_uint64), ("timeout_ns", ctypes.c_uint64),
                ("cpu_percent", ctypes.c_uint32), ("processes", ctypes.c_uint32), ("io_bps", ctypes.c_uint64),
                ("open_files", ctypes.c_uint32), ("reserved", ctypes.c_uint32), ("cpus", ctypes.c_uint64 * 16)]


class Hello(ctypes.Structure):
    _fields_ = [("header", Header), ("version", ctypes.c_uint32), ("reserved", ctypes.c_uint32)]


class ListJobs(ctypes.Structure):
    _fields_ = [("header", Header), ("cursor", ctypes.c_uint32), ("reserved", ctypes.c_uint32)]


class Runtime(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char * 65), ("version", ctypes.c_char * 33), ("reserved", ctypes.c_char * 6)]


class JobStart(ctypes.Structure):
    _fields_ = [("header", Header), ("job_id", ctypes.c_uint8 * 16), ("limits", Limits), ("runtime", Runtime)]


class BuildStart(ctypes.Structure):
    _fields_ = [("header", Header), ("job_id", ctypes.c_uint8 * 16), ("limits", Limits), ("runtime", Runtime),
                ("language", ctypes.c_char * 16), ("dry_run", ctypes.c_uint32), ("base", ctypes.c_uint32),
                ("base_key", ctypes.c_uint8 * 32)]


class ToolStart(ctypes.Structure):
    _fields_ = [("header", Header), ("job_id", ctypes.c_uint8 * 16), ("limits", Limits), ("tool", ctypes.c_uint32),
                ("reserved", ctypes.c_uint32), ("build_id", ctypes.c_uint8 * 16), ("runtime", Runtime)]


class BuildPublish(ctypes.Structure):
    _fields_ = [("header", Header), ("build_id", ctypes.c_uint8 * 16), ("replace", ctypes.c_uint32),
                ("reserved", ctypes.c_uint32)]


class BaseFind(ctypes.Structure):
    _fields_ = [("header", Header), ("key", ctypes.c_uint8 * 32)]


class BaseSeal(ctypes.Structure):
    _fields_ = [("header", Header), ("build_id", ctypes.c_uint8 * 16), ("notes", ctypes.c_uint8 * 512)]


class RuntimeRemove(ctypes.Structure):
    _fields_ = [("header", Header), ("runtime", Runtime)]


class JobSignal(ctypes.Structure):
    _fields_ = [("header", Header), ("job_id", ctypes.c_uint8 * 16), ("signal", ctypes.c_uint32),
                ("reserved", ctypes.c_uint32)]


class JobId(ctypes.Structure):
    _fields_ = [("header", Header), ("job_id", ctypes.c_uint8 * 16)]


class Reply(ctypes.Structure):
    _fields_ = [("header", Header), ("error", Error)]


class BaseReply(ctypes.Structure):
    _fields_ = [("header", Header), ("error", Error), ("build_id", ctypes.c_uint8 * 16), ("made_unix_ns", ctypes.c_int64),
                ("notes", ctypes.c_uint8 * 512)]


class HelloReply(ctypes.Structure):
    _fields_ = [("header", Header), ("version", ctypes.c_uint32), ("max_jobs", ctypes.c_uint32), ("error", Error)]


class StartReply(ctypes.Structure):
    _fields_ = [("header", Header), ("started_unix_ns", ctypes.c_int64), ("limits", Limits), ("error", Error)]


class HostReply(ctypes.Structure):
    _fields_ = [("header", Header), ("error", Error), ("fingerprint", ctypes.c_uint8 * 32), ("free_bytes", ctypes.c_uint64),
                ("distribution", ctypes.c_char * 32), ("distribution_like", ctypes.c_char * 64),
                ("distribution_version", ctypes.c_char * 32), ("architecture", ctypes.c_char * 16)]


class JobReply(ctypes.Structure):
    _fields_ = [("header", Header), ("next", ctypes.c_uint32), ("phase", ctypes.c_uint32), ("type", ctypes.c_uint32),
                ("reserved", ctypes.c_uint32),
                ("job_id", ctypes.c_uint8 * 16), ("started_unix_ns", ctypes.c_int64)]


class Record(ctypes.Structure):
    _fields_ = [("job_id", ctypes.c_uint8 * 16), ("reason", ctypes.c_uint32), ("exit_code", ctypes.c_int32),
                ("signal", ctypes.c_int32), ("reserved", ctypes.c_uint32), ("started_unix_ns", ctypes.c_int64),
                ("ended_unix_ns", ctypes.c_int64), ("log_bytes", ctypes.c_uint64),
                ("log_left_out_bytes", ctypes.c_uint64), ("error", Error)]


class JobEnded(ctypes.Structure):
    _fields_ = [("header", Header), ("record", Record), ("cpu_ns", ctypes.c_uint64),
                ("memory_peak_bytes", ctypes.c_uint64)]


class ViewMap(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint32) for name in ("lines", "inside", "outside", "count")]


class ViewProcess(ctypes.Structure):
    _fields_ = [("pid", ctypes.c_uint32), ("inner_pid", ctypes.c_uint32), ("uid", ctypes.c_uint32 * 4),
                ("gid", ctypes.c_uint32 * 4), ("uid_map", ViewMap), ("gid_map", ViewMap), ("group_count", ctypes.c_uint32),
                ("no_new_privs", ctypes.c_uint32), ("seccomp", ctypes.c_uint32), ("seccomp_filters", ctypes.c_uint32),
                ("capabilities", ctypes.c_uint64 * 5), ("namespaces", ctypes.c_uint32 * 7),
                ("own_namespaces", ctypes.c_uint32)]


class ViewDevice(ctypes.Structure):
    _fields_ = [("major", ctypes.c_uint32), ("minor", ctypes.c_uint32), ("read_bps", ctypes.c_uint64),
                ("write_bps", ctypes.c_uint64)]


class ViewLimits(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in (
        "memory_bytes", "swap_bytes", "cpu_percent", "processes", "open_files_soft", "open_files_hard", "core_bytes_soft",
        "core_bytes_hard")] + [("cpus", ctypes.c_char * 64), ("devices", ViewDevice * 2), ("device_count", ctypes.c_uint32),
                               ("reserved", ctypes.c_uint32)]


class View(ctypes.Structure):
    _fields_ = [("taken_unix_ns", ctypes.c_int64), ("before_start", ctypes.c_uint32), ("reserved", ctypes.c_uint32),
                ("init", ViewProcess), ("command", ViewProcess), ("limits", ViewLimits), ("cgroups", ctypes.c_char * 256)]


class LookReply(ctypes.Structure):
    _fields_ = [("header", Header), ("error", Error), ("view", View)]


class JobView(ctypes.Structure):
    _fields_ = [("header", Header), ("job_id", ctypes.c_uint8 * 16), ("view", View)]


def make_view(before_start, pid):
    """Different in each field, so that none is taken for another."""
    def process(pid, inner_pid):
        return ViewProcess(pid=pid, inner_pid=inner_pid, uid=(pid, pid + 1, pid + 2, pid + 3),
                           gid=(pid + 4, pid + 5, pid + 6, pid + 7), uid_map=ViewMap(1, 0, 100000, 65536),
                           gid_map=ViewMap(2, 1, 200000, 3), group_count=9, no_new_privs=1, seccomp=2, seccomp_filters=3,
                           capabilities=(1 << 10, 1 << 11, 1 << 12, 1 << 13, 1 << 40),
                           namespaces=tuple(range(4026530000, 4026530007)), own_namespaces=0x7e)

    limits = ViewLimits(memory_bytes=1 << 40, swap_bytes=0, cpu_percent=NO_LIMIT, processes=512, open_files_soft=20000,
                        open_files_hard=20001, core_bytes_soft=1, core_bytes_hard=NOT_SET, cpus=b"0-3,8", device_count=2)
    limits.devices[0] = ViewDevice(8, 0, 1048576, NO_LIMIT)
    limits.devices[1] = ViewDevice(259, 3, NOT_SET, 7)
    return View(taken_unix_ns=1764000000123456789, before_start=before_start, init=process(pid, 1),
                command=process(pid + 100, 2), limits=limits,
                cgroups="memory /a b/job\ncpu,cpuacct,v2 /ü/job\n".encode())


class Settings(ctypes.Structure):
    _fields_ = [("magic", ctypes.c_uint32), ("version", ctypes.c_uint32), ("node_id", ctypes.c_char * 40),
                ("database_path", ctypes.c_char * 256), ("default_memory_bytes", ctypes.c_uint64),
                ("max_memory_bytes", ctypes.c_uint64), ("job_timeout_ns", ctypes.c_uint64),
                ("stop_grace_ns", ctypes.c_uint64), ("default_cpu_percent", ctypes.c_uint32),
                ("max_cpu_percent", ctypes.c_uint32), ("default_processes", ctypes.c_uint32),
                ("max_processes", ctypes.c_uint32), ("max_concurrent_jobs", ctypes.c_uint32),
                ("on_shutdown_stop", ctypes.c_uint32), ("max_receive_bytes", ctypes.c_uint32),
                ("max_send_bytes", ctypes.c_uint32), ("max_header_bytes", ctypes.c_uint32),
                ("max_concurrent_streams", ctypes.c_uint32), ("keepalive_ns", ctypes.c_uint64),
                ("keepalive_timeout_ns", ctypes.c_uint64), ("connection_timeout_ns", ctypes.c_uint64),
                ("chunk_bytes", ctypes.c_uint32), ("log_level", ctypes.c_uint32), ("log_format", ctypes.c_uint32),
                ("default_io_bps", ctypes.c_uint32), ("max_io_bps", ctypes.c_uint32),
                ("default_open_files", ctypes.c_uint32), ("max_open_files", ctypes.c_uint32),
                ("reserved", ctypes.c_uint32), ("work_bytes", ctypes.c_uint64), ("tmp_bytes", ctypes.c_uint64),
                ("log_bytes", ctypes.c_uint64), ("cpus", ctypes.c_uint64 * 16),
                ("build_memory_bytes", ctypes.c_uint64), ("build_timeout_ns", ctypes.c_uint64),
                ("build_disk_bytes", ctypes.c_uint64), ("runtime_bytes", ctypes.c_uint64), ("cache_bytes", ctypes.c_uint64),
                ("build_processes", ctypes.c_uint32), ("max_builds", ctypes.c_uint32),
                ("runtimes_path", ctypes.c_char * 256)]


MESSAGES = {HELLO: Hello, LIST: ListJobs, START: JobStart, SIGNAL: JobSignal, RELEASE: JobId, REMOVE: JobId, LOOK: JobId,
            BUILD_START: BuildStart, TOOL_START: ToolStart, PUBLISH: BuildPublish, RUNTIME_REMOVE: RuntimeRemove,
            HOST_STATE: Header, AUDIT_APPEND: Header, BASE_FIND: BaseFind, BASE_SEAL: BaseSeal}


def uuid_text(raw):
    h = bytes(raw).hex()
    return "-".join((h[:8], h[8:12], h[12:16], h[16:20], h[20:]))


def openssl(directory, *arguments):
    subprocess.run(["openssl", *arguments], cwd=directory, check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)


def make_certificates(directory, units):
    """A CA, the server's certificate and a client's for each of units (name: list of OUs)."""
    def key(name):
        openssl(directory, "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", name + ".key")

    key("ca")
    openssl(directory, "req", "-x509", "-key", "ca.key", "-subj", "/O=Joblet/OU=CA/CN=Joblet-CA", "-days", "2", "-out",
            "ca.crt")

    def issue(name, subject, extension):
        key(name)
        with open(os.path.join(directory, name + ".ext"), "w") as file:
            file.write(extension)
        openssl(directory, "req", "-new", "-key", name + ".key", "-subj", subject, "-out", name + ".csr")
        openssl(directory, "x509", "-req", "-in", name + ".csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-days", "2",
                "-CAcreateserial", "-extfile", name + ".ext", "-out", name + ".crt")

    issue("server", "/O=Joblet/OU=Server/CN=joblet-server",
          "subjectAltName=DNS:joblet,DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n")
    for name, organizational_units in units.items():
        subject = "/O=Joblet" + "".join("/OU=" + unit for unit in organizational_units) + "/CN=" + name + "-client"
        issue(name, subject, "extendedKeyUsage=clientAuth\n")


CERTIFICATES = tempfile.TemporaryDirectory(prefix="joblet-api-certificates-")


def give_certificates(directory, units):
    """Made once, copied for each stand-in: two dozen runs of openssl take longer than most tests."""
    if not os.listdir(CERTIFICATES.name):
        make_certificates(CERTIFICATES.name, units)
    shutil.copytree(CERTIFICATES.name, directory, dirs_exist_ok=True)


class Job:
    def __init__(self, raw, limits, spec):
        self.raw = bytes(raw)
        self.uuid = uuid_text(raw)
        self.limits = limits
        work_dir, self.arguments, self.environment = decode_spec(spec)
        self.work_dir = work_dir
        self.signals = []
        self.wake = threading.Event()
        self.started_ns = 0
        self.ended = None
        self.released = False
        self.offset = 0
        self.pid = 1000
        self.type = STANDARD
        self.runtime = None  # (name, version)
        self.message = None


def decode_spec(data):
    _, _, size, argument_count, environment_count = struct.unpack_from("<5I", data)
    assert size == len(data)
    texts = data[20:].split(b"\0")[:-1]
    assert len(texts) == 1 + argument_count + environment_count
    texts = [text.decode() for text in texts]
    return texts[0], texts[1:1 + argument_count], texts[1 + argument_count:]


class Joblet:
    def __init__(self, api, **settings):
        self.api = api
        self.directory = tempfile.mkdtemp(prefix="joblet-api-test-")
        os.chmod(self.directory, 0o711)
        self.database = os.path.join(self.directory, "db")
        self.jobs_directory = os.path.join(self.directory, "jobs")
        self.audit_directory = os.path.join(self.directory, "audit")
        self.pems = os.path.join(self.directory, "pems")
        os.mkdir(self.database, 0o700)
        os.chown(self.database, API_UID, API_UID)
        os.mkdir(self.jobs_directory, 0o750)
        os.chown(self.jobs_directory, 0, API_UID)
        os.mkdir(self.audit_directory, 0o750)
        os.chown(self.audit_directory, 0, API_UID)
        os.mkdir(self.pems, 0o700)
        self.runtimes = os.path.join(self.directory, "runtimes")
        os.mkdir(self.runtimes, 0o755)
        give_certificates(self.pems, {
            "admin": ["admin"], "developer": ["developer"], "reader": ["reader"], "viewer": ["VIEWER"],
            "maintainer": ["Maintainer"], "both": ["admin", "reader"], "none": ["sales"]})
        self.settings = dict(
            magic=0x5445534a, version=3, node_id=b"7d1f6f0e-3a51-4c8f-9d32-0c7a5c3b1a11",
            database_path=self.database.encode(), default_memory_bytes=256 << 20, max_memory_bytes=1 << 30,
            job_timeout_ns=0, stop_grace_ns=100_000_000, default_cpu_percent=0, max_cpu_percent=400,
            default_processes=512, max_processes=4096, default_open_files=1024, max_open_files=65536,
            max_io_bps=1 << 30, work_bytes=256 << 20, tmp_bytes=64 << 20, log_bytes=1 << 30, cpus=(0xff,), max_receive_bytes=128 << 20, max_send_bytes=128 << 20,
            max_header_bytes=65536, max_concurrent_streams=1000, keepalive_ns=10 * 10**9,
            keepalive_timeout_ns=60 * 10**9, connection_timeout_ns=10 * 10**9, chunk_bytes=1 << 20, log_level=1,
            build_memory_bytes=2 << 30, build_timeout_ns=3600 * 10**9, build_disk_bytes=8 << 30, runtime_bytes=4 << 30, cache_bytes=3 << 30,
            build_processes=1024, max_builds=2, runtimes_path=self.runtimes.encode())
        self.build_environment = settings.pop("build_environment", [])
        self.settings.update(settings)
        self.jobs = {}
        self.lock = threading.RLock()
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(512)
        self.listener.setblocking(False)
        self.port = self.listener.getsockname()[1]
        self.process = None
        self.log = os.path.join(self.directory, "api.log")
        self.max_jobs = 1000
        self.fail_start = None
        self.looks = 0
        self.fail_look = None
        self.hold_looks = None  # an Event: not answered before it
        self.ids_removed = []
        self.to_run = []
        self.starts = 0
        self.host = dict(fingerprint=bytes(range(32)), free_bytes=100 << 30, distribution=b"debian",
                         distribution_like=b"", distribution_version=b"12", architecture=b"x86_64")
        self.host_error = None
        self.builder = {}  # what the builds do: see run_builder
        self.verified = set()
        self.verifications = 0
        self.hold_verify = None  # an Event
        self.damaged = {}  # (name, version): what verify says
        self.in_use = set()
        self.fail_publish = None
        self.fail_seal = None
        self.bases = None  # key → (build id, notes); None: there can be none
        self.refuse_signals = 0
        self.test_steps = []  # of a job that is none of steps
        self.published = []
        self.audit = []  # records as dictionaries, in the order of their coming
        self.audit_hash = "0" * 64
        self.fail_audit = None  # (errno, text), or a function of the record that returns one or None
        self.closing = False

    # ---- the process ----

    def start(self, expect_serving=True):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.channel = ours
        files = [theirs.fileno(), self.listener.fileno(), os.open(self.database, os.O_RDONLY),
                 os.open(self.jobs_directory, os.O_RDONLY), self.sealed(bytes(Settings(**self.settings)))]
        for name in ("server.crt", "server.key", "ca.crt"):
            with open(os.path.join(self.pems, name), "rb") as file:
                files.append(self.sealed(file.read()))
        files.append(os.open(self.runtimes, os.O_RDONLY))
        files.append(self.sealed("".join(text + "\0" for text in self.build_environment).encode()))
        files.append(os.open(self.audit_directory, os.O_RDONLY))
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 100) for fd in files]

        def child():
            for number, fd in enumerate(high):
                os.dup2(fd, 3 + number)
            os.closerange(14, 256)
            os.setgroups([])
            os.setresgid(API_UID, API_UID, API_UID)
            os.setresuid(API_UID, API_UID, API_UID)

        log = open(self.log, "ab")
        self.process = subprocess.Popen([self.api], preexec_fn=child, close_fds=False, stdin=subprocess.DEVNULL,
                                        stdout=log, stderr=log, cwd="/",
                                        env={name: os.environ[name] for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS")
                                             if name in os.environ})
        log.close()
        theirs.close()
        for fd in high + files[2:]:
            os.close(fd)
        self.thread = threading.Thread(target=self.serve, args=(ours,), daemon=True)
        self.thread.start()
        if expect_serving:
            deadline = time.monotonic() + 60
            while self.log_text().count(": serving") <= self.starts:
                assert self.process.poll() is None, self.log_text()
                assert time.monotonic() < deadline, self.log_text()
                time.sleep(0.01)
            self.starts += 1

    def log_text(self):
        with open(self.log) as file:
            return file.read()

    @staticmethod
    def sealed(data):
        fd = os.memfd_create("test", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
        os.write(fd, data)
        fcntl.fcntl(fd, F_ADD_SEALS, SEALS)
        return fd

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.channel.close()

    def hang_up(self, timeout=60):
        """joblet is gone: the API has to end by itself."""
        self.channel.shutdown(socket.SHUT_RDWR)
        return self.process.wait(timeout)

    def shutdown(self, timeout=60):
        self.event_shutdown()
        return self.process.wait(timeout)

    def event_shutdown(self):
        self.channel.send(bytes(Header(EVENT_SHUTDOWN, ctypes.sizeof(Header), 0)))

    def remove(self):
        self.closing = True
        for job in self.jobs.values():
            job.signals.append(2)
            job.wake.set()
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.listener.close()
        with self.lock:  # the last requests of the process may still be at work
            shutil.rmtree(self.directory)

    # ---- the channel ----

    def serve(self, channel):
        try:
            while True:
                data, fds, _, _ = socket.recv_fds(channel, 4096, 8)
                if not data:
                    return
                header = Header.from_buffer_copy(data)
                message = MESSAGES[header.operation].from_buffer_copy(data)
                assert header.size == len(data) == ctypes.sizeof(message)
                with self.lock:
                    reply = getattr(self, "on_%d" % header.operation)(message, fds, channel)
                if reply is not None:
                    if isinstance(reply, StartReply) and not reply.error.code:
                        self.tell_view(self.to_run[-1], channel)
                    reply.header = Header(header.operation, ctypes.sizeof(reply), header.sequence)
                    channel.send(bytes(reply))
                    # Never before the answer: an end comes after its start.
                    for job in self.to_run:
                        threading.Thread(target=self.run_job, args=(job,), daemon=True).start()
                    self.to_run.clear()
                    if isinstance(reply, JobReply):
                        if reply.next:
                            self.tell_view(self.jobs[uuid_text(reply.job_id)], channel)
                        else:
                            self.tell_ends(channel)
        except OSError:
            return

    def tell_ends(self, channel):
        with self.lock:
            for job in self.jobs.values():
                if job.ended and not job.released:
                    channel.send(bytes(job.ended))

    @staticmethod
    def tell_view(job, channel):
        message = JobView(view=make_view(1, job.pid))
        message.header = Header(EVENT_VIEW, ctypes.sizeof(message), 0)
        message.job_id[:] = list(job.raw)
        channel.send(bytes(message))

    def on_1(self, message, fds, channel):
        assert message.version == 2
        return HelloReply(version=2, max_jobs=self.max_jobs)

    def on_2(self, message, fds, channel):
        known = [job for job in self.jobs.values() if not job.released]
        if message.cursor >= len(known):
            return JobReply()
        job = known[message.cursor]
        reply = JobReply(next=message.cursor + 1, phase=3 if job.ended else 2, started_unix_ns=job.started_ns,
                         type=job.type)
        reply.job_id[:] = list(job.raw)
        return reply

    def on_3(self, message, fds, channel):
        runtime = (message.runtime.name.decode(), message.runtime.version.decode())
        if runtime[0] and not os.path.isdir(os.path.join(self.runtimes, *runtime)):
            os.close(fds[0])
            return StartReply(error=Error(2, 0, b"no such runtime"))
        if runtime[0] and runtime not in self.verified:
            os.close(fds[0])
            # As joblet does: what a failed start left is there until it is removed.
            os.mkdir(os.path.join(self.jobs_directory, uuid_text(message.job_id)))
            return StartReply(error=Error(EKEYREJECTED, 0, b"the runtime is not verified"))
        return self.begin(message, fds, STANDARD, runtime if runtime[0] else None)

    def begin(self, message, fds, kind, runtime):
        assert len(fds) == 1
        size = os.fstat(fds[0]).st_size
        job = Job(message.job_id, message.limits, os.pread(fds[0], size, 0))
        os.close(fds[0])
        job.type, job.runtime, job.message = kind, runtime, message
        reply = StartReply(limits=message.limits)
        if self.fail_start:
            reply.error.code, reply.error.stage, reply.error.text = self.fail_start
            return reply
        self.jobs[job.uuid] = job
        directory = os.path.join(self.jobs_directory, job.uuid)
        os.mkdir(directory, 0o750)
        os.chown(directory, 0, API_UID)
        for name in ("log", "log.index", "record"):
            path = os.path.join(directory, name)
            with open(path, "wb"):
                os.chown(path, 0, API_UID)
                os.chmod(path, 0o640)
        job.started_ns = reply.started_unix_ns = time.time_ns()
        self.to_run.append(job)
        return reply

    def on_8(self, message, fds, channel):
        runtime = (message.runtime.name.decode(), message.runtime.version.decode())
        for job in self.jobs.values():
            if job.type == BUILD and job.runtime == runtime and not job.released and not message.dry_run:
                if not job.message.dry_run:
                    os.close(fds[0])
                    return StartReply(error=Error(16, 0, b"another build of the same"))
        return self.begin(message, fds, BUILD, runtime)

    def on_9(self, message, fds, channel):
        if message.tool == 2:
            return self.begin(message, fds, VERIFY, (message.runtime.name.decode(), message.runtime.version.decode()))
        build = self.jobs[uuid_text(message.build_id)]
        well = build.ended.record.reason == 1 and build.ended.record.exit_code == 0
        assert build.type == BUILD and well == (message.tool == 1)
        assert not build.released and not build.message.dry_run
        return self.begin(message, fds, COLLECT, build.runtime)

    def on_10(self, message, fds, channel):
        build = self.jobs[uuid_text(message.build_id)]
        assert not build.released
        if self.fail_publish:
            return Reply(error=Error(*self.fail_publish))
        staging = os.path.join(self.runtimes, ".staging-" + build.uuid)
        target = os.path.join(self.runtimes, *build.runtime)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if os.path.exists(target):
            if not message.replace:
                return Reply(error=Error(17, 0, b"is there already"))
            shutil.rmtree(target)
        os.rename(staging, target)
        self.published.append(build.runtime)
        self.verified.add(build.runtime)
        return Reply()

    def on_11(self, message, fds, channel):
        runtime = (message.runtime.name.decode(), message.runtime.version.decode())
        if runtime in self.in_use:
            return Reply(error=Error(16, 0, b"the runtime is in use"))
        shutil.rmtree(os.path.join(self.runtimes, *runtime))
        if not os.listdir(os.path.join(self.runtimes, runtime[0])):
            os.rmdir(os.path.join(self.runtimes, runtime[0]))
        self.verified.discard(runtime)
        return Reply()

    def on_12(self, message, fds, channel):
        if self.host_error:
            return HostReply(error=Error(*self.host_error))
        reply = HostReply(**{name: value for name, value in self.host.items() if name != "fingerprint"})
        reply.fingerprint[:] = list(self.host["fingerprint"])
        return reply

    def on_14(self, message, fds, channel):
        if self.bases is None:
            return BaseReply(error=Error(95, 0, b"there are no bases here"))
        if bytes(message.key) not in self.bases:
            return BaseReply(error=Error(2, 0, b"these packages were not installed before"))
        reply = BaseReply(made_unix_ns=time.time_ns())
        reply.build_id[:], reply.notes[:] = self.bases[bytes(message.key)]
        return reply

    def on_15(self, message, fds, channel):
        build = self.jobs[uuid_text(message.build_id)]
        assert build.message.base == 1 and build.ended.record.exit_code == 0 and not build.released
        if self.fail_seal:
            return Reply(error=Error(*self.fail_seal))
        self.bases[bytes(build.message.base_key)] = (list(message.build_id), list(message.notes))
        return Reply()

    def on_13(self, message, fds, channel):
        size = os.fstat(fds[0]).st_size
        texts = os.pread(fds[0], size, 0).split(b"\0")
        assert fcntl.fcntl(fds[0], 1034) == SEALS and 0 < size <= 65536 and texts[-1] == b"" and len(texts) % 2 == 1
        os.close(fds[0])
        record = {}
        for name, value in zip(texts[:-1:2], texts[1::2]):
            assert re.fullmatch(b"[a-z][a-z0-9_]*", name) and name.decode() not in record
            record[name.decode()] = value.decode()
        fail = self.fail_audit(record) if callable(self.fail_audit) else self.fail_audit
        if not fail:
            self.audit.append(record)
            self.write_audit(record)
        return Reply(error=Error(*fail)) if fail else Reply()

    def write_audit(self, record):
        """A line as joblet writes it (src/audit/record.h)."""
        now = time.time_ns()
        line = {"v": 1, "seq": len(self.audit), "time": time.strftime("%%Y-%%m-%%dT%%H:%%M:%%S.%09dZ" % (now % 10**9),
                                                                   time.gmtime(now // 10**9)),
                "source": "joblet-api", **record, "prev": self.audit_hash}
        text = json.dumps(line, separators=(",", ":"), ensure_ascii=False)[:-1].encode()
        self.audit_hash = hashlib.sha256(text).hexdigest()
        with open(os.path.join(self.audit_directory, "%020d.jsonl" % 1), "ab") as file:
            os.fchmod(file.fileno(), 0o640)
            os.fchown(file.fileno(), 0, API_UID)
            file.write(text + b',"hash":"%s"}\n' % self.audit_hash.encode())

    def on_4(self, message, fds, channel):
        job = self.jobs.get(uuid_text(message.job_id))
        if not job or job.ended:
            return Reply(error=Error(3, 0, b"no such job"))
        if self.refuse_signals > 0:
            self.refuse_signals -= 1
            return Reply(error=Error(11, 0, b"too many requests"))
        job.signals.append(message.signal)
        job.wake.set()
        return Reply()

    def on_5(self, message, fds, channel):
        job = self.jobs.get(uuid_text(message.job_id))
        if not job or not job.ended:
            return Reply(error=Error(2, 0, b"no such job"))
        job.released = True
        return Reply()

    def on_6(self, message, fds, channel):
        uuid = uuid_text(message.job_id)
        job = self.jobs.get(uuid)
        if job and not job.released:
            return Reply(error=Error(16, 0, b"not released"))
        self.ids_removed.append(uuid)
        shutil.rmtree(os.path.join(self.jobs_directory, uuid), ignore_errors=True)
        return Reply()

    def on_7(self, message, fds, channel):
        job = self.jobs.get(uuid_text(message.job_id))
        self.looks += 1
        if self.hold_looks:
            self.hold_looks.wait(10)
        if self.fail_look:
            return LookReply(error=Error(11, 0, b"too many requests"), view=make_view(0, 1))
        if not job or job.ended:
            return LookReply(error=Error(3, 0, b"does not run"))
        return LookReply(view=make_view(0, job.pid + 10))

    # ---- jobs ----

    def write(self, job, stream, data):
        directory = os.path.join(self.jobs_directory, job.uuid)
        with open(os.path.join(directory, "log"), "ab") as file:
            file.write(data)
        with open(os.path.join(directory, "log.index"), "ab") as file:
            file.write(struct.pack("<QIIq", job.offset, len(data), stream, time.time_ns()))
        job.offset += len(data)

    def end(self, job, reason, code=0, signal=0, tell=True, keep_record=True):
        if self.closing:
            return
        record = Record(reason=reason, exit_code=code, signal=signal, started_unix_ns=job.started_ns,
                        ended_unix_ns=time.time_ns(), log_bytes=job.offset)
        record.job_id[:] = list(job.raw)
        if keep_record:
            data = struct.pack("<2I", 0x4345524a, 1) + bytes(record)
            with open(os.path.join(self.jobs_directory, job.uuid, "record"), "wb") as file:
                file.write(data + struct.pack("<I", zlib.crc32(data)))
        ended = JobEnded(record=record, cpu_ns=1000000, memory_peak_bytes=1 << 20)
        ended.header = Header(EVENT_ENDED, ctypes.sizeof(ended), 0)
        with self.lock:
            job.ended = ended
        if tell:
            try:
                self.channel.send(bytes(ended))
            except OSError:
                pass  # told again after the next HELLO

    def run_job(self, job):
        if job.type == VERIFY:
            return self.run_verify(job)
        if job.type != STANDARD:
            return self.run_builder(job)
        return self.run_steps(job)

    def say(self, job, *lines):
        self.write(job, 1, "".join("@" + line + "\n" for line in lines).encode())

    def run_verify(self, job):
        assert job.arguments[:2] == ["verify", "digest"], job.arguments
        self.verifications += 1
        job.digest = job.arguments[2]
        if self.hold_verify:
            self.hold_verify.wait(20)
        if job.signals:
            return self.end(job, 5, 137, 9)
        wrong = self.damaged.get(job.runtime)
        if wrong:
            self.say(job, "wrong " + wrong, "wrong /later another", "fail 2 paths are wrong")
            return self.end(job, 1, 1)
        self.verified.add(job.runtime)
        self.say(job, "done")
        return self.end(job, 1, 0)

    @staticmethod
    def parse_recipe(words):
        """The words after the mode, as (word, arguments)."""
        fixed = {"phase": 3, "say": 2, "env": 1, "packager": 1, "package": 1, "binary": 1, "path": 1, "library": 1, "keep": 1,
                 "step": 3, "runtime-dir": 1, "limit": 1, "cache": 1, "private": 1, "since": 1, "failed": 0}
        items, at = [], 1
        while at < len(words):
            word = words[at]
            if word in fixed:
                count = fixed[word]
            elif word in ("run", "query"):
                count = 3 + int(words[at + 3])
            else:
                assert word == "file", word
                count = 2 + int(words[at + 2])
            items.append((word, words[at + 1:at + 1 + count]))
            assert len(items[-1][1]) == count, word
            at += 1 + count
        return items

    def run_builder(self, job):
        """self.builder: fail: (STEP, STATUS, TEXT), hold: STEP (until a signal or self.builder["event"]), text: {STEP: BYTES}
        (written by the step), values: {QUERY: [TEXT...]}, reason: {STEP: REASON}, lines: what collect says beside, raw: bytes."""
        job.recipe = self.parse_recipe(job.arguments)
        builder = self.builder
        for word, arguments in job.recipe:
            if word == "phase":
                self.say(job, "phase %s %s: %s" % tuple(arguments))
            elif word == "say":
                self.say(job, "log %s %s" % tuple(arguments))
            elif word in ("run", "query"):
                name = arguments[0]
                self.say(job, "begin %s %d" % (name, time.time_ns()))
                if name in builder.get("text", {}):
                    self.write(job, 1, builder["text"][name])
                if builder.get("hold") == name:
                    while not job.signals and not builder.get("event", threading.Event()).wait(0.01):
                        job.wake.wait(0.01)
                if 2 in job.signals:
                    return self.end(job, 5, 137, 9)
                if name in builder.get("reason", {}):
                    return self.end(job, builder["reason"][name], 137)
                if word == "query":
                    packages = arguments[9:] if name == "package" else ["3.11.2-6"]
                    for value in builder.get("values", {}).get(name, packages):
                        self.say(job, "value %s %s" % (name, value))
                status = 0
                if builder.get("fail") and builder["fail"][0] == name:
                    status = builder["fail"][1]
                    self.say(job, "log warn " + builder["fail"][2])
                self.say(job, "end %s %d exit %d" % (name, time.time_ns(), status))
                if status:
                    self.say(job, "fail step '%s' exited with %d" % (name, status))
                    return self.end(job, 1, 1)
        if job.type == COLLECT:
            if builder.get("hold") == "collect":
                job.wake.wait(20)
            if 2 in job.signals:
                return self.end(job, 5, 137, 9)
            if builder.get("fail") and builder["fail"][0] == "collect":
                self.say(job, "fail " + builder["fail"][2])
                return self.end(job, 1, 1)
            if job.message.tool == 3:
                return self.look(job)
            self.collect(job)
        self.say(job, "done")
        return self.end(job, 1, 0)

    def look(self, job):
        """self.builder["look"]: the lines, an exit status, or to hang."""
        assert [word for word, _ in job.recipe if word != "step"] == ["failed", "packager", "since"], job.recipe
        what = self.builder.get("look", ["changed added step:base /srv/x", "count changed 1", "count host-changed 0"])
        if what == "hang":
            job.wake.wait(20)
            assert 2 in job.signals
            return self.end(job, 5, 137, 9)
        if isinstance(what, int):
            self.say(job, "changed added script /etc/before", "fail cannot be looked at")
            return self.end(job, 1, what)
        self.say(job, *what, "done")
        return self.end(job, 1, 0)

    def collect(self, job):
        staging = os.path.join(self.runtimes, ".staging-" + uuid_text(job.message.build_id))
        os.makedirs(os.path.join(staging, "isolated", "usr", "bin"))
        for word, arguments in job.recipe:
            if word == "file":
                with open(os.path.join(staging, arguments[0]), "w") as file:
                    file.write("".join(arguments[2:]))
        name, version = job.runtime
        with open(os.path.join(staging, "manifest"), "w") as file:
            file.write('{"manifest":1,"name":"%s","version":"%s"}\n' % (name, version))
            file.write('{"package":"openssl","version":"3.0.15-1","architecture":"amd64","source":"openssl",'
                       '"license":"Apache-2.0"}\n')
            file.write('{"package":"numpy","version":"1.26.4","type":"pip","license":"BSD"}\n')
            file.write('{"path":"/usr","type":"directory","mode":"0755","origin":"base"}\n')
            file.write('{"files":1234,"bytes":5678901}\n')
        with open(os.path.join(staging, "changes"), "w"):
            pass
        self.say(job, "package openssl 3.0.15-1 amd64", *self.builder.get("lines", []), "count files 1234",
                 "count bytes 5678901", "digest " + "ab" * 32)

    def run_steps(self, job):
        """Steps: out:TEXT, err:TEXT, big:BYTES, sleep:SECONDS, wait (for a signal), exit:CODE, signal:N, timeout, ignore
        (TERM does not end it)."""
        ignore = False
        steps = job.arguments[1:] if job.arguments[0] == "steps" else self.test_steps
        for step in steps:
            name, _, value = step.partition(":")
            if name == "out":
                self.write(job, 1, value.encode())
            elif name == "err":
                self.write(job, 2, value.encode())
            elif name == "big":
                block = bytes(range(256)) * 256
                for _ in range(int(value) // len(block)):
                    self.write(job, 1, block)
            elif name == "ignore":
                ignore = True
            elif name == "sleep":
                job.wake.wait(float(value))
                if job.signals:
                    break
            elif name == "wait":
                while True:
                    job.wake.wait(60)
                    job.wake.clear()
                    if 2 in job.signals or (job.signals and not ignore):
                        break
                break
            elif name == "exit":
                return self.end(job, 1, int(value))
            elif name == "signal":
                return self.end(job, 2, 128 + int(value), int(value))
            elif name == "timeout":
                return self.end(job, 3, 124)
        if 2 in job.signals:
            return self.end(job, 5, 137, 9)
        if job.signals:
            return self.end(job, 2, 143, 15)
        return self.end(job, 1, 0)
