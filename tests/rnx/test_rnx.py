"""What rnx prints and how it ends, to the letter, against the stand-in server.

    test_rnx.py RNX PROTO
"""
import json
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import stand_in
from stand_in import grpc

RNX, PROTO = (os.path.abspath(path) for path in sys.argv[1:3])
UUID = "1b4e28ba-2fa1-11d2-883f-b9a761bde3fb"
OTHER = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"


def setUpModule():
    global work, pb2, pb2_grpc, certificates, server
    work = tempfile.mkdtemp(prefix="rnx-test-")
    pb2, pb2_grpc = stand_in.load_stubs(PROTO, work)
    certificates = stand_in.Certificates(work)
    server = stand_in.StandIn(pb2, pb2_grpc, certificates)
    config("rnx-config.yml", {})


def tearDownModule():
    server.stop()
    shutil.rmtree(work)


def node(**more):
    cert, key = certificates.client
    return {"address": "127.0.0.1:%d" % server.port, "cert": cert, "key": key, "ca": certificates.ca, **more}


def config(name, changes):
    path = os.path.join(work, name)
    stand_in.write_config(path, {"admin": node(isDefault=True, nodeId="node-1", **changes),
                                 "other": node(**changes)})
    return path


def environment(**more):
    # Libraries of a sanitizer build look at these.
    kept = {key: value for key, value in os.environ.items() if key.startswith(("ASAN", "UBSAN", "LSAN"))}
    return {"PATH": "/usr/bin:/bin", "HOME": work, "TZ": "UTC", **kept, **more}


def rnx(*words, stdin=subprocess.DEVNULL, timeout=120, cwd=None, env=None):
    return subprocess.run([RNX, *words], stdin=stdin, capture_output=True, timeout=timeout, cwd=cwd or work,
                          env=env or environment())


