"""What joblet-api says for the audit log, with a stand-in for joblet (standin.py) that keeps it. Run as root:
test_audit.py JOBLET_API PROTO_DIRECTORY [unittest arguments]"""

import concurrent.futures
import contextlib
import hashlib
import os
import socket
import ssl
import sys
import threading
import time
import unittest

import grpc

import test_api
from test_api import pb

import joblet_ext_pb2 as ext
import joblet_ext_pb2_grpc as ext_rpc

CANARY = "geheim-canary-7"


class Case(test_api.Builds):
    """With no test of its own."""

    def records(self, **fields):
        return [record for record in list(self.joblet.audit)
                if all(record.get(name) == value for name, value in fields.items())]

    def results(self, action):
        return [record["result"] for record in self.records(action=action)]

    def one(self, **fields):
        found = self.records(**fields)
        self.assertEqual(len(found), 1, (fields, self.joblet.audit))
        return found[0]

    def eventually(self, condition):
        deadline = time.monotonic() + 30
        while not condition():
            self.assertLess(time.monotonic(), deadline, self.joblet.audit)
            time.sleep(0.005)

    def tearDown(self):
        for record in self.joblet.audit:
            self.assertNotIn(CANARY, str(record))
            # Who it was stands in each of them.
            self.assertRegex(record["address"], r"^127\.0\.0\.1:\d+$")
            self.assertRegex(record["certificate"], "^[0-9a-f]{64}$")
            self.assertRegex(record["serial"], "^[0-9A-F]+$")
            self.assertTrue(record["user"] and record["role"] and record["method"] and record["call"])
        self.assertNotIn("AddressSanitizer", self.joblet.log_text())


for name in [name for name in dir(test_api.Builds) if name.startswith("test_")]:
    setattr(Case, name, None)


