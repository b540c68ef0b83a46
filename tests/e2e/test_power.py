"""A loss of power: a virtual machine whose disk is kept is killed while jobs run on it. Started again, it has every job of
which a client had been told the end, with that end and its whole log."""

import contextlib
import hashlib
import os
import re
import signal
import subprocess
import time

import pytest

from conftest import BUILD, ROOT, eventually, read

TOLD_MIN = int(os.environ.get("POWER_JOBS", 6))
GUEST = "/joblet/power"


def set_up(directory):
    """What would take long in an emulated machine is done before: a prefix, for the place where it will lie."""
    prefix = f"{directory}/prefix"
    os.makedirs(directory)
    subprocess.run([f"{BUILD}/src/joblet/joblet", "--prefix", prefix, "setup", "--address", "127.0.0.1:50997", "--listen",
                    "127.0.0.1"], check=True, capture_output=True)
    with open(f"{directory}/env", "w", encoding="utf-8") as file:
        for name, value in (("RNX", "/joblet/build/src/rnx/rnx"), ("JOBLET_PREFIX", f"{GUEST}/prefix"),
                            ("RNX_CONFIG", f"{GUEST}/prefix/config/rnx-config.yml"),
                            ("JOBLET", "/joblet/build/src/joblet/joblet"), ("JOBLET_ADDRESS", "127.0.0.1:50997")):
            file.write(f"{name}={value}\n")


class Machine:
    """One life of the virtual machine on the disk."""

    def __init__(self, directory, number):
        self.disk, self.log = f"{directory}/disk.img", f"{directory}/console-{number}"
        environment = {**os.environ, "VM_DISK": self.disk, "VM_LOG": self.log, "VM_TREE": f"{directory}/power",
                       "VM_COMMAND": f"tests/e2e/crash/power.sh {GUEST}", "VM_TIMEOUT": "1200", "JOBLET_BUILD": BUILD}
        self.script = subprocess.Popen([f"{ROOT}/scripts/vm-leg.sh"], env=environment, stdin=subprocess.DEVNULL,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def lines(self, first):
        with contextlib.suppress(FileNotFoundError):
            # The power may go in the middle of a line.
            return re.findall(rf"^{first} .*(?=\n)", read(self.log).decode(errors="replace").replace("\r", ""), re.M)
        return []

    def qemu(self):
        """The process that has our disk open as its drive."""
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                words = read(f"/proc/{pid}/cmdline").decode(errors="replace").split("\0")
                if words[0].startswith("qemu-system") and any(self.disk in word for word in words):
                    return int(pid)
        return None

    def kill(self):
        os.kill(self.qemu(), signal.SIGKILL)
        self.script.wait(60)

    def end(self):
        if self.script.poll() is None:
            pid = self.qemu()
            if pid:
                os.kill(pid, signal.SIGKILL)
            self.script.wait(60)


def expected(number):
    log = "".join(f"{line}\n" for line in range(1, 40 * number + 1)).encode()
    return f"{'COMPLETED' if number % 5 == 0 else 'FAILED'} {number % 5} {hashlib.sha256(log).hexdigest()}"


@pytest.mark.host_only(reason="it starts a virtual machine itself")
def test_told_ends_survive_a_loss_of_power(stubs, tmp_path):
    directory = str(tmp_path)
    began = time.monotonic()
    set_up(f"{directory}/power")
    machine = Machine(directory, 1)
    try:
        eventually(lambda: len(machine.lines("TOLD")) >= TOLD_MIN, 200, "jobs end in the virtual machine")
        machine.kill()
        told = [line.split(" ", 3) for line in machine.lines("TOLD")]
        machine = Machine(directory, 2)
        machine.script.wait(1200)
        seen = dict(line.split(" ", 2)[1:] for line in machine.lines("SEEN"))
        print(f"{len(told)} ends told before the power went, {len(seen)} jobs there after, {time.monotonic() - began:.0f} s")
        console = read(machine.log).decode(errors="replace")[-3000:]
        for _, number, job, end in told:
            assert end == expected(int(number)), "the machine did not do what it should"
            assert seen.get(job) == end, f"job {job} ({number}): told {end}, found {seen.get(job)}\n{console}"
        # Those that ran end with the machine, and none is said to run.
        others = [status for job, status in seen.items() if job not in {job for _, _, job, _ in told}]
        assert others and not any(status.startswith(("RUNNING", "INITIALIZING")) for status in others), others
        assert machine.lines("ALIVE") == ["ALIVE still here"], console
    finally:
        machine.end()
