"""Builds as joblet sees them: the operations of the privileged channel that make, publish, verify and remove runtimes, with
a stand-in for joblet-builder that does what each test tells it.

    test_builds.py JOBLET JOBLET_INIT RELAY_API STAND_BUILDER

BUILD_KILLS, BUILD_SEED: how often joblet is killed on the way of a build, and when."""
import contextlib
import errno
import fcntl
import os
import random
import re
import signal
import struct
import subprocess
import sys
import threading
import time
import unittest
import uuid

import channel
from channel import wait_for

JOBLET, INIT, RELAY, BUILDER = sys.argv[1:5]
KILLS = int(os.environ.get("BUILD_KILLS", 4))
SEED = int(os.environ.get("BUILD_SEED", random.randrange(1 << 31)))
SCRATCH = os.path.join(os.path.dirname(JOBLET), "joblet-scratch")


def large_directories():
    """Of the OS, which no build of these tests needs: looking through them would be most of the time of each. At most eight."""
    sizes = {}
    for entry in os.scandir("/usr/lib"):
        if entry.is_dir(follow_symlinks=False) and not re.match(r"x86_64|aarch64|python|apt$|dpkg$", entry.name):
            sizes[entry.path] = sum(len(names) + len(files) for _, names, files in os.walk(entry.path))
    return ["/usr/share", "/usr/include", "/usr/local", *sorted(sizes, key=sizes.get)[-4:]]


class Case(unittest.TestCase):
    """A joblet for each class, started for each test; nothing of a test outlives it."""
    builder = BUILDER
    settings = ("buildDiskSize: 512\nmaxBuilds: 2\nbuildMemoryLimit: 256\nbuildProcessLimit: 300\n"
                "hide: |\\n" + "\\n".join(large_directories()) + "\n")

    @classmethod
    def setUpClass(cls):
        cls.joblet = channel.Joblet({"joblet": JOBLET, "joblet-init": INIT, "joblet-scratch": SCRATCH,
                                     "joblet-api": RELAY, "joblet-builder": cls.builder}, cls.settings)

    @classmethod
    def tearDownClass(cls):
        cls.joblet.remove()

    def setUp(self):
        self.joblet.start()

    def tearDown(self):
        """Nothing of any test outlives it."""
        joblet = self.joblet
        try:
            if joblet.process:
                for job, (phase, _) in joblet.list().items():
                    if phase != 3:
                        joblet.signal(job)
                        joblet.end(job)
                    joblet.release(job)
                for name in joblet.store():
                    if not name.startswith("."):
                        self.assert_done(joblet.remove_runtime(*name.split("/")))
                # Starts that failed left their records.
                for name in os.listdir(joblet.prefix + "/state/jobs"):
                    self.assert_done(joblet.answer(channel.JOB_REMOVE, uuid.UUID(name).bytes))
                wait_for(lambda: not joblet.store())
                joblet.stop()
        except BaseException:
            print(joblet.log()[-4000:])
            raise
        self.assertEqual(joblet.groups(), [])
        self.assertEqual(os.listdir(joblet.prefix + "/state/jobs"), [])
        self.assertEqual(joblet.network(), [])

    # --- steps

    def assert_done(self, error):
        self.assertEqual(error.code, 0, error)

    def assert_refused(self, error, code, text=""):
        self.assertEqual((error.code, text in error.text), (code, True), error)

    def build(self, script="true", **fields):
        """A build that has ended with 0."""
        build, error = self.joblet.build(["install", script], **fields)
        self.assert_done(error)
        ended = self.joblet.end(build)
        self.assertEqual((ended.reason, ended.exit_code), (channel.EXITED, 0), self.joblet.output(build))
        return build

    def collect(self, build, *words):
        job, error = self.joblet.collect(build, ["collect", *(words or ("copy",))])
        self.assert_done(error)
        return job, self.joblet.end(job)

    def make_runtime(self, name="hello", version="1.0", text="first", replace=0, before=lambda step: None):
        before("build")
        build = self.build(name=name, version=version)
        before("collect")
        job, ended = self.collect(build, "copy", "told=" + text)
        self.assertEqual(ended.exit_code, 0, self.joblet.output(job))
        before("publish")
        self.assert_done(self.joblet.publish(build, replace))
        before("release")
        self.joblet.release(job, build)

    def shell(self, script, name="hello", version="1.0"):
        job, error = self.joblet.run(["sh", "-c", script], name, version)
        self.assert_done(error)
        self.joblet.end(job)
        text = self.joblet.output(job)
        self.joblet.release(job)
        return text

    def start_again_after(self, killer):
        """Whatever was running has ended and is forgotten then."""
        killer.join()
        self.joblet.kill()
        self.joblet.start()
        for job in self.joblet.list():
            self.joblet.end(job)
            self.joblet.release(job)

    def sleeper(self, name="hello", version="1.0"):
        job, error = self.joblet.run(["sh", "-c", "echo up; sleep 600; cat /told"], name, version)
        self.assert_done(error)
        wait_for(lambda: "up" in self.joblet.output(job))
        return job

    def stop_job(self, job):
        self.assert_done(self.joblet.signal(job))
        self.joblet.end(job)
        self.joblet.release(job)


