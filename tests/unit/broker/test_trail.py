"""The audit log as joblet keeps it, seen from joblet-api's side of the channel and on the disk."""
import json
import os
import signal
import socket
import subprocess
import sys
import unittest
import uuid

import channel
from channel import chain

# A /dev of joblet's own, with a /dev/log that is the socket $0: the host's stays as it is, whether it has one or not.
OWN_SYSLOG = '''mount -t tmpfs -o mode=755 none /mnt && cp -a /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty /mnt &&
    mkdir /mnt/pts /mnt/shm && mount --rbind /dev/pts /mnt/pts && : > /mnt/log && mount --bind "$0" /mnt/log &&
    mount --move /mnt /dev && exec "$@"'''


def facts(**texts):
    return b"".join(name.encode() + b"\0" + value.encode() + b"\0" for name, value in texts.items())


def settlers(pid):
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat") as file:
                text = file.read()
        except OSError:
            continue
        name, rest = text[text.index("(") + 1:text.rindex(")")], text[text.rindex(")") + 2:].split()
        if name == "joblet-audit" and int(rest[1]) == pid and rest[0] != "Z":
            found.append(int(entry))
    return found


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]


def name_of(pid):
    with open(f"/proc/{pid}/comm") as file:
        return file.read().strip()


def open_files(pid):
    return {fd: os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}


def holds_a_lock(pid, path):
    for fd, opened in open_files(pid).items():
        with open(f"/proc/{pid}/fdinfo/{fd}") as file:
            if opened.endswith("/" + path) and "lock:" in file.read():
                return True
    return False


