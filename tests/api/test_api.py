"""joblet-api, driven by a client that is not ours (grpcio), with a stand-in for joblet (standin.py). Run as root:
test_api.py JOBLET_API PROTO_DIRECTORY [unittest arguments]"""

import concurrent.futures
import json
import os
import signal
import sqlite3
import sys
import tempfile
import threading
import time
import unittest

import grpc
from grpc_tools import protoc

from standin import API_UID, Joblet

API, PROTO = (os.path.abspath(path) for path in sys.argv[1:3])
STUBS_DIRECTORY = tempfile.TemporaryDirectory(prefix="joblet-stubs-")
STUBS = STUBS_DIRECTORY.name
assert protoc.main(["protoc", "-I" + PROTO, "--python_out=" + STUBS, "--grpc_python_out=" + STUBS,
                    os.path.join(PROTO, "joblet.proto"), os.path.join(PROTO, "joblet_ext.proto")]) == 0
sys.path.insert(0, STUBS)
import joblet_pb2 as pb  # noqa: E402
import joblet_pb2_grpc as rpc  # noqa: E402

FINAL = ("COMPLETED", "FAILED", "STOPPED", "CANCELED", "TIMEOUT")


class Client:
    def __init__(self, joblet, name):
        def read(file):
            with open(os.path.join(joblet.pems, file), "rb") as handle:
                return handle.read()

        credentials = grpc.ssl_channel_credentials(read("ca.crt"), read(name + ".key"), read(name + ".crt"))
        self.channel = grpc.secure_channel("127.0.0.1:%d" % joblet.port, credentials, options=[
            ("grpc.ssl_target_name_override", "joblet"), ("grpc.use_local_subchannel_pool", 1)])
        self.jobs = rpc.JobServiceStub(self.channel)
        self.monitoring = rpc.MonitoringServiceStub(self.channel)
        self.networks = rpc.NetworkServiceStub(self.channel)
        self.volumes = rpc.VolumeServiceStub(self.channel)
        self.runtimes = rpc.RuntimeServiceStub(self.channel)

    def run(self, *steps, **fields):
        return self.jobs.RunJob(pb.RunJobRequest(command="steps", args=steps, **fields), timeout=60)

    def status(self, uuid):
        return self.jobs.GetJobStatus(pb.GetJobStatusRequest(uuid=uuid), timeout=60)

    def stop(self, uuid):
        return self.jobs.StopJob(pb.StopJobRequest(uuid=uuid), timeout=60)

    def delete(self, uuid):
        return self.jobs.DeleteJob(pb.DeleteJobRequest(uuid=uuid), timeout=60)

    def logs(self, uuid, timeout=60):
        return self.jobs.GetJobLogs(pb.GetJobLogsRequest(uuid=uuid), timeout=timeout)

    def list(self):
        return self.jobs.ListJobs(pb.EmptyRequest(), timeout=60)

    def wait(self, uuid):
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            status = self.status(uuid)
            if status.status in FINAL:
                return status
            time.sleep(0.01)
        raise AssertionError("job %s does not end" % uuid)


class Case(unittest.TestCase):
    settings = {}

    def setUp(self):
        self.joblet = Joblet(API, **self.settings)
        self.addCleanup(self.joblet.remove)
        self.joblet.start()
        self.admin = self.client("admin")

    def restart(self):
        self.joblet.start()
        self.admin = self.client("admin")  # the old connection would first have to notice

    def client(self, name):
        client = Client(self.joblet, name)
        self.addCleanup(client.channel.close)
        return client

    def refused(self, code, call, *arguments, **fields):
        with self.assertRaises(grpc.RpcError) as caught:
            result = call(*arguments, **fields)
            if hasattr(result, "__next__"):
                next(result)
        self.assertEqual(caught.exception.code(), code, caught.exception.details())
        return caught.exception.details()


class Jobs(Case):
    def test_a_job_from_start_to_end(self):
        answer = self.admin.run("out:hello\n", "exit:3", environment={"A": "b"}, secret_environment={"S": "geheim"},
                                max_cpu=150, max_memory=64, timeout="1m", work_dir="/work//sub/")
        self.assertEqual(answer.status, "RUNNING")
        status = self.admin.wait(answer.job_uuid)
        self.assertEqual((status.status, status.exit_code, status.end_reason), ("FAILED", 3, "exited"))
        self.assertEqual((status.command, list(status.args)), ("steps", ["out:hello\n", "exit:3"]))
        self.assertEqual(dict(status.environment), {"A": "b"})
        self.assertEqual(dict(status.secret_environment), {"S": "***"})
        self.assertEqual((status.max_cpu, status.max_memory, status.timeout), (150, 64, "1m"))
        self.assertEqual((status.work_dir, status.max_processes), ("/work/sub", 512))
        self.assertEqual(status.node_id, "7d1f6f0e-3a51-4c8f-9d32-0c7a5c3b1a11")
        self.assertRegex(status.start_time, r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)$")
        self.assertRegex(status.end_time, r"^\d{4}-\d\d-\d\dT")
        job = self.joblet.jobs[answer.job_uuid]
        self.assertIn("S=geheim", job.environment)
        self.assertIn("A=b", job.environment)
        self.assertIn("HOME=/work", job.environment)
        self.assertIn("PWD=/work/sub", job.environment)
        self.assertEqual(job.work_dir, "/work/sub")
        self.assertEqual((job.limits.memory_bytes, job.limits.cpu_percent), (64 << 20, 150))
        self.assertEqual(job.limits.timeout_ns, 60 * 10**9)

    def test_ends(self):
        for step, expected in (("exit:0", ("COMPLETED", 0, "exited", 0)), ("signal:11", ("FAILED", 139, "signal", 11)),
                               ("timeout", ("TIMEOUT", 124, "timeout", 0))):
            status = self.admin.wait(self.admin.run(step).job_uuid)
            self.assertEqual((status.status, status.exit_code, status.end_reason, status.end_signal), expected)

    def test_a_failed_start(self):
        self.joblet.fail_start = (5, 2, b"no cgroup for you")
        details = self.refused(grpc.StatusCode.INTERNAL, self.admin.run, "exit:0")
        self.assertIn("no cgroup for you", details)
        (job,) = self.admin.list().jobs
        self.assertEqual((job.status, job.exit_code, job.end_reason), ("FAILED", -1, "setup failure"))
        self.assertIn("no cgroup", job.error)
        self.assertEqual(list(self.admin.logs(job.uuid)), [])
        self.assertTrue(self.admin.delete(job.uuid).success)
        self.joblet.fail_start = (11, 2, b"no slot")
        self.refused(grpc.StatusCode.RESOURCE_EXHAUSTED, self.admin.run, "exit:0")

    def test_too_many(self):
        self.joblet.kill()
        self.joblet.max_jobs = 2
        self.restart()
        first = self.admin.run("wait").job_uuid
        self.admin.run("wait")
        self.refused(grpc.StatusCode.RESOURCE_EXHAUSTED, self.admin.run, "wait")
        self.admin.stop(first)
        self.admin.run("exit:0")

    def test_short_ids(self):
        uuid = self.admin.run("exit:0").job_uuid
        self.admin.wait(uuid)
        self.assertEqual(self.admin.status(uuid[:8]).uuid, uuid)
        self.assertEqual(self.admin.status(uuid[:4]).uuid, uuid)
        self.assertIn("4 characters", self.refused(grpc.StatusCode.NOT_FOUND, self.admin.status, uuid[:3]))
        self.refused(grpc.StatusCode.INVALID_ARGUMENT, self.admin.status, "")
        self.assertIn("not found", self.refused(grpc.StatusCode.NOT_FOUND, self.admin.status, "non-existent-job-id"))
        self.refused(grpc.StatusCode.NOT_FOUND, self.admin.status, uuid + "0")
        self.assertEqual(self.admin.delete(uuid[:8]).uuid, uuid)

    def test_stop(self):
        uuid = self.admin.run("wait").job_uuid
        answer = self.admin.stop(uuid)
        self.assertEqual((answer.uuid, answer.status, answer.exit_code), (uuid, "STOPPED", 143))
        self.assertTrue(answer.end_time)
        self.assertEqual(self.joblet.jobs[uuid].signals, [1])
        self.assertEqual(self.admin.status(uuid).end_reason, "stopped")
        self.assertIn("not running", self.refused(grpc.StatusCode.FAILED_PRECONDITION, self.admin.stop, uuid))
        self.refused(grpc.StatusCode.NOT_FOUND, self.admin.stop, "ffffffff")

    def test_stop_of_one_that_ignores_it(self):
        uuid = self.admin.run("ignore", "wait").job_uuid
        before = time.monotonic()
        answer = self.admin.stop(uuid)
        self.assertGreaterEqual(time.monotonic() - before, 0.1)
        self.assertEqual((answer.status, answer.exit_code), ("STOPPED", 137))
        self.assertEqual(self.joblet.jobs[uuid].signals, [1, 2])

    def test_many_stops_of_one_job(self):
        uuid = self.admin.run("wait").job_uuid
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = [future for future in [pool.submit(self.admin.stop, uuid) for _ in range(8)]]
        stopped = [future for future in answers if not future.exception()]
        self.assertGreaterEqual(len(stopped), 1)
        for future in answers:
            if future.exception():
                self.assertEqual(future.exception().code(), grpc.StatusCode.FAILED_PRECONDITION)
            else:
                self.assertEqual(future.result().status, "STOPPED")
        self.assertEqual(self.joblet.jobs[uuid].signals.count(1), 1)

    def test_stop_whose_client_goes(self):
        uuid = self.admin.run("ignore", "wait").job_uuid
        call = self.admin.jobs.StopJob.future(pb.StopJobRequest(uuid=uuid))
        time.sleep(0.03)
        call.cancel()
        self.assertEqual(self.admin.wait(uuid).status, "STOPPED")

    def test_delete(self):
        running = self.admin.run("wait").job_uuid
        ended = self.admin.run("out:x", "exit:0").job_uuid
        self.admin.wait(ended)
        self.refused(grpc.StatusCode.FAILED_PRECONDITION, self.admin.delete, running)
        answer = self.admin.delete(ended)
        self.assertEqual((answer.uuid, answer.success), (ended, True))
        self.assertTrue(answer.message)
        self.assertEqual(self.joblet.ids_removed, [ended])
        self.refused(grpc.StatusCode.NOT_FOUND, self.admin.delete, ended)
        self.refused(grpc.StatusCode.NOT_FOUND, self.admin.status, ended)

    def test_delete_all(self):
        running = self.admin.run("wait").job_uuid
        ended = [self.admin.run("exit:0").job_uuid for _ in range(20)]
        for uuid in ended:
            self.admin.wait(uuid)
        answer = self.admin.jobs.DeleteAllJobs(pb.DeleteAllJobsRequest(), timeout=10)
        self.assertEqual((answer.success, answer.deleted_count, answer.skipped_count), (True, 20, 1))
        self.assertIn("20", answer.message)
        self.assertIn("1", answer.message)
        self.assertEqual([job.uuid for job in self.admin.list().jobs], [running])
        self.assertEqual(sorted(self.joblet.ids_removed), sorted(ended))

    def test_list(self):
        self.assertEqual(len(self.admin.list().jobs), 0)
        uuids = [self.admin.run("exit:%d" % i, secret_environment={"S": "geheim"},
                                environment={"MY_TOKEN": "auch", "X": "y"}).job_uuid for i in range(5)]
        for uuid in uuids:
            self.admin.wait(uuid)
        jobs = self.admin.list().jobs
        self.assertEqual([job.uuid for job in jobs], uuids[::-1])
        for i, job in enumerate(reversed(jobs)):
            self.assertEqual((job.exit_code, dict(job.secret_environment)), (i, {"S": "***"}))
            self.assertEqual(dict(job.environment), {"MY_TOKEN": "***", "X": "y"})

    def test_list_stays_below_what_clients_take(self):
        for _ in range(40):
            self.admin.run("exit:0", environment={"V%d" % i: "x" * 30000 for i in range(5)})
        jobs = self.admin.list()
        self.assertTrue(jobs.truncated)
        self.assertGreater(len(jobs.jobs), 20)
        self.assertLess(jobs.ByteSize(), 4 << 20)

    def test_a_call_that_goes_does_not_take_its_job_along(self):
        call = self.admin.jobs.RunJob.future(pb.RunJobRequest(command="steps", args=["sleep:0.2", "exit:7"]))
        deadline = time.monotonic() + 60
        while not self.joblet.jobs and time.monotonic() < deadline:
            time.sleep(0.001)
        call.cancel()
        (uuid,) = self.joblet.jobs
        self.assertEqual(self.admin.wait(uuid).exit_code, 7)

    def test_many_at_once(self):
        with concurrent.futures.ThreadPoolExecutor(32) as pool:
            uuids = list(pool.map(lambda _: self.admin.run("exit:0").job_uuid, range(300)))
        self.assertEqual(len(set(uuids)), 300)
        for uuid in uuids:
            self.assertEqual(self.admin.wait(uuid).status, "COMPLETED")

    def test_secrets_are_nowhere(self):
        uuid = self.admin.run("exit:0", secret_environment={"PASS": "geheimnis-1"},
                              environment={"DB_PASSWORD": "geheimnis-2"}).job_uuid
        self.admin.wait(uuid)
        self.refused(grpc.StatusCode.INVALID_ARGUMENT, self.admin.run, "exit:0",
                     secret_environment={"PASS": "geheimnis-3" + "x" * 40000})
        self.refused(grpc.StatusCode.INVALID_ARGUMENT, self.admin.run, "exit:0",
                     secret_environment={"PASS": "geheimnis-4\0"})
        self.joblet.shutdown()
        self.assertNotIn("geheimnis", self.joblet.log_text())
        for name in os.listdir(self.joblet.database):
            with open(os.path.join(self.joblet.database, name), "rb") as file:
                self.assertNotIn(b"geheimnis", file.read())

    def test_same_name_in_both_maps(self):
        uuid = self.admin.run("exit:0", environment={"A": "open"}, secret_environment={"A": "geheim"}).job_uuid
        status = self.admin.wait(uuid)
        self.assertEqual((dict(status.environment), dict(status.secret_environment)), ({}, {"A": "***"}))
        self.assertEqual([text for text in self.joblet.jobs[uuid].environment if text.startswith("A=")], ["A=geheim"])


