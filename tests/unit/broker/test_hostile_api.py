"""joblet with a joblet-api that was taken over (hostile_api.c): whatever it says, nothing happens that an admin could not have
asked for, and joblet neither ends nor falls silent.

    test_hostile_api.py JOBLET JOBLET_INIT HOSTILE_API STUCK_INIT RNX

HOSTILE_SEED, HOSTILE_MESSAGES: of the mutations."""
import os
import random
import re
import subprocess
import sys
import time
import unittest

sys.dont_write_bytecode = True
import test_broker  # noqa: E402 (reads the arguments)

RNX = sys.argv[5]
SEED = int(os.environ.get("HOSTILE_SEED", random.randrange(1 << 31)))
MESSAGES = int(os.environ.get("HOSTILE_MESSAGES", 30000))
CASES_A_LIFE = 5  # more of them, and joblet waits longer and longer before it starts the next joblet-api
SILENCE_MAX_MS = 10000


class HostileApi(test_broker.Broker):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        path = cls.prefix + "/config/joblet-config.yml"
        with open(path) as file:
            text = file.read()
        for key, value in (("maxMemoryLimit", 4096), ("maxCpuLimit", 400), ("maxProcessLimit", 1000)):
            text, count = re.subn(rf"^(  {key}:) .*$", rf"\1 {value}", text, flags=re.M)
            assert count == 1, key
        with open(path, "w") as file:
            file.write(text)

    def clear(self):
        super().clear()
        for name in ("progress", "wrong"):
            if os.path.exists(f"{self.prefix}/state/db/{name}"):
                os.unlink(f"{self.prefix}/state/db/{name}")

    def look(self):
        """What joblet is and holds: identity, descriptors but for those of id ranges, which are kept, and
        of disks in stock, which come and go; memory in KiB."""
        directory = f"/proc/{self.process.pid}"
        with open(directory + "/stat") as file:
            start = file.read().rsplit(")", 1)[1].split()[19]
        with open(directory + "/status") as file:
            status = dict(line.split(":", 1) for line in file)
        links = [os.readlink(f"{directory}/fd/{number}") for number in os.listdir(directory + "/fd")]
        return ((self.process.pid, start), sum(link != "/" and not link.startswith("user:[") for link in links),
                int(status["VmRSS"].split()[0]))

    def result(self):
        """As of test_broker, for what takes longer."""
        return test_broker.wait_for(self.read_result, 300)

    def read_result(self):
        try:
            with open(f"{self.prefix}/state/db/result") as file:
                return file.read() or "nothing\n"
        except FileNotFoundError:
            return None

    def check_result(self, result):
        self.assertNotIn("WRONG", result)
        self.assertFalse(os.path.exists(f"{self.prefix}/state/db/wrong"), result)
        self.assertIsNone(self.process.poll())

    def check_end(self):
        self.assertEqual(self.inits(), set())
        self.assertEqual(os.listdir(f"{self.prefix}/state/jobs"), [])
        self.stop()
        self.check_nothing_left()

    def test_each_broken_rule_ends_it(self):
        """Every operation of wrong size, with wrong descriptors, out of phase, unknown; floods; sockets that do not close."""
        played, total, longest = 0, 1, 0
        with open(f"{self.prefix}/log", "w"):
            pass
        while played < total:
            self.start(f"closing {played} {CASES_A_LIFE}")
            result = self.result()
            self.check_result(result)
            numbers = re.fullmatch(r"played (\d+) of (\d+) wrong 0 longest (\d+) ms jobs 0\n", result)
            self.assertTrue(numbers, result)
            played, total, longest = played + int(numbers[1]), int(numbers[2]), max(longest, int(numbers[3]))
            self.check_end()
        with open(f"{self.prefix}/log") as file:
            reasons = re.findall("joblet-api broke the rules of the channel.*reason=(.*)", file.read())
        print(f"{played} ways to break the rules, each ended joblet-api alone; longest until the next one {longest} ms;",
              ", ".join(f"{reasons.count(reason)} x {reason}" for reason in sorted(set(reasons))))
        self.assertLess(longest, SILENCE_MAX_MS)

    def test_each_operand_is_refused(self):
        self.start("operands")
        result = self.result()
        self.check_result(result)
        print("operands:", result.strip())
        self.assertGreater(int(re.search(r"refused (\d+) ", result)[1]), 400)
        self.check_end()

    def test_mutations(self):
        # Once before, so that what is made once and kept is there.
        self.start(f"mutations {SEED + 1} 2000")
        self.check_result(self.result())
        before = self.look()
        # joblet stays, joblet-api is started again: it reads the new scenario.
        api, = [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and self.parent_of(pid) == self.process.pid
                and self.name_of(pid) == "joblet-api"]
        self.clear()
        with open(f"{self.prefix}/state/db/scenario", "w") as file:
            file.write(f"mutations {SEED} {MESSAGES}")
        os.kill(api, 9)
        began = time.monotonic()
        result = self.result()
        print(f"seed {SEED}, {time.monotonic() - began:.0f} s: {result.strip()}")
        self.check_result(result)
        after = self.look()
        print(f"joblet before and after: descriptors {before[1]}, {after[1]}; memory {before[2]}, {after[2]} KiB")
        self.assertEqual(after[0], before[0])
        self.assertEqual(after[1], before[1])
        self.assertLess(after[2], before[2] + 1024)
        self.check_end()
        self.check_real_api()

    @staticmethod
    def name_of(pid):
        with open(f"/proc/{pid}/stat") as file:
            return file.read().split("(", 1)[1].rsplit(")", 1)[0]

    @staticmethod
    def parent_of(pid):
        try:
            with open(f"/proc/{pid}/stat") as file:
                return int(file.read().rsplit(")", 1)[1].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            return 0

    def check_real_api(self):
        """The joblet-api that belongs to it works on the same prefix."""
        for name in os.listdir(f"{self.prefix}/state/db"):
            os.unlink(f"{self.prefix}/state/db/{name}")
        with open(f"{self.prefix}/log", "a") as log:
            self.process = subprocess.Popen([test_broker.JOBLET, "serve", "--prefix", self.prefix], stderr=log,
                                            stdin=subprocess.DEVNULL)
        config = f"{self.prefix}/config/rnx-config.yml"
        with open(f"{self.prefix}/run/address") as file:
            address = file.read().strip()
        with open(config) as file:
            text = file.read()
        with open(config, "w") as file:
            file.write(re.sub(r"127\.0\.0\.1:\d+", address, text))

        def ask(*words):
            return subprocess.run([RNX, "--config", config, *words], capture_output=True, text=True, timeout=120, check=False)
        test_broker.wait_for(lambda: ask("job", "list").returncode == 0)
        said = ask("job", "run", "--follow", "echo", "alive")
        self.assertIn("alive", said.stdout, said.stderr)
        self.assertEqual(ask("job", "delete-all").returncode, 0)
        self.stop()
        self.check_nothing_left()


def load_tests(loader, _tests, _pattern):
    return unittest.TestSuite(HostileApi(name) for name in loader.getTestCaseNames(HostileApi) if name in vars(HostileApi))


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("SKIP: needs root")
        sys.exit(77)
    unittest.main(argv=sys.argv[:1] + sys.argv[6:])