class Builds(Case):
    """With a stand-in for joblet-builder."""

    # --- the whole way

    def test_from_build_to_removal(self):
        joblet = self.joblet
        build, error = joblet.build(["install", "echo $RUNTIME_NAME $RUNTIME_VERSION $RUNTIME_TYPE; id -u; sleep 600"])
        self.assert_done(error)
        wait_for(lambda: joblet.output(build).count("\n") >= 2)
        self.assertEqual(joblet.output(build), "hello 1.0 python\n0\n")
        self.assertEqual(joblet.list(), {build: (2, channel.BUILD)})
        self.stop_job(build)
        self.make_runtime()
        self.assertEqual(joblet.store(), ["hello/1.0"])
        self.assertEqual(self.shell("cat /told; touch /x 2>&1"),
                         "firsttouch: cannot touch '/x': Read-only file system\n")
        job = self.sleeper()
        self.assert_refused(joblet.remove_runtime("hello", "1.0"), errno.EBUSY, "a job uses runtime hello@1.0")
        self.stop_job(job)
        self.assert_done(joblet.remove_runtime("hello", "1.0"))
        self.assert_refused(joblet.remove_runtime("hello", "1.0"), errno.ENOENT, "there is no runtime hello@1.0")
        self.assert_refused(joblet.run(["true"], "hello", "1.0")[1], errno.ENOENT, "there is no runtime hello@1.0")
        wait_for(lambda: not os.listdir(joblet.prefix + "/runtimes"))

    def test_verified_once_a_start(self):
        joblet = self.joblet
        self.make_runtime()
        joblet.stop()
        joblet.start()
        self.assert_refused(joblet.run(["true"], "hello", "1.0")[1], errno.EKEYREJECTED, "was not verified")
        for what, code in (("fail", 3), ("pass", 0)):
            job, error = joblet.verify("hello", "1.0", ["verify", what])
            self.assert_done(error)
            self.assertEqual(joblet.end(job).exit_code, code)
            joblet.release(job)
            error = joblet.run(["true"], "hello", "1.0")[1]
            self.assertEqual(error.code, errno.EKEYREJECTED if code else 0)
        self.make_runtime(version="2.0")
        self.assertEqual(self.shell("cat /told", version="2.0"), "first")

    def test_replaced_while_used(self):
        joblet = self.joblet
        self.make_runtime()
        job = self.sleeper()
        build = self.build()
        collected, _ = self.collect(build, "copy", "told=second")
        self.assert_refused(joblet.publish(build), errno.EEXIST, "there is a runtime hello@1.0 already")
        self.assertEqual(joblet.publish(build, 2).code, errno.EINVAL)
        self.assert_done(joblet.publish(build, 1))
        joblet.release(collected, build)
        self.assertEqual(self.shell("cat /told"), "second")
        trash, name = joblet.store()
        self.assertTrue(trash.startswith(".trash-") and name == "hello/1.0")
        # It keeps what it began with, for as long as it runs.
        with open(f"/proc/{self.inner_pid(job)}/root/told") as file:
            self.assertEqual(file.read(), "first")
        self.stop_job(job)
        wait_for(lambda: joblet.store() == ["hello/1.0"])

    def test_used_over_a_restart(self):
        joblet = self.joblet
        self.make_runtime()
        job = self.sleeper()
        joblet.kill()
        joblet.start()
        self.assertEqual(joblet.list(), {job: (2, channel.STANDARD)})
        self.assert_refused(joblet.remove_runtime("hello", "1.0"), errno.EBUSY, "a job uses runtime hello@1.0")
        self.make_runtime(text="second", replace=1)
        self.assertEqual(len(joblet.store()), 2)
        self.stop_job(job)
        wait_for(lambda: joblet.store() == ["hello/1.0"])

    def inner_pid(self, job):
        """A process of the job."""
        for group in self.joblet.groups():
            path = f"{group}/job-{uuid.UUID(bytes=job)}/cgroup.procs"
            if os.path.exists(path):
                with open(path) as file:
                    pids = [int(pid) for pid in file.read().split()]
                return next(pid for pid in pids if channel.name_of(pid) != "joblet-init")
        raise AssertionError("no process")

    # --- what is refused

    def test_operands_of_builds(self):
        joblet, new = self.joblet, lambda: uuid.uuid4().bytes
        for name in ("", "..", ".", "a/b", "A", "a b", "-a", "a\n", "é"):
            self.assertEqual(joblet.build(["install"], name=name)[1].code, errno.EINVAL, name)
            self.assertEqual(joblet.build(["install"], version=name[:30])[1].code, errno.EINVAL, name)
            self.assertEqual(joblet.build(["install"], language=name[:14])[1].code, errno.EINVAL, name)
        longest = b"a" * 65
        rest = struct.pack("=16sII32x", b"python", 0, 0)
        for runtime in (longest + b"1".ljust(33, b"\0") + bytes(6), b"a\0b".ljust(65, b"\0") + b"1".ljust(39, b"\0"),
                        b"a".ljust(65, b"\0") + b"1".ljust(38, b"\0") + b"x", b"a".ljust(65, b"\0") + b"1" * 33 + bytes(6)):
            error = joblet.start_request(channel.BUILD_START, new() + channel.limits() + runtime + rest, ["install"], ())
            self.assertEqual(error.code, errno.EINVAL, runtime)
        for tail in (struct.pack("=16sII32x", b"python", 2, 0), struct.pack("=16sII32x", b"python", 0, 1),
                     struct.pack("=16sII32x", b"p\0x", 0, 0)):
            body = new() + channel.limits() + channel.runtime("a", "1") + tail
            self.assertEqual(joblet.start_request(channel.BUILD_START, body, ["install"], ()).code, errno.EINVAL)
        self.assertEqual(joblet.build(["install"], job=bytes(16))[1].code, errno.EINVAL)
        for wanted in ({"memory": 257 << 20}, {"processes": 301}, {"timeout_ns": 3601 * 10**9}, {"open_files": 1},
                       {"cpu": 10001}):
            self.assertEqual(joblet.build(["install"], **wanted)[1].code, errno.EINVAL, wanted)
        loose = os.memfd_create("loose")
        body = new() + channel.limits() + channel.runtime("a", "1") + rest
        error = channel.Error(joblet.request(channel.BUILD_START, body, [loose])[184:384])
        os.close(loose)
        self.assertNotEqual(error.code, 0)
        self.assertEqual(joblet.list(), {})

    def test_order_of_operations(self):
        joblet, nobody = self.joblet, uuid.uuid4().bytes
        self.assertEqual(joblet.collect(nobody, ["collect"])[1].code, errno.ESRCH)
        self.assertEqual(joblet.publish(nobody).code, errno.ESRCH)
        self.assertEqual(joblet.verify("none", "1")[1].code, errno.ENOENT)
        running, error = joblet.build(["install", "sleep 600"], name="a")
        self.assert_done(error)
        self.assert_refused(joblet.collect(running, ["collect"])[1], errno.EINVAL, "has not ended")
        self.assert_refused(joblet.publish(running), errno.EINVAL, "was not collected")
        self.stop_job(running)
        failed, _ = joblet.build(["install", "exit 4"], name="b")
        self.assertEqual(joblet.end(failed).exit_code, 4)
        self.assert_refused(joblet.collect(failed, ["collect"])[1], errno.EINVAL, "failed")
        dry = self.build(name="c", dry_run=1)
        self.assert_refused(joblet.collect(dry, ["collect"])[1], errno.EINVAL, "dry run")
        build = self.build(name="d")
        body = uuid.uuid4().bytes + channel.limits()
        for tail in (struct.pack("=II", 3, 0) + build + channel.runtime(), struct.pack("=II", 1, 1) + build + channel.runtime(),
                     struct.pack("=II", 1, 0) + build + channel.runtime("d", "1.0"),
                     struct.pack("=II", 2, 0) + build + channel.runtime("d", "1.0"),
                     struct.pack("=II", 2, 0) + bytes(16) + channel.runtime()):
            self.assertEqual(joblet.start_request(channel.TOOL_START, body + tail, ["x"], ()).code, errno.EINVAL)
        job, error = joblet.collect(build, ["collect", "hang"])
        self.assert_done(error)
        self.assert_refused(joblet.collect(build, ["collect"])[1], errno.EBUSY, "is being collected")
        self.assertEqual(joblet.publish(build).code, errno.EINVAL)
        self.stop_job(job)
        joblet.release(build)
        self.assertEqual(joblet.collect(build, ["collect"])[1].code, errno.ESRCH)
        self.assertEqual(joblet.publish(build).code, errno.ESRCH)

    def test_one_of_a_name_and_few_at_a_time(self):
        joblet = self.joblet
        first, error = joblet.build(["install", "sleep 600"])
        self.assert_done(error)
        self.assert_refused(joblet.build(["install"])[1], errno.EBUSY, "hello@1.0 is being built already")
        second, error = joblet.build(["install", "sleep 600"], dry_run=1)
        self.assert_done(error)
        self.assert_refused(joblet.build(["install"], version="2.0")[1], errno.EAGAIN, "2 builds run already")
        self.stop_job(second)
        self.stop_job(first)
        # One that has ended is in the way until it is released.
        third = self.build()
        self.assertEqual(joblet.build(["install"])[1].code, errno.EBUSY)
        joblet.release(third)
        self.build(version="2.0")

    def test_collect_that_fails(self):
        joblet = self.joblet
        build = self.build()
        job, ended = self.collect(build, "fail")
        self.assertEqual(ended.exit_code, 3)
        self.assert_refused(joblet.publish(build), errno.EINVAL, "was not collected")
        self.assert_refused(joblet.collect(build, ["collect"])[1], errno.EINVAL, "its collect failed")
        wait_for(lambda: joblet.store() == [])
        joblet.release(job)
        # The way is free for the next try, also before this one is released.
        again = self.build()
        self.collect(again, "copy", "told=again")
        self.assert_done(joblet.publish(again))
        self.assert_refused(joblet.publish(again), errno.EINVAL, "is published")
        self.assertEqual(self.shell("cat /told"), "again")

    def test_a_failed_build_is_looked_at(self):
        """Once, whatever it ended of; nothing can be made of it, and the stage and the downloads are none of it."""
        joblet = self.joblet
        failed, _ = joblet.build(["install", "echo mine >/srv/mine; exit 4"], name="b")
        self.assertEqual(joblet.end(failed).exit_code, 4)
        job, error = joblet.look(failed, ["collect", "pass"])
        self.assert_done(error)
        self.assertEqual(joblet.end(job).exit_code, 0)
        self.assert_refused(joblet.publish(failed), errno.EINVAL, "was not collected")
        self.assert_refused(joblet.collect(failed, ["collect"])[1], errno.EINVAL, "failed")
        self.assert_refused(joblet.look(failed, ["collect"])[1], errno.EINVAL, "was looked at")
        wait_for(lambda: joblet.store() == [])
        joblet.release(job, failed)
        # What ran too long, and was ended with its disk as it is.
        slow, error = joblet.build(["install", "sleep 600"], name="c")
        self.assert_done(error)
        self.assert_refused(joblet.look(slow, ["collect"])[1], errno.EINVAL, "has not ended")
        self.assert_done(joblet.signal(slow))
        joblet.end(slow)
        job, error = joblet.look(slow, ["collect", "copy"])
        self.assert_done(error)
        self.assertEqual(joblet.end(job).exit_code, 0)
        self.assert_refused(joblet.publish(slow), errno.EINVAL, "was not collected")
        joblet.release(job, slow)
        # One that did not fail is collected, and a dry run is neither.
        well = self.build(name="d")
        self.assert_refused(joblet.look(well, ["collect"])[1], errno.EINVAL, "has not failed")
        dry, _ = joblet.build(["install", "exit 4"], name="e", dry_run=1)
        joblet.end(dry)
        self.assert_refused(joblet.look(dry, ["collect"])[1], errno.EINVAL, "dry run")
        self.assertEqual(joblet.look(uuid.uuid4().bytes, ["collect"])[1].code, errno.ESRCH)

    def test_released_before_its_collect_ends(self):
        joblet = self.joblet
        build = self.build()
        job, error = joblet.collect(build, ["collect", "hang"])
        self.assert_done(error)
        joblet.release(build)
        self.assertEqual(joblet.publish(build).code, errno.ESRCH)
        self.stop_job(job)
        wait_for(lambda: joblet.store() == [])

    # --- what they are given

    def test_places_of_our_own_programs(self):
        build = self.build()
        job, _ = self.collect(build, "try")
        text = self.joblet.output(job)
        self.assertIn("ids 0 0\n/stage written 0\n", text)
        self.assertIn("/cache written 0\n/merged Read-only", text)
        for place in ("base", "merged", "upper", "lower", ""):
            self.assertRegex(text, rf"/{place} (Read-only file system|Permission denied)\n")
        self.make_runtime("other", "1")
        job, _ = self.joblet.verify("other", "1", ["verify", "try"])
        self.joblet.end(job)
        self.assertIn("/stage Read-only file system\n/base No such file", self.joblet.output(job))

    def test_what_a_build_writes_reaches_its_collect_alone(self):
        marker = f"/usr/joblet-test-{os.getpid()}"
        build = self.build(f"echo built > {marker}; test -e /opt/joblet/config || echo hidden")
        self.assertEqual(self.joblet.output(build), "hidden\n")
        self.assertFalse(os.path.exists(marker))
        other = self.build(f"test -e {marker} || echo absent", name="other")
        self.assertEqual(self.joblet.output(other), "absent\n")

    def test_size_of_the_disk(self):
        build = self.build("dd if=/dev/zero of=/tmp/a bs=1M count=600 2>/dev/null || du -m /tmp/a")
        size = int(self.joblet.output(build).split()[0])
        self.assertTrue(400 < size <= 513, size)

    def test_limits_in_force(self):
        build, error = self.joblet.build(["install", "ulimit -n; sleep 600"], memory=64 << 20, processes=50)
        self.assert_done(error)
        data = self.joblet.request(channel.JOB_LOOK, build)
        self.assertEqual(channel.Error(data[8:208]).code, 0)
        limits = 208 + 16 + 2 * 160
        memory, _, processes = struct.unpack_from("=QqQ", data, limits)[0:3]
        self.assertIn(64 << 20, struct.unpack_from("=23Q", data, limits))
        self.assertIn(50, struct.unpack_from("=23Q", data, limits), (memory, processes))

    def test_settings_of_the_api(self):
        joblet = self.joblet
        joblet.stop()
        joblet.configure("environment: |\\nhttps_proxy=http://user:secret@proxy:3128\\nEMPTY=\nshow: |\\n/etc/hidden\ncacheSize: 0\n")
        joblet.start()
        pid = int(re.findall(r"joblet-api started pid=(\d+)", joblet.log())[-1])
        with open(f"/proc/{pid}/fd/12", "rb") as file:
            self.assertEqual(file.read(), b"https_proxy=http://user:secret@proxy:3128\0EMPTY=\0")
        self.assertNotIn("secret", joblet.log())
        job, _ = self.collect(self.build("true"), "try")
        self.assertIn("/cache No such file or directory\n", joblet.output(job))

    # --- ends of all kinds

    def test_killed_joblet_ends_builds(self):
        joblet = self.joblet
        finished = self.build(name="a")
        build, _ = joblet.build(["install", "sleep 600"], name="b")
        collected, _ = joblet.collect(finished, ["collect", "hang"])
        job, _ = joblet.run(["sleep", "600"])
        self.assertEqual(len(joblet.inits()), 3)
        joblet.kill()
        listed = joblet.start() or joblet.list()
        self.assertEqual(listed[job], (2, channel.STANDARD))
        self.assertEqual({listed[build][1], listed[collected][1]}, {channel.BUILD, channel.COLLECT_JOB})
        for ended in (build, collected):
            self.assertEqual(joblet.end(ended).reason, channel.STOPPED)
        self.assertEqual(joblet.end(finished).exit_code, 0)
        self.assertEqual(joblet.collect(finished, ["collect"])[1].code, errno.ESRCH)
        self.assertEqual(joblet.publish(finished).code, errno.ESRCH)
        wait_for(lambda: joblet.store() == [])
        joblet.release(build, collected, finished)
        self.build(name="b")

    def test_killed_at_any_moment(self):
        """Whenever joblet is killed, a runtime is there as a whole or not at all, and nothing else is left."""
        joblet, choice = self.joblet, random.Random(SEED)
        self.make_runtime(text="0")
        seen = 0
        for number in range(1, KILLS + 1):
            step, longest = (("publish", 0.02), ("build", 1), ("publish", 0.005), ("collect", 1))[number % 4]
            killer = threading.Timer(choice.uniform(0, longest), joblet.process.kill)
            with contextlib.suppress(OSError):  # the channel ends
                self.make_runtime(text=str(number), replace=1, before=lambda at, on=step: at == on and killer.start())
            self.start_again_after(killer)
            wait_for(lambda: joblet.store() == ["hello/1.0"])
            job, error = joblet.verify("hello", "1.0", ["verify", "pass"])
            self.assert_done(error)
            joblet.end(job)
            joblet.release(job)
            told = int(self.shell("cat /told"))
            self.assertIn(told, (seen, number), f"seed {SEED}")
            seen = told
            self.assertEqual(joblet.inits(), set())
        print(f"seed {SEED}: killed {KILLS} times, the last one published was {seen}")

    def test_no_group_outlives_the_service(self):
        """Also when it ends before it is asked to forget a job that has ended; and nothing is said to run then."""
        joblet = self.joblet
        job, error = joblet.run(["true"])
        self.assert_done(error)
        joblet.end(job)
        joblet.stop()
        self.assertEqual(joblet.groups(), [])
        self.assertIn("joblet ended jobs_running=0", joblet.log().splitlines()[-1])
        joblet.start()
        joblet.release(job)

    def test_builds_end_with_the_service(self):
        joblet = self.joblet
        build, _ = joblet.build(["install", "sleep 600"])
        job, _ = joblet.run(["sleep", "600"])
        joblet.stop()
        self.assertEqual(len(joblet.inits()), 1)
        joblet.start()
        self.assertEqual(joblet.end(build).reason, channel.STOPPED)
        joblet.release(build)
        self.stop_job(job)

    def test_scratch_ends_meanwhile(self):
        joblet = self.joblet
        build, _ = joblet.build(["install", "echo kept > /tmp/a; read go < /tmp/go; cat /tmp/a"])
        pid = int(re.findall(r"joblet-scratch started pid=(\d+)", joblet.log())[-1])
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: joblet.log().count("joblet-scratch started") >= 2)
        joblet.signal(build)
        joblet.end(build)
        joblet.release(build)
        again = self.build("echo kept > /tmp/a")
        _, ended = self.collect(again, "pass")
        self.assertEqual(ended.exit_code, 0)

    def test_leftovers_of_a_crash_are_swept(self):
        joblet = self.joblet
        joblet.stop()
        owner = os.stat(joblet.prefix + "/base").st_uid
        for name in (f".staging-{uuid.uuid4()}", f".trash-{uuid.uuid4()}"):
            for path in ("", "/isolated", "/isolated/usr"):
                os.mkdir(f"{joblet.prefix}/runtimes/{name}{path}")
                os.chown(f"{joblet.prefix}/runtimes/{name}{path}", owner, owner)
            os.symlink("/etc", f"{joblet.prefix}/runtimes/{name}/isolated/etc")
            os.lchown(f"{joblet.prefix}/runtimes/{name}/isolated/etc", owner, owner)
        joblet.start()
        self.assertEqual(joblet.list(), {})
        wait_for(lambda: joblet.store() == [])

    # --- the host

    def test_network_is_there_for_a_build_alone(self):
        self.assertEqual(self.joblet.network(), [])
        self.build("true")
        wait_for(lambda: len(self.joblet.network()) == 3)  # its own end of the link goes with its namespace
        # Gone when unused, also while the service goes on.
        wait_for(lambda: self.joblet.network() == [])

    def rules(self):
        """Of our two tables, without what counts."""
        text = ""
        for table in sorted(name for name in self.joblet.network() if name.startswith("table ")):
            text += subprocess.run(["nft", "-s", "list", *table.split()], capture_output=True, text=True, check=True).stdout
        return text

    def test_rules_come_back_while_a_build_runs(self):
        """Our tables alone are flushed or deleted here, by name; joblet hears of it by itself."""
        build, error = self.joblet.build(["install", "echo up; sleep 600"])
        self.assert_done(error)
        wait_for(lambda: "up" in self.joblet.output(build))
        rules = self.rules()
        tables = [name.split()[1:] for name in self.joblet.network() if name.startswith("table ")]
        self.assertEqual((len(tables), "drop" in rules), (2, True), rules)
        for verb in ("flush", "delete"):
            for family, name in tables:
                self.assertRegex(name, "^joblet_[0-9a-f]{8}$")
                subprocess.run(["nft", verb, "table", family, name], check=True)
            wait_for(lambda: self.rules() == rules)
        self.assertIn("the rules of builds were gone", self.joblet.log())
        self.stop_job(build)
        self.joblet.release(build)

    def test_host_state(self):
        first, again = self.joblet.host_state(), self.joblet.host_state()
        self.assertEqual(first.fingerprint, again.fingerprint)
        with open("/etc/os-release") as file:
            release = dict(line.rstrip("\n").split("=", 1) for line in file if "=" in line)
        self.assertEqual(first.distribution, release["ID"].strip('"'))
        self.assertEqual(first.version, release.get("VERSION_ID", "").strip('"'))
        self.assertEqual(first.architecture, os.uname().machine)
        self.assertTrue(first.free_bytes > 0)
        lock = "/var/lib/dpkg/lock-frontend"
        if not os.path.exists(lock):
            self.skipTest("no dpkg on this host")
        with open(lock, "r+b") as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.assert_refused(self.joblet.host_state().error, errno.EAGAIN, f"'{lock}' is held")
        self.assertEqual(self.joblet.host_state().error.code, first.error.code)

    @unittest.skipUnless(os.path.exists("/var/lib/dpkg/status"), "no dpkg on this host")
    def test_broken_database(self):
        """What a package manager that was cut short leaves."""
        package = "Package: half\nStatus: install {0}\nVersion: 1\n\n"
        for script, text in ((f"printf '{package.format('ok half-configured')}' >>$d/status", "the host's package 'half' is 'ok half-configured'"),
                             (f"printf '{package.format('reinstreq installed')}' >>$d/status", "is 'reinstreq installed'"),
                             (f"printf '{package.format('ok unpacked')}' >>$d/status", "run 'dpkg --configure -a'"),
                             ("mkdir $d/updates && touch $d/updates/0001", "was cut short"),
                             (": >$d/status", "is empty"), (f"printf '{package.format('ok config-files')}' >>$d/status", None)):
            self.joblet.stop()
            self.joblet.command = ["unshare", "-m", "sh", "-c", "d=/mnt/dpkg; mount -t tmpfs none /mnt && mkdir $d && "
                                   f"cp /var/lib/dpkg/status $d/ && {{ {script}; }} && mount --bind $d /var/lib/dpkg && exec \"$@\"", "sh"]
            try:
                self.joblet.start()
                error = self.joblet.host_state().error
                if text:
                    self.assert_refused(error, errno.EUCLEAN, text)
                else:
                    self.assert_done(error)
            finally:
                self.joblet.command = []


