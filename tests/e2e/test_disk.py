"""/work of a job lies on a disk of its own: its size holds, nothing of it outlives the job, nobody else sees it."""

import concurrent.futures
import glob
import os
import re
import signal
import subprocess
import time

import grpc
import pytest

from conftest import ANY_KERNEL, IN_VM, Server, eventually, read, seconds

MIB = 1 << 20
SIZE = 16  # MiB, of the server of this file


def set_work_size(server, size):
    """Restarts the service with another filesystem.workSize."""
    stop_service(server)
    path = os.path.join(server.prefix, "config/joblet-config.yml")
    text, count = re.subn(r"^(\s+workSize:) .*$", rf"\1 {size}", read(path).decode(), flags=re.M)
    assert count == 1
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    server.launch()


def stop_service(server):
    pid = server.pid
    os.kill(pid, signal.SIGTERM)
    eventually(lambda: not os.path.exists(f"/proc/{pid}/exe"), 20, "the service has ended")


def keeper(server):
    return eventually(lambda: server.children("joblet-scratch"), what="joblet-scratch runs")[0]


def used_devices():
    """Of our numbers, those that hold a file."""
    return {path.split("/")[3] for path in glob.glob("/sys/block/loop1????/loop/backing_file")}


def device_of(server, job):
    """The loop device of a running job, as its process 1 sees it."""
    lines = read(f"/proc/{server.init_pid(job)}/mountinfo").decode().splitlines()
    return next(line.split(" - ")[1].split()[1] for line in lines if line.split()[4] == "/work")


LONG = pytest.mark.host_only("long in an emulated machine; the others show what another kernel could do differently")


@pytest.fixture(scope="module")
def small_server(stubs, host):
    server = Server(*stubs)
    set_work_size(server, SIZE)
    yield server
    server.stop()


@pytest.fixture
def small(small_server):
    yield small_server
    small_server.clear()
    small_server.assert_nothing_left()


def test_more_than_its_memory(server):
    """What lies on disk does not count as memory that cannot be given back."""
    ended = server.shell("head -c 100M /dev/zero >/work/big && stat -c %s /work/big", max_memory=32, within=120)
    assert ended.status.status == "COMPLETED" and ended.text == f"{100 * MIB}\n", ended
    mount = server.shell("grep ' /work ' /proc/self/mountinfo").text
    assert re.search(r" /work /work rw,nosuid,nodev,noatime,idmapped - ext4 ", mount), mount


@pytest.mark.shows("CIS-Docker 2.11")
def test_its_bytes(small):
    ended = small.shell("""head -c 100M /dev/zero >/work/big; stat -c %s /work/big; stat -f -c '%a %S' /work
        rm /work/big; echo x >/work/y && cat /work/y""")
    size, space, after = ended.text.splitlines()[-3:]
    assert SIZE * MIB - 65536 <= int(size) <= SIZE * MIB and space.startswith("0 ") and after == "x", ended.text
    assert "No space left on device" in ended.text
    assert small.shell("stat -f -c '%a %S' /work").text == f"{SIZE * MIB // 4096} 4096\n"


@ANY_KERNEL
def test_its_inodes(small):
    ended = small.shell("""cd /work; i=0
        while [ $i -lt 20 ]; do touch $(seq -f "$i-%g" 1000) 2>&1 | tail -n 1; i=$((i+1)); done
        ls | wc -l; stat -f -c '%c %d' .""", within=60)
    files, (all_inodes, free) = int(ended.text.splitlines()[-2]), map(int, ended.text.splitlines()[-1].split())
    assert "No space left on device" in ended.text and free == 0
    assert SIZE * MIB // 4096 - 64 <= files < all_inodes <= SIZE * MIB // 4096 + 64, ended.text[-200:]