class Jobs(Case):
    def test_run(self):
        answer = self.client("developer").run(
            "out:x", "exit:3", "--password", CANARY, "A_TOKEN=" + CANARY, "https://u:%s@host/" % CANARY, "two words",
            environment={"A": CANARY + "-plain", "B_TOKEN": CANARY + "-b"}, secret_environment={"S": CANARY + "-s"},
            max_cpu=150, work_dir="/work/sub", timeout="1m")
        self.assertEqual([record["result"] for record in self.joblet.audit], ["intent", "ok"])
        intent, result = self.joblet.audit
        for record in (intent, result):
            self.assertEqual((record["action"], record["method"], record["job"]),
                             ("job.run", "/joblet.JobService/RunJob", answer.job_uuid))
            self.assertEqual((record["user"], record["role"]), ("developer-client", "developer"))
        self.assertEqual(intent["call"], result["call"])
        with open(os.path.join(self.joblet.pems, "developer.crt"), encoding="ascii") as file:
            certificate = ssl.PEM_cert_to_DER_cert(file.read())
        self.assertEqual(intent["certificate"], hashlib.sha256(certificate).hexdigest())
        self.assertEqual(intent["command"],
                         "steps out:x exit:3 --password *** A_TOKEN=*** https://***@host/ 'two words'")
        self.assertEqual((intent["arguments"], intent["work_dir"], intent["timeout"], intent["max_cpu"]),
                         ("7", "/work/sub", "1m", "150"))
        self.assertEqual((intent["environment"], intent["secret_environment"]), ("A,B_TOKEN", "S"))
        self.assertNotIn("command", result)
        self.admin.wait(answer.job_uuid)

    def test_a_known_secret_is_hidden_wherever_it_stands(self):
        self.admin.run("out:" + CANARY + "x", "exit:0", secret_environment={"S": CANARY})
        self.assertEqual(self.records(result="intent")[0]["command"], "steps out:***x exit:0")
        self.joblet.fail_start = (5, 2, b"exec of " + CANARY.encode() + b": no")
        self.refused(grpc.StatusCode.INTERNAL, self.admin.run, "exit:0", secret_environment={"S": CANARY})
        self.assertIn("exec of ***: no", self.one(result="failed")["error"])

    def test_order(self):
        """Nothing is started before its intent is in the log, and nobody answered before the result is."""
        held, seen = threading.Event(), []

        def hold(record):
            seen.append((record["result"], len(self.joblet.jobs), call.done() if call else False))
            held.wait(30) if record["result"] == "intent" else None

        call = None
        self.joblet.fail_audit = hold
        call = self.admin.jobs.RunJob.future(pb.RunJobRequest(command="steps", args=["exit:0"]))
        self.eventually(lambda: seen)
        time.sleep(0.1)  # the row is stored meanwhile
        self.assertEqual((len(self.joblet.jobs), call.done()), (0, False))
        held.set()
        call.result(30)
        self.assertEqual(seen, [("intent", 0, False), ("ok", 1, False)])

    def test_refused(self):
        reader = self.client("reader")
        self.refused(grpc.StatusCode.PERMISSION_DENIED, reader.run, "x", environment={"X_TOKEN": CANARY})
        record = self.one(result="refused")
        self.assertEqual((record["action"], record["user"], record["role"], record["status"]),
                         ("job.run", "reader-client", "reader", "PermissionDenied"))
        self.assertEqual(record["error"], "role reader is not allowed to perform operation run_job")
        self.refused(grpc.StatusCode.PERMISSION_DENIED, self.client("none").list)
        self.assertEqual(self.one(action="job.list")["role"], "unknown")
        self.refused(grpc.StatusCode.INVALID_ARGUMENT, self.admin.run, "x", max_memory=-1)
        self.refused(grpc.StatusCode.INVALID_ARGUMENT, self.admin.run, "x", work_dir="A_SECRET=" + CANARY)
        self.refused(grpc.StatusCode.FAILED_PRECONDITION, self.admin.run, "x", volumes=["v"])
        self.refused(grpc.StatusCode.NOT_FOUND, self.admin.run, "x", runtime="nothing")
        refused = self.records(action="job.run", user="admin-client")
        self.assertEqual([(one["result"], one["status"]) for one in refused],
                         [("refused", "InvalidArgument")] * 2 + [("refused", "FailedPrecondition"), ("refused", "NotFound")])
        self.assertEqual(refused[0]["error"], "max_memory must not be negative: -1")
        self.assertEqual((refused[2]["volumes"], refused[2]["command"], refused[3]["runtime"]), ("v", "steps x", "nothing"))
        self.refused(grpc.StatusCode.UNIMPLEMENTED, self.admin.jobs.CancelJob, pb.CancelJobRequest(uuid="x"), timeout=10)
        self.assertEqual(self.results("job.cancel"), ["refused"])
        raw = self.admin.channel.unary_unary("/joblet.JobService/StopJob", request_serializer=lambda data: data,
                                             response_deserializer=lambda data: data)
        self.refused(grpc.StatusCode.INVALID_ARGUMENT, raw, b"\xff", timeout=10)
        self.refused(grpc.StatusCode.NOT_FOUND, self.admin.stop, "0123abcd")
        self.assertEqual([(one["result"], one.get("job")) for one in self.records(action="job.stop")],
                         [("refused", None), ("refused", "0123abcd")])

    def test_reads_are_not_recorded(self):
        uuid = self.admin.run("exit:0").job_uuid
        before = len(self.joblet.audit)
        self.admin.wait(uuid)
        self.admin.list()
        list(self.admin.logs(uuid))
        self.refused(grpc.StatusCode.NOT_FOUND, self.admin.status, "0123abcd")
        self.assertEqual(len(self.joblet.audit), before)

    def test_stop_and_delete(self):
        uuid = self.admin.run("wait").job_uuid
        self.refused(grpc.StatusCode.FAILED_PRECONDITION, self.admin.delete, uuid)
        self.assertEqual(self.results("job.delete"), ["refused"])
        self.admin.stop(uuid)
        self.assertEqual(self.results("job.stop"), ["intent", "ok"])
        self.refused(grpc.StatusCode.FAILED_PRECONDITION, self.admin.stop, uuid)
        self.admin.delete(uuid)
        self.assertEqual(self.results("job.delete"), ["refused", "intent", "ok"])
        self.assertTrue(all(one["job"] == uuid for one in self.joblet.audit))
        self.admin.wait(self.admin.run("exit:0").job_uuid)
        self.admin.jobs.DeleteAllJobs(pb.DeleteAllJobsRequest(), timeout=10)
        self.assertEqual(self.results("job.delete-all"), ["intent", "ok"])
        self.assertEqual(self.records(action="job.delete-all")[1]["message"], "deleted 1 jobs, skipped 0")

    def test_clients_that_go(self):
        call = self.admin.jobs.RunJob.future(pb.RunJobRequest(command="steps", args=["wait"]))
        self.eventually(lambda: self.joblet.jobs)
        call.cancel()
        (uuid,) = self.joblet.jobs
        self.eventually(lambda: len(self.records(action="job.run")) == 2)
        # Whether the answer was on its way already, nobody knows.
        self.assertIn(self.results("job.run")[1], ("ok", "cancelled"))
        held = threading.Event()
        self.joblet.fail_audit = lambda record: held.wait(30) and None
        call = self.admin.jobs.StopJob.future(pb.StopJobRequest(uuid=uuid))
        time.sleep(0.05)
        call.cancel()
        time.sleep(0.05)
        held.set()
        self.assertEqual(self.admin.wait(uuid).status, "STOPPED")
        self.assertEqual(self.results("job.stop"), ["intent", "cancelled"])