class Case(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        server.answers = {}
        server.requests = []

    def check(self, words, status=0, out="", err=""):
        result = rnx(*words)
        self.assertEqual(result.stderr.decode(), err)
        self.assertEqual(result.stdout.decode(), out)
        self.assertEqual(result.returncode, status)

    def request(self, method):
        found = [request for name, request, _ in server.requests if name == method]
        self.assertEqual(len(found), 1)
        return found[0]

    def fails(self, words, status, *parts):
        result = rnx(*words)
        self.assertEqual(result.stdout, b"")
        self.assertEqual(result.returncode, status)
        for part in parts:
            self.assertIn(part, result.stderr.decode())
        self.assertEqual(result.stderr.decode().count("Error: "), 1)
        return result.stderr.decode()


class Run(Case):
    def setUp(self):
        super().setUp()
        server.answers["RunJob"] = pb2.RunJobResponse(job_uuid=UUID, status="RUNNING")

    def test_text(self):
        self.check(["job", "run", "echo", "a", "b c"], out="Job submitted:\nID: %s\nCommand: echo a b c\nStatus: RUNNING\n" % UUID)
        request = self.request("RunJob")
        self.assertEqual((request.command, list(request.args)), ("echo", ["a", "b c"]))
        self.assertEqual(request, pb2.RunJobRequest(command="echo", args=["a", "b c"]))

    def test_no_arguments(self):
        self.check(["job", "run", "true"], out="Job submitted:\nID: %s\nCommand: true \nStatus: RUNNING\n" % UUID)

    def test_all_fields(self):
        self.check(["--node=other", "job", "run", "--max-cpu=50", "--max-memory", "256", "--max-processes=64", "--timeout=1m",
                    "--work-dir=/tmp", "-e", "A=1", "--env=B=x=y", "--env", "A=2", "-s=K=hidden", "--cpu-cores=0-3",
                    "--max-iobps=1000", "--max-open-files=99", "--gpu=1", "--gpu-memory=8GB", "--network=none", "--volume=v1", "--volume", "v2",
                    "--runtime=python@3.11", "--", "sh", "--json", "--", "-c"],
                   out="Job submitted:\nID: %s\nCommand: sh --json -- -c\nStatus: RUNNING\nEnvironment: 2 variables set\n"
                       "Secret Environment: 1 variables set\n" % UUID)
        self.assertEqual(self.request("RunJob"), pb2.RunJobRequest(
            command="sh", args=["--json", "--", "-c"], max_cpu=50, max_memory=256, max_processes=64, timeout="1m",
            work_dir="/tmp", environment={"A": "2", "B": "x=y"}, secret_environment={"K": "hidden"}, cpu_cores="0-3",
            max_io_bps=1000, max_open_files=99, gpu_count=1, gpu_memory_mb=8192, network="none", volumes=["v1", "v2"],
            runtime="python@3.11"))

    def test_json(self):
        self.check(["job", "run", "--json", "--env=A=1", "--secret-env=B=2", "echo", "<&>"],
                   out='{\n  "job_uuid": "%s",\n  "command": "echo",\n  "args": [\n    "\\u003c\\u0026\\u003e"\n  ],\n'
                       '  "status": "RUNNING",\n  "env_vars": 1,\n  "secret_env_vars": 1\n}\n' % UUID)
        self.check(["--json", "job", "run", "true"],
                   out='{\n  "job_uuid": "%s",\n  "command": "true",\n  "args": [],\n  "status": "RUNNING"\n}\n' % UUID)

    def test_warnings(self):
        self.check(["job", "run", "--env=PATH=/bin", "--env=X=$(id)", "true"],
                   out="Job submitted:\nID: %s\nCommand: true \nStatus: RUNNING\nEnvironment: 2 variables set\n" % UUID,
                   err="Warning: 'PATH' is a reserved environment variable name\n"
                       "Warning: environment variable 'X' contains potentially dangerous patterns\n")

    def test_help_of_the_job_is_the_jobs(self):
        self.check(["job", "run", "ls", "--help"], out="Job submitted:\nID: %s\nCommand: ls --help\nStatus: RUNNING\n" % UUID)

    def test_controls_do_not_reach_the_terminal(self):
        self.check(["job", "run", "echo", "\033[2J\nStatus: x"],
                   out="Job submitted:\nID: %s\nCommand: echo \\x1b[2J\\nStatus: x\nStatus: RUNNING\n" % UUID)

    def test_server_error(self):
        server.answers["RunJob"] = (grpc.StatusCode.INVALID_ARGUMENT, "max_cpu is 20000: want 0 to 10000 \u20ac")
        self.check(["job", "run", "true"], 1,
                   err="Error: failed to run job: rpc error: code = InvalidArgument desc = max_cpu is 20000: want 0 to 10000 "
                       "\u20ac\n")

    def test_malformed_calls(self):
        usage = ("\nUsage:\n  rnx job run [flags] [--] COMMAND [ARGS...]\n\n'rnx job run --help' tells more.\n")
        for words, text in (
                ([], "must specify a command to run"),
                (["--json"], "must specify a command to run"),
                (["--max-cpu=x", "true"], 'invalid value "x" for --max-cpu: want a whole number from 0 to 2147483647'),
                (["--max-memory", "512MB", "true"],
                 'invalid value "512MB" for --max-memory: want a whole number from 0 to 2147483647'),
                (["--bogus", "true"], "unknown flag: --bogus"),
                (["--version", "true"], "unknown flag: --version"),
                (["-x"], "unknown shorthand flag: 'x' in -x"),
                (["-e"], "flag needs an argument: -e"),
                (["-e", "A", "true"],
                 "environment variable processing failed: invalid environment variable format: A (expected KEY=VALUE)"),
                (["-s", "hunter2", "true"],
                 "secret environment variable processing failed: invalid environment variable format (expected KEY=VALUE)"),
                (["--gpu-memory=many", "true"],
                 'invalid value "many" for --gpu-memory: want a size such as 8GB, 1024MB or 2048'),
        ):
            self.check(["job", "run", *words], 2, err="Error: " + text + "\n" + usage)
        self.assertEqual(server.requests, [])

    def test_not_yet(self):
        for flag in ("--upload=x", "--upload-dir=x", "--schedule=1h"):
            self.fails(["job", "run", flag, "true"], 1, flag.split("=")[0].replace("-dir", ""), "not supported yet")
        self.assertEqual(server.requests, [])

    def test_not_utf8(self):
        result = rnx("job", "run", "echo", b"\xff")
        self.assertEqual((result.returncode, result.stdout), (2, b""))
        self.assertIn(b"Error: an argument is not valid UTF-8\n", result.stderr)


class Follow(Case):
    def setUp(self):
        super().setUp()
        server.answers["RunJob"] = pb2.RunJobResponse(job_uuid=UUID, status="RUNNING")
        self.ended(status="COMPLETED", end_reason="exited")

    def ended(self, **fields):
        server.answers["GetJobStatus"] = pb2.GetJobStatusResponse(uuid=UUID, **fields)

    def log(self, *chunks):
        server.answers["GetJobLogs"] = [pb2.DataChunk(payload=payload, stream=stream) for stream, payload in chunks]

    def test_streams_apart(self):
        self.log((1, b"out\n"), (2, b"err\n"), (1, b""), (0, b"unknown\n"), (3, b"joblet: note\n"), (1, b"\x00\xff end"))
        result = rnx("job", "run", "--follow", "sh")
        self.assertEqual((result.stdout, result.stderr, result.returncode),
                         (b"out\nunknown\n\x00\xff end", b"err\njoblet: note\n", 0))

    def test_exit_statuses(self):
        self.log()
        for fields, status, text in (
                (dict(status="COMPLETED", exit_code=0, end_reason="exited"), 0, ""),
                (dict(status="FAILED", exit_code=7, end_reason="exited"), 7, ""),
                (dict(status="FAILED", exit_code=127, end_reason="exited"), 127, ""),
                (dict(status="FAILED", exit_code=139, end_reason="signal", end_signal=11), 139,
                 "rnx: job %s ended: signal 11 (SIGSEGV)\n" % UUID),
                (dict(status="TIMEOUT", exit_code=124, end_reason="timeout"), 124, "rnx: job %s ended: timeout\n" % UUID),
                (dict(status="TIMEOUT"), 124, ""),
                (dict(status="FAILED", exit_code=137, end_reason="out of memory", end_signal=9), 137,
                 "rnx: job %s ended: out of memory\n" % UUID),
                (dict(status="STOPPED", exit_code=143, end_reason="stopped"), 143, "rnx: job %s ended: stopped\n" % UUID),
                (dict(status="STOPPED", exit_code=0, end_reason="stopped"), 1, "rnx: job %s ended: stopped\n" % UUID),
                (dict(status="FAILED", exit_code=-1, end_reason="setup failure", error="no memory"), 1,
                 "rnx: job %s ended: setup failure: no memory\n" % UUID),
        ):
            self.ended(**fields)
            result = rnx("job", "run", "--follow", "x")
            self.assertEqual((result.returncode, result.stdout, result.stderr.decode()), (status, b"", text), fields)

    def test_wait(self):
        polls = []

        def status(request, context):
            polls.append(time.monotonic())
            running = len(polls) < 6
            return pb2.GetJobStatusResponse(uuid=UUID, status="RUNNING" if running else "FAILED", exit_code=0 if running else 3,
                                            end_reason="" if running else "exited")

        server.answers["GetJobStatus"] = status
        self.check(["job", "run", "--wait", "x"], 3, out="Job submitted:\nID: %s\nCommand: x \nStatus: RUNNING\n" % UUID)
        self.assertEqual(len(polls), 6)

    def test_json(self):
        self.log((1, b"a\n"), (2, b"<\xff"))
        result = rnx("job", "run", "--follow", "--json", "x")
        self.assertEqual((result.returncode, result.stderr), (0, b""))
        head, line1, line2, rest = re.split(r"(?m)(?<=^})\n|(?<=\"})\n", result.stdout.decode(), maxsplit=3)
        self.assertEqual(json.loads(head)["job_uuid"], UUID)
        self.assertRegex(line1, r'^{"data":"a\\n","timestamp":"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ"}$')
        self.assertIn(r'"data":"\u003c\ufffd"', line2)
        self.assertEqual(rest, "")

    def test_large_output(self):
        block = bytes(range(256)) * 4096
        self.log(*[(1, block)] * 64)
        result = rnx("job", "run", "--follow", "x")
        self.assertEqual(result.returncode, 0)
        self.assertEqual(len(result.stdout), 64 << 20)
        self.assertTrue(result.stdout == block * 64)

    def start_endless(self, *words, **more):
        self.opened = threading.Event()
        self.closed = threading.Event()

        def log(request, context):
            context.add_callback(self.closed.set)
            yield pb2.DataChunk(payload=b"first\n", stream=1)
            self.opened.set()
            self.closed.wait(60)

        server.answers["GetJobLogs"] = log
        process = subprocess.Popen([RNX, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=work, env=environment(),
                                   **more)
        self.assertEqual(process.stdout.readline(), b"first\n")
        return process

    def test_interrupt_leaves_the_job(self):
        for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            process = self.start_endless("job", "run", "--follow", "sleep", "9")
            process.send_signal(number)
            out, err = process.communicate(timeout=60)
            self.assertEqual((process.returncode, out), (status, b""))
            self.assertEqual(err.decode(), "\nrnx: job %s keeps running\n  rnx job log %s     # its output\n"
                                           "  rnx job stop %s    # stop it\n" % (UUID, UUID, UUID))
            self.assertTrue(self.closed.wait(60), "the stream was not cancelled")
        self.assertNotIn("StopJob", [name for name, _, _ in server.requests])

    def test_interrupt_while_the_reader_sleeps(self):
        block = b"x" * (1 << 20)

        def log(request, context):
            while context.is_active():
                yield pb2.DataChunk(payload=block, stream=1)

        server.answers["GetJobLogs"] = log
        process = subprocess.Popen([RNX, "job", "log", UUID], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=work,
                                   env=environment())
        self.assertEqual(os.read(process.stdout.fileno(), 1), b"x")
        time.sleep(0.3)  # the pipe is full now, and rnx waits in write
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(60), 0)
        self.assertEqual(process.stderr.read(), b"\nStopping log stream...\n")
        process.stdout.close()
        process.stderr.close()

    def test_reader_that_goes_away(self):
        block = b"line\n" * 1000

        def log(request, context):
            while context.is_active():
                yield pb2.DataChunk(payload=block, stream=1)

        server.answers["GetJobLogs"] = log
        process = subprocess.Popen([RNX, "job", "log", UUID], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=work,
                                   env=environment())
        process.stdout.read(10)
        process.stdout.close()
        self.assertEqual(process.wait(60), -signal.SIGPIPE)
        self.assertEqual(process.stderr.read(), b"")
        process.stderr.close()

    def test_goes_on_after_a_lost_connection(self):
        calls = []

        def log(request, context):
            calls.append(1)
            yield pb2.DataChunk(payload=b"one ", stream=1)
            yield pb2.DataChunk(payload=b"two ", stream=2)
            if len(calls) == 1:
                yield pb2.DataChunk(payload=b"thr", stream=1)
                context.abort(grpc.StatusCode.UNAVAILABLE, "restarting")
            yield pb2.DataChunk(payload=b"three\n", stream=1)

        server.answers["GetJobLogs"] = log
        result = rnx("job", "run", "--follow", "x")
        self.assertEqual((result.stdout, result.stderr, result.returncode), (b"one three\n", b"two ", 0))
        self.assertEqual(len(calls), 2)

    def test_log_broken(self):
        def log(request, context):
            yield pb2.DataChunk(payload=b"part", stream=1)
            context.abort(grpc.StatusCode.INTERNAL, "disk is gone")

        server.answers["GetJobLogs"] = log
        result = rnx("job", "run", "--follow", "x")
        self.assertEqual((result.stdout, result.stderr, result.returncode),
                         (b"part", b"Error: problem reading logs: disk is gone\n", 1))


class Log(Case):
    def setUp(self):
        super().setUp()
        server.answers["GetJobStatus"] = pb2.GetJobStatusResponse(uuid=UUID, status="COMPLETED")

    def test_all_output_as_it_came(self):
        server.answers["GetJobLogs"] = [pb2.DataChunk(payload=b"a\xff\x00", stream=1), pb2.DataChunk(payload=b"b", stream=2)]
        result = rnx("job", "log", "1b4e28ba")
        self.assertEqual((result.stdout, result.stderr, result.returncode), (b"a\xff\x00b", b"", 0))
        self.assertEqual(self.request("GetJobLogs").uuid, "1b4e28ba")

    def test_json_lines(self):
        server.answers["GetJobLogs"] = [pb2.DataChunk(payload=b"a\n"), pb2.DataChunk(payload=b""), pb2.DataChunk(payload=b"b")]
        result = rnx("--json", "job", "log", UUID)
        lines = [json.loads(line) for line in result.stdout.decode().splitlines()]
        self.assertEqual([line["data"] for line in lines], ["a\n", "b"])
        self.assertEqual([sorted(line) for line in lines], [["data", "timestamp"]] * 2)

    def test_unknown(self):
        missing = (grpc.StatusCode.NOT_FOUND, "job not found: nope")
        server.answers["GetJobLogs"] = server.answers["GetJobStatus"] = missing
        self.check(["job", "log", "nope"], 1,
                   err="Error: couldn't start reading logs: rpc error: code = NotFound desc = job not found: nope\n")

    def test_arguments(self):
        self.check(["job", "log"], 2, err="Error: accepts 1 arg(s), received 0\n\nUsage:\n  rnx job log UUID\n\n"
                                          "'rnx job log --help' tells more.\n")


class List(Case):
    def jobs(self):
        server.answers["ListJobs"] = pb2.Jobs(jobs=[
            pb2.Job(uuid=UUID, node_id="n1", status="COMPLETED", start_time="2026-01-02T03:04:05Z",
                    end_time="2026-01-02T03:04:06Z", command="echo", args=["a", "b"], max_cpu=50, max_memory=256, exit_code=0),
            pb2.Job(uuid=OTHER, status="RUNNING", start_time="2026-01-02T03:04:05+02:00", command="sh",
                    args=["-c", "one\ntwo"], exit_code=0),
            pb2.Job(uuid=UUID, status="FAILED", command="x" * 90, exit_code=3, end_reason="signal", end_signal=9),
        ])

    def test_table(self):
        self.jobs()
        blank = " "
        self.check(["job", "list"], out=(
            "ID" + blank * 37 + "NODE ID   STATUS      START TIME          COMMAND\n"
            + "-" * 38 + " " + "-" * 9 + " " + "-" * 11 + " " + "-" * 19 + " " + "-" * 7 + "\n"
            + UUID + "   n1        COMPLETED   2026-01-02 03:04:05 echo a b\n"
            + OTHER + "   -         RUNNING     2026-01-02 03:04:05 sh -c one...\n"
            + UUID + "   -         FAILED      N/A                 " + "x" * 77 + "...\n"))

    def test_json(self):
        self.jobs()
        self.check(["job", "list", "--json"], out="""[
  {
    "id": "%s",
    "node_id": "n1",
    "status": "COMPLETED",
    "start_time": "2026-01-02T03:04:05Z",
    "end_time": "2026-01-02T03:04:06Z",
    "command": "echo",
    "args": [
      "a",
      "b"
    ],
    "max_cpu": 50,
    "max_memory": 256
  },
  {
    "id": "%s",
    "status": "RUNNING",
    "start_time": "2026-01-02T03:04:05+02:00",
    "command": "sh",
    "args": [
      "-c",
      "one\\ntwo"
    ]
  },
  {
    "id": "%s",
    "status": "FAILED",
    "start_time": "",
    "command": "%s",
    "exit_code": 3,
    "end_reason": "signal",
    "end_signal": 9
  }
]
""" % (UUID, OTHER, UUID, "x" * 90))

    def test_empty(self):
        server.answers["ListJobs"] = pb2.Jobs()
        self.check(["job", "list"], out="No jobs found\n")
        self.check(["job", "list", "--json"], out="[]\n")

    def test_denied(self):
        server.answers["ListJobs"] = (grpc.StatusCode.PERMISSION_DENIED, "no")
        self.check(["job", "list"], 1, err="Error: failed to list jobs: rpc error: code = PermissionDenied desc = no\n")

    def test_arguments(self):
        self.fails(["job", "list", "x"], 2, 'unknown command "x" for "rnx job list"\n')

    def terminal(self, **more):
        leader, follower = pty.openpty()
        process = subprocess.Popen([RNX, "job", "list"], stdout=follower, cwd=work, env=environment(**more))
        os.close(follower)
        out = b""
        while True:
            try:
                data = os.read(leader, 65536)
            except OSError:
                break
            if not data:
                break
            out += data
        os.close(leader)
        self.assertEqual(process.wait(60), 0)
        return out

    def test_colours_on_a_terminal_only(self):
        self.jobs()
        self.assertIn(b"\033[33mRUNNING\033[0m     2026", self.terminal())
        self.assertNotIn(b"\033", self.terminal(NO_COLOR="1"))

    def test_many(self):
        server.answers["ListJobs"] = pb2.Jobs(jobs=[pb2.Job(uuid=UUID, status="COMPLETED", command="c" * 300)] * 9000)
        result = rnx("job", "list")
        self.assertEqual((result.returncode, result.stderr), (0, b""))
        self.assertEqual(result.stdout.count(b"\n"), 9002)


class Status(Case):
    def full(self):
        server.answers["GetJobStatus"] = pb2.GetJobStatusResponse(
            uuid=UUID, node_id="n1", command="sh", args=["-c", "true"], status="FAILED", max_cpu=50, max_memory=256,
            max_io_bps=9, cpu_cores="0-3", start_time="2026-01-02T03:04:05Z", end_time="2026-01-02T03:09:05Z", exit_code=137,
            environment={"B": "2", "A": "1"}, secret_environment={"T": "***", "S": "leaked"}, network="none", volumes=["v"],
            runtime="python", work_dir="/work", uploads=["f"], gpu_indices=[0, 1], gpu_count=2, gpu_memory_mb=8,
            timeout="5m", end_reason="out of memory", end_signal=9, error="e", max_processes=64,
            max_open_files=1024, work_bytes=256 << 20, tmp_bytes=64 << 20, log_bytes=1 << 30)

    def test_text(self):
        self.full()
        self.check(["job", "status", "1b4e28ba"], out="""Job ID: %s
Node ID: n1
Command: sh -c true
Status: FAILED

Timing:
  Created: 2026-01-02 03:04:05 UTC
  Ended: 2026-01-02 03:09:05 UTC
  Duration: 5.0m

Resource Limits:
  Max CPU: 50%%
  Max Memory: 256 MB
  Max IO BPS: 9
  CPU Cores: 0-3
  GPUs: 2 allocated (indices: 0, 1)
  GPU Memory: 8 MB
  Max Processes: 64
  Max Open Files: 1024
  Work Size: 256 MB
  Tmp Size: 64 MB
  Log Size: 1024 MB
  Timeout: 5m

Runtime Environment:
  Runtime: python

Network Configuration:
  Network: none

Volumes:
  - v

Working Directory:
  Work Dir: /work

Uploaded Files:
  - f

Environment Variables:
  A=1
  B=2
  S=*** (secret)
  T=*** (secret)

Result:
  Exit Code: 137
  End Reason: out of memory
  Signal: 9 (SIGKILL)
  Error: e

Available Actions:
  \u2022 rnx job log %s     # View job logs
""" % (UUID, UUID))
        self.assertEqual(self.request("GetJobStatus").uuid, "1b4e28ba")

    def test_short(self):
        server.answers["GetJobStatus"] = pb2.GetJobStatusResponse(uuid=UUID, command="x", status="INITIALIZING")
        self.check(["job", "status", UUID], out="Job ID: %s\nCommand: x\nStatus: INITIALIZING\n\nTiming:\n  Created: Not available\n"
                                                "\nAvailable Actions:\n  \u2022 rnx job log %s     # View job logs\n"
                                                "  \u2022 rnx job stop %s    # Stop the job\n" % (UUID, UUID, UUID))

    def test_running(self):
        start = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 7300))
        server.answers["GetJobStatus"] = pb2.GetJobStatusResponse(uuid=UUID, command="x", status="RUNNING", start_time=start)
        out = rnx("job", "status", UUID).stdout.decode()
        self.assertIn("  Running For: 2h1m\n", out)
        self.assertNotIn("Result:", out)

    def test_scheduled(self):
        due = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 90000))
        server.answers["GetJobStatus"] = pb2.GetJobStatusResponse(uuid=UUID, command="x", status="SCHEDULED", scheduled_time=due)
        self.assertRegex(rnx("job", "status", UUID).stdout.decode(), r"Time Until Execution: (1d|1d1h|24h\d+m)\n")
        server.answers["GetJobStatus"].scheduled_time = "2020-01-01T00:00:00Z"
        self.assertIn("Due now (waiting for execution)", rnx("job", "status", UUID).stdout.decode())

    def test_json(self):
        self.full()
        result = rnx("--json", "job", "status", UUID)
        self.assertNotIn(b"leaked", result.stdout)
        keys = json.loads(result.stdout)
        self.assertEqual(list(keys), sorted(keys))
        self.assertEqual(keys, dict(
            args=["-c", "true"], command="sh", cpuCores="0-3", endReason="out of memory", endSignal=9,
            endTime="2026-01-02T03:09:05Z", environment={"A": "1", "B": "2"}, error="e", exitCode=137, gpuCount=2,
            gpuIndices=[0, 1], gpuMemoryMb=8, logBytes=1 << 30, maxCPU=50, maxIOBPS=9, maxMemory=256, maxOpenFiles=1024, maxProcesses=64,
            network="none", nodeId="n1", tmpBytes=64 << 20, workBytes=256 << 20, runtime="python", scheduledTime="", secretEnvironment={"S": "***", "T": "***"}, startTime="2026-01-02T03:04:05Z",
            status="FAILED", timeout="5m", uploads=["f"], uuid=UUID, volumes=["v"], workDir="/work"))
        server.answers["GetJobStatus"] = pb2.GetJobStatusResponse(uuid=UUID, command="x", status="COMPLETED")
        self.check(["job", "status", "--json", UUID], out="""{
  "args": null,
  "command": "x",
  "endTime": "",
  "environment": null,
  "exitCode": 0,
  "network": "",
  "nodeId": "",
  "runtime": "",
  "scheduledTime": "",
  "secretEnvironment": null,
  "startTime": "",
  "status": "COMPLETED",
  "uploads": null,
  "uuid": "%s",
  "volumes": null,
  "workDir": ""
}
""" % UUID)

    def kernel(self, **changes):
        def process(pid, inner_pid, **more):
            return pb2.KernelProcess(**{**dict(
                pid=pid, inner_pid=inner_pid, uids=[9] * 4, gids=[8] * 4, no_new_privs=True, seccomp_mode=2, seccomp_filters=1,
                uid_map=pb2.KernelIdMap(inside=0, outside=100000, count=65536, lines=1),
                gid_map=pb2.KernelIdMap(inside=0, outside=4294901760, count=65536, lines=1),
                capabilities=pb2.KernelCapabilities(),
                namespaces=[pb2.KernelNamespace(kind=kind, inode=i, own=True) for i, kind in enumerate(("ipc", "mnt"))]),
                **more})

        return pb2.GetJobStatusResponse(uuid=UUID, command="x", status="RUNNING", kernel=pb2.KernelView(**{**dict(
            taken="2026-01-02T03:04:05Z", command=process(101, 2), init=process(
                100, 1, uids=[1, 2, 3, 4], group_count=5, no_new_privs=False, seccomp_mode=0, seccomp_filters=0,
                capabilities=pb2.KernelCapabilities(bounding=1 << 21 | 1, effective=1 << 63),
                namespaces=[pb2.KernelNamespace(kind="net", inode=7, own=False)]),
            cgroups=[pb2.KernelCgroup(path="/a\033[m", controllers=["cpu", "v2"])],
            limits=pb2.KernelLimits(memory_bytes=128 << 20, swap_bytes=0, cpu_percent=50, processes=-1, cpus="",
                                    core_bytes_soft=1, core_bytes_hard=1, open_files_soft=10, open_files_hard=-2, devices=[
                                        pb2.KernelDeviceLimit(device="8:0", read_bps=1 << 20, write_bps=-1)])), **changes}))

    def test_kernel_view(self):
        server.answers["GetJobStatus"] = self.kernel()
        text = rnx("job", "status", UUID).stdout.decode()
        section = text[text.index("\nKernel"):text.index("\nAvailable Actions:")]
        self.assertEqual(section, """
Kernel's View (read from outside, now):
  Read: 2026-01-02 03:04:05 UTC
  Process of the Command: process 101 on the host, 2 in the job
    User Id Map: 0-65535 in the job = 100000-165535 on the host
    Group Id Map: 0-65535 in the job = 4294901760-4294967295 on the host
    User on the Host: 9
    Group on the Host: 8
    Other Groups: none
    Capabilities: none
    No New Privileges: yes
    Seccomp: filter
    Own Namespaces: ipc, mnt
  joblet-init: process 100 on the host, 1 in the job
    User Id Map: 0-65535 in the job = 100000-165535 on the host
    Group Id Map: 0-65535 in the job = 4294901760-4294967295 on the host
    User on the Host: real 1, effective 2, saved 3, file system 4
    Group on the Host: 8
    Other Groups: 5
    Capabilities (bounding): chown sys_admin
    Capabilities (effective): cap_63
    No New Privileges: NO
    Seccomp: none
    Namespaces of the Service: net
  Control Group (cpu, v2): /a\\x1b[m
  Limits in Force:
    Memory: 128.0 MB
    Swap: 0 B
    CPU: 50% of one core
    Cores: not set
    Processes: no limit
    Device 8:0: read 1.0 MB/s, write no limit
    Open Files: 10, at most not set
    Core File: 1 B
""")
        server.answers["GetJobStatus"].kernel.before_start = True
        server.answers["GetJobStatus"].kernel.ClearField("command")
        text = rnx("job", "status", UUID).stdout.decode()
        self.assertIn("(read from outside, before the command ran):", text)
        self.assertIn("  Process of the Command: not there any more\n", text)

    def test_kernel_view_json(self):
        server.answers["GetJobStatus"] = self.kernel()
        keys = json.loads(rnx("job", "status", "--json", UUID).stdout)
        self.assertEqual(list(keys), sorted(keys))
        view = keys["kernel"]
        none = dict(ambient=[], bounding=[], effective=[], inheritable=[], permitted=[])
        maps = dict(uidMap=dict(count=65536, inside=0, lines=1, outside=100000),
                    gidMap=dict(count=65536, inside=0, lines=1, outside=4294901760), gids=[8] * 4)
        self.assertEqual(view, dict(
            beforeStart=False, taken="2026-01-02T03:04:05Z", cgroups=[dict(controllers=["cpu", "v2"], path="/a\033[m")],
            command=dict(maps, capabilities=none, groupCount=0, innerPid=2, noNewPrivs=True, pid=101, seccomp="filter",
                         seccompFilters=1, uids=[9] * 4,
                         namespaces=dict(ipc=dict(inode=0, own=True), mnt=dict(inode=1, own=True))),
            init=dict(maps, capabilities=dict(none, bounding=["chown", "sys_admin"], effective=["cap_63"]), groupCount=5,
                      innerPid=1, noNewPrivs=False, pid=100, seccomp="none", seccompFilters=0, uids=[1, 2, 3, 4],
                      namespaces=dict(net=dict(inode=7, own=False))),
            limits=dict(coreBytesHard=1, coreBytesSoft=1, cpuPercent=50, cpus="", memoryBytes=128 << 20, openFilesHard=None,
                        openFilesSoft=10, processes=-1, swapBytes=0,
                        devices=[dict(device="8:0", readBps=1 << 20, writeBps=-1)])))
        for part in (view, view["command"], view["limits"]):
            self.assertEqual(list(part), sorted(part))
        # An answer of which only the field is there.
        server.answers["GetJobStatus"] = pb2.GetJobStatusResponse(uuid=UUID, command="x", kernel=pb2.KernelView())
        view = json.loads(rnx("job", "status", "--json", UUID).stdout)["kernel"]
        self.assertEqual(view, dict(beforeStart=False, cgroups=[], command=None, init=None, taken=""))
        self.assertIn("joblet-init: not there any more", rnx("job", "status", UUID).stdout.decode())

    def test_unknown(self):
        server.answers["GetJobStatus"] = (grpc.StatusCode.NOT_FOUND, "job not found: x")
        self.check(["job", "status", "x"], 1,
                   err="Error: couldn't get job status: rpc error: code = NotFound desc = job not found: x\n")