class Validation(Case):
    def test_refused(self):
        cases = [
            (dict(command=""), "command"),
            (dict(max_cpu=-1), "max_cpu"), (dict(max_cpu=10001), "max_cpu"), (dict(max_cpu=500), "max_cpu"),
            (dict(max_memory=-1), "max_memory"), (dict(max_memory=2048), "max_memory"),
            (dict(max_io_bps=-1), "max_io_bps"), (dict(max_processes=-1), "max_processes"),
            (dict(gpu_count=-1), "gpu_count"), (dict(max_open_files=-1), "max_open_files"),
            (dict(max_open_files=15), "max_open_files"), (dict(max_open_files=100000), "maximum of 65536: 100000"),
            (dict(max_io_bps=(1 << 30) + 1), "maximum of 1073741824: 1073741825"),
            (dict(cpu_cores="8"), "CPUs 0-7, not 8"), (dict(cpu_cores="0-9"), "not 8"), (dict(cpu_cores="1,1"), "cpu_cores"),
            (dict(cpu_cores="all"), "cpu_cores"), (dict(cpu_cores="3-1"), "cpu_cores"),
            (dict(timeout="soon"), "timeout"), (dict(timeout="-5s"), "timeout"), (dict(timeout="5"), "timeout"),
            (dict(work_dir="work"), "work_dir"), (dict(work_dir="/work/../etc"), "work_dir"),
            (dict(work_dir="/" + "x" * 5000), "work_dir"),
            (dict(environment={"JOB_ID": "1"}), "JOB_ID"), (dict(environment={"JOB_TYPE": "runtime-build"}), "JOB_TYPE"),
            (dict(secret_environment={"JOBLET_MODE": "1"}), "JOBLET_MODE"),
            (dict(environment={"RUNTIME_MANAGER_PATH": "1"}), "RUNTIME_MANAGER_PATH"),
            (dict(environment={"NETWORK_READY_FILE": "1"}), "NETWORK_READY_FILE"),
            (dict(environment={"1A": "1"}), "1A"), (dict(environment={"": "1"}), "name"),
            (dict(environment={"A-B": "1"}), "A-B"), (dict(environment={"A": "x" * 32769}), "32768"),
            (dict(args=["x" * 140000]), "argument"), (dict(args=["x" * 100000] * 30), "arguments"),
            (dict(args=["a\0b"]), "NUL"), (dict(command="a\0b"), "NUL"), (dict(environment={"A": "a\0b"}), "NUL"),
            (dict(work_dir="/work\0/x"), "NUL"),
        ]
        for fields, word in cases:
            request = dict(command="steps")
            request.update(fields)
            details = self.refused(grpc.StatusCode.INVALID_ARGUMENT, self.admin.jobs.RunJob,
                                   pb.RunJobRequest(**request), timeout=10)
            self.assertIn(word, details)
        self.assertEqual(len(self.admin.list().jobs), 0)

    def test_limits_reach_joblet_and_the_status(self):
        uuid = self.admin.run("exit:0", cpu_cores=" 5, 0-2", max_io_bps=12345, max_open_files=99, max_cpu=10).job_uuid
        status = self.admin.wait(uuid)
        self.assertEqual((status.cpu_cores, status.max_io_bps, status.max_open_files), ("0-2,5", 12345, 99))
        self.assertEqual((status.work_bytes, status.tmp_bytes, status.log_bytes), (256 << 20, 64 << 20, 1 << 30))
        limits = self.joblet.jobs[uuid].limits
        self.assertEqual((list(limits.cpus)[:2], limits.io_bps, limits.open_files), ([0b100111, 0], 12345, 99))
        status = self.admin.wait(self.admin.run("exit:0").job_uuid)
        self.assertEqual((status.cpu_cores, status.max_io_bps, status.max_open_files), ("", 0, 1024))
        job = self.admin.list().jobs[1]
        self.assertEqual((job.cpu_cores, job.max_io_bps, job.max_open_files), ("0-2,5", 12345, 99))

    def test_not_offered_yet(self):
        cases = [
            (dict(uploads=[pb.FileUpload(path="a.sh", content=b"x")]), "uploads"), (dict(uploads=[pb.FileUpload()]), "uploads"),
            (dict(schedule="2030-01-01T00:00:00Z"), "schedule"), (dict(volumes=["v"]), "volumes"),
            (dict(network="bridge"), "network"),
            (dict(gpu_count=1), "gpu_count"), (dict(gpu_memory_mb=1), "gpu_memory_mb"),
        ]
        for fields, word in cases:
            details = self.refused(grpc.StatusCode.FAILED_PRECONDITION, self.admin.jobs.RunJob,
                                   pb.RunJobRequest(command="steps", **fields), timeout=10)
            self.assertIn(word, details)
            self.assertIn("not supported", details)
        self.assertEqual(len(self.admin.list().jobs), 0)

    def test_accepted(self):
        for fields in (dict(network="none"), dict(timeout="0"), dict(timeout="1h30m"), dict(max_cpu=400),
                       dict(environment={"A": "x" * 32768}), dict(environment={"PATH": "/bin", "U": "grün"}),
                       dict(work_dir="/"), dict(args=["x" * 100000])):
            request = dict(command="steps")
            request.update(fields)
            self.admin.jobs.RunJob(pb.RunJobRequest(**request), timeout=10)

    def test_malformed_bytes(self):
        raw = self.admin.channel.unary_unary("/joblet.JobService/RunJob", request_serializer=lambda data: data,
                                             response_deserializer=lambda data: data)
        for data in (b"\xff", b"\x12\x05ab", b"\x12\x02\xff\xfe", b"\x12\x01a\x1a\x02\xc3\x28", b"\x0b\x0c",
                     b"\x72\x05\x0a\x01A\x12\x01", b"\x12\x01a" + b"\x42\x00" * 500000):
            self.refused(grpc.StatusCode.INVALID_ARGUMENT, raw, data, timeout=20)
        self.assertEqual(len(self.admin.list().jobs), 0)


