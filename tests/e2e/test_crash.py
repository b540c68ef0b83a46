"""joblet, joblet-api and joblet-init are killed with SIGKILL at each step of starting and ending a job, and at any moment,
while other jobs run and write. After each kill, and each start again: the jobs that ran still run and are followed, the ended
ones have their true status, half-started ones are gone, every log is what the job wrote, nothing is left over.

CRASH_ROUNDS: how many kills, CRASH_SEED: which ones."""

import collections
import contextlib
import os
import random
import re
import signal
import subprocess
import threading
import time

import grpc
import pytest

from conftest import BUILD, FINAL, IN_VM, SLOWER, Server, eventually, seconds

ROUNDS = int(os.environ.get("CRASH_ROUNDS", 6 if IN_VM else 96))
SEED = int(os.environ.get("CRASH_SEED", random.randrange(1 << 31)))
KILL_AT = os.path.join(BUILD, "tests/e2e/crash/kill_at")
SLOTS = 8
LINES = 20
# The subject of a kill: says known things on both streams, ends by itself.
SCRIPT = f"""i=0; while [ $i -lt {LINES} ]; do echo out $i; echo err $i >&2; i=$((i+1)); done; %s echo last; exit 9"""
# Writes until it is stopped, so many lines at a time; its log is checked to the last byte.
TICKER = """i=0; while :; do n=$((i+%d))
while [ $i -lt $n ]; do echo out $i; echo err $i >&2; i=$((i+1)); done; sleep 0.02; done"""
BURSTS = (1, 7, 60)
OUT, ERR = 1, 2


def lines(name, count):
    return "".join(f"{name} {i}\n" for i in range(count)).encode()


SUBJECT = {OUT: lines("out", LINES) + b"last\n", ERR: lines("err", LINES)}


class Killer:
    """kill_at, watching when the constructor returns."""

    def __init__(self, mode, pid, steps):
        self.process = subprocess.Popen([KILL_AT, mode, str(pid), str(steps)], stdout=subprocess.PIPE, text=True,
                                        stdin=subprocess.DEVNULL)
        assert self.process.stdout.readline() == "ready\n"

    def answer(self, within):
        """killed, ended or passed, and how many steps were taken."""
        timer = threading.Timer(within * SLOWER, self.process.terminate)
        timer.start()
        words = self.process.stdout.readline().split()
        timer.cancel()
        self.process.stdout.close()
        self.process.wait()
        return (words[0], int(words[1])) if words else ("passed", 0)

    def end(self):
        self.process.terminate()
        return self.answer(5)