@unittest.skipUnless(os.path.exists("/var/lib/dpkg/status"), "no dpkg on this host")
class Chain(Case):
    """With joblet-builder itself, as joblet-api would ask for it; no package is fetched."""
    builder = os.path.join(os.path.dirname(JOBLET), "joblet-builder")
    settings = "buildDiskSize: 512\n"
    minute = str(60 * 10**9)

    def finish(self, job, error, code=0):
        self.assert_done(error)
        ended = self.joblet.end(job)
        text = self.joblet.output(job)
        self.assertEqual((ended.reason, ended.exit_code), (channel.EXITED, code), text)
        return text

    def test_recipe_becomes_runtime(self):
        joblet = self.joblet
        began = str(time.time_ns())
        build, error = joblet.build(["install", "phase", "5", "base", "begins", "env", "WORD=said",
                                     "run", "hello", self.minute, "3", "sh", "-c",
                                     "mkdir -p $RUNTIME_DIR; echo $WORD > $RUNTIME_DIR/told; echo built"])
        text = self.finish(build, error)
        self.assertIn("@phase 5 base: begins\n", text)
        self.assertIn("@log info built\n", text)
        job, error = joblet.collect(build, [
            "collect", "packager", "apt", "package", "grep", "runtime-dir", "/opt/joblet/runtimes/hello/1.0", "path",
            "/usr/bin:/bin", "limit", str(1 << 30), "since", began, "file", "runtime.yml", "1", "name: hello\n"])
        text = self.finish(job, error)
        digest = re.search(r"@digest ([0-9a-f]{64})\n", text)[1]
        self.assertRegex(text, r"@package grep \S+ \S+\n")
        self.assert_done(joblet.publish(build))
        joblet.release(job, build)
        directory = joblet.prefix + "/runtimes/hello/1.0"
        self.assertEqual(sorted(os.listdir(directory)), ["changes", "isolated", "manifest", "runtime.yml"])
        self.assertEqual(self.shell("cat /opt/joblet/runtimes/hello/1.0/told; echo a | grep a"), "said\na\n")
        joblet.stop()
        joblet.start()
        self.assertEqual(joblet.run(["true"], "hello", "1.0")[1].code, errno.EKEYREJECTED)
        job, error = joblet.verify("hello", "1.0", ["verify", "digest", digest[::-1]])
        self.finish(job, error, 1)
        self.assertEqual(joblet.run(["true"], "hello", "1.0")[1].code, errno.EKEYREJECTED)
        job, error = joblet.verify("hello", "1.0", ["verify", "digest", digest])
        self.finish(job, error)
        self.assertEqual(self.shell("cat /opt/joblet/runtimes/hello/1.0/told"), "said\n")

    def test_changed_runtime_is_not_used(self):
        joblet = self.joblet
        build, error = joblet.build(["install", "run", "none", self.minute, "1", "true"])
        self.finish(build, error)
        job, error = joblet.collect(build, ["collect", "packager", "apt", "package", "grep", "path", "/usr/bin:/bin", "limit",
                                            str(1 << 30)])
        self.finish(job, error)
        self.assert_done(joblet.publish(build))
        joblet.stop()
        with open(joblet.prefix + "/runtimes/hello/1.0/isolated/usr/bin/grep", "ab") as file:
            file.write(b"changed")
        joblet.start()
        job, error = joblet.verify("hello", "1.0")
        self.assertIn("@wrong /usr/bin/grep", self.finish(job, error, 1))
        self.assertEqual(joblet.run(["true"], "hello", "1.0")[1].code, errno.EKEYREJECTED)
        name = str(uuid.UUID(bytes=build))
        self.assertEqual([(r["action"], r["result"]) for r in joblet.records(job=name)][:2],
                         [("build.start", "ok"), ("build.end", "ok")])
        self.assertIn("no_new_privs=1", joblet.records(action="build.start")[0]["kernel_command"])
        self.assertEqual(joblet.records(action="build.end")[0]["reason"], "exited")
        (record,) = joblet.records(action="runtime.damaged")
        self.assertEqual((record["runtime"], record["result"], record["job"]), ("hello@1.0", "failed", str(uuid.UUID(bytes=job))))
        self.assertEqual(joblet.records(action="runtime.verified"), [])


    def test_the_cache_beside_another_build(self):
        """Nothing is written to it while another build reads, and that is said."""
        joblet = self.joblet
        beside, error = joblet.build(["install", "run", "nap", self.minute, "2", "sleep", "600"], name="beside")
        self.assert_done(error)
        for expected in (True, False):
            build, error = joblet.build(["install", "run", "make", self.minute, "3", "sh", "-c", "mkdir -p $RUNTIME_DIR; touch $RUNTIME_DIR/x"],
                                        name="kept")
            self.finish(build, error)
            job, error = joblet.collect(build, ["collect", "packager", "apt", "package", "grep", "runtime-dir", "/opt/joblet/runtimes/kept/1.0",
                                                "limit", str(1 << 30), "cache", "1000000"])
            self.assertEqual("@log info downloads are not kept: others use the cache now\n" in self.finish(job, error), expected)
            joblet.release(job, build)
            if expected:
                self.stop_job(beside)