class Roles(Case):
    def test_matrix(self):
        methods = []
        for service in pb.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                methods.append((service.name, method.name))
        self.assertEqual(len(methods), 26)
        developer = {"RunJob", "StopJob", "CancelJob", "DeleteJob", "DeleteAllJobs", "TestRuntime"}
        maintainer = {"CreateNetwork", "CreateVolume", "BuildRuntime", "ValidateRuntimeYAML"}
        admin = {"RemoveNetwork", "RemoveVolume", "RemoveRuntime"}
        rank = {"none": 0, "reader": 1, "viewer": 1, "both": 1, "developer": 2, "maintainer": 3, "admin": 4}
        for name in rank:
            client = self.client(name)
            for service, method in methods:
                lowest = 2 if method in developer else 3 if method in maintainer else 4 if method in admin else 1
                call = client.channel.unary_unary("/joblet.%s/%s" % (service, method),
                                                  request_serializer=lambda data: data,
                                                  response_deserializer=lambda data: data)
                try:
                    call(b"", timeout=10)
                    code = grpc.StatusCode.OK
                except grpc.RpcError as error:
                    code, details = error.code(), error.details()
                if rank[name] < lowest:
                    self.assertEqual(code, grpc.StatusCode.PERMISSION_DENIED, (name, method))
                    role = {"none": "unknown", "viewer": "reader", "both": "reader"}.get(name, name)
                    self.assertRegex(details, r"\b%s\b.*\b[a-z]+_[a-z_]+" % role)
                else:
                    self.assertNotEqual(code, grpc.StatusCode.PERMISSION_DENIED, (name, method))
        self.assertIn("call refused", self.joblet.log_text())

    def test_unknown_methods(self):
        for path in ("/joblet.JobService/RunWorkflow", "/joblet.Nothing/At", "/grpc.health.v1.Health/Check"):
            call = self.admin.channel.unary_unary(path, request_serializer=lambda data: data,
                                                  response_deserializer=lambda data: data)
            self.refused(grpc.StatusCode.UNIMPLEMENTED, call, b"", timeout=10)

    def test_later_methods(self):
        self.refused(grpc.StatusCode.UNIMPLEMENTED, self.admin.jobs.CancelJob, pb.CancelJobRequest(uuid="x"), timeout=10)
        self.refused(grpc.StatusCode.UNIMPLEMENTED, self.admin.networks.ListNetworks, pb.EmptyRequest(), timeout=10)


class Runtimes(Case):
    LEAST = "schema_version: '1.0'\nname: a\nversion: 1.0.0\ndescription: d\nbase: {language: python, version: '3.11'}\n"

    def validate(self, text, client=None):
        request = pb.ValidateRuntimeYAMLRequest(yaml_content=text)
        return (client or self.admin).runtimes.ValidateRuntimeYAML(request, timeout=60)

    def test_validate(self):
        for check in (self.check_valid, self.check_least, self.check_host, self.check_invalid, self.check_malformed, self.check_roles):
            with self.subTest(check.__name__):
                check()

    def check_valid(self):
        answer = self.validate(self.LEAST + "pip: [b, a==1]\nnpm: ['@x/y']\nhooks: {pre_install: 'true'}\n"
                               "requirements: {gpu: true}\nplatforms: [debian-amd64]\npip_options: --pre\n")
        self.assertEqual((answer.valid, list(answer.errors)), (True, []))
        self.assertEqual(answer.message, "the runtime specification is valid")
        info = answer.spec_info
        self.assertEqual((info.name, info.version, info.language, info.language_version, info.description),
                         ("a", "1.0.0", "python", "3.11", "d"))
        self.assertEqual((list(info.pip_packages), list(info.npm_packages)), (["b", "a==1"], ["@x/y"]))
        self.assertEqual((info.has_hooks, info.requires_gpu), (True, True))
        self.assertRegex(info.digest, "^[0-9a-f]{64}$")
        self.assertEqual(list(answer.warnings), ["requirements.gpu: this server has no GPUs for jobs yet"])
        # The packages were looked at, nothing else was done.
        build = [job for job in self.joblet.jobs.values() if job.type == 2][-1]
        self.assertEqual(build.message.dry_run, 1)
        steps = [arguments[0] for word, arguments in build.recipe if word in ("run", "query")]
        self.assertEqual(steps, ["package-lists", "package", "package-check"])
        self.assertFalse([job for job in self.joblet.jobs.values() if job.type == 3])

    def check_least(self):
        answer = self.validate(self.LEAST)
        self.assertTrue(answer.valid)
        self.assertEqual((answer.spec_info.has_hooks, answer.spec_info.requires_gpu), (False, False))
        self.assertEqual(list(answer.warnings), [])
        # The order of keys and comments make no other specification.
        other = self.validate("# x\n" + "\n".join(reversed(self.LEAST.strip().split("\n"))))
        self.assertEqual(other.spec_info.digest, answer.spec_info.digest)
        go = self.validate(self.LEAST.replace("python", "go"))
        build = [job for job in self.joblet.jobs.values() if job.type == 2][-1]
        self.assertIn("version", [arguments[0] for word, arguments in build.recipe if word == "query"])
        self.assertNotEqual(go.spec_info.digest, answer.spec_info.digest)

    def check_host(self):
        """What the host says to a right specification."""
        self.joblet.builder = {"fail": ("package", 1, "package python3.11 is not in the package sources of this host")}
        answer = self.validate(self.LEAST)
        self.assertEqual((answer.valid, answer.message), (False, "the runtime cannot be built on this host"))
        self.assertIn("Validate Packages: ", answer.errors[0])
        self.assertIn("package python3.11 is not in", answer.errors[0])
        self.assertTrue(answer.HasField("spec_info"))
        self.joblet.builder = {}
        self.joblet.host_error = (11, 0, b"the package database is locked")
        answer = self.validate(self.LEAST)
        self.assertTrue(answer.valid)
        self.assertIn("package availability was not checked: this host cannot build now: the package database is locked",
                      answer.warnings)
        self.joblet.host_error = None
        answer = self.validate(self.LEAST + "platforms: [rhel-amd64]\n")
        self.assertEqual((answer.valid, list(answer.errors)),
                         (False, ["platforms: this host is debian-amd64, which is not among them"]))

    def check_invalid(self):
        answer = self.validate(self.LEAST.replace("name: a", "name: A") + "pip: [--pre, 'x y']\nenviroment: {A: b}\n")
        self.assertFalse(answer.valid)
        self.assertFalse(answer.HasField("spec_info"))
        self.assertEqual([error[:30] for error in answer.errors],
                         ["line 2: name: 'A' is not 1 to ", "line 6: pip: '--pre' is not a ", "line 6: pip: 'x y' is not a pa",
                          "line 7: unknown key 'enviromen"])
        self.assertEqual(answer.message, "the runtime specification has 4 errors")
        self.assertEqual(list(answer.warnings), [])
        for text, error in (("", "the text is empty"), ("- a", "line 1: the text is not keys and values"),
                            ("x" * (10 << 20), "the text has about 10485765 bytes; at most 262144 are permitted"),
                            ("x" * 262145, "the text has 262145 bytes; at most 262144 are permitted"),
                            ("a: &a [x]\nb: [*a, *a]\n", "line 1: anchors ('&') are not permitted")):
            answer = self.validate(text)
            self.assertFalse(answer.valid)
            self.assertIn(error, answer.errors[0])
        answer = self.validate("".join("k%d: v\n" % number for number in range(3000)))
        self.assertEqual(len(answer.errors), 65)
        self.assertEqual(answer.errors[-1], "%d more errors are not listed" % (3005 - 64))

    def check_malformed(self):
        raw = self.admin.channel.unary_unary("/joblet.RuntimeService/ValidateRuntimeYAML", request_serializer=lambda data: data,
                                             response_deserializer=lambda data: data)
        for data in (b"\xff", b"\x0a\x02\xff\xfe", b"\x0a\x03a\x00b"):
            self.refused(grpc.StatusCode.INVALID_ARGUMENT, raw, data, timeout=10)

    def check_roles(self):
        for name in ("reader", "developer", "none"):
            details = self.refused(grpc.StatusCode.PERMISSION_DENIED, self.validate, self.LEAST, self.client(name))
            self.assertIn("validate_runtime", details)
        for name in ("maintainer", "admin"):
            self.assertTrue(self.validate(self.LEAST, self.client(name)).valid)

    def test_others_are_answered(self):
        """Specifications as large and as wrong as can be, many at once, do not hold up others."""
        text = "".join("k%d: [a, b\n" % number for number in range(20000))[:262144]
        worst = "".join("k: v\n" for _ in range(9999))
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = [pool.submit(self.validate, content) for content in [text, worst] * 16]
            for _ in range(10):
                start = time.monotonic()
                self.admin.list()
                self.assertLess(time.monotonic() - start, 30)
            for answer in answers:
                self.assertFalse(answer.result().valid)