class Change(Case):
    def test_stop(self):
        server.answers["StopJob"] = pb2.StopJobResponse(uuid=UUID, status="STOPPED", end_time="2026-01-02T03:04:05Z",
                                                        exit_code=143)
        self.check(["job", "stop", "1b4e28ba"], out="Job stopped successfully:\nID: %s\nStatus: STOPPED\n" % UUID)
        self.check(["job", "stop", "--json", UUID],
                   out='{\n  "uuid": "%s",\n  "status": "STOPPED",\n  "end_time": "2026-01-02T03:04:05Z",\n  "exit_code": 143\n}\n'
                       % UUID)
        server.answers["StopJob"] = (grpc.StatusCode.FAILED_PRECONDITION, "job is not running")
        self.check(["job", "stop", UUID], 1,
                   err="Error: couldn't stop the job: rpc error: code = FailedPrecondition desc = job is not running\n")
        server.answers["StopJob"] = (grpc.StatusCode.DEADLINE_EXCEEDED, "late")
        self.check(["job", "stop", "abcd"], 1,
                   err="Error: timeout while stopping job abcd: server may still be processing the request\n")

    def test_delete(self):
        server.answers["DeleteJob"] = pb2.DeleteJobResponse(uuid=UUID, success=True, message="gone")
        self.check(["job", "delete", UUID], out="Job deleted successfully:\nID: %s\nMessage: gone\n" % UUID)
        self.check(["job", "delete", UUID, "--json"],
                   out='{\n  "uuid": "%s",\n  "success": true,\n  "message": "gone"\n}\n' % UUID)
        server.answers["DeleteJob"] = pb2.DeleteJobResponse(uuid=UUID, success=False, message="busy")
        self.check(["job", "delete", UUID], 1,
                   out="Job deletion failed:\nID: %s\nSorry, there was an issue: busy\n" % UUID,
                   err="Error: couldn't delete the job: busy\n")
        server.answers["DeleteJob"] = (grpc.StatusCode.DEADLINE_EXCEEDED, "late")
        self.check(["job", "delete", "abcd"], 1,
                   err="Error: timeout while deleting job abcd: server may still be processing the request\n")

    def test_delete_all(self):
        server.answers["DeleteAllJobs"] = pb2.DeleteAllJobsResponse(success=True, message="done", deleted_count=3,
                                                                    skipped_count=1)
        self.check(["job", "delete-all"], out="Jobs deleted successfully:\nDeleted count: 3\n"
                                              "Skipped count: 1 (running/scheduled)\nMessage: done\n")
        self.check(["job", "delete-all", "--json"],
                   out='{\n  "success": true,\n  "message": "done",\n  "deleted_count": 3,\n  "skipped_count": 1\n}\n')
        server.answers["DeleteAllJobs"] = (grpc.StatusCode.DEADLINE_EXCEEDED, "late")
        self.check(["job", "delete-all"], 1,
                   err="Error: timeout while deleting all jobs: server may still be processing the request\n")
        self.fails(["job", "delete-all", "x"], 2, 'unknown command "x" for "rnx job delete-all"\n')