class Syslog:
    """What listens at /dev/log."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.socket.setblocking(False)
        self.command = ["unshare", "-m", "sh", "-c", OWN_SYSLOG, path]

    def take(self):
        """The records that have come since."""
        found = []
        while True:
            try:
                text = self.socket.recv(1 << 20)
            except BlockingIOError:
                return found
            assert text.startswith(b"<86>joblet-audit: {") and b"\n" not in text, text
            found.append(json.loads(text[len(b"<86>joblet-audit: "):]))


class Trail(unittest.TestCase):
    def setUp(self):
        self.joblet = channel.Joblet(programs)
        self.addCleanup(self.joblet.remove)

    def append(self, data):
        fd = channel.sealed(data)
        try:
            return self.joblet.answer(AUDIT_APPEND, b"", [fd])
        finally:
            os.close(fd)

    def find(self, **wanted):
        return self.joblet.records(**wanted)

    def files(self):
        directory = self.joblet.prefix + "/state/audit"
        return [f"{directory}/{name}" for name in sorted(os.listdir(directory)) if name.endswith(".jsonl")]

    def change_line(self, number):
        """A word in that line of the newest file, whose name it returns."""
        newest = self.files()[-1]
        with open(newest, "rb") as file:
            lines = file.read().split(b"\n")
        assert b'"result":"ok"' in lines[number - 1]
        lines[number - 1] = lines[number - 1].replace(b'"result":"ok"', b'"result":"OK"', 1)
        with open(newest, "wb") as file:
            file.write(b"\n".join(lines))
        return os.path.basename(newest)

    def serve(self):
        """A start that fails."""
        return subprocess.run([self.joblet.prefix + "/programs/joblet", "--prefix", self.joblet.prefix, "serve"], check=False,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)

    def verify(self):
        return subprocess.run([self.joblet.prefix + "/programs/joblet", "--prefix", self.joblet.prefix, "audit", "verify"],
                              check=False, capture_output=True, text=True).stdout

    # shows: NIST 4.5.4, NIST 4.4.5, OWASP D10, Checklist 6
    def test_records(self):
        joblet = self.joblet
        joblet.start()
        # Joblet-api's words, whatever is in them.
        value = "a \"b\" \\ \x01\x7f\x9b \u00e4\u20ac\U0001f600 \n"
        self.assertEqual(self.append(facts(action="job.run", result="intent", user="somebody", note=value)).code, 0)
        (record,) = self.find(action="job.run")
        self.assertEqual((record["source"], record["user"], record["note"]), ("joblet-api", "somebody", value))
        self.assertEqual(self.append(b"action\0x\0note\0\xff\xfe\0").code, 0)
        self.assertEqual(self.find(action="x")[0]["note"], "\\xff\\xfe")
        # What is answered is on the disk, and under a signed head.
        with open(joblet.prefix + "/state/audit/head") as file:
            self.assertGreaterEqual(json.load(file)["seq"], record["seq"])
        # What could be taken for joblet's own is refused, and so is what is no text.
        before = len(chain(joblet.prefix))
        for bad in (facts(source="joblet"), facts(seq="1"), facts(hash="x"), facts(prev="x"), facts(time="x"), facts(v="2"),
                    facts(**{"Action": "x"}), facts(**{"": "x"}), facts(**{'a"b': "x"}), b"action", b"action\0x", b"action\0",
                    b"action\0x\0action\0y\0", facts(**{f"f{n}": "x" for n in range(513)})):
            self.assertEqual(self.append(bad).code, 22, bad[:40])
        unsealed = os.memfd_create("facts")
        self.assertNotEqual(joblet.answer(AUDIT_APPEND, b"", [unsealed]).code, 0)
        os.close(unsealed)
        self.assertNotEqual(self.append(b"action\0" + b"x" * 65536 + b"\0").code, 0)
        self.assertEqual(len(chain(joblet.prefix)), before)
        # A job, by joblet's own word.
        job, error = joblet.run(["/bin/sh", "-c", "exit 3"], environment=("PATH=/usr/bin:/bin", "TOKEN=canary-4711"))
        self.assertEqual(error.code, 0, error)
        name = str(uuid.UUID(bytes=job))
        (started,) = self.find(action="job.start", job=name)
        self.assertEqual((started["source"], started["result"]), ("joblet", "ok"))
        for word in ("no_new_privs=1", "seccomp=2", "cap_eff=0", "cap_bnd=0", "own_ns=pid,mnt,uts,ipc,net,cgroup,user"):
            self.assertIn(word, started["kernel_command"])
        joblet.end(job)
        (ended,) = self.find(action="job.end", job=name)
        self.assertEqual((ended["reason"], ended["exit_code"], ended["result"]), ("exited", "3", "failed"))
        joblet.release(job)
        # What is refused, by operation.
        self.assertNotEqual(joblet.signal(uuid.uuid4().bytes).code, 0)
        self.assertEqual(self.find(action="operation.refused")[-1]["operation"], "signal a job")
        _, error = joblet.run(["/bin/true"], name="no-such", version="1.0")
        self.assertNotEqual(error.code, 0)
        self.assertIn("no-such", self.find(action="operation.refused")[-1]["error"] + self.find(action="job.start")[-1]["error"])
        # A broken rule.
        joblet.send(channel.LIST_JOBS, b"")
        joblet.accept()
        self.assertEqual(self.find(action="api.broken")[-1]["result"], "refused")
        self.assertEqual(len(self.find(action="api.start")), 2)
        joblet.process.terminate()
        while joblet.receive()[0] != channel.EVENT_SHUTDOWN:
            pass
        joblet.stop()
        of_service = [r for r in chain(joblet.prefix) if r["action"] in ("service.start", "service.end", "api.start", "api.end")]
        self.assertEqual([(r["action"], r["result"]) for r in of_service],
                         [("service.start", "ok"), ("api.start", "ok"), ("api.end", "failed"), ("api.start", "ok"),
                          ("api.end", "ok"), ("service.end", "ok")])
        start, first, killed, second, ended, end = of_service
        self.assertEqual((start["prefix"], start["source"]), (joblet.prefix, "joblet"))
        self.assertEqual((killed["pid"], ended["pid"]), (first["pid"], second["pid"]))
        self.assertEqual(ended["exit_code"], "0")
        self.assertEqual(end["jobs_running"], "0")
        self.assertEqual(chain(joblet.prefix)[-1], end)
        for path, _, names in os.walk(joblet.prefix + "/state/audit"):
            for entry in names:
                with open(f"{path}/{entry}", "rb") as file:
                    self.assertNotIn(b"canary-4711", file.read())

    # shows: OWASP D10
    def test_kills(self):
        joblet = self.joblet
        joblet.start()
        # The child that waits for the disk is replaced, and no answer is lost.
        for number in range(20):
            for pid in settlers(joblet.process.pid):
                os.kill(pid, signal.SIGKILL)
            self.assertEqual(self.append(facts(action="test.kill", number=str(number))).code, 0)
        self.assertEqual(len(self.find(action="test.kill")), 20)
        pid = joblet.process.pid
        for number in range(50):
            fd = channel.sealed(facts(action="test.flood", number=str(number)))
            joblet.send(AUDIT_APPEND, b"", [fd])
            os.close(fd)
        joblet.kill()
        channel.wait_for(lambda: not settlers(pid))
        joblet.start()
        self.assertEqual(self.find(action="audit.tampered"), [])
        self.assertEqual([r["number"] for r in self.find(action="test.flood")],
                         [str(n) for n in range(len(self.find(action="test.flood")))])
        joblet.stop()

    def test_failed_start(self):
        """It ends in the log as it began there, with the reason."""
        joblet = self.joblet
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            joblet.configure(f"port: {other.getsockname()[1]}")
            serve = self.serve()
        self.assertEqual(serve.returncode, 1)
        start, end = chain(joblet.prefix)[-2:]
        self.assertEqual((start["action"], start["result"]), ("service.start", "ok"))
        self.assertEqual((end["action"], end["result"]), ("service.end", "failed"))
        self.assertIn("Address already in use", end["error"])
        self.assertIn(": all as it was written", self.verify())

    def test_tampering_is_recorded(self):
        joblet = self.joblet
        joblet.start()
        joblet.stop()
        name, last = self.change_line(2), chain(joblet.prefix, follow=False)[-1]
        joblet.start()
        with open(self.files()[-1]) as file:
            first = json.loads(file.readline())
        self.assertEqual((first["action"], first["result"], first["source"]), ("audit.tampered", "failed", "joblet"))
        self.assertIn(f"'{name}', line 2", first["error"])
        self.assertEqual((first["seq"], first["prev"]), (last["seq"] + 1, last["hash"]))
        joblet.stop()
        # Once, and the line is there for whoever looks.
        self.assertIn(name + ":2: ", self.verify())
        joblet.start()
        joblet.stop()
        with open(self.files()[-1]) as file:
            actions = [json.loads(line)["action"] for line in file]
        self.assertEqual((actions.count("audit.tampered"), actions.count("audit.recovered"), actions.count("service.start")), (1, 0, 2))
        # The same for setup, which comes first here.
        name = self.change_line(2)
        os.unlink(joblet.prefix + "/config/rnx-config.yml")
        subprocess.run([joblet.prefix + "/programs/joblet", "--prefix", joblet.prefix, "setup"], check=True, stdout=subprocess.DEVNULL)
        with open(self.files()[-1]) as file:
            found = [json.loads(line) for line in file]
        self.assertEqual([(r["action"], r["result"], r["source"]) for r in found],
                         [("audit.tampered", "failed", "setup"), ("setup", "intent", "setup"), ("setup", "ok", "setup")])
        self.assertIn(f"'{name}', line 2", found[0]["error"])

    def test_tampering_that_cannot_be_recorded(self):
        """There is no service without the record, and the next start that has room for it makes it."""
        joblet = self.joblet
        directory = self.make_small()
        joblet.start()
        joblet.stop()
        name = self.change_line(2)
        before = sorted(os.listdir(directory))
        filler = self.fill(directory)
        for _ in range(2):
            serve = self.serve()
            self.assertEqual(serve.returncode, 1)
            self.assertIn("joblet cannot serve", serve.stderr)
            self.assertIn(f"'{name}', line 2", serve.stderr)
        os.unlink(filler)
        self.assertLessEqual(set(before), set(os.listdir(directory)))
        joblet.start()
        with open(self.files()[-1]) as file:
            first = json.loads(file.readline())
        self.assertEqual(first["action"], "audit.tampered")
        self.assertIn(f"'{name}', line 2", first["error"])
        joblet.stop()

    def test_recovery_is_recorded(self):
        joblet = self.joblet
        joblet.start()
        self.assertEqual(self.append(facts(action="test.covered")).code, 0)
        with open(joblet.prefix + "/state/audit/head") as file:
            head = file.read()
        joblet.stop()
        # As a power loss leaves it: an older head, and half a line.
        whole = len(chain(joblet.prefix)) - json.loads(head)["seq"]
        self.assertGreater(whole, 0)
        with open(joblet.prefix + "/state/audit/head", "w") as file:
            file.write(head)
        with open(self.files()[-1], "ab") as file:
            file.write(b'{"v":1,"seq":')
        joblet.start()
        (record,) = self.find(action="audit.recovered")
        self.assertEqual((record["result"], record["records_without_head"], record["bytes_cut"]), ("ok", str(whole), "13"))
        self.assertEqual(self.find(action="audit.tampered"), [])
        joblet.stop()

    def test_the_lock(self):
        """It is held by joblet alone: a joblet-api that lingers after its joblet does not keep the next one out."""
        joblet = self.joblet
        joblet.start()
        # A child that was just made has all that joblet has, until it begins.
        family = [joblet.process.pid, *children(joblet.process.pid)]
        channel.wait_for(lambda: [pid for pid in family if holds_a_lock(pid, "state/audit")] == family[:1], seconds=20)
        api, = [pid for pid in children(joblet.process.pid) if name_of(pid) not in ("joblet-audit", "joblet-scratch")]
        self.assertTrue([path for path in open_files(api).values() if path.endswith("/state/audit")])
        joblet.stop()

    def copies(self):
        """What the next joblet copies its records to."""
        self.joblet.configure("syslog: \"on\"")
        syslog = Syslog(self.joblet.prefix + "/syslog")
        self.addCleanup(syslog.socket.close)
        self.joblet.command = syslog.command
        return syslog

    # shows: CIS-Docker 2.13
    def test_copies_to_syslog(self):
        joblet = self.joblet
        syslog = self.copies()
        before = len(chain(joblet.prefix))
        joblet.start()
        self.assertEqual(self.append(facts(action="test.copy", note="ä \"\n")).code, 0)
        joblet.stop()
        self.assertEqual(syslog.take(), chain(joblet.prefix)[before:])
        # So are those of setup.
        before = len(chain(joblet.prefix))
        os.unlink(joblet.prefix + "/config/rnx-config.yml")
        setup = [joblet.prefix + "/programs/joblet", "--prefix", joblet.prefix, "setup"]
        self.assertEqual(subprocess.run(syslog.command + setup, check=True, capture_output=True).stderr, b"")
        copies = syslog.take()
        self.assertEqual(copies, chain(joblet.prefix)[before:])
        self.assertEqual([(r["source"], r["result"]) for r in copies], [("setup", "intent"), ("setup", "ok")])
        # Nobody reads: records are answered, and what was not copied is said.
        joblet.start()
        before = len(chain(joblet.prefix))
        with open("/proc/sys/net/unix/max_dgram_qlen") as file:
            count = int(file.read()) + 10
        for _ in range(count):
            self.assertEqual(self.append(facts(action="test.full")).code, 0)
        self.assertIn("not copied to syslog", joblet.log())
        self.assertEqual(len(self.find(action="test.full")), count)
        copies = syslog.take()
        self.assertLess(len(copies), count)
        # Somebody reads again.
        self.assertEqual(self.append(facts(action="test.again")).code, 0)
        self.assertEqual([r["action"] for r in syslog.take()], ["test.again"])
        # Syslog ends, and comes back at its next start.
        os.unlink(joblet.prefix + "/syslog")
        syslog.socket.close()
        self.assertEqual(self.append(facts(action="test.gone")).code, 0)
        joblet.stop()

    def make_small(self):
        """The log on a small file system of its own."""
        directory = self.joblet.prefix + "/state/audit"
        os.makedirs(directory, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k,mode=750", "test", directory], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", directory], check=True)
        return directory

    def fill(self, directory):
        filler = directory + "/filler"
        with open(filler, "wb") as file:
            while True:
                try:
                    os.write(file.fileno(), bytes(1024))
                except OSError:
                    return filler

    def check_without_us(self):
        """What the commands in docs/AUDIT.md print."""
        with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../docs/AUDIT.md")) as file:
            section = file.read().split("\n## Without us\n")[1].split("\n## ")[0]
        recipe = "\n".join(line[4:] for line in section.split("\n") if line.startswith("    "))
        done = subprocess.run(["sh", "-c", recipe], cwd=self.joblet.prefix + "/state/audit", check=False, capture_output=True,
                              text=True, timeout=60)
        return done.stdout, done.stderr

    def test_the_recipe(self):
        """docs/AUDIT.md says how to check the log without us; taken from there as it stands, and run."""
        joblet = self.joblet
        directory = joblet.prefix + "/state/audit"
        joblet.start()
        for text in ("\\ \"prev\":\"0\",\"hash\":\"1\"} \\n %s $HOME `id`", "\n\t \u00e4 \x01", "  x  ", "-n", "x" * 60000):
            self.assertEqual(self.append(facts(action="test.recipe", text=text)).code, 0)
        joblet.stop()

        def change(name, old, new):
            with open(name) as file:
                text = file.read()
            assert text.count(old) >= 1, old
            with open(name, "w") as file:
                file.write(text.replace(old, new, 1))
            return text

        def put_back(name, text):
            with open(name, "w") as file:
                file.write(text)

        last, newest, head = chain(joblet.prefix)[-1], self.files()[-1], directory + "/head"
        good = f"Signature Verified Successfully\n{last['seq']}\n"
        self.assertEqual(self.check_without_us(), (good, ""))
        # A changed line, a missing one, the last one cut, a last line without an end.
        with open(newest) as file:
            lines = file.read().splitlines(keepends=True)
        whole = change(newest, '"action":"api.start"', '"action":"api.stArt"')
        number = next(i for i, line in enumerate(lines) if "api.start" in line)
        self.assertEqual(self.check_without_us(), (lines[number].replace("api.start", "api.stArt") + good, ""))
        put_back(newest, whole.replace(lines[number], ""))
        self.assertEqual(self.check_without_us(), (lines[number + 1] + good, ""))
        put_back(newest, "".join(lines[:-1]))
        self.assertEqual(self.check_without_us(), ("Signature Verified Successfully\n", ""))
        put_back(newest, whole + '{"v":1')
        self.assertEqual(self.check_without_us(), ('{"v":1\n' + good, ""))
        put_back(newest, whole)
        # A changed head.
        signed = change(head, f'"seq":{last["seq"]}', f'"seq":{last["seq"] - 1}')
        self.assertIn("Signature Verification Failure", "".join(self.check_without_us()))
        put_back(head, signed)
        self.assertEqual(self.check_without_us(), (good, ""))

    def fill_with_records(self, directory):
        filler = self.fill(directory)
        # First there is no room for a head, then none in the last page of the log either; the log stays whole.
        told = []
        for text in (facts(action="test.fill", text="x" * 200), facts(a="x")):
            while not told or "write the audit log" not in told[-1]:
                error = self.append(text)
                self.assertEqual(error.code, 28 if told else error.code)
                told += [error.text] if error.code else []
                chain(self.joblet.prefix)
            told.append("")
        return filler

    def test_rotation(self):
        """The service begins new files and gives up the oldest ones, which is recorded and copied as all else."""
        joblet = self.joblet
        joblet.configure("fileSize: \"1\"\nkeepFiles: \"2\"")
        syslog = self.copies()
        first, every = self.files(), chain(joblet.prefix)
        joblet.start()
        for number in range(80):
            self.assertEqual(self.append(facts(action="test.rotate", number=str(number), text="x" * 60000)).code, 0)
            every += syslog.take()
        joblet.stop()
        every += syslog.take()
        self.assertEqual(len(self.files()), 2)
        self.assertNotIn(first[0], self.files())
        self.assertTrue(all(1 << 20 <= os.stat(name).st_size < 3 << 20 for name in self.files()[:-1]))
        kept = chain(joblet.prefix)
        self.assertEqual([r["seq"] for r in every], list(range(1, len(every) + 1)))
        self.assertEqual(every[-len(kept):], kept)
        self.assertEqual([r["number"] for r in every if r["action"] == "test.rotate"], [str(n) for n in range(80)])
        # What is gone, without a gap.
        removed = [r for r in every if r["action"] == "audit.remove"]
        self.assertGreater(len(removed), 1)
        self.assertTrue(all((r["source"], r["result"]) == ("joblet", "ok") for r in removed))
        self.assertEqual([int(r["first_record"]) for r in removed], [1] + [int(r["last_record"]) + 1 for r in removed[:-1]])
        self.assertEqual(int(removed[-1]["last_record"]) + 1, kept[0]["seq"])
        self.assertIn(removed[-1], kept)
        self.assertIn(": all as it was written", self.verify())
        self.assertEqual(self.check_without_us(), (f"Signature Verified Successfully\n{kept[-1]['seq']}\n", ""))
        joblet.start()
        self.assertEqual(self.find(action="audit.tampered"), [])
        joblet.stop()

    # shows: OWASP D10, Checklist 6
    def test_full_disk(self):
        """What cannot be recorded is not done."""
        joblet = self.joblet
        directory = self.make_small()
        joblet.start()
        running, error = joblet.run(["/bin/sleep", "1000"])
        self.assertEqual(error.code, 0, error)
        filler = self.fill_with_records(directory)
        job, error = joblet.run(["/bin/sh", "-c", "echo ran"])
        self.assertNotEqual(error.code, 0)
        self.assertIn("audit log", error.text)
        self.assertEqual(set(joblet.list()), {running})
        # What happens all the same, and cannot be refused for it.
        self.assertEqual(joblet.signal(running).code, 0)
        joblet.end(running)
        self.assertNotEqual(joblet.signal(uuid.uuid4().bytes).code, 0)
        before = chain(joblet.prefix)
        os.unlink(filler)
        self.assertEqual(self.append(facts(action="test.again")).code, 0)
        after = chain(joblet.prefix)[len(before):]
        # That the one job failed to start, that the other one ended, and the refused operation.
        self.assertEqual([(r["action"], r.get("records")) for r in after], [("audit.lost", "3"), ("test.again", None)])
        self.assertEqual((after[0]["source"], after[0]["result"]), ("joblet", "failed"))
        joblet.release(running)
        job, error = joblet.run(["/bin/true"])
        self.assertEqual(error.code, 0, error)
        joblet.end(job)
        joblet.release(job)
        self.assertEqual(len(self.find(action="test.again")), 1)
        self.assertEqual(len(self.find(action="audit.lost")), 1)
        self.assertNotIn("records of the audit log are lost", joblet.log())
        # No record comes any more that could tell it.
        before = len(chain(joblet.prefix))
        filler = self.fill_with_records(directory)
        self.assertNotEqual(joblet.signal(uuid.uuid4().bytes).code, 0)
        joblet.stop()
        self.assertRegex(joblet.log(), "records of the audit log are lost, and no record says so.*3")
        os.unlink(filler)
        joblet.start()
        self.assertNotIn("service.end", [r.get("action") for r in chain(joblet.prefix)[before:]])
        joblet.stop()


AUDIT_APPEND = channel.AUDIT_APPEND

if __name__ == "__main__":
    programs = {"joblet": sys.argv[1], "joblet-init": sys.argv[2], "joblet-api": sys.argv[3],
                "joblet-scratch": os.path.join(os.path.dirname(sys.argv[1]), "joblet-scratch")}
    unittest.main(argv=sys.argv[:1], verbosity=2)