class Builds(Case):
    LEAST = Runtimes.LEAST
    PYTHON = LEAST + "pip: [requests, 'numpy==1.26.4']\nnpm: [typescript]\npip_options: --pre\nenvironment: {A: b, PATH_PREPEND: /opt/x}\n"

    def build(self, text=None, client=None, timeout=60, **fields):
        """The phases (number, name), the log lines (level, message), the result."""
        phases, lines, results = [], [], []
        for progress in self.stream(text, client, timeout, **fields):
            kind = progress.WhichOneof("progress_type")
            if kind == "phase":
                self.assertEqual(progress.phase.total_phases, 14)
                phases.append((progress.phase.phase_number, progress.phase.phase_name))
            elif kind == "log":
                lines.append((progress.log.level, progress.log.message))
            else:
                results.append(progress.result)
        self.assertEqual(len(results), 1)
        return phases, lines, results[0]

    def stream(self, text=None, client=None, timeout=60, **fields):
        request = pb.BuildRuntimeRequest(yaml_content=self.LEAST if text is None else text, **fields)
        return (client or self.admin).runtimes.BuildRuntime(request, timeout=timeout)

    def records(self):
        """After the process has ended."""
        with sqlite3.connect("file:%s?mode=ro" % os.path.join(self.joblet.database, "joblet.db"), uri=True) as database:
            database.row_factory = sqlite3.Row
            rows = database.execute("SELECT * FROM builds ORDER BY sequence").fetchall()
        database.close()
        return rows

    def nothing_left(self):
        deadline = time.monotonic() + 60
        while any(not job.released for job in self.joblet.jobs.values()) or os.listdir(self.joblet.jobs_directory):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)

    NAMES = ["Parse & Validate", "Detect Platform", "Check Disk Space", "Validate Packages", "Prepare Directories",
             "Pre-install Hook", "Install Base", "Install Packages", "Post-install Hook", "Copy Binaries", "Copy Libraries",
             "Copy Configuration", "Generate Config", "Validate Build"]

    def test_a_build_from_start_to_end(self):
        phases, lines, result = self.build(self.PYTHON, self.client("maintainer"))
        self.assertEqual(phases, list(enumerate(self.NAMES, 1)))
        self.assertEqual((result.success, result.message), (True, "the runtime was built"), lines)
        self.assertEqual((result.runtime_name, result.runtime_version), ("a", "1.0.0"))
        self.assertEqual(result.install_path, self.joblet.runtimes + "/a/1.0.0")
        self.assertEqual(result.size_bytes, 5678901)
        self.nothing_left()
        self.assertEqual(self.joblet.published, [("a", "1.0.0")])
        install = [job for job in self.joblet.jobs.values() if job.type == 2][0]
        runs = {arguments[0]: arguments[3:] for word, arguments in install.recipe if word in ("run", "query")}
        self.assertEqual(runs["pip"][:2] + runs["pip"][5:],
                         ["python3.11", "-c", "install", "--ignore-installed", "--pre", "--", "requests", "numpy==1.26.4"])
        self.assertEqual(runs["npm"][-2:], ["--", "typescript"])
        environment = [arguments[0] for word, arguments in install.recipe if word == "env"]
        for text in ("JOBLET_CHROOT=true", "BUILD_ID=" + install.uuid, "RUNTIME_TYPE=python", "RUNTIME_NAME=a",
                     "RUNTIME_VERSION=1.0.0", "RUNTIME_DIR=/opt/joblet/runtimes/a/1.0.0", "PLATFORM=debian",
                     "ARCHITECTURE=amd64", "PKG_MANAGER=apt"):
            self.assertIn(text, environment)
        self.assertEqual((install.limits.memory_bytes, install.limits.processes), (2 << 30, 1024))
        collect = [job for job in self.joblet.jobs.values() if job.type == 3][0]
        self.assertEqual([arguments for word, arguments in collect.recipe if word in ("limit", "cache")], [[str(4 << 30)], [str(3 << 30)]])
        # Both have the time of one; and what changed since the first one began is looked for.
        self.assertEqual(install.limits.timeout_ns, 3600 * 10**9)
        self.assertLess(collect.limits.timeout_ns, 3600 * 10**9)
        since, = [int(arguments[0]) for word, arguments in collect.recipe if word == "since"]
        self.assertLess(abs(time.time_ns() - since), 60 * 10**9)
        self.joblet.shutdown()
        row, = self.records()
        self.assertEqual((row["name"], row["version"], row["who"], row["role"], row["outcome"], row["failure"]),
                         ("a", "1.0.0", "maintainer-client", "maintainer", "success", ""))
        self.assertEqual((row["manifest_digest"], row["fingerprint"]), ("ab" * 32, bytes(range(32)).hex()))
        details = json.loads(row["details"])
        self.assertEqual([(phase["number"], phase["outcome"]) for phase in details["phases"]],
                         [(number, "done") for number in range(1, 15)])
        self.assertEqual(details["counts"], {"files": 1234, "bytes": 5678901})


    def test_the_base_is_not_installed_again(self):
        self.joblet.bases = {}
        _, lines, result = self.build(self.LEAST + "pip: [x]\n", verbose=True)
        self.assertTrue(result.success, lines)
        self.assertIn(("info", "base: MISS: these packages were not installed before"), lines)

        def installs():
            return [(job.message.base, [a[0] for word, a in job.recipe if word == "run"])
                    for job in self.joblet.jobs.values() if job.type == 2]
        (made, base), (used, rest) = installs()
        self.assertEqual((made, used), (1, 2))
        self.assertTrue("base" in base and "pip" not in base and "pip" in rest and "base" not in rest, (base, rest))
        # Another package of pip: the base is there.
        phases, lines, result = self.build(self.LEAST.replace("name: a", "name: b") + "pip: [y]\n", verbose=True)
        self.assertTrue(result.success, lines)
        self.assertEqual(phases, list(enumerate(self.NAMES, 1)))
        self.assertTrue(any(level == "info" and text.startswith("base: HIT: ") for level, text in lines), lines)
        self.assertEqual([use for use, _ in installs()], [1, 2, 2])
        # What cannot be kept is installed in one go, and so is what a hook of the client's runs before.
        self.joblet.fail_seal = (28, 0, b"no space")
        _, lines, result = self.build(self.LEAST.replace("name: a", "name: c") + "npm: [z]\n", verbose=True)
        self.assertTrue(result.success, lines)
        self.assertEqual([use for use, _ in installs()][3:], [1, 0])
        _, lines, result = self.build(self.LEAST.replace("name: a", "name: d") + "hooks: {pre_install: 'true'}\n", verbose=True)
        self.assertTrue(result.success, lines)
        self.assertIn(("info", "base: MISS: the pre_install hook runs first"), lines)
        self.assertEqual([use for use, _ in installs()][5:], [0])
        # What such a hook may have fetched is not for other builds.
        private = [[arguments for word, arguments in job.recipe if word == "private"] for job in self.joblet.jobs.values() if job.type == 3]
        self.assertEqual((private[0], private[-1]), ([], [["base"], ["pip"], ["npm"]]))
        self.nothing_left()

    def test_an_unchanged_one_is_taken_from_the_store(self):
        _, lines, result = self.build(verbose=True)
        self.assertTrue(result.success)
        self.assertIn(("info", "not taken from the store (MISS: it is not there)"), lines)
        jobs = len(self.joblet.jobs)
        phases, lines, result = self.build("# another comment\n" + self.LEAST)
        self.assertEqual(phases, list(enumerate(self.NAMES, 1)))
        self.assertTrue(result.success)
        self.assertIn("unchanged: taken from the store (HIT: ", result.message)
        self.assertEqual((result.install_path, result.size_bytes), (self.joblet.runtimes + "/a/1.0.0", 5678901))
        self.assertEqual(len(self.joblet.jobs), jobs)
        # Anything that differs is said, and nothing is replaced without force.
        for text, fields, word in ((self.LEAST + "pip: [x]\n", {}, "specification"),
                                   (self.LEAST, {"setup_script": "true"}, "specification")):
            result = self.build(text, **fields)[2]
            self.assertFalse(result.success)
            self.assertIn("a@1.0.0 is there already, built from another " + word, result.message)
            self.assertIn("--force", result.message)
        self.joblet.host["fingerprint"] = bytes(32)
        result = self.build()[2]
        self.assertIn("other packages or package sources", result.message)
        self.assertEqual(len(self.joblet.jobs), jobs)
        _, lines, result = self.build(force_rebuild=True)
        self.assertTrue(result.success, result.message)
        self.assertIn(("info", "not taken from the store (MISS: it is to be built again)"), lines)
        self.assertEqual(self.joblet.published, [("a", "1.0.0")] * 2)
        self.nothing_left()
        self.joblet.shutdown()
        self.assertEqual([row["outcome"] for row in self.records()],
                         ["success", "unchanged", "failed", "failed", "failed", "success"])
        # Another package index of the configuration is another source; another password or proxy for the same is not.
        for number, (address, proxy, expected) in enumerate((("me:geheim-1@index", "proxy", ""), ("me:geheim-2@index", "other", "HIT"),
                                                             ("elsewhere", "other", "the configuration"))):
            self.joblet.build_environment = ["PIP_INDEX_URL=https://" + address + "/simple", "https_proxy=http://" + proxy]
            self.restart()
            result = self.build(force_rebuild=number == 0)[2]
            self.assertEqual(result.success, number < 2, result.message)
            self.assertIn(expected, result.message)
            self.joblet.shutdown()

    def test_dry_run(self):
        phases, _, result = self.build(self.PYTHON, dry_run=True)
        self.assertEqual(phases, list(enumerate(self.NAMES[:4], 1)))
        self.assertEqual((result.success, result.install_path, result.size_bytes), (True, "", 0))
        self.assertEqual(os.listdir(self.joblet.runtimes), [])
        self.nothing_left()

    def test_setup_script(self):
        self.assertTrue(self.build(setup_script="echo $HOME\nexit 0\n")[2].success)
        install = [job for job in self.joblet.jobs.values() if job.type == 2][0]
        runs = {arguments[0]: arguments[3:] for word, arguments in install.recipe if word == "run"}
        self.assertEqual(runs["setup.sh"], ["/bin/bash", "-c", "echo $HOME\nexit 0\n", "setup.sh"])
        self.refused(grpc.StatusCode.INVALID_ARGUMENT, self.stream, setup_script="x" * 200000)

    def test_what_a_failed_build_changed(self):
        """Is in its record; where it cannot be looked at, the build has failed as it has, and says so. It can be cancelled."""
        fail = {"fail": ("base", 1, "x")}
        self.joblet.builder = {**fail, "look": ["changed added step:base /srv/x y", "changed removed package:a /usr/bin/a", "count changed 2"]}
        self.assertIn("step 'base' exited with 1", self.build()[2].message)
        self.joblet.builder = {**fail, "look": ["changed added step:base /srv/" + "x" * 1000 + str(i) for i in range(1000)]}
        self.assertIn("step 'base' exited with 1", self.build()[2].message)
        self.joblet.builder = {**fail, "look": 1}
        _, lines, result = self.build()
        self.assertIn("step 'base' exited with 1", result.message)
        self.assertEqual([line for _, line in lines if line.startswith("what the build changed is not ")],
                         ["what the build changed is not all known: cannot be looked at"])
        self.joblet.builder = {**fail, "look": ["host-changed /usr/bin/x", "count host-changed 1"]}
        _, lines, result = self.build()
        self.assertIn("step 'base' exited with 1", result.message)
        self.assertEqual([line for _, line in lines if "changed" in line], ["1 files of the host changed during the build: /usr/bin/x"])
        self.joblet.builder = {**fail, "look": "hang"}
        stream = self.stream()
        self.wait_for(lambda: [job for job in self.joblet.jobs.values() if job.type == 3 and not job.released])
        stream.cancel()
        self.nothing_left()
        # A dry run changes nothing that anybody would look for, nor does one that nothing was run of.
        self.joblet.builder = {"fail": ("package-lists", 1, "x")}
        before = len(self.joblet.jobs)
        self.assertFalse(self.build(dry_run=True)[2].success)
        self.assertEqual(len(self.joblet.jobs), before + 1)
        self.joblet.shutdown()
        first, second, third, _, fourth, _ = [json.loads(row["details"]) for row in self.records()]
        self.assertEqual(first["changed"], {"items": ["added step:base /srv/x y", "removed package:a /usr/bin/a"], "left_out": 0})
        self.assertEqual(first["counts"], {"changed": 2})
        self.assertEqual(len(second["changed"]["items"]) + second["changed"]["left_out"], 1000)
        self.assertGreater(len(second["changed"]["items"]), 10)
        self.assertEqual(third["changed"]["items"], ["added script /etc/before"])
        self.assertEqual(fourth["changed"]["items"], [])
        self.assertEqual([row["outcome"] for row in self.records()], ["failed"] * 6)

    def test_failures(self):
        """Each way to fail, with exactly what it was; nothing is published, nothing is left."""
        reasons = {"timeout": 3, "oom": 4, "limit": 7}
        text = self.PYTHON + "hooks: {pre_install: 'true', post_install: 'true'}\n"
        cases = [
            (dict(fail=("package-lists", 100, "E: no such host")), 4,
             "Validate Packages: step 'package-lists' exited with 100: E: no such host"),
            (dict(fail=("pre_install", 3, "no")), 6, "Pre-install Hook: step 'pre_install' exited with 3: no"),
            (dict(fail=("base", 1, "x")), 7, "Install Base: step 'base' exited with 1: x"),
            (dict(fail=("npm", 1, "x")), 8, "Install Packages: step 'npm' exited with 1: x"),
            (dict(fail=("post_install", 255, "x")), 9, "Post-install Hook: step 'post_install' exited with 255: x"),
            (dict(fail=("collect", 1, "the runtime is too large")), 14, "Validate Build: the runtime is too large"),
            (dict(reason={"pip": reasons["timeout"]}), 8, "Install Packages: in step 'pip' the build was ended: timeout"),
            (dict(reason={"pip": reasons["oom"]}), 8, "Install Packages: in step 'pip' the build was ended: out of memory"),
            (dict(lines=["host-changed /usr/bin/x", "count host-changed 1"]), 14, "host changed during the build"),
        ]
        for builder, phase, message in cases:
            self.joblet.builder = builder
            phases, lines, result = self.build(text)
            self.assertFalse(result.success)
            self.assertIn(message, result.message)
            self.assertEqual(phases[-1][0], phase)
            self.assertEqual(result.install_path, "")
        self.joblet.builder = {}
        self.joblet.fail_start = (5, 3, b"no cgroup for you")
        self.assertIn("was not started: no cgroup for you", self.build()[2].message)
        self.joblet.fail_start = None
        self.joblet.fail_publish = (17, 0, b"is there already")
        self.assertIn("not published: is there already", self.build()[2].message)
        self.joblet.fail_publish = None
        self.joblet.host_error = (11, 0, b"the package database is locked by apt (pid 7)")
        self.assertIn("the package database is locked by apt", self.build()[2].message)
        self.joblet.host_error = None
        for name, value, message in (("distribution", b"plan9", "'plan9'"), ("distribution", b"fedora", "packages of 'dnf' are not supported yet"), ("architecture", b"mips", "'mips'"),
                                     ("free_bytes", 5 << 20, "5 MiB are free")):
            old = self.joblet.host[name]
            self.joblet.host[name] = value
            self.assertIn(message, self.build()[2].message)
            self.joblet.host[name] = old
        self.nothing_left()
        self.assertEqual(self.joblet.published, [])
        self.joblet.shutdown()
        rows = self.records()
        self.assertEqual({row["outcome"] for row in rows}, {"failed"})
        self.assertEqual(len(rows), len(cases) + 7)
        self.assertIn("E: no such host", rows[0]["failure"])
        details = json.loads(rows[2]["details"])
        self.assertEqual(details["phases"][-1]["outcome"], "failed")
        self.assertEqual([step["name"] for step in details["steps"]],
                         ["package-lists", "package", "package-check", "directories", "pre_install", "base"])

    def test_refused_requests(self):
        self.assertIn("yaml_content", self.refused(grpc.StatusCode.INVALID_ARGUMENT, self.stream, ""))
        phases, lines, result = self.build(self.LEAST.replace("name: a", "name: A") + "pips: []\n")
        self.assertEqual(phases, [(1, "Parse & Validate")])
        self.assertEqual([level for level, _ in lines], ["error", "error"])
        self.assertFalse(result.success)
        self.assertIn("2 errors: line 2: name: ", result.message)
        self.assertIn("pips", result.message)
        for name in ("reader", "developer", "none"):
            self.refused(grpc.StatusCode.PERMISSION_DENIED, self.stream, client=self.client(name))
        self.assertEqual(self.joblet.jobs, {})

    def wait_for(self, condition):
        deadline = time.monotonic() + 60
        while not condition():
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.005)

    def begun(self, step):
        """An install that is in @step."""
        def at_it():
            for job in list(self.joblet.jobs.values()):
                path = os.path.join(self.joblet.jobs_directory, job.uuid, "log")
                try:
                    with open(path, "rb") as file:
                        if b"@begin " + step.encode() + b" " in file.read():
                            return True
                except FileNotFoundError:
                    pass
            return False
        self.wait_for(at_it)

    def test_cancelled_in_each_state(self):
        for hold in ("package-lists", "base", "pip", "collect"):
            self.joblet.builder = {"hold": hold}
            stream = self.stream(self.PYTHON)
            if hold == "collect":
                self.wait_for(lambda: any(job.type == 3 and not job.released for job in list(self.joblet.jobs.values())))
            else:
                self.begun(hold)
            stream.cancel()
            self.nothing_left()
            for job in self.joblet.jobs.values():
                self.assertIn(job.signals, ([2], []))
        # joblet is too busy for the first signal.
        self.joblet.builder = {"hold": "base"}
        self.joblet.refuse_signals = 1
        stream = self.stream(self.PYTHON)
        self.wait_for(lambda: any(job.type == 2 and not job.ended for job in list(self.joblet.jobs.values())))
        self.begun("base")
        stream.cancel()
        self.nothing_left()
        self.assertEqual(self.joblet.refuse_signals, 0)
        # At any moment.
        self.joblet.builder = {}
        for i in range(60):
            stream = self.stream(self.LEAST.replace("name: a", "name: b%d" % i))
            time.sleep(i * 0.001)
            stream.cancel()
        self.nothing_left()
        self.assertTrue(self.build()[2].success)
        self.joblet.shutdown()
        rows = self.records()
        self.assertEqual([row["outcome"] for row in rows[:5]], ["cancelled"] * 5)
        self.assertIn("the client ended the call", rows[0]["failure"])
        self.assertNotIn("", [row["outcome"] for row in rows])

    def test_lost_connection(self):
        self.joblet.builder = {"hold": "base"}
        client = self.client("admin")
        stream = self.stream(client=client)
        self.begun("base")
        client.channel.close()
        self.assertRaises(grpc.RpcError, list, stream)
        self.nothing_left()

    def test_shutdown(self):
        self.joblet.builder = {"hold": "base"}
        running = [self.stream(self.LEAST.replace("name: a", "name: " + name)) for name in "abc"]
        threads = [concurrent.futures.ThreadPoolExecutor(1).submit(list, stream) for stream in running]
        self.wait_for(lambda: len(self.joblet.jobs) == 2)
        self.begun("base")
        self.assertEqual(self.joblet.shutdown(), 0)
        for thread in threads:
            result = thread.result(5)[-1].result
            self.assertEqual((result.success, result.message), (False, "the service is shutting down"))
        self.assertEqual([job.released for job in self.joblet.jobs.values()], [True, True])
        self.assertEqual({row["outcome"] for row in self.records()}, {"cancelled"})

    def test_killed(self):
        """What an earlier process began is ended by the next one, and recorded."""
        self.joblet.builder = {"hold": "base"}
        stream = self.stream()
        self.begun("base")
        self.joblet.kill()
        self.assertRaises(grpc.RpcError, list, stream)
        self.restart()
        self.nothing_left()
        job, = self.joblet.jobs.values()
        self.assertEqual(job.signals, [2])
        self.joblet.builder = {}
        self.assertTrue(self.build()[2].success)
        self.joblet.shutdown()
        first, second = self.records()
        self.assertEqual((first["outcome"], first["failure"]), ("failed", "joblet-api was restarted"))
        self.assertGreaterEqual(first["ended_ns"], first["started_ns"])
        self.assertEqual(second["outcome"], "success")

    def test_waiting(self):
        event = threading.Event()
        self.joblet.builder = {"hold": "base", "event": event}
        pool = concurrent.futures.ThreadPoolExecutor(8)
        texts = [self.LEAST.replace("name: a", "name: " + name) for name in ("a", "a", "b", "c", "d")]
        builds = []
        for text in texts:
            builds.append(pool.submit(self.build, text))
            time.sleep(0.5)
        self.wait_for(lambda: len(self.joblet.jobs) == 2)
        time.sleep(0.2)
        self.assertEqual([job.runtime[0] for job in self.joblet.jobs.values()], ["a", "b"])
        event.set()
        results = [build.result(60) for build in builds]
        self.assertTrue(all(result.success for _, _, result in results))
        self.assertIn("HIT", results[1][2].message)
        waits = ["".join(message for _, message in lines if "waiting" in message) for _, lines, _ in results]
        self.assertEqual(waits, ["", "waiting for another build of a@1.0.0", "", "waiting for 3 builds", "waiting for 4 builds"])
        self.nothing_left()
        # One that waits can be cancelled; too many are refused.
        event.clear()
        streams = [self.stream(self.LEAST.replace("name: a", "name: e%d" % i)) for i in range(64)]
        self.wait_for(lambda: sum(job.type == 2 and not job.ended for job in list(self.joblet.jobs.values())) == 2)
        self.wait_for(lambda: self.joblet.log_text().count("build accepted") == 69)
        self.refused(grpc.StatusCode.RESOURCE_EXHAUSTED, lambda: list(self.stream()))
        for stream in streams:
            stream.cancel()
        event.set()
        self.nothing_left()

    def test_what_builds_say(self):
        """Lines of all kinds, and those that only look so."""
        self.joblet.builder = {
            "text": {"base": b"no mark\n@phase 14 Validate Build: too early\n@phase 99 x: y\n@log loud text\n@log debug quiet\n"
                             b"@value package evil-package\n@end base x exit 0\n@log info bad \xff\x1b[2J byte\n"
                             + b"@log info " + b"x" * 100000 + b"\n@\n@done too much\n@log warn caf\xc3\xa9\n"},
            "lines": ["stray /root/x", "stray /root/y", "count stray 2", "stripped set-id /usr/bin/z", "count stripped 1"]}
        phases, lines, result = self.build()
        self.assertTrue(result.success, result.message)
        self.assertEqual(phases, list(enumerate(self.NAMES, 1)))
        self.assertIn(("warn", "no mark"), lines)
        self.assertIn(("info", "text"), lines)
        self.assertIn(("info", "bad ??[2J byte"), lines)
        self.assertIn(("warn", "caf\xe9"), lines)
        self.assertNotIn(("debug", "quiet"), lines)
        self.assertIn(("warn", "2 files were written outside of the runtime and thrown away: /root/x, /root/y"), lines)
        self.assertIn(("warn", "1 files lost set-id bits, capabilities or their kind: set-id /usr/bin/z"), lines)
        self.assertLess(max(len(message) for _, message in lines), 4200)
        collect = [job for job in self.joblet.jobs.values() if job.type == 3][0]
        self.assertNotIn("evil-package", collect.arguments)
        self.assertEqual([arguments[0] for word, arguments in collect.recipe if word == "package"],
                         ["python3.11", "python3.11-venv", "python3-pip"])
        lines = self.build(self.LEAST.replace("name: a", "name: b"), verbose=True)[1]
        self.assertIn(("debug", "quiet"), lines)

    def test_a_slow_client(self):
        """The build does not wait, and nothing piles up."""
        self.joblet.builder = {"text": {"base": b"".join(b"@log info %d " % i + b"x" * 900 + b"\n" for i in range(60000))}}
        with open("/proc/%d/statm" % self.joblet.process.pid) as file:
            before = int(file.read().split()[1])
        stream = self.stream(timeout=60)
        self.wait_for(lambda: self.joblet.published)
        with open("/proc/%d/statm" % self.joblet.process.pid) as file:
            self.assertLess((int(file.read().split()[1]) - before) * 4096, 24 << 20)
        progress = list(stream)
        phases = [one.phase.phase_number for one in progress if one.WhichOneof("progress_type") == "phase"]
        self.assertEqual(phases, list(range(1, 15)))
        self.assertTrue(progress[-1].result.success)
        lines = [one.log.message for one in progress if one.WhichOneof("progress_type") == "log"]
        left_out = sum(int(line.split()[0]) for line in lines if "log lines were left out" in line)
        self.assertGreater(left_out, 1000)
        self.assertEqual(left_out + sum("xxx" in line for line in lines), 60000)