class Bases(Case):
    """A build begins with the disk of an earlier one."""
    KEY = b"k" * 32

    def make(self, script="echo tool >/usr/bin/tool; echo state >/srv/state; chown 7 /srv/state"):
        build = self.build(script, name="base", base=channel.MAKE_BASE, key=self.KEY)
        self.assert_done(self.joblet.seal(build, b"notes"))
        self.joblet.release(build)
        return build

    def use(self, script, name):
        return self.build(script, name=name, base=channel.USE_BASE, key=self.KEY)

    def kept(self):
        return sorted(os.listdir(self.joblet.prefix + "/cache/base"))

    def forget_bases(self):
        self.joblet.stop()
        for name in self.kept():
            os.unlink(f"{self.joblet.prefix}/cache/base/{name}")
        self.joblet.start()

    def test_made_used_and_not_changed(self):
        joblet = self.joblet
        self.assert_refused(joblet.find_base(self.KEY)[0], errno.ENOENT, "not installed before")
        made = self.make()
        error, found, notes = joblet.find_base(self.KEY)
        self.assert_done(error)
        self.assertEqual((found, notes.rstrip(b"\0")), (made, b"notes"))
        directory = joblet.prefix + "/cache/base"
        name = str(uuid.UUID(bytes=made))
        self.assertEqual(self.kept(), [name + ".image", name + ".record"])
        for path in ("", "/" + name + ".image", "/" + name + ".record"):
            status = os.stat(directory + path)
            self.assertEqual((status.st_uid, status.st_mode & 0o7777), (0, 0o400 if path else 0o700), path)
        # Two at a time, each with ids of its own, and neither sees what the other does to it.
        one, error = joblet.build(["install", "cat /usr/bin/tool; echo poison >/usr/bin/tool; rm /srv/state; sleep 600"],
                                  name="one", base=channel.USE_BASE, key=self.KEY)
        self.assert_done(error)
        wait_for(lambda: "tool" in joblet.output(one))
        other = self.use("cat /usr/bin/tool /srv/state; stat -c %u /srv/state; id -u; ls -d /proc/disk /cache/base 2>&1 | "
                         "grep -c 'No such'; echo x >/usr/bin/more", "other")
        self.assertEqual(joblet.output(other), "tool\nstate\n7\n0\n2\n")
        job, ended = self.collect(other, "copy")
        self.assertEqual(ended.exit_code, 0, joblet.output(job))
        joblet.release(job, other)
        self.stop_job(one)
        # It outlives the service.
        joblet.stop()
        joblet.start()
        self.assertEqual(joblet.output(self.use("cat /usr/bin/tool", "third")), "tool\n")

    def test_replaced(self):
        self.make()
        made = self.make("echo second >/usr/bin/tool")
        name = str(uuid.UUID(bytes=made))
        self.assertEqual(self.kept(), [name + ".image", name + ".record"])
        self.assertEqual(self.joblet.output(self.use("cat /usr/bin/tool", "a")), "second\n")

    def test_refused(self):
        joblet = self.joblet
        plain = self.build(name="a")
        self.assert_refused(joblet.seal(plain), errno.EINVAL, "not begun as a base")
        self.assert_refused(joblet.seal(uuid.uuid4().bytes), errno.ESRCH)
        joblet.release(plain)
        running, error = joblet.build(["install", "sleep 600"], name="a", base=channel.MAKE_BASE, key=self.KEY)
        self.assert_done(error)
        self.assert_refused(joblet.seal(running), errno.EINVAL, "has not ended")
        self.stop_job(running)
        failed, _ = joblet.build(["install", "exit 3"], name="a", base=channel.MAKE_BASE, key=self.KEY)
        joblet.end(failed)
        self.assert_refused(joblet.seal(failed), errno.EINVAL, "has not ended with 0")
        base = self.build(name="b", base=channel.MAKE_BASE, key=self.KEY)
        self.assert_refused(joblet.collect(base, ["collect"])[1], errno.EINVAL, "of a dry run or a base")
        self.assert_done(joblet.seal(base))
        self.assert_refused(joblet.seal(base), errno.EINVAL)
        self.assert_refused(joblet.publish(base), errno.EINVAL)
        for wanted in ({"base": channel.USE_BASE}, {"base": channel.MAKE_BASE}, {"key": self.KEY},
                       {"base": channel.USE_BASE, "key": self.KEY, "dry_run": 1}):
            self.assertEqual(joblet.build(["install"], name="c", **wanted)[1].code, errno.EINVAL, wanted)
        error = joblet.build(["install"], name="c", base=channel.USE_BASE, key=b"x" * 32)[1]
        self.assert_refused(error, errno.ENOENT, "the build's base is gone")

    def test_what_a_crash_leaves(self):
        """A record that is torn, and an image without one."""
        joblet = self.joblet
        made = str(uuid.UUID(bytes=self.make()))
        joblet.stop()
        directory = joblet.prefix + "/cache/base/"
        with open(directory + str(uuid.uuid4()) + ".image", "w") as file:
            file.write("x")
        with open(directory + made + ".record", "r+b") as file:
            file.seek(300)
            file.write(b"torn")
        joblet.start()
        self.assertEqual(self.kept(), [])
        self.assert_refused(joblet.find_base(self.KEY)[0], errno.ENOENT)

    def test_killed_around_a_seal(self):
        """A base is there as a whole or not at all, and what was in the making is not taken for one."""
        joblet, choice, found = self.joblet, random.Random(SEED), 0
        for number in range(KILLS):
            key = bytes([number + 1]) * 32
            build = self.build(f"echo {number} >/srv/state; head -c 20000000 /dev/urandom >/srv/large", name="base", base=channel.MAKE_BASE, key=key)
            killer = threading.Timer(choice.uniform(0, (0.01, 0.3)[number % 2]), joblet.process.kill)
            killer.start()
            with contextlib.suppress(OSError):  # the channel ends
                joblet.seal(build, b"notes")
            self.start_again_after(killer)
            wait_for(lambda: len(self.kept()) == 2 * len({name.split(".")[0] for name in self.kept()}))
            if joblet.find_base(key)[0].code == 0:
                found += 1
                build = self.build("cat /srv/state; wc -c </srv/large", name="user", base=channel.USE_BASE, key=key)
                self.assertEqual(joblet.output(build), f"{number}\n20000000\n", f"seed {SEED}")
                joblet.release(build)
            self.assertEqual(joblet.inits(), set())
        print(f"seed {SEED}: killed {KILLS} times, {found} bases were kept")
        self.forget_bases()  # the other tests have this joblet, too

    def seal_until_named(self, build):
        """Begins a seal; the process that writes it, stopped when the image has its name and the record none. None: too late."""
        joblet = self.joblet
        others = channel.children_of(joblet.process.pid)

        def seal():
            with contextlib.suppress(OSError):  # the channel ends
                joblet.seal(build, b"notes")

        thread = threading.Thread(target=seal)
        thread.start()
        names = []
        while not names and thread.is_alive():
            names = self.kept()
        writer = next((pid for pid in channel.children_of(joblet.process.pid) - others if channel.name_of(pid) == "joblet"), None)
        if writer:
            os.kill(writer, signal.SIGSTOP)
            wait_for(lambda: channel.state_of(writer) in "TZX")
        killer = threading.Thread(target=joblet.process.kill)
        killer.start()
        self.start_again_after(killer)
        thread.join()
        return writer

    def test_a_writer_that_outlives_joblet(self):
        """The next joblet takes its image for what a crash left: then there is no record without one either."""
        joblet = self.joblet
        for number in range(40):
            build = self.build("head -c 20000000 /dev/urandom >/srv/large", name="base", base=channel.MAKE_BASE, key=bytes([number + 1]) * 32)
            writer = self.seal_until_named(build)
            hit = writer and not self.kept()
            if writer:
                os.kill(writer, signal.SIGCONT)
                wait_for(lambda: channel.state_of(writer) in "ZX")
            if hit:
                break
            self.forget_bases()
        self.assertTrue(hit, "the moment was never hit")
        self.assertEqual(self.kept(), [])

    def test_the_host_changed(self):
        """A collect that saw it: perhaps while the base was made, which is not kept then. Another failure is none of the base's."""
        self.make()
        for what, kept in (("fail", True), ("changed", False)):
            build = self.use("true", what)
            job, ended = self.collect(build, what)
            self.assertNotEqual(ended.exit_code, 0)
            self.joblet.release(job, build)
            self.assertEqual(bool(self.kept()), kept)

    # shows: CIS-Docker 4.7
    def test_another_host(self):
        """What joblet itself sees of the host's packages decides."""
        joblet = self.joblet
        self.make()
        joblet.stop()
        joblet.command = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none /etc/apt/preferences.d && '
                          'echo >/etc/apt/preferences.d/other && exec "$@"', "sh"]
        try:
            joblet.start()
            self.assert_refused(joblet.find_base(self.KEY)[0], errno.ESTALE, "of the host have changed")
        finally:
            joblet.command = []
        self.assertEqual(self.kept(), [])


class WithoutLoopDevices(Case):
    """Jobs have their /work in memory then; a build has no place in memory."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.joblet.command = ["unshare", "-m", "sh", "-c", 'mount --bind /dev/null /dev/loop-control && exec "$@"', "sh"]

    def test_builds_are_refused(self):
        joblet = self.joblet
        error = joblet.build(["install", "true"])[1]
        self.assert_refused(error, errno.ENOTSUP, "a build needs a disk of its own: ")
        self.assertIn("loop", error.text)
        job, error = joblet.run(["true"])
        self.assert_done(error)
        joblet.end(job)


if __name__ == "__main__":
    channel.run_tests(sys.argv[5:])