def test_owners(small):
    ended = small.shell("""cd /work; mkdir d; echo >d/f; stat -c '%n %u:%g %a' . d d/f
        chown 0 d/f 2>&1 | grep -o 'not permitted'; chattr +i d/f 2>/dev/null || echo no""")
    assert ended.text == ". 65534:65534 755\nd 65534:65534 755\nd/f 65534:65534 644\nnot permitted\nno\n"


@pytest.mark.shows("OWASP D09", "Checklist 5")
def test_nothing_of_an_earlier_job(small):
    """Whether it was used or left alone, a disk is empty for the next job, and its free space tells nothing."""
    write = "for i in 1 2 3; do yes marker-of-a-job | head -c 4M >/work/f$i; done; sync /work/f1; "
    for end in ("", "rm /work/f*", "rm /work/f*; touch -d @0 /work", "mkdir /work/a; chmod 0 /work/a"):
        small.shell(write + end)
    look = """ls -A /work | wc -l; fallocate -l 12M /work/all 2>/dev/null || truncate -s 12M /work/all
        grep -c marker /work/all; stat -f -c %d /work"""
    texts = {small.shell(look).text for _ in range(2 if IN_VM else 30)}
    assert len(texts) == 1 and texts.pop().startswith("0\n0\n")


@ANY_KERNEL
def test_two_jobs_do_not_see_each_other(small):
    jobs = [small.run("sh", "-c", f"echo {name} >/work/{name}; ls /work; sleep 600") for name in ("one", "two")]
    for name, job in zip(("one", "two"), jobs):
        assert small.wait_for_output(job, "\n").decode() == f"{name}\n"
    assert len({device_of(small, job) for job in jobs}) == 2


@LONG
@pytest.mark.parametrize("bomb", ["while :; do cat /dev/zero >/work/$i 2>/dev/null; i=$((i+1)); done",
                                  "i=0; while :; do touch /work/$i 2>/dev/null; i=$((i+1)); done"], ids=["bytes", "inodes"])
def test_a_bomb_is_alone(small, bomb):
    usual = min(timed(small.shell, "true") for _ in range(3))
    job = small.run("sh", "-c", "echo go; " + bomb)
    small.wait_for_output(job, "go\n")
    init, device = small.init_pid(job), device_of(small, job)
    sequence = f"/sys/block/{device}/diskseq"  # another one for each file that the device ever has
    before = read(sequence)
    eventually(lambda: small.shell("echo x >/work/x && cat /work/x").text == "x\n")
    # The host may have something else to do for a moment.
    eventually(lambda: timed(small.shell, "true") < 5 * usual + 0.05, what=f"in five times of {usual} s")
    began = time.monotonic()
    small.stop_job(job)
    eventually(lambda: not os.path.exists(f"/proc/{init}"), 1, "the bomb is gone")
    assert time.monotonic() - began < seconds(1)
    eventually(lambda: device not in used_devices() or read(sequence) != before, 1, "its disk is gone")


def timed(function, *arguments):
    began = time.monotonic()
    function(*arguments)
    return time.monotonic() - began


@ANY_KERNEL
def test_the_keeper_is_killed(small):
    job = small.run("sh", "-c", "i=0; while [ $i -lt 200 ]; do echo x >>/work/x; sleep 0.01; i=$((i+1)); done; wc -l </work/x")
    eventually(lambda: small.init_pid(job), what="it runs")
    device = device_of(small, job)
    for _ in range(2):
        old = keeper(small)
        os.kill(old, signal.SIGKILL)
        eventually(lambda: keeper(small) != old, what="the next one")
        assert " ext4 " in small.shell("grep ' /work ' /proc/self/mountinfo; echo x >/work/x").text
    small.wait(job, 60)
    assert small.logs(job) == b"200\n"
    eventually(lambda: device not in used_devices() or device_is_ready(small, device), 5, "its disk is gone")


def mounted_by(pid):
    return set(re.findall(r" - ext4 (loop1\d{4}) ", read(f"/proc/{pid}/mountinfo").decode()))