class Monitor(Case):
    def status(self):
        return pb2.SystemStatusResponse(
            timestamp="2026-01-02T03:04:05Z", available=True,
            host=pb2.HostInfo(hostname="h", os="linux", kernel_version="6.1", architecture="amd64", uptime=3 * 86400 + 4 * 3600 + 300,
                              boot_time="2026-01-01T00:00:00Z", node_id="n", server_ips=["192.0.2.1", "192.0.2.2"]),
            cpu=pb2.CPUMetrics(cores=2, usage_percent=12.5, user_time=1, load_average=[0.5, 0.25, 0.125],
                               per_core_usage=[10, 15]),
            memory=pb2.MemoryMetrics(total_bytes=4 << 30, used_bytes=1 << 30, free_bytes=1 << 29, available_bytes=3 << 30,
                                     usage_percent=25, cached_bytes=5, buffered_bytes=6, swap_total=200, swap_used=50),
            disks=[pb2.DiskMetrics(device="/dev/a", mount_point="/", filesystem="ext4", total_bytes=1000, used_bytes=500,
                                   free_bytes=400, usage_percent=50),
                   pb2.DiskMetrics(device="/dev/a", mount_point="/data", filesystem="ext4", total_bytes=1000, used_bytes=500),
                   pb2.DiskMetrics(device="/dev/l", mount_point="/snap/x", filesystem="squashfs", total_bytes=7)],
            networks=[pb2.NetworkMetrics(interface="eth0", bytes_received=10, bytes_sent=20, packets_received=1, packets_sent=2,
                                         ip_addresses=["192.0.2.1"], mac_address="m"), pb2.NetworkMetrics(interface="idle0")],
            processes=pb2.ProcessMetrics(total_processes=9, running_processes=1, top_by_cpu=[
                pb2.ProcessInfo(pid=i, name="p", command="c", cpu_percent=1.5, status="S") for i in range(1, 13)]),
            cloud=pb2.CloudInfo(), server_version=pb2.ServerVersionInfo(version="0.1.0", git_commit="0123456789abcdef"))

    def test_text(self):
        server.answers["GetSystemStatus"] = self.status()
        result = rnx("monitor", "status")
        out = result.stdout.decode()
        self.assertEqual((result.returncode, result.stderr), (0, b""))
        self.assertTrue(out.startswith("System Status - 2026-01-02 03:04:05 UTC\nAvailable: true\n\nHost Information:\n"))
        for line in ("  Hostname:       h", "  Uptime:         3d 4h 5m", "  Server IPs:     192.0.2.1, 192.0.2.2",
                     "  Version:        0.1.0", "  Usage:          12.5%", "  Load Average:   0.50 0.25 0.12",
                     "  Used:           1.0 GB (25.0%)", "  Swap:           50 B / 200 B (25.0%)",
                     "  / (ext4): 500 B / 1000 B (50.0%)", "  eth0: RX 10 B (1 packets), TX 20 B (2 packets)",
                     "  Total:          9"):
            self.assertIn("\n" + line + "\n", out)
        self.assertNotIn("Cloud", out)

    def test_json(self):
        server.answers["GetSystemStatus"] = self.status()
        answer = json.loads(rnx("monitor", "status", "--json").stdout)
        self.assertEqual(list(answer), ["hostInfo", "cpuInfo", "memoryInfo", "disksInfo", "networkInfo", "processesInfo"])
        self.assertEqual(answer["hostInfo"], dict(
            hostname="h", platform="linux", arch="amd64", release="6.1", uptime=273900, cloudProvider="", instanceType="",
            region="", nodeId="n", serverIPs=["192.0.2.1", "192.0.2.2"]))
        self.assertEqual(answer["cpuInfo"], dict(cores=2, usage=0.125, loadAverage=[0.5, 0.25, 0.125],
                                                 perCoreUsage=[0.1, 0.15]))
        self.assertEqual(answer["memoryInfo"], dict(
            total=4 << 30, used=1 << 30, available=3 << 30, percent=25, buffers=6, cached=5,
            swap=dict(total=200, used=50, percent=25)))
        self.assertEqual(answer["disksInfo"], dict(disks=[dict(
            name="/dev/a", mountpoint="/", filesystem="ext4", size=1000, used=500, available=400, percent=50)],
            totalSpace=1000, usedSpace=500))
        self.assertEqual(answer["networkInfo"], dict(interfaces=[dict(
            name="eth0", type="ethernet", status="up", ipAddresses=["192.0.2.1"], macAddress="m", rxBytes=10, txBytes=20,
            rxPackets=1, txPackets=2, rxErrors=0, txErrors=0)], totalRxBytes=10, totalTxBytes=20))
        processes = answer["processesInfo"]
        self.assertEqual((len(processes["processes"]), processes["totalProcesses"]), (10, 9))
        self.assertEqual(processes["processes"][0], dict(pid=1, name="p", command="c", cpu=1.5, memory=0, memoryBytes=0,
                                                         status="sleeping", startTime=""))

    def test_sparse_answer(self):
        server.answers["GetSystemStatus"] = pb2.SystemStatusResponse()
        self.assertEqual(rnx("monitor", "status").returncode, 0)
        self.assertEqual(json.loads(rnx("monitor", "status", "--json").stdout)["cpuInfo"]["loadAverage"], None)

    def test_error(self):
        server.answers["GetSystemStatus"] = (grpc.StatusCode.INTERNAL, "no")
        self.check(["monitor", "status"], 1, err="Error: failed to get system status: rpc error: code = Internal desc = no\n")

    def test_version(self):
        server.answers["GetSystemStatus"] = self.status()
        for words in (["version"], ["--version"], ["-v"]):
            out = rnx(*words).stdout.decode()
            self.assertRegex(out, r"^rnx \d+\.\d+\.\d+ \(([0-9a-f]{8}|unknown)\)\njoblet 0\.1\.0 \(01234567\)\n$")
        answer = json.loads(rnx("--version", "--json").stdout)
        self.assertEqual(answer["joblet"], {"version": "0.1.0"})
        self.assertEqual(list(answer["rnx"]), ["build_date", "git_commit", "git_tag", "go_version", "platform", "proto_commit",
                                               "version"])
        result = rnx("--config=/nonexistent", "version")
        self.assertEqual((result.returncode, result.stderr), (0, b""))
        self.assertRegex(result.stdout.decode(), r"^rnx \S+ \(\w+\)\n$")