class Secrets(Builds):
    """What the configuration gives to builds is in none of their lines and records."""
    settings = dict(build_environment=["HTTPS_PROXY=http://user:geheim-1@proxy:3128", "TOKEN=geheim-2-long", "FLAG=1"])

    def test_masked(self):
        self.joblet.builder = {
            "fail": ("base", 1, "connect to http://user:geheim-1@proxy:3128 failed, geheim-2-long"),
            "look": ["changed added step:base /srv/geheim-2-long"],
            "text": {"base": b"geheim-1 and @ http://user:geheim-1@proxy:3128\n@log info TOKEN=geheim-2-long;\n"}}
        phases, lines, result = self.build()
        self.assertIn(("warn", "*** and @ ***"), lines)
        self.assertIn(("info", "TOKEN=***;"), lines)
        self.assertIn("connect to *** failed, ***", result.message)
        install, _ = self.joblet.jobs.values()
        self.assertIn("TOKEN=geheim-2-long", [arguments[0] for word, arguments in install.recipe if word == "env"])
        self.joblet.shutdown()
        self.assertNotIn("geheim", self.joblet.log_text())
        for name in os.listdir(self.joblet.database):
            with open(os.path.join(self.joblet.database, name), "rb") as file:
                self.assertNotIn(b"geheim", file.read())