class Crash:
    """A server with jobs that run all the time, and the looks at it."""

    def __init__(self, server):
        self.server = server
        self.tickers, self.bursts = {}, {}
        self.counts = collections.Counter()
        self.followed = collections.Counter()  # bytes
        self.told = {}  # ended jobs and what their end was
        self.deleted = set()  # the last one that was to be deleted
        self.longest = 0
        path = os.path.join(server.prefix, "config/joblet-config.yml")
        with open(path, encoding="utf-8") as file:
            text = file.read()
        with open(path, "w", encoding="utf-8") as file:
            file.write(re.sub(r"^(  maxConcurrentJobs:) .*$", rf"\1 {SLOTS}", text, flags=re.M))
        server.kill_joblet()
        server.launch()
        self.start_tickers()

    def start_tickers(self):
        for burst in BURSTS:
            self.start_ticker(burst)

    def start_ticker(self, burst):
        job = self.server.run("sh", "-c", TICKER % burst)
        self.server.wait_for_output(job, "out 2\n")
        self.tickers[job] = eventually(lambda: self.server.init_pid(job))
        self.bursts[job] = burst

    def api(self):
        return eventually(lambda: self.server.children("joblet-api"), what="joblet-api runs")[0]

    def run(self, pause=""):
        """RunJob; the id, or None when the answer was lost or an error."""
        try:
            return self.server.run("sh", "-c", SCRIPT % pause)
        except grpc.RpcError as error:
            assert error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN), error
            return None

    def answers(self):
        try:
            return {job.uuid: job for job in self.server.list()}
        except grpc.RpcError:
            self.server.close_channels()
            return None

    def restart(self):
        """What does not restart itself."""
        began = time.monotonic()
        self.server.close_channels()
        if not os.path.exists(f"/proc/{self.server.pid_or_0()}/exe"):
            self.server.launch()
        jobs = eventually(self.answers, 20, "the service answers")
        self.longest = max(self.longest, time.monotonic() - began)
        return jobs

    # --- what must be true

    def final(self, job):
        def ended():
            with contextlib.suppress(grpc.RpcError):
                status = self.server.status(job)
                return status if status.status in FINAL and status.end_time else None
        return eventually(ended, 20, f"the end of job {job}")

    def check_subject(self, job, own_end, init_killed):
        """A job that was told to run ends by itself (own_end) unless its joblet-init was killed; one that was not told may
        not have been started at all, and then nothing of it ran."""
        status = self.final(job)
        logs = {stream: self.server.logs(job, stream=stream) for stream in (OUT, ERR)}
        whole = self.server.logs(job)
        if status.end_reason == "exited":
            assert (status.status, status.exit_code) == ("FAILED", 9), status
            assert logs == SUBJECT, logs
            assert len(whole) == sum(map(len, SUBJECT.values())), whole
            self.counts["ended by itself"] += 1
        elif status.end_reason == "setup failure":
            assert not own_end, f"a job that was told to run: {status}"
            assert status.status == "FAILED" and status.error and not whole, (status, whole)
            self.counts["never started"] += 1
        else:
            assert init_killed, status
            assert (status.status, status.exit_code, status.end_reason) == ("FAILED", 137, "signal"), status
            self.check_cut(job, whole)
            self.counts["cut short"] += 1
        self.told[job] = (status, whole)

    def check_cut(self, job, whole):
        """Of each stream a beginning that ends with a line, whatever stream the bytes are said to be of."""
        for name, stream in (("out", OUT), ("err", ERR)):
            said = b"".join(line for line in whole.splitlines(True) if line.startswith(name.encode()) or
                            (stream == OUT and line == b"last\n"))
            assert SUBJECT[stream].startswith(said) and (not said or said.endswith(b"\n")), (job, whole)

    def check_jobs(self, listed, job, own_end, init_killed):
        known = set(self.tickers) | set(self.told)
        self.check_deleted(listed)
        assert known <= set(listed), "jobs are lost"
        new = set(listed) - known - self.deleted
        assert job is None or job in new, f"job {job} was told to run and is not there"
        assert len(new) <= 1, new
        for found in new:
            self.check_subject(found, own_end and found == job, init_killed)
        if not new:
            self.counts["not begun"] += 1

    def delete_one(self):
        """An ended job, while the service may be killed."""
        for job in list(self.told)[:1]:
            del self.told[job]
            self.deleted = {job}
            with contextlib.suppress(grpc.RpcError):
                self.server.jobs().DeleteJob(self.server.pb.DeleteJobRequest(uuid=job), timeout=seconds(10))
                self.counts["deleted at once"] += 1

    def check_deleted(self, listed):
        """It is gone, or it is there and can be deleted; no file of it stays then."""
        for job in self.deleted & set(listed):
            assert self.server.status(job).status in FINAL
            self.server.jobs().DeleteJob(self.server.pb.DeleteJobRequest(uuid=job), timeout=seconds(10))
        for job in self.deleted:
            names = [name for name in os.listdir(os.path.join(self.server.prefix, "state/jobs")) if name.startswith(job)]
            assert not names, names

    def check_tickers(self):
        for job, init in self.tickers.items():
            assert self.server.init_pid(job) == init, f"job {job} does not run as it did"
            assert listed_status(self.server, job) == "RUNNING"

    def check_followed(self):
        """The log goes on, for one that follows it."""
        for job in self.tickers:
            seen = 0
            for chunk in self.server.chunks(job):
                seen += len(chunk.payload)
                if b"\n" in chunk.payload and seen > self.followed[job] + 100:
                    break
            self.followed[job] = seen

    def check_nothing_left(self):
        """Groups and processes of the running ones alone."""
        running = set(self.tickers)
        eventually(lambda: {job for _, job in self.server.environment_pids("joblet-init")
                            if job in self.told} == set(), what="no process of an ended job is left")
        eventually(lambda: {os.path.basename(path)[4:] for path in self.server.job_cgroups()} <= running, 10,
                   "no group of an ended job is left")
        files = set(os.listdir(os.path.join(self.server.prefix, "state/jobs")))
        assert files <= running | set(self.told), files
        for job in self.told:
            assert not os.path.exists(os.path.join(self.server.prefix, "state/jobs", job, "run")), job

    def forget_told(self):
        """Once in a while: what was told before is still true, and then deleted."""
        for job, (status, log) in self.told.items():
            assert self.server.status(job) == status
            assert self.server.logs(job) == log
            self.server.jobs().DeleteJob(self.server.pb.DeleteJobRequest(uuid=job), timeout=seconds(10))
        self.told = {}
        eventually(lambda: set(os.listdir(os.path.join(self.server.prefix, "state/jobs"))) == set(self.tickers),
                   what="deleted jobs leave no files")

    # --- kills

    def measure(self, mode):
        """How many steps it takes from before a job to after its end."""
        pid = self.api() if mode == "joblet-api" else self.server.pid
        killer = Killer("process", pid, 10**9)
        job = self.run()
        self.final(job)
        self.delete_one()
        status, steps = killer.end()
        assert status == "passed" and steps > 50, (status, steps)
        self.check_jobs(self.answers(), job, True, False)
        return steps

    def kill_service(self, mode, steps):
        """joblet or joblet-api at a step; while the subject starts, runs or ends."""
        killer = Killer("process", self.api() if mode == "joblet-api" else self.server.pid, steps)
        job = self.run()
        if job:
            with contextlib.suppress(grpc.RpcError):
                for _ in self.server.chunks(job):
                    pass
        self.delete_one()
        ended = killer.answer(0.3)[0]
        self.counts[f"{mode} {ended}"] += 1
        self.check_jobs(self.restart(), job, job is not None, False)

    def kill_start(self, mode, steps):
        """joblet-init on its way to the command. Returns the steps."""
        killer = Killer(mode, self.server.pid, steps)
        job = self.run()
        answer, taken = killer.answer(3)
        self.counts[f"joblet-init {answer}"] += 1
        self.check_jobs(self.answers(), job, False, True)
        return taken

    def kill_end(self, steps):
        """joblet-init from when the command runs to its own end. Returns the steps."""
        job = self.run("sleep 2;" if IN_VM else "sleep 0.03;")
        init = self.server.init_pid(job)
        if init is None:
            self.check_jobs(self.answers(), job, True, False)
            return 0
        killer = Killer("process", init, steps)
        answer, taken = killer.answer(10)
        self.counts[f"joblet-init {answer}"] += 1
        self.check_jobs(self.answers(), job, False, True)
        return taken

    def kill_anything(self, choice, delay):
        """At any moment, also two at a time; a running job's joblet-init among them."""
        killed = {name: name in choice for name in ("joblet", "joblet-api", "joblet-init")}
        job = self.run()
        time.sleep(delay)
        ticker = next(iter(self.tickers))
        if killed["joblet-init"]:
            os.kill(self.tickers[ticker], signal.SIGKILL)
        if killed["joblet-api"]:
            os.kill(self.api(), signal.SIGKILL)
        if killed["joblet"]:
            self.server.kill_joblet()
        self.counts["at any moment"] += 1
        self.check_jobs(self.restart(), job, job is not None, False)
        if killed["joblet-init"]:
            self.check_killed_ticker(ticker)

    def check_killed_ticker(self, job):
        status = self.final(job)
        assert (status.status, status.exit_code, status.end_signal) == ("FAILED", 137, 9), status
        log = self.server.logs(job)
        for name in (b"out", b"err"):
            said = b"".join(line for line in log.splitlines(True) if line.startswith(name))
            assert said == lines(name.decode(), said.count(b"\n")), f"the log of {job} has a gap or a double"
        self.told[job] = (status, log)
        del self.tickers[job]
        self.start_ticker(self.bursts[job])

    def finish(self):
        """The tickers' logs to the last byte, all id ranges free, nothing left."""
        server = self.server
        for job in self.tickers:
            server.stop_job(job)
        for job in self.tickers:
            assert server.wait(job).status == "STOPPED"
            for stream, name in ((OUT, "out"), (ERR, "err")):
                # The shell may hear of its sleep's end by the stop before its own, says so and goes on.
                said = server.logs(job, stream=stream).replace(b"Terminated\n", b"", 1)
                assert said == lines(name, said.count(b"\n")), f"the log of {job} has a gap or a double"
        self.tickers, self.told = {}, {}
        server.clear()
        server.assert_nothing_left()
        sleepers = [server.run("sleep", "600") for _ in range(SLOTS)]
        with pytest.raises(grpc.RpcError) as refused:
            server.run("true")
        assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        for job in sleepers:
            server.stop_job(job)
        server.clear()
        server.assert_nothing_left()