class Audit(Case):
    """Of the audit log."""

    def record(self, sequence, line="{}", time=1767323045000000000, **fields):
        import joblet_ext_pb2 as ext
        return ext.AuditRecord(sequence=sequence, time=time, line=line,
                               fields=[ext.AuditField(name=name, value=value) for name, value in fields.items()])

    def records(self, *records, truncated=False):
        import joblet_ext_pb2 as ext
        server.answers["ListRecords"] = ext.ListRecordsResponse(records=records, truncated=truncated)

    def test_list(self):
        self.records(self.record(9, action="job.run", user="dev", result="intent", job=UUID, command="sh -c 'a\x1b'"),
                     self.record(10, action="job.run", user="dev", result="refused", error="no\nway"),
                     self.record(12345, action="service.start"), truncated=True)
        self.check(["audit", "list"], out="""\
SEQUENCE  TIME                 ACTION         RESULT   USER  JOB                                   DETAIL
9         2026-01-02 03:04:05  job.run        intent   dev   %s  sh -c 'a\\x1b'
10        2026-01-02 03:04:05  job.run        refused  dev   -                                     no\\nway
12345     2026-01-02 03:04:05  service.start  -        -     -                                     -

Older records match too: --limit shows more.
""" % UUID)
        request = self.request("ListRecords")
        self.assertEqual((request.since, request.until, request.limit, request.job, request.action), (0, 0, 0, "", ""))
        self.records()
        self.check(["audit", "list"], out="No records found\n")
        self.check(["audit", "list", "--json"], out="[]\n")

    def test_json_is_as_in_the_log(self):
        lines = ['{"sequence":1,"b":"\\u001b","a":"ü"}', '{"sequence":2}']
        self.records(*(self.record(number, line) for number, line in enumerate(lines, 1)))
        self.check(["audit", "list", "--json"], out="[\n  %s,\n  %s\n]\n" % tuple(lines))
        server.answers["GetRecord"] = self.record(1, lines[0])
        self.check(["audit", "show", "1", "--json"], out=lines[0] + "\n")

    def test_filters(self):
        for when, expected in (("2026-01-02", 1767312000), ("2026-01-02 03:04", 1767323040),
                               ("2026-01-02 03:04:05", 1767323045), ("2026-01-02T03:04:05", 1767323045),
                               ("2026-01-02T03:04:05+02:00", 1767315845)):
            server.requests = []
            self.records()
            self.check(["audit", "list", "--since", when, "--until=" + when], out="No records found\n")
            request = self.request("ListRecords")
            self.assertEqual((request.since, request.until), (expected * 10**9, expected * 10**9))
        server.requests = []
        before = time.time_ns()
        self.check(["audit", "list", "--since=2h", "--job=1b4e", "--user=dev", "--action=job.*", "--result=refused",
                    "--limit=7"], out="No records found\n")
        request = self.request("ListRecords")
        self.assertTrue(before - 7200 * 10**9 <= request.since <= time.time_ns() - 7200 * 10**9)
        self.assertEqual((request.until, request.job, request.user, request.action, request.result, request.limit),
                         (0, "1b4e", "dev", "job.*", "refused", 7))
        for words, part in ((["--since=yesterday"], 'invalid value "yesterday" for --since'),
                            (["--until=2026-13-01"], "--until"), (["--limit=many"], "--limit"), (["--limit=1001"], "1000"),
                            (["x"], "unknown command")):
            self.fails(["audit", "list", *words], 2, part)

    def test_show(self):
        server.answers["GetRecord"] = self.record(1042, action="job.run", error="one\ntwo\x1b", user="dev")
        self.check(["audit", "show", "1042"], out="action: job.run\nerror: one\n  two\\x1b\nuser: dev\n")
        self.assertEqual(self.request("GetRecord").sequence, 1042)
        self.fails(["audit", "show", "x"], 2, 'invalid SEQUENCE "x"')
        self.fails(["audit", "show"], 2, "accepts 1 arg(s), received 0")
        server.answers["GetRecord"] = (grpc.StatusCode.NOT_FOUND, "there is no record 7")
        self.fails(["audit", "show", "7"], 1, "there is no record 7")
        server.answers["ListRecords"] = (grpc.StatusCode.PERMISSION_DENIED, "role reader is not allowed")
        self.fails(["audit", "list"], 1, "failed to list the audit log: rpc error: code = PermissionDenied desc = role reader")
        self.assertIn("audit list", rnx("help", "audit").stdout.decode())