class Search(Case):
    """AuditService: what stands in the log."""

    def setUp(self):
        super().setUp()
        self.audit = ext_rpc.AuditServiceStub(self.admin.channel)

    def list(self, **fields):
        return self.audit.ListRecords(ext.ListRecordsRequest(**fields), timeout=20)

    def get(self, sequence):
        return self.audit.GetRecord(ext.GetRecordRequest(sequence=sequence), timeout=20)

    def test_list_and_get(self):
        self.assertEqual(len(self.list().records), 0)
        uuid = self.admin.run("out:ü\"\\", "exit:0").job_uuid
        self.admin.run("exit:0")
        self.refused(grpc.StatusCode.PERMISSION_DENIED, self.client("reader").run, "x")
        answer = self.list()
        self.assertEqual([one.sequence for one in answer.records], [1, 2, 3, 4, 5])
        self.assertFalse(answer.truncated)
        with open(os.path.join(self.joblet.audit_directory, "%020d.jsonl" % 1), encoding="utf-8") as file:
            self.assertEqual([one.line + "\n" for one in answer.records], file.readlines())
        first = {field.name: field.value for field in answer.records[0].fields}
        self.assertEqual((first["seq"], first["command"], first["job"]), ("1", "steps 'out:ü\"\\' exit:0", uuid))
        self.assertLess(abs(answer.records[0].time - time.time_ns()), 60 * 10**9)

        def found(**fields):
            return [one.sequence for one in self.list(**fields).records]

        self.assertEqual(found(job=uuid[:8]), [1, 2])
        self.assertEqual(found(user="reader-client"), [5])
        self.assertEqual((found(result="ok"), found(action="job.*"), found(action="job.stop")), ([2, 4], [1, 2, 3, 4, 5], []))
        self.assertEqual(found(since=answer.records[2].time), [3, 4, 5])
        self.assertEqual(found(until=answer.records[2].time), [1, 2, 3])
        newest = self.list(limit=2)
        self.assertEqual(([one.sequence for one in newest.records], newest.truncated), ([4, 5], True))
        self.assertEqual(self.get(3), answer.records[2])
        self.assertIn("no record 6", self.refused(grpc.StatusCode.NOT_FOUND, self.get, 6))
        # Reading leaves no trace, being refused does.
        self.assertEqual(len(self.joblet.audit), 5)
        for name in ("reader", "developer", "maintainer"):
            stub = ext_rpc.AuditServiceStub(self.client(name).channel)
            self.refused(grpc.StatusCode.PERMISSION_DENIED, stub.ListRecords, ext.ListRecordsRequest(), timeout=10)
            self.refused(grpc.StatusCode.PERMISSION_DENIED, stub.GetRecord, ext.GetRecordRequest(sequence=1), timeout=10)
        self.assertEqual([one["action"] for one in self.joblet.audit[5:]], ["audit.list", "audit.show"] * 3)
        for fields in (dict(limit=-1), dict(limit=1001), dict(since=-1), dict(user="x" * 257)):
            self.refused(grpc.StatusCode.INVALID_ARGUMENT, self.list, **fields)
        self.refused(grpc.StatusCode.INVALID_ARGUMENT, self.get, 0)
        self.refused(grpc.StatusCode.INVALID_ARGUMENT, self.get, -1)

    def test_stays_below_what_clients_take(self):
        for _ in range(400):
            self.joblet.audit.append({})
            self.joblet.write_audit({"action": "job.run", "command": "x" * 16000})
        self.joblet.audit.clear()
        answer = self.list(limit=1000)
        self.assertTrue(answer.truncated)
        self.assertEqual(answer.records[-1].sequence, 400)
        self.assertGreater(len(answer.records), 100)
        self.assertLess(answer.ByteSize(), 4 << 20)
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            sizes = {len(answer.records) for answer in pool.map(lambda _: self.list(limit=10), range(16))}
        self.assertEqual(sizes, {10})
        calls = [self.audit.ListRecords.future(ext.ListRecordsRequest(limit=1000)) for _ in range(8)]
        for call in calls:
            call.cancel()
        self.assertEqual(len(self.list(limit=1).records), 1)