for name in [name for name in dir(Builds) if name.startswith("test_")]:
    setattr(Secrets, name, None)  # once is enough


class Store(Builds):
    """What is done with runtimes that are there."""

    def build_some(self):
        for name, version in (("a", "1.0.0"), ("a", "1.10.0"), ("a", "1.9.0"), ("b", "2.0.0")):
            text = self.PYTHON.replace("name: a", "name: " + name).replace("1.0.0", version)
            self.assertTrue(self.build(text)[2].success)

    def info(self, runtime, **fields):
        return self.admin.runtimes.GetRuntimeInfo(pb.GetRuntimeInfoRequest(runtime=runtime, **fields), timeout=10)

    def names(self):
        return [one.name + "@" + one.version for one in
                self.client("reader").runtimes.ListRuntimes(pb.EmptyRequest(), timeout=10).runtimes]

    def remove(self, runtime):
        return self.admin.runtimes.RemoveRuntime(pb.RemoveRuntimeRequest(runtime=runtime), timeout=10)

    def test_list_and_info(self):
        self.assertEqual(self.names(), [])
        self.build_some()
        self.assertEqual(self.names(), ["a@1.10.0", "a@1.9.0", "a@1.0.0", "b@2.0.0"])
        answer = self.info("a@1.9.0")
        runtime = answer.runtime
        self.assertTrue(answer.found)
        self.assertEqual((runtime.name, runtime.version, runtime.language, runtime.language_version, runtime.description),
                         ("a", "1.9.0", "python", "3.11", "d"))
        self.assertEqual((runtime.size_bytes, runtime.available), (5678901, True))
        self.assertEqual(list(runtime.packages), ["requests", "numpy==1.26.4", "typescript"])
        self.assertEqual(dict(runtime.environment), {"A": "b", "PATH_PREPEND": "/opt/x", "PYTHONUNBUFFERED": "1",
                                                     "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
                                                     "PYTHONDONTWRITEBYTECODE": "1"})
        self.assertEqual((list(runtime.requirements.architectures), runtime.requirements.gpu), (["amd64"], False))
        self.assertEqual((runtime.build_info.built_with, runtime.build_info.platform), ("joblet-builder", "debian-amd64"))
        self.assertIn(runtime.build_info.build_id, self.joblet.jobs)
        self.assertRegex(runtime.build_info.built_at, r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        self.assertEqual(runtime.original_yaml, self.PYTHON.replace("1.0.0", "1.9.0"))
        self.assertEqual(self.info("a").runtime.version, "1.10.0")
        self.assertEqual(self.info("python:3.11").runtime.name, "b")
        for text in ("c", "a@1.0.1", "ruby:1"):
            self.assertFalse(self.info(text).found)
        for text in ("", "../a", "a@1"):
            self.refused(grpc.StatusCode.INVALID_ARGUMENT, self.info, text)

    def test_sbom(self):
        self.assertTrue(self.build(self.PYTHON)[2].success)
        self.assertEqual(self.info("a").sbom, "")
        bill = json.loads(self.info("a", with_sbom=True).sbom)
        self.assertEqual((bill["bomFormat"], bill["specVersion"], bill["version"]), ("CycloneDX", "1.5", 1))
        self.assertRegex(bill["serialNumber"], "^urn:uuid:[0-9a-f-]{36}$")
        self.assertEqual([(one["name"], one["version"], one["purl"]) for one in bill["components"]], [
            ("openssl", "3.0.15-1", "pkg:deb/debian/openssl@3.0.15-1?arch=amd64"),
            ("numpy", "1.26.4", "pkg:pypi/numpy@1.26.4")])
        with open(os.path.join(self.joblet.runtimes, "a", "1.0.0", "manifest"), "w") as file:
            file.write("nonsense\n")
        self.refused(grpc.StatusCode.INTERNAL, self.info, "a", with_sbom=True)

    def test_hostile_content(self):
        self.build_some()
        root = self.joblet.runtimes
        os.makedirs(root + "/c/1.0.0")
        os.mkfifo(root + "/c/1.0.0/runtime.yml")
        os.makedirs(root + "/d/1.0.0")
        os.symlink("/etc/passwd", root + "/d/1.0.0/runtime.yml")
        os.symlink(root + "/a", root + "/e")
        os.mkdir(root + "/f")
        os.symlink(root + "/a/1.0.0", root + "/f/1.0.0")
        os.makedirs(root + "/g/1.0.0")
        for name in ("runtime.yml", "manifest"):
            with open(root + "/a/1.0.0/" + name) as source, open(root + "/g/1.0.0/" + name, "w") as target:
                target.write(source.read())
        os.makedirs(root + "/Upper/1.0.0")
        os.makedirs(root + "/i/latest")
        with open(root + "/j", "w"):
            pass
        os.makedirs(root + "/k/1.0.0")
        with open(root + "/k/1.0.0/runtime.yml", "wb") as file:
            file.write(b"name: k\nversion: 1.0.0\n" + os.urandom(1000))
        os.makedirs(root + "/l/1.0.0")
        with open(root + "/l/1.0.0/runtime.yml", "wb") as file:
            file.truncate(1 << 30)
        with open(root + "/b/2.0.0/manifest", "w"):
            pass
        self.assertEqual(self.names(), ["a@1.10.0", "a@1.9.0", "a@1.0.0", "b@2.0.0"])
        runtime = self.info("b").runtime
        self.assertEqual((runtime.size_bytes, runtime.available), (0, False))

    def test_remove(self):
        self.build_some()
        self.joblet.in_use.add(("a", "1.9.0"))
        answer = self.remove("a@1.0.0")
        self.assertEqual((answer.success, answer.freed_space_bytes), (True, 5678901))
        self.assertEqual(answer.message, "runtime a@1.0.0 removed")
        answer = self.remove("a")
        self.assertEqual((answer.success, answer.freed_space_bytes), (False, 5678901))
        self.assertEqual(answer.message, "1 of 2 versions of a were removed; the runtime is in use")
        self.assertEqual(self.names(), ["a@1.9.0", "b@2.0.0"])
        self.joblet.in_use.clear()
        self.assertTrue(self.remove("a").success)
        for text in ("a", "b@2.0.1", "", "..", "python:3.11", "b/2.0.0"):
            answer = self.remove(text)
            self.assertFalse(answer.success)
            self.assertTrue(answer.message)
        self.assertEqual(self.names(), ["b@2.0.0"])

    def test_validate_tells_what_is_there(self):
        self.build_some()
        request = pb.ValidateRuntimeYAMLRequest(yaml_content=self.LEAST)
        warnings = self.admin.runtimes.ValidateRuntimeYAML(request, timeout=60).warnings
        self.assertEqual(list(warnings), ["a@1.10.0 is there already", "a@1.9.0 is there already",
                                          "a@1.0.0 is there already: a build replaces it only with --force"])

    def run_in(self, runtime, **fields):
        return self.admin.jobs.RunJob(pb.RunJobRequest(command="steps", args=["out:x", "exit:0"], runtime=runtime, **fields),
                                      timeout=10)

    def test_jobs(self):
        self.build_some()
        for text, expected in (("a", "a@1.10.0"), ("a@latest", "a@1.10.0"), ("a@1.0.0", "a@1.0.0"), ("python:3.11", "b@2.0.0"),
                               ("a:1.9.0", "a@1.9.0")):
            uuid = self.run_in(text, environment={"A": "client", "C": "c", "PATH": "/p"}).job_uuid
            status = self.admin.wait(uuid)
            self.assertEqual((status.status, status.runtime), ("COMPLETED", expected))
            job = self.joblet.jobs[uuid]
            self.assertEqual("@".join(job.runtime), expected)
            environment = dict(text.split("=", 1) for text in job.environment)
            self.assertEqual((environment["A"], environment["C"], environment["PYTHONUNBUFFERED"]), ("b", "c", "1"))
            self.assertEqual((environment["PATH"], environment["JOB_RUNTIME"]), ("/opt/x:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", expected))
            self.assertNotIn("PATH_PREPEND", environment)
            self.assertEqual(dict(status.environment), {"C": "c"})
        self.assertEqual([job.runtime for job in self.admin.list().jobs][:2], ["a@1.9.0", "b@2.0.0"])
        for text in ("c", "a@9.9.9", "ruby:3"):
            self.assertIn("runtime not found: " + text, self.refused(grpc.StatusCode.NOT_FOUND, self.run_in, text))
        for text in ("../a", "a@", "A", "a@1.0", "a b"):
            self.refused(grpc.StatusCode.INVALID_ARGUMENT, self.run_in, text)
        uuid = self.admin.run("exit:0").job_uuid
        self.assertEqual(self.admin.wait(uuid).runtime, "")
        self.assertNotIn("JOB_RUNTIME", "".join(self.joblet.jobs[uuid].environment))
        self.joblet.shutdown()
        self.restart()
        self.assertEqual(self.admin.list().jobs[1].runtime, "a@1.9.0")

    def test_first_use_verifies(self):
        self.build_some()
        self.joblet.verified.clear()  # joblet was restarted
        self.joblet.hold_verify = threading.Event()
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            jobs = [pool.submit(self.run_in, "a") for _ in range(16)]
            self.wait_for(lambda: self.joblet.verifications == 1)
            time.sleep(0.2)
            self.joblet.hold_verify.set()
            uuids = [job.result().job_uuid for job in jobs]
        self.assertEqual(self.joblet.verifications, 1)
        for uuid in uuids:
            self.assertEqual(self.admin.wait(uuid).status, "COMPLETED")
        verify, = [job for job in self.joblet.jobs.values() if job.type == 4]
        self.assertEqual(verify.digest, "ab" * 32)
        self.joblet.damaged[("b", "2.0.0")] = "/usr/bin/python3.11 digest differs"
        for _ in range(2):
            details = self.refused(grpc.StatusCode.FAILED_PRECONDITION, self.run_in, "b")
            self.assertIn("the runtime b@2.0.0 is not as it was built: /usr/bin/python3.11 digest differs", details)
        job = self.admin.list().jobs[0]
        self.assertEqual((job.status, job.end_reason), ("FAILED", "setup failure"))

    def test_test(self):
        self.build_some()
        def run(runtime, client=None):
            return (client or self.client("developer")).runtimes.TestRuntime(pb.TestRuntimeRequest(runtime=runtime), timeout=60)
        answer = run("a@1.9.0")
        self.assertEqual((answer.success, answer.exit_code, answer.error), (True, 0, ""))
        job = [job for job in self.joblet.jobs.values() if job.type == 1][0]
        self.assertEqual(job.arguments, ["python3.11", "-c", "import ssl, ctypes, sys; print(sys.version)"])
        self.assertEqual(job.runtime, ("a", "1.9.0"))
        self.assertIn("JOB_RUNTIME=a@1.9.0", job.environment)
        self.assertEqual(self.joblet.verifications, 1)
        self.assertEqual(len(self.admin.list().jobs), 0)
        self.nothing_left()
        self.joblet.damaged[("b", "2.0.0")] = "/etc/passwd is missing"
        answer = run("b")
        self.assertEqual((answer.success, answer.exit_code), (False, 1))
        self.assertIn("/etc/passwd is missing", answer.error)
        answer = run("c")
        self.assertEqual((answer.success, answer.error, answer.exit_code), (False, "runtime not found", 1))
        self.refused(grpc.StatusCode.INVALID_ARGUMENT, run, "")
        self.refused(grpc.StatusCode.PERMISSION_DENIED, run, "a", self.client("reader"))
        self.nothing_left()

    def test_test_says_what_the_language_said(self):
        self.build_some()
        self.joblet.test_steps = ["out:Python 3.11\xff", "err:warning", "exit:3"]
        answer = self.admin.runtimes.TestRuntime(pb.TestRuntimeRequest(runtime="a"), timeout=60)
        self.assertEqual((answer.success, answer.exit_code, answer.error), (False, 3, "exited with 3"))
        self.assertIn("Python 3.11", answer.output)
        self.assertIn("warning", answer.output)


for name in [name for name in dir(Builds) if name.startswith("test_")]:
    setattr(Store, name, None)


class Logs(Case):
    def test_of_an_ended_job(self):
        uuid = self.admin.run("out:one\n", "err:two\n", "out:three\n").job_uuid
        self.admin.wait(uuid)
        chunks = [(chunk.stream, chunk.payload) for chunk in self.admin.logs(uuid)]
        self.assertEqual(chunks, [(1, b"one\n"), (2, b"two\n"), (1, b"three\n")])

    def test_followed_from_the_start(self):
        uuid = self.admin.run("out:one\n", "sleep:0.2", "err:two\n", "sleep:0.2", "exit:0").job_uuid
        arrivals = [(time.monotonic(), chunk.payload) for chunk in self.admin.logs(uuid)]
        self.assertEqual(b"".join(payload for _, payload in arrivals), b"one\ntwo\n")
        self.assertGreater(arrivals[-1][0] - arrivals[0][0], 0.1)
        self.assertIn(self.admin.status(uuid).status, FINAL)

    def test_of_a_job_that_says_nothing(self):
        uuid = self.admin.run("sleep:0.1").job_uuid
        self.assertEqual(list(self.admin.logs(uuid)), [])
        self.refused(grpc.StatusCode.NOT_FOUND, self.admin.logs, "ffffffff")
        self.refused(grpc.StatusCode.INVALID_ARGUMENT, self.admin.logs, "")

    def test_many_followers_get_every_byte(self):
        size = 8 << 20
        uuid = self.admin.run("big:%d" % size, "sleep:0.1", "big:%d" % size).job_uuid

        def follow(slow):
            total, expected = 0, bytes(range(256)) * 4097
            for chunk in self.admin.logs(uuid, timeout=60):
                payload = chunk.payload
                self.assertLessEqual(len(payload), 1 << 20)
                self.assertTrue(payload == expected[total % 256:][:len(payload)])
                total += len(payload)
                if slow:
                    time.sleep(0.02)
            return total

        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            totals = list(pool.map(follow, [True, True, False, False, False, True]))
        self.assertEqual(totals, [2 * size] * 6)

    def test_cancelled(self):
        uuid = self.admin.run("out:x", "wait").job_uuid
        for _ in range(20):
            stream = self.admin.logs(uuid)
            self.assertEqual(next(stream).payload, b"x")
            stream.cancel()
        self.admin.stop(uuid)
        self.assertEqual(b"".join(chunk.payload for chunk in self.admin.logs(uuid)), b"x")
        deadline = time.monotonic() + 60
        while self.open_logs() and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertEqual(self.open_logs(), [])

    def open_logs(self):
        directory = "/proc/%d/fd" % self.joblet.process.pid
        targets = []
        for name in os.listdir(directory):
            try:
                targets.append(os.readlink(os.path.join(directory, name)))
            except FileNotFoundError:
                pass
        return [target for target in targets if "/jobs/" in target]

    def test_deadline(self):
        uuid = self.admin.run("wait").job_uuid
        self.refused(grpc.StatusCode.DEADLINE_EXCEEDED, self.admin.logs, uuid, timeout=0.3)

    def test_index_that_lies(self):
        uuid = self.admin.run("out:one\n", "out:two\n").job_uuid
        self.admin.wait(uuid)
        index = os.path.join(self.joblet.jobs_directory, uuid, "log.index")
        for damage in (b"", b"\xff" * 48, b"\0" * 24, os.urandom(240)):
            with open(index, "wb") as file:
                file.write(damage)
            self.assertEqual(b"".join(chunk.payload for chunk in self.admin.logs(uuid)), b"one\ntwo\n")
        os.unlink(index)
        self.assertEqual(b"".join(chunk.payload for chunk in self.admin.logs(uuid)), b"one\ntwo\n")
        os.symlink("/etc/passwd", index)
        self.refused(grpc.StatusCode.INTERNAL, self.admin.logs, uuid)


class Views(Case):
    """What the kernel says of a job (field kernel): asked for while it runs, kept with its end."""

    def check_view(self, view, before_start, pid):
        self.assertEqual(view.before_start, before_start)
        self.assertRegex(view.taken, r"^2025-11-2\dT\d\d:\d\d:00(Z|[+-])")
        for process, number, inner_pid in ((view.init, pid, 1), (view.command, pid + 100, 2)):
            self.assertEqual((process.pid, process.inner_pid, process.group_count), (number, inner_pid, 9))
            self.assertEqual(list(process.uids), [number, number + 1, number + 2, number + 3])
            self.assertEqual(list(process.gids), [number + 4, number + 5, number + 6, number + 7])
            self.assertEqual(process.uid_map, pb.KernelIdMap(inside=0, outside=100000, count=65536, lines=1))
            self.assertEqual(process.gid_map, pb.KernelIdMap(inside=1, outside=200000, count=3, lines=2))
            self.assertEqual(process.capabilities, pb.KernelCapabilities(
                inheritable=1 << 10, permitted=1 << 11, effective=1 << 12, bounding=1 << 13, ambient=1 << 40))
            self.assertEqual((process.no_new_privs, process.seccomp_mode, process.seccomp_filters), (True, 2, 3))
            kinds = ("pid", "mnt", "uts", "ipc", "net", "cgroup", "user")
            self.assertEqual([(space.kind, space.inode, space.own) for space in process.namespaces],
                             sorted((kind, 4026530000 + i, kind != "pid") for i, kind in enumerate(kinds)))
        self.assertEqual([(group.path, list(group.controllers)) for group in view.cgroups],
                         [("/a b/job", ["memory"]), ("/ü/job", ["cpu", "cpuacct", "v2"])])
        self.assertEqual(view.limits, pb.KernelLimits(
            memory_bytes=1 << 40, swap_bytes=0, cpu_percent=-1, processes=512, cpus="0-3,8", open_files_soft=20000,
            open_files_hard=20001, core_bytes_soft=1, core_bytes_hard=-2, devices=[
                pb.KernelDeviceLimit(device="8:0", read_bps=1048576, write_bps=-1),
                pb.KernelDeviceLimit(device="259:3", read_bps=-2, write_bps=7)]))

    def test_of_a_job_from_start_to_end(self):
        uuid = self.admin.run("wait").job_uuid
        self.check_view(self.client("reader").status(uuid).kernel, False, 1010)
        self.assertEqual(self.joblet.looks, 1)
        self.joblet.fail_look = True  # too busy: what was there before it began
        self.check_view(self.admin.status(uuid).kernel, True, 1000)
        self.admin.stop(uuid)
        looks = self.joblet.looks
        self.check_view(self.admin.status(uuid).kernel, True, 1000)
        self.assertEqual(self.joblet.looks, looks)
        self.assertNotIn(b"/a b/job", self.admin.list().SerializeToString())
        self.joblet.shutdown()
        self.restart()
        self.check_view(self.admin.status(uuid).kernel, True, 1000)
        self.admin.delete(uuid)
        self.joblet.shutdown()
        with sqlite3.connect(os.path.join(self.joblet.database, "joblet.db")) as database:
            self.assertEqual(database.execute("SELECT count(*) FROM job_views").fetchone(), (0,))
        database.close()

    def test_of_jobs_that_never_ran(self):
        self.joblet.fail_start = (5, 3, b"no")
        self.refused(grpc.StatusCode.INTERNAL, self.admin.run, "exit:0")
        job, = self.admin.list().jobs
        self.assertFalse(self.admin.status(job.uuid).HasField("kernel"))

    def test_is_not_lost_with_the_process(self):
        ended, running = (self.admin.run("wait").job_uuid for _ in range(2))
        self.joblet.kill()
        self.joblet.jobs[ended].signals.append(2)
        self.joblet.jobs[ended].wake.set()
        deadline = time.monotonic() + 60
        while not self.joblet.jobs[ended].ended:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)
        self.restart()
        self.admin.wait(ended)
        self.check_view(self.admin.status(ended).kernel, True, 1000)
        self.check_view(self.admin.status(running).kernel, False, 1010)
        # What the job table has is not believed: at worst the field is not there.
        self.admin.stop(running)
        self.joblet.shutdown()
        path = os.path.join(self.joblet.database, "joblet.db")
        with sqlite3.connect(path) as database:
            database.execute("UPDATE job_views SET view=zeroblob(5000)")
        database.close()
        for name in os.listdir(self.joblet.database):
            os.chown(os.path.join(self.joblet.database, name), API_UID, API_UID)
        self.restart()
        status = self.admin.status(running)
        self.assertEqual((status.status, status.HasField("kernel")), ("STOPPED", False))

    def test_many_at_once_do_not_flood_joblet(self):
        uuid = self.admin.run("wait").job_uuid
        self.joblet.hold_looks = threading.Event()
        calls = [self.admin.jobs.GetJobStatus.future(pb.GetJobStatusRequest(uuid=uuid), timeout=10) for _ in range(50)]
        deadline = time.monotonic() + 60
        while sum(call.done() for call in calls) < 18:  # beyond LOOK_MAX: answered without joblet
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)
        waiting = [call for call in calls if not call.done()]
        self.assertEqual(len(waiting), 32)
        for call in calls:
            if call.done():
                self.check_view(call.result().kernel, True, 1000)
        for call in waiting[:16]:
            call.cancel()  # the answer comes to nobody
        self.joblet.hold_looks.set()
        self.joblet.hold_looks = None
        for call in waiting[16:]:
            self.check_view(call.result().kernel, False, 1010)
        self.check_view(self.admin.status(uuid).kernel, False, 1010)


