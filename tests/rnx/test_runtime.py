"""What `rnx runtime` prints and how it ends, to the letter, against the stand-in server; `validate` is in test_rnx.py.

    test_runtime.py RNX PROTO
"""
import json
import os
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
import terminal
import test_rnx as base
from stand_in import grpc
from test_rnx import RNX, Case, environment, rnx


def setUpModule():
    global pb2, server
    base.setUpModule()
    pb2, server = base.pb2, base.server


def tearDownModule():
    base.tearDownModule()


def phase(number, name, message, total=14):
    return pb2.BuildRuntimeProgress(phase=pb2.BuildPhaseProgress(phase_number=number, total_phases=total, phase_name=name,
                                                                 message=message))


def log(level, message):
    return pb2.BuildRuntimeProgress(log=pb2.BuildLogLine(level=level, message=message, timestamp=1))


def result(**fields):
    return pb2.BuildRuntimeProgress(result=pb2.BuildResult(**fields))


def built(**more):
    fields = dict(success=True, runtime_name="python-3.11", runtime_version="1.0.0", build_duration_ms=61234,
                  install_path="/opt/joblet/runtimes/python-3.11/1.0.0", size_bytes=(150 << 20) + 5)
    return result(**{**fields, **more})


LINE = "=" * 60
BUILT = """
%s
BUILD SUCCESSFUL
%s

Runtime: python-3.11
Version: 1.0.0
Duration: 61234ms
Output: /opt/joblet/runtimes/python-3.11/1.0.0
Size: 150 MB

To use this runtime:
  rnx job run --runtime=python-3.11 <command>
""" % (LINE, LINE)


class Directory(Case):
    """With a directory that has a specification."""

    def setUp(self):
        super().setUp()
        server.answers["ListRuntimes"] = pb2.ListRuntimesResponse()
        self.directory = tempfile.mkdtemp(dir=base.work)
        self.addCleanup(shutil.rmtree, self.directory)
        self.write("runtime.yaml", b"name: gr\xc3\xbc\xc3\x9f\n")

    def write(self, name, data):
        path = os.path.join(self.directory, name)
        with open(path, "wb") as file:
            file.write(data)
        return path

    def answer(self, *messages):
        server.answers["BuildRuntime"] = list(messages)

    def build(self, *words):
        return rnx("runtime", "build", *words, self.directory)


