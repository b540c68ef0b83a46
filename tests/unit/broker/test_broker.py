"""joblet as a process, with a stand-in for joblet-api (fake_api.c) that plays one scenario over the privileged channel.

    test_broker.py JOBLET JOBLET_INIT FAKE_API STUCK_INIT

joblet takes the programs that lie beside it, so it is copied beside the stand-ins.
Each test has the same prefix and starts joblet anew. After all, nothing of joblet is left on the host."""
import array
import ctypes
import fcntl
import glob
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

JOBLET, INIT, FAKE_API, STUCK_INIT = sys.argv[1:5]
BROKEN_RULES = ["unknown", "event", "short", "lying", "long", "nofd", "fd", "again", "deaf", "ungreeted"]
# linux/fs.h
FS_IOC_GETFLAGS, FS_IOC_SETFLAGS, FS_TOPDIR_FL = 0x80086601, 0x40086602, 0x00020000
REASON_SIGNAL, REASON_OUT_OF_MEMORY, REASON_STOPPED, REASON_SETUP_FAILURE = 2, 4, 5, 8


def group_name(prefix):
    value = 2166136261
    for byte in prefix.encode():
        value = ((value ^ byte) * 16777619) & 0xFFFFFFFF
    return f"joblet-{value:08x}"


def find_groups(name):
    found = []
    for directory, names, _ in os.walk("/sys/fs/cgroup"):
        if name in names:
            found.append(os.path.join(directory, name))
    return found