class Restarts(Case):
    def test_all_is_there_after_a_kill(self):
        ended = self.admin.run("out:x", "exit:4", secret_environment={"S": "geheim"}).job_uuid
        self.admin.wait(ended)
        before = self.admin.status(ended)
        running = self.admin.run("wait").job_uuid
        meanwhile = self.admin.run("sleep:0.3", "exit:5").job_uuid
        forgotten = self.admin.run("sleep:0.3", "exit:6").job_uuid
        lost = self.admin.run("wait").job_uuid
        self.joblet.kill()
        deadline = time.monotonic() + 60
        while not (self.joblet.jobs[meanwhile].ended and self.joblet.jobs[forgotten].ended):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)
        # As after a restart of joblet itself: one has a record only, of one there is nothing.
        self.joblet.jobs[forgotten].released = True
        self.joblet.jobs[lost].released = True
        self.restart()
        self.assertEqual(self.admin.status(ended), before)
        self.assertEqual(self.admin.status(running).status, "RUNNING")
        self.assertEqual(self.admin.wait(meanwhile).exit_code, 5)
        self.assertEqual(self.admin.wait(forgotten).exit_code, 6)
        status = self.admin.wait(lost)
        self.assertEqual((status.status, status.exit_code), ("FAILED", -1))
        self.assertIn("lost", status.error)
        self.assertEqual(self.admin.stop(running).status, "STOPPED")
        self.assertEqual(b"".join(chunk.payload for chunk in self.admin.logs(ended)), b"x")
        for uuid in (ended, running, meanwhile, forgotten, lost):
            self.assertTrue(self.admin.delete(uuid).success)

    def test_a_stop_goes_on_after_a_kill(self):
        uuid = self.admin.run("ignore", "wait").job_uuid
        call = self.admin.jobs.StopJob.future(pb.StopJobRequest(uuid=uuid))
        deadline = time.monotonic() + 60
        while not self.joblet.jobs[uuid].signals:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.001)
        self.joblet.kill()
        self.assertIsNotNone(call.exception())
        self.restart()
        self.assertEqual(self.admin.wait(uuid).status, "STOPPED")

    def test_a_job_that_is_not_in_the_table_is_ended(self):
        uuid = self.admin.run("wait").job_uuid
        self.joblet.kill()
        for name in os.listdir(self.joblet.database):
            os.unlink(os.path.join(self.joblet.database, name))
        self.restart()
        deadline = time.monotonic() + 60
        while uuid not in self.joblet.ids_removed:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)
        self.assertEqual(self.joblet.jobs[uuid].signals, [2])

    def test_joblet_goes(self):
        self.admin.run("wait")
        self.assertEqual(self.joblet.hang_up(), 0)

    def test_shutdown_keeps_jobs(self):
        uuid = self.admin.run("wait").job_uuid
        stream = self.admin.logs(uuid)
        threading.Thread(target=lambda: [None for _ in iter(lambda: next(stream, None), None)], daemon=True)
        self.assertEqual(self.joblet.shutdown(), 0)
        self.assertEqual(self.joblet.jobs[uuid].signals, [])
        self.restart()
        self.assertEqual(self.admin.status(uuid).status, "RUNNING")

    def test_sigterm(self):
        self.joblet.process.send_signal(signal.SIGTERM)
        self.assertEqual(self.joblet.process.wait(60), 0)

    def test_a_damaged_table_is_said_so(self):
        self.admin.run("exit:0")
        self.joblet.shutdown()
        path = os.path.join(self.joblet.database, "joblet.db")
        with open(path, "r+b") as file:
            file.seek(20)
            file.write(os.urandom(4000))
        self.joblet.start(expect_serving=False)
        self.assertEqual(self.joblet.process.wait(60), 1)
        self.assertIn("job table", self.joblet.log_text().splitlines()[-1])

    def test_a_foreign_or_newer_table_is_refused(self):
        self.joblet.shutdown()
        path = os.path.join(self.joblet.database, "joblet.db")
        for statement, word in (("PRAGMA user_version=99", "newer"), ("PRAGMA application_id=1", "not one of joblet's")):
            with sqlite3.connect(path) as database:
                database.execute(statement)
            database.close()
            for name in os.listdir(self.joblet.database):
                os.chown(os.path.join(self.joblet.database, name), API_UID, API_UID)
            self.joblet.start(expect_serving=False)
            self.assertEqual(self.joblet.process.wait(60), 1)
            self.assertIn(word, self.joblet.log_text().splitlines()[-1])