def device_is_ready(server, device):
    """It holds another disk now: one that joblet-scratch has mounted."""
    return device in mounted_by(keeper(server))


@LONG
def test_joblet_is_killed(small):
    job = small.run("sh", "-c", "echo first >/work/x; echo ready; sleep 600")
    small.wait_for_output(job, "ready\n")
    device, old = device_of(small, job), keeper(small)
    mine = mounted_by(old) - {device}
    assert mine
    small.close_channels()
    small.kill_joblet()
    eventually(lambda: not os.path.exists(f"/proc/{old}"), 10, "joblet-scratch has ended")
    assert device in used_devices() and not mine & used_devices()
    small.launch()
    small.stop_job(job)
    eventually(lambda: device not in used_devices() or device_is_ready(small, device), 5, "its disk is gone")


@LONG
def test_many_at_once(small):
    count = 20 if IN_VM else 100
    before = set(glob.glob("/dev/loop1????"))
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        jobs = list(pool.map(lambda i: small.run("sh", "-c", f"echo {i} >/work/mine; ls /work | wc -l; sleep 600"),
                             range(count)))
    assert len({device_of(small, job) for job in jobs}) == count
    for job in jobs:
        assert small.wait_for_output(job, "\n") == b"1\n"
    small.clear()
    # Those that were there may be of other services.
    eventually(lambda: len(set(glob.glob("/dev/loop1????")) - before) <= 64 + 16, what="what is too much is removed")


def test_nothing_is_left_when_the_service_ends(small):
    small.shell("echo x >/work/x")
    mine = mounted_by(keeper(small))
    stop_service(small)
    # Other services of this host keep theirs.
    assert mine and not mine & used_devices()
    eventually(lambda: not {os.path.basename(path) for path in glob.glob("/dev/loop1????")} - used_devices(), what="the others are removed")
    small.close_channels()
    small.launch()


@pytest.mark.host_only("a server of its own, and nothing that another kernel could answer differently")
def test_no_room_for_it(own_server):
    """A job may fill its /work when it starts, or it does not start."""
    server = own_server
    space = os.statvfs(server.prefix)
    set_work_size(server, 2 * space.f_bavail * space.f_frsize // MIB)
    eventually(lambda: "lies on disk" in server.service_log.split("joblet serves")[-1], 60, "the keeper is ready")
    with pytest.raises(grpc.RpcError) as failed:
        server.run("true")
    assert "the size of /work cannot be kept" in failed.value.details() and "MiB left" in failed.value.details()
    eventually(lambda: server.status(server.list()[0].uuid).status == "FAILED")


@pytest.mark.host_only("starts the service by itself, without a control group of its own from systemd")
def test_without_loop_devices(own_server):
    """The limit holds in memory, and the log says so."""
    server = own_server
    set_work_size(server, SIZE)
    stop_service(server)
    script = f"mount --bind /dev/null /dev/loop-control && exec {server.joblet_program} --prefix {server.prefix} serve"
    with open(os.path.join(server.directory, "joblet.log"), "ab") as log:
        service = subprocess.Popen(["unshare", "--mount", "sh", "-c", script], stderr=log, stdin=subprocess.DEVNULL)
    server.close_channels()
    eventually(lambda: server.pid_or_0() == service.pid and server.rnx("job", "list", check=False).returncode == 0, 20)
    ended = server.shell("grep ' /work ' /proc/self/mountinfo; head -c 100M /dev/zero >/work/big; stat -c %s /work/big")
    assert " tmpfs " in ended.text and int(ended.text.splitlines()[-1]) == SIZE * MIB
    assert "/work of jobs lies in memory" in server.service_log and "attach a loop device" in server.service_log
    ended = server.shell("head -c 100M /dev/zero >/work/big", max_memory=8)
    assert ended.status.status == "FAILED"
    service.terminate()
    assert service.wait(seconds(20)) == 0