class Configuration(Case):
    def test_nodes(self):
        self.check(["nodes"], out="""Available nodes from configuration:

* admin
   Address: 127.0.0.1:%(port)d
   Node ID: node-1
   Cert:    ***
   Key:     ***
   CA:      ***

  other
   Address: 127.0.0.1:%(port)d
   Node ID: -
   Cert:    ***
   Key:     ***
   CA:      ***

Usage examples:
  rnx job list                    # uses 'admin' node (default)
  rnx --node=other job list         # uses 'other' node
""" % {"port": server.port})
        answer = json.loads(rnx("nodes", "--json").stdout)
        self.assertEqual(answer, [
            dict(name="admin", address="127.0.0.1:%d" % server.port, nodeId="node-1", status="active", default=True),
            dict(name="other", address="127.0.0.1:%d" % server.port, status="active", default=False)])

    def test_missing(self):
        hint = ("\nPlease create a rnx-config.yml file with embedded certificates.\nUse 'rnx config-help' for examples.\n")
        self.check(["--config", "/nonexistent", "job", "list"], 1,
                   err="Error: client configuration file not found: /nonexistent\n" + hint)
        self.check(["--config=/nonexistent", "job", "run", "true"], 1,
                   err="Error: failed to load client config: client configuration file not found: /nonexistent\n")

    def test_search_order(self):
        server.answers["ListJobs"] = pb2.Jobs()
        elsewhere = tempfile.mkdtemp(dir=work)
        result = rnx("job", "list", cwd=elsewhere, env=environment(RNX_CONFIG=os.path.join(work, "rnx-config.yml")))
        self.assertEqual((result.stdout, result.returncode), (b"No jobs found\n", 0))
        os.makedirs(os.path.join(elsewhere, ".rnx"))
        shutil.copy(os.path.join(work, "rnx-config.yml"), os.path.join(elsewhere, ".rnx", "rnx-config.yml"))
        result = rnx("job", "list", cwd="/", env=environment(HOME=elsewhere, RNX_CONFIG="/nonexistent"))
        self.assertEqual((result.stdout, result.returncode), (b"No jobs found\n", 0))

    def test_unknown_node(self):
        self.check(["--node=x", "job", "list"], 1, err="Error: failed to create client: failed to get node configuration for 'x': "
                                                       "node 'x' not found in configuration\n")
        self.check(["--node=x", "job", "stop", "y"], 1, err="Error: couldn't connect to joblet server: failed to get node "
                                                            "configuration for 'x': node 'x' not found in configuration\n")

    def test_bad_certificates(self):
        path = os.path.join(work, "bad.yml")
        good = node()
        stand_in.write_config(path, {"a": {"address": good["address"]}})
        self.check(["--config", path, "job", "list"], 1,
                   err="Error: failed to create client: client certificates are not configured for node\n")
        stand_in.write_config(path, {"a": {**good, "cert": "nonsense"}})
        self.fails(["--config", path, "job", "list"], 1, "failed to create client: failed to load client certificate: ")
        stand_in.write_config(path, {"a": {**good, "key": certificates.foreign[1]}})
        self.fails(["--config", path, "job", "list"], 1, "failed to create client: failed to load client certificate: ")
        stand_in.write_config(path, {"a": {**good, "ca": "nonsense"}})
        self.fails(["--config", path, "job", "list"], 1, "failed to create client: failed to parse CA certificate")

    def test_help(self):
        for words in ([], ["help"], ["--help"], ["-h"]):
            out = rnx(*words, cwd="/").stdout.decode()
            self.assertIn("job delete-all", out)
        self.assertIn("rnx-config", rnx("config-help", cwd="/").stdout.decode())
        self.assertIn("--max-memory MB", rnx("help", "job", "run").stdout.decode())
        self.assertEqual(rnx("help", "job", "run").stdout, rnx("job", "run", "-h").stdout)
        self.assertIn("job stop", rnx("job").stdout.decode())

    def test_unknown_commands(self):
        self.check(["jbo"], 2, err='Error: unknown command "jbo" for "rnx"\n\n\'rnx help\' lists the commands.\n')
        self.check(["list"], 2, err='Error: unknown command "list" for "rnx"\n\nDid you mean this?\n  rnx job list\n  rnx runtime list\n'
                                    "  rnx audit list\n\n'rnx help' lists the commands.\n")
        for words in (["volume", "list"], ["network", "list"]):
            self.fails(words, 2, 'unknown command "%s" for "rnx"' % words[0])
        for word in ("cancel", "metrics", "telematics"):
            self.fails(["job", word, UUID], 2, 'unknown command "%s" for "rnx job"' % word)
        self.fails(["monitor", "top"], 2, 'unknown command "top" for "rnx monitor"')

    def test_full_disk(self):
        server.answers["ListJobs"] = pb2.Jobs()
        with open("/dev/full", "w") as full:
            result = subprocess.run([RNX, "job", "list"], stdout=full, stderr=subprocess.PIPE, cwd=work, env=environment())
        self.assertEqual((result.returncode, result.stderr),
                         (1, b"Error: cannot write the output: No space left on device\n"))