class Strangers(Case):
    def test_recorded(self):
        """Without a certificate of ours; those that come fast are counted."""
        for _ in range(20):
            context = ssl.create_default_context(cafile=os.path.join(self.joblet.pems, "ca.crt"))
            context.set_alpn_protocols(["h2"])
            with socket.create_connection(("127.0.0.1", self.joblet.port)) as raw:
                with contextlib.suppress(OSError):
                    with context.wrap_socket(raw, server_hostname="joblet") as tls:
                        tls.recv(1)
        self.eventually(lambda: sum(1 + int(one.get("further", 0)) for one in self.joblet.audit) == 20)
        for record in self.joblet.audit:
            self.assertEqual((record["action"], record["result"], record["error"]),
                             ("connection.refuse", "refused", "no certificate"))
            self.assertRegex(record["address"], r"^127\.0\.0\.1:\d+$")
        self.joblet.audit.clear()


class Unwritable(Case):
    """What cannot be recorded is not done, or not confirmed."""
    FAIL = (28, 0, b"no space for " + CANARY.encode()[:0] + b"records")

    def test_jobs(self):
        ended = self.admin.run("exit:0").job_uuid
        running = self.admin.run("wait").job_uuid
        self.admin.wait(ended)
        before = len(self.joblet.audit)
        self.joblet.fail_audit = self.FAIL
        for call in (lambda: self.admin.run("exit:0"), lambda: self.admin.stop(running), lambda: self.admin.delete(ended),
                     lambda: self.admin.jobs.DeleteAllJobs(pb.DeleteAllJobsRequest(), timeout=10)):
            details = self.refused(grpc.StatusCode.UNAVAILABLE, call)
            self.assertIn("nothing was done, because the audit log cannot be written: no space for records", details)
        # Also what is refused anyway.
        self.refused(grpc.StatusCode.UNAVAILABLE, self.client("reader").run, "x")
        self.refused(grpc.StatusCode.UNAVAILABLE, self.admin.run, "x", max_memory=-1)
        self.assertEqual((len(self.joblet.jobs), self.joblet.jobs[running].signals, self.joblet.ids_removed), (2, [], []))
        self.assertEqual(len(self.joblet.audit), before)
        newest = self.admin.list().jobs[0]
        self.assertEqual((newest.status, newest.end_reason), ("FAILED", "setup failure"))
        self.assertIn("the audit log cannot be written", newest.error)
        self.joblet.fail_audit = None
        self.assertEqual(self.admin.stop(running).status, "STOPPED")

    def test_results(self):
        self.joblet.fail_audit = lambda record: self.FAIL if record["result"] != "intent" else None
        details = self.refused(grpc.StatusCode.UNAVAILABLE, self.admin.run, "exit:0")
        self.assertIn("it was done, but the audit log cannot be written: no space", details)
        (uuid,) = self.joblet.jobs
        self.assertEqual(self.admin.wait(uuid).status, "COMPLETED")

    def test_builds(self):
        self.joblet.fail_audit = self.FAIL
        _, _, result = self.build(client=self.client("maintainer"))
        self.assertFalse(result.success)
        self.assertIn("the audit log cannot be written", result.message)
        self.assertFalse(self.joblet.jobs)
        self.joblet.fail_audit = lambda record: self.FAIL if record["result"] != "intent" else None
        _, _, result = self.build(client=self.client("maintainer"))
        self.assertEqual((result.success, len(self.joblet.published)), (False, 1))
        self.assertIn("the audit log cannot be written: no space for records; the runtime was built", result.message)
        self.joblet.fail_audit = self.FAIL
        self.refused(grpc.StatusCode.UNAVAILABLE, self.admin.runtimes.RemoveRuntime,
                     pb.RemoveRuntimeRequest(runtime="a"), timeout=10)
        self.refused(grpc.StatusCode.UNAVAILABLE, self.admin.runtimes.TestRuntime,
                     pb.TestRuntimeRequest(runtime="a"), timeout=10)
        self.assertTrue(os.path.isdir(self.joblet.runtimes + "/a/1.0.0"))
        self.nothing_left()

    def test_joblet_goes(self):
        held = threading.Event()
        self.joblet.fail_audit = lambda record: held.wait(30) and None
        call = self.admin.jobs.RunJob.future(pb.RunJobRequest(command="steps", args=["exit:0"]))
        time.sleep(0.1)
        self.joblet.channel.shutdown(2)
        self.assertEqual(call.exception(30).code(), grpc.StatusCode.UNAVAILABLE)
        held.set()