def wait_for(what, seconds=120.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = what()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError("not in time")


def make_other_group():
    """Our own group in the memory hierarchy of v1 or in v2, and a new one below it."""
    with open("/proc/self/cgroup") as file:
        paths = {names: path for _, names, path in (line.rstrip("\n").split(":", 2) for line in file)}
    own = "/sys/fs/cgroup/memory" + paths["memory"] if "memory" in paths else "/sys/fs/cgroup" + paths[""]
    other = f"{own.rstrip('/')}/other-{os.getpid()}"
    os.mkdir(other)
    return own, other


class Broker(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.prefix = os.path.realpath(tempfile.mkdtemp(prefix="joblet-broker-"))
        os.chmod(cls.prefix, 0o755)
        for init in (INIT, STUCK_INIT):
            os.mkdir(cls.beside(init))
            built = os.path.dirname(JOBLET)
            for program, name in ((JOBLET, "joblet"), (FAKE_API, "joblet-api"), (init, "joblet-init"),
                                  (f"{built}/joblet-scratch", "joblet-scratch"), (f"{built}/joblet-builder", "joblet-builder")):
                shutil.copy(program, f"{cls.beside(init)}/{name}")
        subprocess.run([JOBLET, "--prefix", cls.prefix, "setup", "--address", "127.0.0.1:50999", "--listen",
                        "127.0.0.1"], check=True, stdout=subprocess.DEVNULL)
        path = cls.prefix + "/config/joblet-config.yml"
        with open(path) as file:
            text = file.read()
        with open(path, "w") as file:
            file.write(text.replace("port: 50999", "port: 0"))

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.prefix)

    @classmethod
    def beside(cls, init):
        """Where joblet, the stand-in for joblet-api and this joblet-init lie together."""
        return f"{cls.prefix}/with-{os.path.basename(init)}"

    def setUp(self):
        self.process = None
        self.clear()

    def tearDown(self):
        if self.process:
            self.process.kill()
            self.process.wait()

    def clear(self):
        for name in ("result", "broken", "listed"):
            try:
                os.unlink(f"{self.prefix}/state/db/{name}")
            except FileNotFoundError:
                pass

    def start(self, scenario, init=INIT):
        self.clear()
        with open(f"{self.prefix}/state/db/scenario", "w") as file:
            file.write(scenario)
        with open(f"{self.prefix}/log", "a") as log:
            self.process = subprocess.Popen([self.beside(init) + "/joblet", "serve", "--prefix", self.prefix],
                                            stdin=subprocess.DEVNULL, stderr=log)

    def result(self):
        def read():
            try:
                with open(f"{self.prefix}/state/db/result") as file:
                    return file.read() or "nothing\n"
            except FileNotFoundError:
                return None
        return wait_for(read)

    def stop(self):
        self.process.terminate()
        self.assertEqual(self.process.wait(20), 0)
        self.process = None

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process = None

    def play(self, scenario):
        self.start(scenario)
        result = self.result()
        self.stop()
        return result

    def wait_for_log(self, text):
        def find():
            with open(f"{self.prefix}/log") as file:
                return text in file.read()
        wait_for(find)

    def wait_until_listed(self):
        """Until the stand-in has read the list of jobs and waits for ends."""
        wait_for(lambda: os.path.exists(f"{self.prefix}/state/db/listed"))

    @staticmethod
    def name_of(pid):
        try:
            with open(f"/proc/{pid}/comm") as file:
                return file.read().rstrip("\n")
        except (FileNotFoundError, ProcessLookupError):
            return None  # it ended meanwhile

    def inits(self):
        """The pids of joblet-init in our groups."""
        found = set()
        for group in find_groups(group_name(self.prefix)):
            for path in glob.glob(group + "/job-*/cgroup.procs"):
                with open(path) as file:
                    pids = file.read().split()
                found.update(int(pid) for pid in pids if self.name_of(pid) in ("joblet-init", "stuck_init"))
        return found

    def check_nothing_left(self):
        self.assertEqual(find_groups(group_name(self.prefix)), [])

    def test_job(self):
        before = os.listdir(f"{self.prefix}/state/jobs")
        self.assertEqual(self.play("job"),
                         "start code=0 processes=512\nend reason=1 exit=5 log=8\nremove before release=16\n"
                         "release=0\nremove=0\nremove again=0\n")
        self.assertEqual(os.listdir(f"{self.prefix}/state/jobs"), before)
        self.check_nothing_left()

    def test_job_directories_are_spread(self):
        """Where the file system has a mark for it."""
        flags = array.array("i", [0])
        fd = os.open(os.path.join(self.prefix, "state/jobs"), os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(fd, FS_IOC_GETFLAGS, flags)
            fcntl.ioctl(fd, FS_IOC_SETFLAGS, array.array("i", [flags[0] & ~FS_TOPDIR_FL]))
            self.play("job")
            fcntl.ioctl(fd, FS_IOC_GETFLAGS, flags)
        except OSError as error:
            self.skipTest(f"no such mark here: {error}")
        finally:
            os.close(fd)
        self.assertTrue(flags[0] & FS_TOPDIR_FL)

    def test_stop(self):
        result = self.play("stop")
        self.assertIn("signal 0: 22\nsignal 1: 0\nsignal 9: 22\nsignal 2: 0\n", result)
        self.assertIn(f"end reason={REASON_STOPPED} in time=1\nrelease=0\n", result)
        self.check_nothing_left()

    def test_look(self):
        self.assertEqual(self.play("look"), "event: 1\nlook: 0 1\nlook at nobody: 3\nlooks refused: 1 other: 0\n"
                                            "look at the end: 3\nrelease=0\n")
        self.check_nothing_left()

    def test_refused(self):
        result = self.play("refused")
        self.assertIn("limits: 22 process limit of 100000000 is above", result)
        self.assertIn("unsealed: 1\n", result)
        self.assertIn("release of nobody: 0\n", result)
        self.assertIn("garbage: 1 stage=", result)
        self.check_nothing_left()

    def test_broken_rules_end_the_api_alone(self):
        for scenario in BROKEN_RULES:
            with self.subTest(scenario):
                self.start(scenario)
                self.assertEqual(self.result(), "ended by joblet, started again\n")
                self.assertIsNone(self.process.poll())
                self.stop()
        self.check_nothing_left()

    def test_second_joblet_is_refused(self):
        self.start("job")
        self.result()
        other = subprocess.run([self.beside(INIT) + "/joblet", "serve", "--prefix", self.prefix + "/."],
                               capture_output=True, text=True, timeout=120)
        self.assertEqual(other.returncode, 1)
        self.assertIn("another joblet serves the prefix", other.stderr)
        self.stop()

    def leave(self):
        self.start("leave")
        result = self.result()
        self.assertIn("start code=0 job=", result)
        return result.split("job=")[1].strip()

    def test_killed_joblet_adopts(self):
        uuid = self.leave()
        init, = self.inits()
        self.kill()
        self.assertEqual(self.inits(), {init})
        self.start("collect")
        # The stand-in waits for the end; that of the whole job is what joblet sees through its adopted pidfd.
        self.wait_for_log("job adopted job=" + uuid)
        self.wait_until_listed()
        os.kill(init, signal.SIGTERM)
        result = self.result()
        self.stop()
        self.assertIn("listed phase=2\n", result)
        self.assertIn(f"end reason={REASON_STOPPED} exit=137 signal=9 log=13 text=''\nrelease=0\n", result)
        self.check_nothing_left()

    def test_many_at_a_time(self):
        self.assertIn("failed=0 stopped=300\nrunning after", self.play("many"))
        self.check_nothing_left()

    def test_adopts_from_another_group(self):
        self.leave()
        init, = self.inits()
        self.kill()
        own, other = make_other_group()
        try:
            with open(other + "/cgroup.procs", "w") as file:
                file.write(str(os.getpid()))
            self.start("collect")
            self.wait_until_listed()
            self.assertEqual(self.inits(), {init})
            os.kill(init, signal.SIGTERM)
            self.assertIn(f"end reason={REASON_STOPPED}", self.result())
            self.stop()
        finally:
            with open(own + "/cgroup.procs", "w") as file:
                file.write(str(os.getpid()))
            os.rmdir(other)
        self.check_nothing_left()

    def test_killed_init_is_recorded(self):
        uuid = self.leave()
        init, = self.inits()
        self.kill()
        self.start("collect")
        self.wait_for_log("job adopted job=" + uuid)
        self.wait_until_listed()
        os.kill(init, signal.SIGKILL)
        result = self.result()
        self.stop()
        self.assertIn(f"end reason={REASON_SIGNAL} exit=137 signal=9 log=13 text='joblet-init was killed from outside'",
                      result)
        with open(f"{self.prefix}/state/jobs/{uuid}/log") as file:
            self.assertEqual(sorted(file.read().split()), ["first", "second"])
        self.check_nothing_left()

    def test_end_while_nobody_looks(self):
        self.leave()
        init, = self.inits()
        self.kill()
        os.kill(init, signal.SIGTERM)
        wait_for(lambda: not self.inits())
        self.start("collect")
        result = self.result()
        self.stop()
        self.assertIn("listed phase=3\n", result)
        self.assertIn(f"end reason={REASON_STOPPED} exit=137", result)
        self.check_nothing_left()

    def test_kept_over_a_shutdown(self):
        self.leave()
        init, = self.inits()
        self.stop()
        self.assertEqual(self.inits(), {init})
        self.start("collect")
        self.wait_until_listed()
        os.kill(init, signal.SIGTERM)
        self.assertIn("end reason=5", self.result())
        self.stop()
        self.check_nothing_left()

    def test_half_started_is_undone(self):
        self.start("leave", STUCK_INIT)
        stuck, = wait_for(self.inits)
        self.kill()
        uuid, = [name for name in os.listdir(f"{self.prefix}/state/jobs")
                 if os.path.getsize(f"{self.prefix}/state/jobs/{name}/record") == 0]
        self.start("collect")
        self.assertEqual(self.result(), "nothing\n")
        self.assertNotIn(stuck, self.inits())
        with open(f"{self.prefix}/state/jobs/{uuid}/record", "rb") as file:
            record = file.read()
        self.assertEqual(int.from_bytes(record[24:28], "little"), REASON_SETUP_FAILURE)
        self.assertIn(b"joblet ended while the job was being started", record)
        self.stop()
        self.check_nothing_left()

    def test_torn_note_is_no_job(self):
        uuid = "11111111-2222-4333-8444-555555555555"
        directory = f"{self.prefix}/state/jobs/{uuid}"
        os.mkdir(directory)
        for name, content in (("log", b""), ("log.index", b""), ("record", b""), ("run", b"JRUN" + bytes(100))):
            with open(f"{directory}/{name}", "wb") as file:
                file.write(content)
        self.start("collect")
        self.assertEqual(self.result(), "nothing\n")
        self.stop()
        self.assertFalse(os.path.exists(f"{directory}/run"))
        self.assertGreater(os.path.getsize(f"{directory}/record"), 0)

    def test_port_is_written_and_kept(self):
        self.start("job")
        self.result()
        with open(f"{self.prefix}/run/address") as file:
            address = file.read()
        self.assertRegex(address, r"^127\.0\.0\.1:[1-9][0-9]*\n$")
        self.kill()
        self.start("job")
        self.result()
        with open(f"{self.prefix}/run/address") as file:
            self.assertEqual(file.read(), address)
        self.stop()

    # shows: CIS-Docker 2.1
    def test_joblet_holds_no_needless_right(self):
        self.start("job")
        self.result()
        with open(f"/proc/{self.process.pid}/status") as file:
            status = dict(line.split(":", 1) for line in file)
        for name in ("CapEff", "CapPrm", "CapBnd"):
            for number in (16, 17, 22, 25):  # modules, raw I/O, reboot, clock
                self.assertFalse(int(status[name], 16) >> number & 1, f"{name} {number}")
        self.stop()


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("SKIP: needs root")
        sys.exit(77)
    # Orphans of a killed joblet are reaped here, so that "gone" can be told from "dead".
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    unittest.main(argv=sys.argv[:1] + sys.argv[5:])