class Runtime(Case):
    def setUp(self):
        super().setUp()
        self.directory = os.path.join(work, "runtime")
        shutil.rmtree(self.directory, ignore_errors=True)
        os.mkdir(self.directory)
        server.answers["ValidateRuntimeYAML"] = self.valid = pb2.ValidateRuntimeYAMLResponse(
            valid=True, message="fine", warnings=["not all was checked"], spec_info=pb2.RuntimeYAMLInfo(
                name="a", version="1.0.0", language="python", language_version="3.11", description="d\x1b[2Je"))

    def write(self, data, name="runtime.yaml"):
        path = os.path.join(self.directory, name)
        with open(path, "wb") as file:
            file.write(data)
        return path

    def test_valid(self):
        path = self.write("name: gr\u00fc\u00df\n".encode())
        self.check(["runtime", "validate", path], out="""\
\u2713 Runtime specification is valid

Warnings:
  \u26a0 not all was checked

Specification:
  Name:        a
  Version:     1.0.0
  Language:    python 3.11
  Description: d\\x1b[2Je
""")
        self.assertEqual(self.request("ValidateRuntimeYAML").yaml_content, "name: gr\u00fc\u00df\n")

    def test_all_fields(self):
        info = self.valid.spec_info
        info.pip_packages.extend(["x", "y==1"])
        info.npm_packages.extend(["@a/b"])
        info.has_hooks = info.requires_gpu = True
        info.digest = "ab12"
        result = rnx("runtime", "validate", self.write(b"x"))
        self.assertEqual(result.stdout.decode().split("Description: ")[1], """\
d\\x1b[2Je
  Pip:         x, y==1
  NPM:         @a/b
  Hooks:       defined
  GPU:         required
  Digest:      ab12
""")
        result = rnx("--json", "runtime", "validate", self.write(b"x"))
        self.assertEqual(json.loads(result.stdout), dict(
            valid=True, message="fine", errors=None, warnings=["not all was checked"], spec_info=dict(
                name="a", version="1.0.0", language="python", language_version="3.11", description="d\x1b[2Je",
                pip_packages=["x", "y==1"], npm_packages=["@a/b"], has_hooks=True, requires_gpu=True, digest="ab12")))
        self.assertEqual(result.returncode, 0)

    def test_invalid(self):
        server.answers["ValidateRuntimeYAML"] = pb2.ValidateRuntimeYAMLResponse(message="no", errors=["line 1: a", "line 2: \nb"])
        path = self.write(b"x")
        self.check(["runtime", "validate", path], 1, err="Error: validation failed\n", out="""\
\u2717 Runtime specification is invalid

Errors:
  \u2022 line 1: a
  \u2022 line 2: \\nb
""")
        self.check(["runtime", "validate", "--json", path], 1, err="Error: validation failed\n", out="""\
{
  "valid": false,
  "message": "no",
  "errors": [
    "line 1: a",
    "line 2: \\nb"
  ],
  "warnings": null,
  "spec_info": null
}
""")

    def test_where_it_is_read_from(self):
        self.fails(["runtime", "validate", self.directory], 1, "failed to read runtime.yaml: ", "No such file or directory")
        self.write(b"two", "runtime.yml")
        self.assertEqual(rnx("runtime", "validate", self.directory).returncode, 0)
        self.write(b"one")
        self.assertEqual(rnx("runtime", "validate", "runtime").returncode, 0)
        with subprocess.Popen(["echo", "three"], stdout=subprocess.PIPE) as pipe:
            self.assertEqual(rnx("runtime", "validate", "/dev/stdin", stdin=pipe.stdout).returncode, 0)
        self.assertEqual([request.yaml_content for _, request, _ in server.requests], ["two", "one", "three\n"])

    def test_what_cannot_be_sent(self):
        for data, part in ((b"a\0b", "byte 2 is a NUL character"), (b"\xff", "not UTF-8"),
                           (b"x" * (1 << 20 | 1), "larger than 1048576 bytes")):
            self.fails(["runtime", "validate", self.write(data)], 1, "failed to read runtime.yaml: ", part)
        self.fails(["runtime", "validate", "/dev/zero"], 1, "larger than 1048576 bytes")
        self.fails(["runtime", "validate", os.path.join(work, "nothing")], 1, "No such file or directory")
        os.remove(os.path.join(self.directory, "runtime.yaml"))
        os.mkdir(os.path.join(self.directory, "runtime.yaml"))
        self.fails(["runtime", "validate", self.directory], 1, "Is a directory")
        self.assertEqual(server.requests, [])

    def test_errors(self):
        path = self.write(b"x")
        server.answers["ValidateRuntimeYAML"] = (grpc.StatusCode.PERMISSION_DENIED, "not you")
        self.check(["runtime", "validate", path], 1, err="Error: failed to validate the runtime specification: rpc error: "
                   "code = PermissionDenied desc = not you\n")
        self.fails(["runtime", "validate"], 2, "accepts 1 arg(s), received 0")
        self.fails(["runtime", "validate", path, path], 2, "accepts 1 arg(s), received 2")
        self.assertIn("runtime.yaml", rnx("help", "runtime", "validate").stdout.decode())
        self.assertIn("runtime validate", rnx("runtime").stdout.decode())