class Build(Directory):
    def test_plain_lines(self):
        self.answer(phase(1, "Parse & Validate", "python-3.11@1.0.0"), log("info", "python"), log("debug", "hidden"),
                    phase(7, "Install Base", "3 packages"), log("info", "MISS: the package list has changed"),
                    log("warn", "w"), log("error", "e"), log("", "?"), phase(14, "Validate Build", ""), built())
        self.check(["runtime", "build", self.directory], out="""\
[1/14] Parse & Validate: python-3.11@1.0.0
[INFO] python
[7/14] Install Base: 3 packages
[INFO] MISS: the package list has changed
[WARN] w
[ERROR] e
[] ?
[14/14] Validate Build: 
""" + BUILT)
        self.assertEqual(self.request("BuildRuntime"), pb2.BuildRuntimeRequest(yaml_content="name: gr\u00fc\u00df\n"))

    def test_flags(self):
        self.answer(log("debug", "shown"), built(install_path="", size_bytes=0))
        self.check(["runtime", "build", "--verbose", "--force", self.directory], out="[DEBUG] shown\n" + BUILT.replace(
            "Output: /opt/joblet/runtimes/python-3.11/1.0.0\nSize: 150 MB\n", ""))
        self.assertEqual(self.build("-v", "-f").returncode, 0)
        wanted = pb2.BuildRuntimeRequest(yaml_content="name: gr\u00fc\u00df\n", verbose=True, force_rebuild=True)
        self.assertEqual([request for name, request, _ in server.requests if name == "BuildRuntime"], [wanted, wanted])

    def test_small_size(self):
        self.answer(built(size_bytes=5))
        self.assertIn("Size: 0 MB\n", self.build().stdout.decode())

    def test_dry_run(self):
        self.answer(phase(4, "Validate Packages", "all are there"), built(install_path="", size_bytes=0))
        self.check(["runtime", "build", "--dry-run", self.directory], out="""\
[4/14] Validate Packages: all are there

%s
DRY RUN SUCCESSFUL
%s

Runtime: python-3.11
Version: 1.0.0
Duration: 61234ms
""" % (LINE, LINE))
        self.assertTrue(self.request("BuildRuntime").dry_run)

    def test_failure(self):
        self.answer(result(runtime_name="a", runtime_version="2.0.0", build_duration_ms=7, message="hook: exit status 3\nBUILD SUCCESSFUL\n"))
        self.check(["runtime", "build", self.directory], 1, err="Error: build failed\n", out="""
%s
BUILD FAILED
%s

Runtime: a
Version: 2.0.0
Duration: 7ms

Error: hook: exit status 3
  BUILD SUCCESSFUL
""" % (LINE, LINE))

    def test_hostile_bytes(self):
        nasty = "\x1b]0;title\x07\x1b[2J\r\n\t\x7f\u009b2J\u202egnp\u2028x\u2066"
        shown = r"\x1b]0;title\x07\x1b[2J\r\n\t\x7f\xc2\x9b2J\xe2\x80\xaegnp\xe2\x80\xa8x\xe2\x81\xa6"
        self.answer(phase(1, nasty, nasty), log("info", nasty), log("\x1bi", "x"),
                    result(runtime_name=nasty, runtime_version=nasty, install_path=nasty, message=nasty, success=False))
        out = self.build().stdout.decode()
        self.assertTrue(out.startswith("[1/14] %s: %s\n[INFO] %s\n[\\x1bI] x\n\n=" % (shown, shown, shown)), out)
        self.assertIn("\nRuntime: %s\nVersion: %s\n" % (shown, shown), out)
        self.assertIn("\nError: \\x1b]0;title\\x07\\x1b[2J\\r\n  \\t", out)
        self.assertFalse(set(out) & set("\x1b\x07\r\t\x7f\u009b\u202e\u2028\u2066"))

    def test_odd_messages(self):
        """Of a later server, and numbers that make no sense."""
        self.answer(pb2.BuildRuntimeProgress(), phase(-1, "x", "y", total=0), built(size_bytes=-5, build_duration_ms=-1))
        out = self.build().stdout.decode()
        self.assertTrue(out.startswith("[-1/0] x: y\n\n="))
        self.assertIn("Duration: -1ms\nOutput: ", out)

    def test_json(self):
        self.answer(phase(1, "x", "y"), log("error", "z"), built(message="a & b"))
        self.check(["runtime", "build", "--json", "-v", self.directory], out="""{
  "success": true,
  "name": "python-3.11",
  "version": "1.0.0",
  "install_path": "/opt/joblet/runtimes/python-3.11/1.0.0",
  "size_bytes": 157286405,
  "duration_ms": 61234,
  "message": "a \\u0026 b"
}
""")

    def test_json_failure(self):
        self.answer(log("error", "z"), result(message="no"))
        self.check(["--json", "runtime", "build", self.directory], 1, err="Error: build failed\n", out="""{
  "success": false,
  "name": "",
  "version": "",
  "duration_ms": 0,
  "message": "no"
}
""")

    def test_the_last_result_counts(self):
        self.answer(result(message="no"), built())
        self.check(["runtime", "build", self.directory], out=BUILT)

    def test_no_result(self):
        for flags in ([], ["--json"]):
            self.answer() if flags else self.answer(phase(1, "x", "y"))
            out = rnx("runtime", "build", *flags, self.directory)
            self.assertEqual((out.returncode, out.stderr.decode()), (1, "Error: build completed but no result received\n"))
            self.assertEqual(out.stdout, b"" if flags else b"[1/14] x: y\n")

    def test_stream_error(self):
        def broken(request, context):
            yield phase(1, "x", "y")
            yield built()
            context.abort(grpc.StatusCode.INTERNAL, "joblet is gone")

        server.answers["BuildRuntime"] = broken
        self.check(["runtime", "build", self.directory], 1, out="[1/14] x: y\n",
                   err="Error: build stream error: rpc error: code = Internal desc = joblet is gone\n")
        server.answers["BuildRuntime"] = (grpc.StatusCode.PERMISSION_DENIED, "not you")
        self.check(["runtime", "build", "--json", self.directory], 1,
                   err="Error: build stream error: rpc error: code = PermissionDenied desc = not you\n")

    def test_list_is_not_permitted(self):
        """The question that goes ahead only finds out whether a server is there."""
        server.answers["ListRuntimes"] = (grpc.StatusCode.PERMISSION_DENIED, "no")
        self.answer(built())
        self.check(["runtime", "build", self.directory], out=BUILT)

    def test_absent_server(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            path = os.path.join(base.work, "absent.yml")
            stand_in.write_config(path, {"a": base.node(address="127.0.0.1:%d" % taken.getsockname()[1])})
            start = time.monotonic()
            out = rnx("--config", path, "runtime", "build", self.directory)
            self.assertTrue(9 < time.monotonic() - start < 60)
            self.assertEqual((out.returncode, out.stdout), (1, b""))
            self.assertRegex(out.stderr.decode(), r"^Error: failed to start build: rpc error: code = DeadlineExceeded desc = .+\n$")

    def test_malformed_calls(self):
        self.fails(["runtime", "build"], 2, "accepts 1 arg(s), received 0")
        self.fails(["runtime", "build", "a", "b"], 2, "accepts 1 arg(s), received 2", "rnx runtime build [flags] PATH")
        self.fails(["runtime", "build", "--fast", "a"], 2, "unknown flag: --fast")
        self.fails(["--config=/nonexistent", "runtime", "build", self.directory], 1, "client configuration file not found",)
        self.assertEqual(server.requests, [])

    def test_full_disk(self):
        self.answer(phase(1, "x", "y"), built())
        with open("/dev/full", "w") as full:
            out = subprocess.run([RNX, "runtime", "build", self.directory], stdout=full, stderr=subprocess.PIPE, cwd=base.work,
                                 env=environment())
        self.assertEqual((out.returncode, out.stderr.decode().split("\n")[0]),
                         (1, "Error: cannot write the output: No space left on device"))


class Files(Directory):
    def setUp(self):
        super().setUp()
        self.answer(built())

    def sent(self):
        request = [request for name, request, _ in server.requests if name == "BuildRuntime"][-1]
        return request.yaml_content, request.setup_script

    def test_where_it_is_read_from(self):
        self.write("runtime.yml", b"two")
        self.assertEqual(self.build().returncode, 0)
        self.assertEqual(self.sent(), ("name: gr\u00fc\u00df\n", ""))
        os.remove(os.path.join(self.directory, "runtime.yaml"))
        self.assertEqual(self.build().returncode, 0)
        self.assertEqual(self.sent(), ("two", ""))
        os.remove(os.path.join(self.directory, "runtime.yml"))
        self.fails(["runtime", "build", self.directory], 1, "failed to read runtime.yaml: ", "No such file or directory")
        self.fails(["runtime", "build", self.directory + "/none"], 1, "failed to read runtime.yaml: ")

    def test_script(self):
        script = self.write("setup.sh", b"#!/bin/bash\necho \xc3\xbc\n")
        self.assertEqual(self.build().returncode, 0)
        self.assertEqual(self.sent(), ("name: gr\u00fc\u00df\n", "#!/bin/bash\necho \u00fc\n"))
        # A file is a file, whatever lies beside it.
        self.assertEqual(rnx("runtime", "build", os.path.join(self.directory, "runtime.yaml")).returncode, 0)
        self.assertEqual(self.sent(), ("name: gr\u00fc\u00df\n", ""))
        self.write("setup.sh", b"x" * (1 << 20))
        self.assertEqual(self.build().returncode, 0)
        self.assertEqual(len(self.sent()[1]), 1 << 20)
        server.requests = []
        for data, part in ((b"a\0b", "byte 2 is a NUL character"), (b"\xff", "not UTF-8"),
                           (b"x" * (1 << 20 | 1), "larger than 1048576 bytes")):
            self.write("setup.sh", data)
            self.fails(["runtime", "build", self.directory], 1, "failed to read setup.sh: " + self.directory, part)
        os.remove(script)
        os.mkdir(script)
        self.fails(["runtime", "build", self.directory], 1, "failed to read setup.sh: ", "Is a directory")
        os.rmdir(script)
        os.symlink("setup.sh", script)
        self.fails(["runtime", "build", self.directory], 1, "failed to read setup.sh: ", "Too many levels of symbolic links")
        self.assertEqual(server.requests, [])
        # A specification that cannot be sent is said first.
        self.write("runtime.yaml", b"\0")
        self.fails(["runtime", "build", self.directory], 1, "failed to read runtime.yaml: ", "byte 1 is a NUL character")


class Endless(Directory):
    """A build that goes on until it is cancelled."""

    def setUp(self):
        super().setUp()
        self.opened, self.closed, self.go_on = threading.Event(), threading.Event(), threading.Event()

        def build(request, context):
            context.add_callback(self.closed.set)
            yield phase(7, "Install Base", "3 packages")
            yield log("info", "Unpacking libssl3 ...")
            self.opened.set()
            while not self.closed.wait(0.05):
                if self.go_on.is_set():
                    yield from self.more
                    return

        server.answers["BuildRuntime"] = build
        self.addCleanup(self.closed.set)
        self.more = [built()]

    def start(self, *words, **more):
        process = subprocess.Popen([RNX, "runtime", "build", *words, self.directory], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, cwd=base.work, env=environment(), **more)
        self.assertTrue(self.opened.wait(60))
        return process


class HeldOutput(Directory):
    """A reader that stops for longer than the server waits for a sign of life."""

    @unittest.skipIf("ASAN_OPTIONS" in os.environ, "how soon an instrumented rnx answers on a busy machine says nothing")
    def test_the_build_goes_on(self):
        impatient = stand_in.StandIn(pb2, base.pb2_grpc, base.certificates, options=[
            ("grpc.keepalive_time_ms", 1000), ("grpc.keepalive_timeout_ms", 5000), ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.max_pings_without_data", 0)])
        self.addCleanup(impatient.stop)
        ended, read = threading.Event(), threading.Event()
        self.addCleanup(read.set)

        def flood(request, context):
            context.add_callback(ended.set)
            for number in range(3000):
                yield log("info", "%05d " % number + "x" * 4000)
            read.wait(60)
            yield built()

        impatient.answers = {"BuildRuntime": flood, "ListRuntimes": pb2.ListRuntimesResponse()}
        path = os.path.join(base.work, "impatient.yml")
        stand_in.write_config(path, {"a": base.node(address="127.0.0.1:%d" % impatient.port)})
        process = subprocess.Popen([RNX, "--config", path, "runtime", "build", self.directory], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, cwd=base.work, env=environment())
        self.assertEqual(os.read(process.stdout.fileno(), 1), b"[")
        # Longer than a ping and the wait for its answer.
        self.assertFalse(ended.wait(8), "the server gave up")
        read.set()
        out, err = process.communicate(timeout=60)
        self.assertEqual((process.returncode, err), (0, b""))
        lines = ("[" + out.decode()).split("\n")
        self.assertEqual([line[7:12] for line in lines[:3000]], ["%05d" % number for number in range(3000)])
        self.assertEqual("\n".join(lines[3000:]), BUILT)


class Cancel(Endless):
    def test_interrupt(self):
        for flags in ([], ["--json"]):
            for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
                self.opened.clear()
                self.closed.clear()
                process = self.start(*flags)
                if not flags:
                    self.assertEqual(process.stdout.readline(), b"[7/14] Install Base: 3 packages\n")
                    self.assertEqual(process.stdout.readline(), b"[INFO] Unpacking libssl3 ...\n")
                process.send_signal(number)
                out, err = process.communicate(timeout=60)
                self.assertEqual((process.returncode, out, err), (status, b"", b"\nrnx: the build is cancelled\n"))
                self.assertTrue(self.closed.wait(60), "the call was not cancelled")

    def test_interrupt_before_it_has_started(self):
        asked = threading.Event()

        def never(request, context):
            asked.set()
            time.sleep(1)
            return pb2.ListRuntimesResponse()

        server.answers["ListRuntimes"] = never
        process = subprocess.Popen([RNX, "runtime", "build", self.directory], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   cwd=base.work, env=environment())
        self.assertTrue(asked.wait(60))
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        self.assertEqual((process.returncode, out, err), (130, b"", b"\nrnx: the build is cancelled\n"))
        self.assertNotIn("BuildRuntime", [name for name, _, _ in server.requests])

    def test_interrupt_while_the_reader_sleeps(self):
        def flood(request, context):
            context.add_callback(self.closed.set)
            while context.is_active():
                yield log("info", "x" * 4000)

        server.answers["BuildRuntime"] = flood
        process = subprocess.Popen([RNX, "runtime", "build", self.directory], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   cwd=base.work, env=environment())
        os.read(process.stdout.fileno(), 1)
        time.sleep(0.3)  # the pipe is full now, and rnx waits in write
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(60), 130)
        self.assertEqual(process.stderr.read(), b"\nrnx: the build is cancelled\n")
        self.assertTrue(self.closed.wait(60), "the call was not cancelled")
        process.stdout.close()
        process.stderr.close()

    def test_second_interrupt_ends_at_once(self):
        """Also where the first one cannot: standard error is a pipe that nobody reads."""
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        with self.assertRaises(BlockingIOError):
            while True:
                os.write(writer, b"x" * 65536)
        os.set_blocking(writer, True)
        process = subprocess.Popen([RNX, "runtime", "build", self.directory], stdout=subprocess.PIPE, stderr=writer,
                                   cwd=base.work, env=environment())
        os.close(writer)
        self.assertTrue(self.opened.wait(60))
        process.send_signal(signal.SIGINT)
        self.assertTrue(self.closed.wait(60), "the call was not cancelled")
        self.assertIsNone(process.poll())
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(60), -signal.SIGINT)
        process.stdout.close()
        os.close(reader)

    def test_reader_that_goes_away(self):
        def flood(request, context):
            context.add_callback(self.closed.set)
            while context.is_active():
                yield log("info", "x" * 4000)

        server.answers["BuildRuntime"] = flood
        process = subprocess.Popen([RNX, "runtime", "build", self.directory], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   cwd=base.work, env=environment())
        process.stdout.read(10)
        process.stdout.close()
        self.assertEqual(process.wait(60), -signal.SIGPIPE)
        self.assertTrue(self.closed.wait(60), "the call was not cancelled")
        self.assertEqual(process.stderr.read(), b"")
        process.stderr.close()


class Terminal(Endless):
    def begin(self, *words, width=60, **more):
        program = terminal.Program([RNX, "runtime", "build", *words, self.directory], width, cwd=base.work,
                                   env=environment(TERM="xterm", **more))
        self.addCleanup(program.close)
        return program

    def finish(self, program, status=0):
        self.go_on.set()
        self.assertEqual(program.end(), status)

    def test_live_line(self):
        program = self.begin()
        program.until(lambda screen: "Unpacking" in screen.text())
        self.assertRegex(program.screen.text(), r"\A\[7/14\] Install Base: 3 packages\n\[7/14\] Install Base \(0s\) Unpacking "
                                                r"libssl3 \.\.\.\Z")
        self.assertEqual(program.screen.column, 0)
        # The clock goes on although nothing comes.
        program.until(lambda screen: "(2s) Unpacking" in screen.text())
        self.assertEqual(len(program.screen.lines()), 2)
        self.more = [log("info", "Setting up"), log("debug", "hidden"), phase(8, "Install Packages", "pip"),
                     log("warn", "an old index"), log("info", "HIT: numpy-1.26.4"), built()]
        self.finish(program)
        self.assertEqual(program.screen.text(), """\
[7/14] Install Base: 3 packages
[8/14] Install Packages: pip
[WARN] an old index
""" + BUILT)

    def test_one_write_for_each_frame(self):
        """No frame is seen half-drawn: each begins and ends at the beginning of a line."""
        program = self.begin()
        program.until(lambda screen: "(1s)" in screen.text())
        frames = program.screen.written.decode().split("\033[K\r")
        self.assertEqual(frames.pop(), "")
        self.assertTrue(all(frame.count("\033[") <= 1 for frame in frames), frames)
        self.finish(program)

    def test_verbose(self):
        self.more = [log("debug", "shown"), log("info", "Setting up"), built()]
        program = self.begin("-v")
        self.finish(program)
        self.assertEqual(program.screen.text(), """\
[7/14] Install Base: 3 packages
[INFO] Unpacking libssl3 ...
[DEBUG] shown
[INFO] Setting up
""" + BUILT)

    def test_cut_to_the_width(self):
        program = self.begin(width=40)
        program.until(lambda screen: "Unpacking" in screen.text())
        self.assertEqual(program.screen.lines()[1:], ["[7/14] Install Base (0s) Unpacking libs"])
        self.finish(program)

    def test_wide_characters(self):
        self.more = [log("info", "\u6f22\u5b57" * 40), log("info", "e\u0301" * 99), log("info", "\U0001f5d1\ufe0f" * 50),
                     phase(9, "Post-install Hook", ""), built()]
        program = self.begin(width=61)
        self.finish(program)
        self.assertEqual(program.screen.text(), "[7/14] Install Base: 3 packages\n[9/14] Post-install Hook:\n" + BUILT)

    def test_narrower_and_wider(self):
        program = self.begin(width=60)
        program.until(lambda screen: "Unpacking" in screen.text())
        program.resize(20)
        program.until(lambda screen: screen.lines()[-1] == "[7/14] Install Base")
        self.assertEqual(program.screen.lines(), ["[7/14] Install Base:", " 3 packages", "[7/14] Install Base"])
        program.resize(100)
        program.until(lambda screen: "Unpacking libssl3 ..." in screen.text())
        self.assertEqual(len(program.screen.lines()), 3)
        program.resize(1)
        program.read(0.5)
        program.resize(80)
        self.finish(program)
        self.assertTrue(program.screen.text().endswith(BUILT))

    def test_failure_shows_the_last_lines(self):
        self.more = [log("info", "line %d" % i) for i in range(30)] + [log("error", "hook: exit status 3"),
                                                                     result(message="the hook failed")]
        program = self.begin()
        self.finish(program, 1)
        self.assertEqual(program.screen.text(), """\
[7/14] Install Base: 3 packages
[ERROR] hook: exit status 3

The log's last lines:
""" + "".join("[INFO] line %d\n" % i for i in range(10, 30)) + """
%s
BUILD FAILED
%s

Runtime:
Version:
Duration: 0ms

Error: the hook failed
Error: build failed
""" % (LINE, LINE))

    def test_stream_error(self):
        def broken(request, context):
            yield phase(1, "x", "y")
            yield log("info", "z")
            context.abort(grpc.StatusCode.UNAVAILABLE, "restarting")

        server.answers["BuildRuntime"] = broken
        program = self.begin(width=120)
        self.assertEqual(program.end(), 1)
        self.assertEqual(program.screen.text(), "[1/14] x: y\n\nThe log's last lines:\n[INFO] z\nError: build stream error: rpc error: "
                                                "code = Unavailable desc = restarting\n")

    def test_hostile_bytes(self):
        nasty = "\x1b]0;title\x07\x1b[2J\r\n\t\x7f\u009b2J\u202egnp\u2028" * 200
        self.more = [phase(8, nasty, nasty), log("info", nasty), log("warn", nasty), log(nasty, "x"), result(message=nasty)]
        program = self.begin()
        self.finish(program, 1)  # the screen knows no other sequences than rnx's own
        self.assertNotIn("\u202e", program.screen.text())
        self.assertNotIn("\u2028", program.screen.text())

    def test_interrupt(self):
        program = self.begin()
        before = program.attributes()
        program.until(lambda screen: "Unpacking" in screen.text())
        program.type(b"\x03")
        self.assertEqual(program.end(), 130)
        self.assertTrue(self.closed.wait(60), "the call was not cancelled")
        self.assertEqual(program.screen.text(), "[7/14] Install Base: 3 packages\nrnx: the build is cancelled\n")
        self.assertEqual(program.attributes(), before)

    def test_flood(self):
        """Many lines are drawn as often as eyes can follow, not each."""
        self.more = [log("info", "line %d" % i) for i in range(20000)] + [built()]
        program = self.begin()
        program.until(lambda screen: "Unpacking" in screen.text())
        start = time.monotonic()
        self.finish(program)
        frames = program.screen.written.count(b"\033[K")
        self.assertLess(frames, 25 + 25 * (time.monotonic() - start))
        self.assertTrue(program.screen.text().endswith(BUILT))

    def test_plain_where_it_cannot_live(self):
        self.more = [built()]
        for more in (dict(TERM="dumb"), dict(TERM="")):
            self.go_on.clear()
            self.closed.clear()
            program = terminal.Program([RNX, "runtime", "build", self.directory], 60, cwd=base.work, env=environment(**more))
            self.addCleanup(program.close)
            self.finish(program)
            self.assertEqual(program.screen.text(), "[7/14] Install Base: 3 packages\n[INFO] Unpacking libssl3 ...\n" + BUILT)
            self.assertNotIn(b"\x1b", program.screen.written)
            self.assertTrue(self.closed.wait(60))  # before the next build's event is looked at

    def test_json(self):
        program = terminal.Program([RNX, "--json", "runtime", "build", self.directory], 60, cwd=base.work,
                                   env=environment(TERM="xterm"))
        self.addCleanup(program.close)
        self.finish(program)
        self.assertEqual(json.loads(program.screen.text())["success"], True)


class List(Case):
    def runtimes(self):
        server.answers["ListRuntimes"] = pb2.ListRuntimesResponse(runtimes=[
            pb2.RuntimeInfo(name="python-3.11-data", language="python", version="1.0.0", description="Tables", size_bytes=1610612736,
                            packages=["numpy", "pandas"], available=True),
            pb2.RuntimeInfo(name="go", version="10.20.30-rc.1", description="d" * 46 + "\u00fc" + "d" * 3, size_bytes=12),
            pb2.RuntimeInfo(name="x", language="rust", version="1", description="e" * 50, size_bytes=1536)])

    def test_table(self):
        self.runtimes()
        self.check(["runtime", "list"], out="""\
RUNTIME           VERSION        LANGUAGE  SIZE   DESCRIPTION
-------           -------        --------  ----   -----------
python-3.11-data  1.0.0          python    1.5GB  Tables
go                10.20.30-rc.1  -         12B    %s...
x                 1              rust      1.5KB  %s

Use 'rnx runtime info <runtime>' for detailed information about a specific runtime.
""" % ("d" * 46, "e" * 50))

    def test_json(self):
        self.runtimes()
        out = rnx("runtime", "list", "--json")
        self.assertEqual(out.returncode, 0)
        self.assertTrue(out.stdout.decode().startswith("""[
  {
    "id": "python-3.11-data",
    "language": "python",
    "version": "1.0.0",
    "name": "python-3.11-data",
    "description": "Tables",
    "size_bytes": 1610612736,
    "size": "1.5GB",
    "packages": [
      "numpy",
      "pandas"
    ],
    "available": true
  },
  {
    "id": "go",
    "language": "",
"""), out.stdout.decode())
        runtimes = json.loads(out.stdout)
        self.assertEqual(list(runtimes[1]), ["id", "language", "version", "name", "description", "size_bytes", "size", "available"])
        self.assertEqual((runtimes[1]["available"], runtimes[1]["size"]), (False, "12B"))

    def test_empty(self):
        server.answers["ListRuntimes"] = pb2.ListRuntimesResponse()
        self.check(["runtime", "list"], out="No runtimes available.\n\nTo build runtimes, use: rnx runtime build <path-to-runtime.yaml>\n")
        self.check(["--json", "runtime", "list"], out="[]\n")

    def test_hostile_texts(self):
        server.answers["ListRuntimes"] = pb2.ListRuntimesResponse(runtimes=[
            pb2.RuntimeInfo(name="n\x1b[2J", language="l\n", version="v" * 100000, description="\x1b]0;x\x07" * 9)] * 3)
        out = rnx("runtime", "list").stdout.decode()
        self.assertNotIn("\x1b", out)
        self.assertEqual(out.count("\n"), 7)
        self.assertIn("n\\x1b[2J  ", out)

    def test_errors(self):
        server.answers["ListRuntimes"] = (grpc.StatusCode.PERMISSION_DENIED, "no")
        self.check(["runtime", "list"], 1, err="Error: failed to list runtimes: rpc error: code = PermissionDenied desc = no\n")
        self.fails(["runtime", "list", "x"], 2, 'unknown command "x" for "rnx runtime list"\n')


class Info(Case):
    def full(self):
        server.answers["GetRuntimeInfo"] = pb2.GetRuntimeInfoResponse(found=True, runtime=pb2.RuntimeInfo(
            name="python-3.11", language="python", language_version="3.11", version="1.2.0", description="Tables & more",
            size_bytes=157286400, packages=["numpy", "pandas"], available=True, libraries=["/usr/lib/*/libgomp.so*"],
            requirements=pb2.RuntimeRequirements(architectures=["amd64", "arm64"], gpu=True),
            environment={"B": "2", "A": "x" * 61, "C": "y" * 60, "D": "\x1b[2J"},
            build_info=pb2.RuntimeBuildInfo(built_at="2026-01-02T03:04:05Z", built_with="joblet-builder", platform="debian-amd64",
                                            build_id="1b4e28ba-2fa1-11d2-883f-b9a761bde3fb"),
            original_yaml="name: python-3.11\n"))

    def test_text(self):
        self.full()
        for verb in ("info", "status"):
            server.requests = []
            self.check(["runtime", verb, "python-3.11@1.2.0"], out="""\
Runtime: python-3.11
Version: 1.2.0
Requested Version: 1.2.0
Description: Tables & more

Language: python 3.11
Size: 150.0MB

Requirements:
  GPU: Required
  Architectures: amd64, arm64

Pre-installed Packages:
  - numpy
  - pandas

Library Patterns:
  - /usr/lib/*/libgomp.so*

Environment Variables:
  A=%s...
  B=2
  C=%s
  D=\\x1b[2J

Build Info:
  Built: 2026-01-02T03:04:05Z
  Platform: debian-amd64
  Build ID: 1b4e28ba-2fa1-11d2-883f-b9a761bde3fb

Usage:
  rnx job run --runtime=python-3.11@1.2.0 <command>
""" % ("x" * 57, "y" * 60))
            self.assertEqual(self.request("GetRuntimeInfo"), pb2.GetRuntimeInfoRequest(runtime="python-3.11@1.2.0"))

    def test_short(self):
        server.answers["GetRuntimeInfo"] = pb2.GetRuntimeInfoResponse(found=True, runtime=pb2.RuntimeInfo(
            name="a", version="1.0.0", build_info=pb2.RuntimeBuildInfo(), requirements=pb2.RuntimeRequirements()))
        for spec in ("a", "a@latest"):
            self.check(["runtime", "info", spec], out="Runtime: a\nVersion: 1.0.0\nDescription: \n\nUsage:\n  rnx job run --runtime=%s "
                                                      "<command>\n" % spec)

    def test_json(self):
        self.full()
        self.check(["runtime", "info", "--json", "python-3.11"], out="""{
  "build_info": {
    "built_at": "2026-01-02T03:04:05Z",
    "built_with": "joblet-builder",
    "platform": "debian-amd64",
    "build_id": "1b4e28ba-2fa1-11d2-883f-b9a761bde3fb"
  },
  "description": "Tables \\u0026 more",
  "environment": {
    "A": "%s",
    "B": "2",
    "C": "%s",
    "D": "\\u001b[2J"
  },
  "language": "python",
  "language_version": "3.11",
  "libraries": [
    "/usr/lib/*/libgomp.so*"
  ],
  "name": "python-3.11",
  "original_yaml": "name: python-3.11\\n",
  "packages": [
    "numpy",
    "pandas"
  ],
  "requirements": {
    "architectures": [
      "amd64",
      "arm64"
    ],
    "gpu": true
  },
  "size": "150.0MB",
  "size_bytes": 157286400,
  "usage": "rnx job run --runtime=python-3.11@latest \\u003ccommand\\u003e",
  "version": "1.2.0"
}
""" % ("x" * 61, "y" * 60))
        server.answers["GetRuntimeInfo"] = pb2.GetRuntimeInfoResponse(found=True, runtime=pb2.RuntimeInfo(name="a", version="1.0.0"))
        answer = json.loads(rnx("--json", "runtime", "status", "a@1.0.0").stdout)
        self.assertEqual(answer, dict(description="", environment=None, language="", language_version="", libraries=None, name="a",
                                      packages=None, size="0B", size_bytes=0, usage="rnx job run --runtime=a@1.0.0 <command>",
                                      version="1.0.0"))

    def test_sbom(self):
        sbom = '{\n\t"spdxVersion": "SPDX-2.3",\n  "name": "\u00fc\u007f"\n}'
        self.full()
        server.answers["GetRuntimeInfo"].sbom = sbom
        for flags in (["--sbom"], ["--sbom", "--json"]):
            server.requests = []
            self.check(["runtime", "info", *flags, "python-3.11"], out=sbom + "\n")
            self.assertEqual(self.request("GetRuntimeInfo"), pb2.GetRuntimeInfoRequest(runtime="python-3.11", with_sbom=True))
        server.answers["GetRuntimeInfo"].sbom = sbom + "\n"
        self.check(["runtime", "status", "--sbom", "python-3.11"], out=sbom + "\n")
        program = terminal.Program([RNX, "runtime", "info", "--sbom", "python-3.11"], 60, cwd=base.work, env=environment(TERM="xterm"))
        self.addCleanup(program.close)
        self.assertEqual(program.end(), 0)
        self.assertIn('\\t"spdxVersion"', program.screen.text())
        server.answers["GetRuntimeInfo"].sbom = ""
        self.check(["runtime", "info", "--sbom", "python-3.11"], 1,
                   err="Error: the server has no bill of materials of runtime python-3.11\n")

    def test_not_found(self):
        server.answers["GetRuntimeInfo"] = pb2.GetRuntimeInfoResponse()
        self.check(["runtime", "info", "nope"], 1, err="Error: runtime not found: nope\n")
        self.check(["runtime", "info", "--json", "nope@1.0.0"], 1, err="Error: runtime not found: nope@1.0.0\n")
        server.answers["GetRuntimeInfo"] = pb2.GetRuntimeInfoResponse(found=True)
        self.check(["runtime", "info", "nope"], 1, err="Error: runtime not found: nope\n")

    def test_malformed_specs(self):
        for spec in ("", "A", "-a", "a@", "a@1", "a@1.0", "a@1.0.0@2", "a b", "../a", "a:", "a@1.0.0-", "\u00fc", "a" * 257):
            self.assertRegex(self.fails(["runtime", "info", "--", spec], 1), r"^Error: invalid runtime specification: .+\n$")
        self.assertEqual(server.requests, [])
        server.answers["GetRuntimeInfo"] = pb2.GetRuntimeInfoResponse()
        for spec in ("a", "9.x-y", "a@latest", "a@1.0.0-rc.1+b", "python:3.11"):
            self.check(["runtime", "info", spec], 1, err="Error: runtime not found: %s\n" % spec)

    def test_errors(self):
        server.answers["GetRuntimeInfo"] = (grpc.StatusCode.INTERNAL, "no")
        self.check(["runtime", "info", "a"], 1, err="Error: failed to get runtime info: rpc error: code = Internal desc = no\n")
        self.fails(["runtime", "info"], 2, "accepts 1 arg(s), received 0")


class Test(Case):
    def test_passed(self):
        server.answers["TestRuntime"] = pb2.TestRuntimeResponse(success=True, output="Python 3.11.2\n3 files \x1b[2J\n")
        self.check(["runtime", "test", "python-3.11"], out="""\
Testing runtime: python-3.11
Runtime test passed
Output: Python 3.11.2
  3 files \\x1b[2J

To test the runtime in a job:
  rnx job run --runtime=python-3.11 echo 'Runtime available'
""")
        self.assertEqual(self.request("TestRuntime"), pb2.TestRuntimeRequest(runtime="python-3.11"))
        server.answers["TestRuntime"] = pb2.TestRuntimeResponse(success=True)
        self.assertNotIn("Output", rnx("runtime", "test", "a").stdout.decode())

    def test_failed(self):
        server.answers["TestRuntime"] = pb2.TestRuntimeResponse(error="/usr/bin/python3: changed", exit_code=3)
        self.check(["runtime", "test", "a@1.0.0"], 1, err="Error: runtime test failed\n", out="""\
Testing runtime: a@1.0.0
\u2717 Runtime test failed
Error: /usr/bin/python3: changed
Exit code: 3
""")

    def test_json(self):
        server.answers["TestRuntime"] = pb2.TestRuntimeResponse(success=True, output="Python\n")
        self.check(["--json", "runtime", "test", "a"],
                   out='{\n  "runtime": "a",\n  "success": true,\n  "output": "Python\\n",\n  "exit_code": 0\n}\n')
        server.answers["TestRuntime"] = pb2.TestRuntimeResponse(error="e", exit_code=1)
        self.check(["runtime", "test", "--json", "a"], 1, err="Error: runtime test failed\n",
                   out='{\n  "runtime": "a",\n  "success": false,\n  "error": "e",\n  "exit_code": 1\n}\n')

    def test_deadline(self):
        left = []

        def answer(request, context):
            left.append(context.time_remaining())
            return pb2.TestRuntimeResponse(success=True)

        server.answers["TestRuntime"] = answer
        for flags in ([], ["--timeout=5m"], ["--timeout", "90s"]):
            self.assertEqual(rnx("runtime", "test", *flags, "a").returncode, 0)
        for seconds, wanted in zip(left, (30, 300, 90)):
            self.assertTrue(wanted - 25 < seconds <= wanted + 0.5, left)
        for value in ("x", "0", "0s", "-1s", "5"):
            self.fails(["runtime", "test", "--timeout=" + value, "a"], 2, 'invalid value "%s" for --timeout' % value)

    def test_too_late(self):
        server.answers["TestRuntime"] = lambda request, context: time.sleep(1) or pb2.TestRuntimeResponse()
        out = rnx("runtime", "test", "--timeout=200ms", "a")
        self.assertEqual((out.returncode, out.stdout), (1, b"Testing runtime: a\n"))
        # The text is the server's or ours: both keep the deadline.
        self.assertRegex(out.stderr.decode(), r"^Error: failed to test runtime: rpc error: code = DeadlineExceeded desc = .+\n$")

    def test_error(self):
        server.answers["TestRuntime"] = (grpc.StatusCode.NOT_FOUND, "runtime a is not there")
        self.check(["runtime", "test", "a"], 1, out="Testing runtime: a\n",
                   err="Error: failed to test runtime: rpc error: code = NotFound desc = runtime a is not there\n")


class Remove(Case):
    def test_removed(self):
        server.answers["RemoveRuntime"] = pb2.RemoveRuntimeResponse(success=True, message="2 versions removed",
                                                                    freed_space_bytes=1610612736)
        self.check(["runtime", "remove", "python-3.11"], out="""\
\U0001f5d1\ufe0f  Removing runtime: python-3.11
Runtime removed successfully
Message: 2 versions removed
Freed space: 1.5GB
""")
        self.assertEqual(self.request("RemoveRuntime"), pb2.RemoveRuntimeRequest(runtime="python-3.11"))
        server.answers["RemoveRuntime"] = pb2.RemoveRuntimeResponse(success=True)
        self.check(["runtime", "remove", "a"], out="\U0001f5d1\ufe0f  Removing runtime: a\nRuntime removed successfully\n")

    def test_refused(self):
        server.answers["RemoveRuntime"] = pb2.RemoveRuntimeResponse(message="in use by job 1b4e28ba", freed_space_bytes=1)
        self.check(["runtime", "remove", "a@1.0.0"], 1, err="Error: runtime removal failed\n", out="""\
\U0001f5d1\ufe0f  Removing runtime: a@1.0.0
Failed to remove runtime
Error: in use by job 1b4e28ba
""")

    def test_json(self):
        server.answers["RemoveRuntime"] = pb2.RemoveRuntimeResponse(success=True, message="gone", freed_space_bytes=5)
        self.check(["--json", "runtime", "remove", "a"],
                   out='{\n  "runtime": "a",\n  "success": true,\n  "message": "gone",\n  "freed_space_bytes": 5\n}\n')
        server.answers["RemoveRuntime"] = pb2.RemoveRuntimeResponse(message="in use")
        self.check(["--json", "runtime", "remove", "a"], 1, err="Error: runtime removal failed\n",
                   out='{\n  "runtime": "a",\n  "success": false,\n  "message": "in use"\n}\n')

    def test_errors(self):
        first = "\U0001f5d1\ufe0f  Removing runtime: a\n"
        server.answers["RemoveRuntime"] = (grpc.StatusCode.PERMISSION_DENIED, "no")
        self.check(["runtime", "remove", "a"], 1, out=first,
                   err="Error: failed to remove runtime: rpc error: code = PermissionDenied desc = no\n")
        server.answers["RemoveRuntime"] = (grpc.StatusCode.DEADLINE_EXCEEDED, "late")
        self.check(["runtime", "remove", "a"], 1, out=first,
                   err="Error: timeout while removing runtime a: server may still be processing the request\n")
        self.fails(["runtime", "remove"], 2, "accepts 1 arg(s), received 0")

    def test_deadlines(self):
        left = {}

        def answer(name, message):
            def timed(request, context):
                left[name] = context.time_remaining()
                return message
            return timed

        server.answers = {"RemoveRuntime": answer("remove", pb2.RemoveRuntimeResponse(success=True)),
                          "ListRuntimes": answer("list", pb2.ListRuntimesResponse()),
                          "GetRuntimeInfo": answer("info", pb2.GetRuntimeInfoResponse())}
        rnx("runtime", "remove", "a")
        rnx("runtime", "list")
        rnx("runtime", "info", "a")
        self.assertEqual(sorted(left), ["info", "list", "remove"])
        for seconds in left.values():
            self.assertTrue(10.5 < seconds <= 30.5, left)


class Help(Case):
    def test_help(self):
        out = rnx("runtime").stdout.decode()
        for verb in ("build", "validate", "list", "info", "status", "test", "remove"):
            self.assertIn("runtime " + verb, out)
            self.assertEqual(rnx("help", "runtime", verb).stdout, rnx("runtime", verb, "--help").stdout)
        self.assertIn("--dry-run", rnx("help", "runtime", "build").stdout.decode())
        self.assertIn("--runtime NAME[@VERSION]", rnx("help", "job", "run").stdout.decode())
        self.fails(["runtime", "bulid", "x"], 2, 'unknown command "bulid" for "rnx runtime"', "rnx runtime build")
        self.fails(["runtime", "install", "x"], 2, 'unknown command "install" for "rnx runtime"')


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[3:], verbosity=2)