class Builds(Case):
    settings = dict(build_environment=["HTTPS_PROXY=http://user:%s@proxy:3128" % CANARY])

    def test_a_build(self):
        text = self.PYTHON.replace("{A: b,", "{A: b, MY_VALUE: %s-v," % CANARY)
        text += "hooks: {pre_install: 'X_TOKEN=%s true'}\n" % CANARY
        self.assertTrue(self.build(text, self.client("maintainer"))[2].success)
        intent, result = self.records(action="runtime.build")
        build, = {job.uuid for job in self.joblet.jobs.values() if job.type == 2}
        for record in (intent, result):
            self.assertEqual((record["user"], record["role"], record["runtime"], record["job"]),
                             ("maintainer-client", "maintainer", "a@1.0.0", build))
            self.assertRegex(record["specification"], "^[0-9a-f]{64}$")
            self.assertEqual(record["fingerprint"], bytes(range(32)).hex())
        self.assertEqual((intent["result"], intent["language"], intent["language_version"], intent["hooks"]),
                         ("intent", "python", "3.11", "pre_install"))
        self.assertEqual((intent["pip"], intent["npm"]), ("requests,numpy==1.26.4", "typescript"))
        self.assertEqual((result["result"], result["outcome"], result["manifest"]), ("ok", "success", "ab" * 32))
        self.assertEqual((result["files_count"], result["bytes_count"]), ("1234", "5678901"))
        for number, name in enumerate(self.NAMES, 1):
            self.assertRegex(result["phase_%02d" % number], "^%s: done, [0-9]+ ms$" % name)
        self.assertTrue(result["begin"] and result["duration_ms"] and result["host"])
        # Once more: nothing runs, so there is nothing to announce.
        self.build(text, self.client("maintainer"))
        self.assertEqual([(one["result"], one["outcome"]) for one in self.records(action="runtime.build")[2:]],
                         [("ok", "unchanged")])

    def test_failures(self):
        text = self.LEAST + "environment: {MY_VALUE: %s-v}\n" % CANARY
        self.joblet.builder = {"fail": ("base", 1, "E: %s-v and http://user:%s@proxy:3128 and B_KEY=%s" % ((CANARY,) * 3))}
        self.assertFalse(self.build(text)[2].success)
        result = self.records(action="runtime.build")[1]
        self.assertEqual((result["result"], result["outcome"]), ("failed", "failed"))
        self.assertIn("step 'base' exited with 1", result["error"])
        self.assertRegex(result["phase_07"], "^Install Base: failed, ")
        self.assertEqual(result["host"], "unchanged")
        self.assertEqual((result["changed"], result["changed_count"]), ("added step:base /srv/x", "1"))
        self.joblet.builder = {"lines": ["host-changed /etc/passwd", "count host-changed 1", "stray /home/x", "count stray 1"]}
        self.build()
        result = self.records(action="runtime.build")[3]
        self.assertEqual((result["result"], result["host"], result["host_changed"], result["stray"], result["stray_count"]),
                         ("failed", "changed during the build: 1 files", "/etc/passwd", "/home/x", "1"))
        self.joblet.builder = {}
        self.joblet.host_error = (16, 0, b"the package database is locked")
        self.build()
        result = self.records(action="runtime.build")[4]
        self.assertEqual(result["result"], "refused")
        self.assertIn("the package database is locked", result["error"])
        self.build("schema_version: '1.0'\n")
        self.assertEqual(self.results("runtime.build")[5:], ["refused"])
        self.assertIn("errors", self.records(action="runtime.build")[5]["error"])
        self.refused(grpc.StatusCode.PERMISSION_DENIED, self.build, self.LEAST, self.client("developer"))
        self.assertEqual(self.results("runtime.build")[6:], ["refused"])

    def test_cancelled(self):
        self.joblet.builder = {"hold": "base"}
        stream = self.stream()
        next(stream)
        self.eventually(lambda: self.joblet.jobs)
        stream.cancel()
        self.eventually(lambda: len(self.records(action="runtime.build")) == 2)
        self.assertEqual(self.results("runtime.build"), ["intent", "cancelled"])
        self.assertEqual(self.records(result="cancelled")[0]["error"], "cancelled: the client ended the call")
        self.nothing_left()

    def test_killed(self):
        """The next process says what became of it."""
        self.joblet.builder = {"hold": "base"}
        stream = self.stream(client=self.client("maintainer"))
        next(stream)
        self.eventually(lambda: self.joblet.jobs)
        self.joblet.kill()
        self.assertRaises(grpc.RpcError, list, stream)
        self.restart()
        self.eventually(lambda: len(self.records(action="runtime.build")) == 2)
        intent, end = self.records(action="runtime.build")
        for name in ("user", "role", "job", "runtime", "specification"):
            self.assertEqual(intent[name], end[name])
        self.assertEqual((intent["result"], end["result"], end["error"]), ("intent", "failed", "joblet-api was restarted"))
        self.joblet.audit.remove(end)  # it does not know from where the client came

    def test_validate(self):
        request = pb.ValidateRuntimeYAMLRequest(yaml_content=self.LEAST)
        self.assertTrue(self.admin.runtimes.ValidateRuntimeYAML(request, timeout=20).valid)
        self.assertEqual([(one["result"], one.get("dry_run")) for one in self.records(action="runtime.validate")],
                         [("intent", "yes"), ("ok", None)])
        request = pb.ValidateRuntimeYAMLRequest(yaml_content="x")
        self.assertFalse(self.admin.runtimes.ValidateRuntimeYAML(request, timeout=20).valid)
        self.assertEqual(self.results("runtime.validate")[2:], ["refused"])

    def test_runtimes(self):
        self.build()
        self.joblet.audit.clear()
        answer = self.admin.runtimes.TestRuntime(pb.TestRuntimeRequest(runtime="a"), timeout=20)
        self.assertTrue(answer.success)
        intent, result = self.records(action="runtime.test")
        self.assertEqual((intent["result"], intent["runtime"], result["result"], result["runtime"]),
                         ("intent", "a@1.0.0", "ok", "a@1.0.0"))
        self.assertIn(result["job"], self.joblet.jobs)
        self.admin.runtimes.TestRuntime(pb.TestRuntimeRequest(runtime="b"), timeout=20)
        self.assertEqual((self.results("runtime.test")[2], self.records(action="runtime.test")[2]["error"]),
                         ("refused", "runtime not found"))
        self.admin.run("exit:0", runtime="a")
        intent = self.records(action="job.run")[0]
        self.assertEqual(intent["runtime"], "a@1.0.0")
        self.assertRegex(intent["runtime_digest"], "^[0-9a-f]{64}$")
        self.joblet.in_use.add(("a", "1.0.0"))
        remove = pb.RemoveRuntimeRequest(runtime="a")
        self.assertFalse(self.admin.runtimes.RemoveRuntime(remove, timeout=10).success)
        self.joblet.in_use.clear()
        self.assertTrue(self.admin.runtimes.RemoveRuntime(remove, timeout=10).success)
        self.admin.runtimes.RemoveRuntime(remove, timeout=10)
        removals = self.records(action="runtime.remove")
        self.assertEqual([one["result"] for one in removals], ["intent", "failed", "intent", "ok", "refused"])
        self.assertEqual((removals[0]["versions"], removals[1]["error"]), ("1.0.0", "the runtime is in use"))


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]] + sys.argv[3:], verbosity=2)