def listed_status(server, job):
    return server.status(job).status


def spread(generator, count, most):
    """So many different steps from 1 to @most, one in each equal part of them."""
    return [1 + int((i + generator.random()) * most / count) for i in range(count)]


def make_plan(crash, generator):
    """Each round: which kill, at which step. joblet-api comes before joblet: a new joblet does not make it wait."""
    part = max(ROUNDS // 6, 1)
    steps = {mode: crash.measure(mode) for mode in ("joblet", "joblet-api")}
    # A sandbox notices the tracer before it is done; the steps after that come by time.
    steps["start"], steps["end"] = crash.kill_start("child", 10**9), crash.kill_end(10**9)
    print("steps of a whole job: joblet {joblet}, joblet-api {joblet-api}; of joblet-init until it notices that it is watched "
          "{start}, from the command's start to the end {end}".format_map(steps))
    others = [("child", step) for step in spread(generator, part, steps["start"])]
    others += [("timed", step) for step in spread(generator, part, 100000 if IN_VM else 9000)]
    others += [("end", step) for step in spread(generator, part, steps["end"])]
    others += [("any", choice) for choice in generator.choices(
        [("joblet",), ("joblet-api",), ("joblet-init",), ("joblet", "joblet-api"), ("joblet-init", "joblet-api")], k=part)]
    pairs = [list(pair) for pair in zip(spread(generator, part, steps["joblet-api"]), spread(generator, part, steps["joblet"]))]
    generator.shuffle(others)
    generator.shuffle(pairs)
    for i, (api, joblet) in enumerate(pairs):
        yield "joblet-api", api
        yield from others[i * 4:i * 4 + 4]
        yield "joblet", joblet


@pytest.fixture
def crash(own_server):
    crash = Crash(own_server)
    yield crash
    own_server.close_channels()
    if not os.path.exists(f"/proc/{own_server.pid_or_0()}/exe"):
        own_server.launch()


@pytest.mark.host_only(reason="long in an emulated machine; run it there by VM_COMMAND")
def test_killed_at_each_step(crash):
    generator = random.Random(SEED)
    print(f"seed {SEED}")
    began = time.monotonic()
    kills = 0
    for kills, (mode, step) in enumerate(make_plan(crash, generator), 1):
        try:
            if mode in ("joblet", "joblet-api"):
                crash.kill_service(mode, step)
            elif mode == "end":
                crash.kill_end(step)
            elif mode == "any":
                crash.kill_anything(step, generator.random() * 0.03)
            else:
                crash.kill_start(mode, step)
            crash.check_tickers()
            if kills % 10 == 0:
                crash.check_nothing_left()
                crash.check_followed()
                crash.forget_told()
        except BaseException:
            print(f"round {kills}: {mode} {step}, seed {SEED}")
            print(crash.server.service_log[-3000:])
            raise
    crash.finish()
    print(f"{kills} kills in {time.monotonic() - began:.0f} s, longest until it answers {crash.longest:.2f} s;",
          ", ".join(f"{name} {count}" for name, count in sorted(crash.counts.items())))