class Stopping(Case):
    settings = dict(on_shutdown_stop=1)

    def test_shutdown_stops_jobs(self):
        uuids = [self.admin.run("wait").job_uuid for _ in range(5)]
        self.assertEqual(self.joblet.shutdown(), 0)
        self.restart()
        for uuid in uuids:
            self.assertEqual(self.admin.status(uuid).status, "STOPPED")


class Confinement(Case):
    # shows: CIS-Docker 2.1, NIST 4.5.2
    def test_what_the_process_may(self):
        with open("/proc/%d/status" % self.joblet.process.pid) as file:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
        self.assertEqual(status["Uid"].split(), [str(API_UID)] * 4)
        self.assertEqual(status["NoNewPrivs"], "1")
        self.assertEqual(status["Seccomp"], "2")
        for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            self.assertEqual(int(status[name], 16), 0)
        for task in os.listdir("/proc/%d/task" % self.joblet.process.pid):
            with open("/proc/%d/task/%s/status" % (self.joblet.process.pid, task)) as file:
                self.assertIn("Seccomp:\t2\n", file.readlines())

    def test_idle_is_quiet_and_small(self):
        uuid = self.admin.run("out:x", "exit:0").job_uuid
        self.admin.wait(uuid)
        self.admin.channel.close()
        time.sleep(0.5)

        def switches():
            total = 0
            for task in os.listdir("/proc/%d/task" % self.joblet.process.pid):
                with open("/proc/%d/task/%s/status" % (self.joblet.process.pid, task)) as file:
                    total += sum(int(line.split()[1]) for line in file if "ctxt_switches" in line)
            return total

        before = switches()
        time.sleep(2)
        self.assertLessEqual(switches() - before, 2)

    def test_not_as_root(self):
        import subprocess
        result = subprocess.run([API], stdin=subprocess.DEVNULL, capture_output=True, close_fds=True, timeout=10)
        self.assertEqual(result.returncode, 1)


class Monitoring(Case):
    def test_system_status(self):
        status = self.admin.monitoring.GetSystemStatus(pb.EmptyRequest(), timeout=10)
        for field in ("host", "cpu", "memory", "processes", "cloud"):
            self.assertTrue(status.HasField(field), field)
        self.assertEqual(len(status.cpu.load_average), 3)
        self.assertGreater(status.memory.total_bytes, 1 << 20)
        self.assertGreater(status.processes.total_processes, 1)
        self.assertEqual(status.host.node_id, "7d1f6f0e-3a51-4c8f-9d32-0c7a5c3b1a11")


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]] + sys.argv[3:], verbosity=2)