class Connection(Case):
    def test_deadline_is_sent(self):
        left = []

        def jobs(request, context):
            left.append(context.time_remaining())
            return pb2.Jobs()

        server.answers["ListJobs"] = jobs
        self.assertEqual(rnx("job", "list").returncode, 0)
        self.assertTrue(0 < left[0] <= 10.5, left)

    def test_absent_server(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            path = os.path.join(work, "absent.yml")
            stand_in.write_config(path, {"a": node(address="127.0.0.1:%d" % taken.getsockname()[1])})
            start = time.monotonic()
            result = rnx("--config", path, "job", "list")
            self.assertTrue(9 < time.monotonic() - start < 60)
            self.assertEqual(result.returncode, 1)
            self.assertRegex(result.stderr.decode(),
                             r"^Error: failed to list jobs: rpc error: code = DeadlineExceeded desc = .+\n$")
            start = time.monotonic()
            self.assertEqual(rnx("--config", path, "version").returncode, 0)
            self.assertTrue(time.monotonic() - start < 9)

    def test_server_that_comes_late(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        path = os.path.join(work, "late.yml")
        stand_in.write_config(path, {"a": node(address="127.0.0.1:%d" % port)})
        process = subprocess.Popen([RNX, "--config", path, "job", "list"], stdout=subprocess.PIPE, cwd=work, env=environment())
        time.sleep(0.7)
        late = stand_in.StandIn(pb2, pb2_grpc, certificates, port=port)
        late.answers["ListJobs"] = pb2.Jobs()
        out, _ = process.communicate(timeout=60)
        late.stop()
        self.assertEqual((out, process.returncode), (b"No jobs found\n", 0))

    def test_wrong_server_name(self):
        """A certificate of the right authority for another name is not our server."""
        impostor = stand_in.StandIn(pb2, pb2_grpc, certificates, server_certificate=certificates.other_name)
        impostor.answers["GetSystemStatus"] = pb2.SystemStatusResponse(server_version=pb2.ServerVersionInfo(version="9"))
        path = os.path.join(work, "impostor.yml")
        stand_in.write_config(path, {"a": node(address="127.0.0.1:%d" % impostor.port)})
        result = rnx("--config", path, "version")
        impostor.stop()
        self.assertEqual(impostor.requests, [])
        self.assertNotIn(b"joblet", result.stdout)

    def test_foreign_client(self):
        cert, key = certificates.foreign
        path = os.path.join(work, "stranger.yml")
        stand_in.write_config(path, {"a": node(cert=cert, key=key)})
        server.answers["GetSystemStatus"] = pb2.SystemStatusResponse(server_version=pb2.ServerVersionInfo(version="9"))
        result = rnx("--config", path, "version")
        self.assertEqual(server.requests, [])
        self.assertNotIn(b"joblet", result.stdout)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[3:], verbosity=2)
