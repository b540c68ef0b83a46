"""What a crash leaves is listed by `joblet gc`, removed by `joblet gc --run` and by the service's start; what only looks like
ours stays."""

import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import time
import uuid

import pytest

from conftest import Server, eventually, read, seconds

pytestmark = pytest.mark.host_only("plants bridges, tables and devices with tools of this host")
LOOP_CTL_ADD, LOOP_CTL_REMOVE = 0x4C80, 0x4C81


def gc(server, *arguments, prefix=None):
    result = subprocess.run([server.joblet_program, "--prefix", prefix or server.prefix, "gc", "--json", *arguments],
                            capture_output=True, text=True, check=False, timeout=seconds(120), stdin=subprocess.DEVNULL)
    assert result.stdout, result.stderr
    items = json.loads(result.stdout)["leftovers"]
    # A group has a name in each hierarchy, of which one is told.
    return result, {os.path.basename(item["name"]) if item["kind"] == "control group" else item["name"]: item for item in items}


def table(server):
    """What people read: name -> (outcome, kind, age, owner)."""
    result = subprocess.run([server.joblet_program, "--prefix", server.prefix, "gc"], capture_output=True, text=True, check=False,
                            timeout=seconds(120), stdin=subprocess.DEVNULL)
    assert result.returncode == 0, result.stderr
    rows = re.findall(r"(?m)^(\S.*?) {2,}(\S.*?) {2,}age (\S.*?) {2,}owner (\S.*?)  (\S.*)\n    \S", result.stdout)
    return {os.path.basename(row[4]) if row[1] == "control group" else row[4]: row[:4] for row in rows}


def expected_owner(name, kind, identity):
    found = re.search("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", name)
    if kind in ("bridge", "nftables table"):
        return identity
    return f"{'build' if kind == 'tree' else 'job'} {found[0]}" if found else "this prefix"


def parents(server):
    """The directories of the groups of this prefix: one in each hierarchy."""
    hash_value = 2166136261
    for byte in server.prefix.encode():
        hash_value = (hash_value ^ byte) * 16777619 & 0xffffffff
    return [path for path, _, _ in os.walk("/sys/fs/cgroup") if os.path.basename(path) == f"joblet-{hash_value:08x}"]


def network_hash(server):
    status = os.stat(server.prefix)
    identity = f"joblet {os.major(status.st_dev)}:{os.minor(status.st_dev)}:{status.st_ino}"
    hash_value = 2166136261
    for byte in identity.encode():
        hash_value = (hash_value ^ byte) * 16777619 & 0xffffffff
    return identity, f"{hash_value:08x}"


def disk_owner(server):
    return os.stat(os.path.join(server.prefix, "base")).st_uid


def write(path, text="x"):
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def plant(server):
    """Everything that a crash can leave, by hand but for what kills have left. Names as gc tells them -> kind; and strangers."""
    prefix, owner = server.prefix, disk_owner(server)
    job, made, going, group, tree = (str(uuid.uuid4()) for _ in range(5))
    jobs = os.path.join(prefix, "state/jobs")
    for name, files in ((job, ["log", "log.index", "record", "run.new"]), (f"{made}.new", ["log"]), (f"{going}.old", ["run"])):
        os.mkdir(os.path.join(jobs, name), 0o750)
        for file in files:
            write(os.path.join(jobs, name, file), "")
    for directory in parents(server):
        os.mkdir(os.path.join(directory, f"job-{group}"))
    os.mkdir(os.path.join(prefix, "runtimes", f".trash-{tree}"))
    write(os.path.join(prefix, "runtimes", f".trash-{tree}", "file"))
    for name in ("", "file"):
        os.chown(os.path.join(prefix, "runtimes", f".trash-{tree}", name), owner, owner)
    os.mkdir(os.path.join(prefix, "runtimes/empty"))
    os.mkdir(os.path.join(prefix, "base.old.0123abcd"))
    write(os.path.join(prefix, "base.old.0123abcd/file"))
    write(os.path.join(prefix, "run/.address.0123abcd"))
    write(os.path.join(prefix, ".base.manifest.0123abcd"))
    write(os.path.join(prefix, "config/.ca.key.0123abcd"))
    identity, digits = network_hash(server)
    # Of an earlier start of the host, so that it says nothing but when there was a network.
    write(os.path.join(prefix, "run/network"), f"version 1\nidentity {identity}\nboot none\n")
    subprocess.run(["nft", "add", "table", "inet", f"joblet_{digits}", "{", "comment", f'"{identity}"', ";", "}"], check=True)
    subprocess.run(["ip", "link", "add", f"jb{digits}", "type", "bridge"], check=True)
    subprocess.run(["ip", "link", "set", f"jb{digits}", "alias", identity], check=True)
    ours = {f"state/jobs/{job}": "job", f"state/jobs/{job}/run.new": "note", f"state/jobs/{made}.new": "job's files",
            f"state/jobs/{going}.old": "job's files", f"runtimes/.trash-{tree}": "tree", "runtimes/empty": "runtime's name",
            "base.old.0123abcd": "base root", "run/.address.0123abcd": "half-written", ".base.manifest.0123abcd": "half-written",
            "config/.ca.key.0123abcd": "half-written", f"inet joblet_{digits}": "nftables table", f"jb{digits}": "bridge"}
    return ours, f"job-{group}", job


def name_strangers(server):
    other = str(uuid.uuid4())
    return {"file": [f"state/jobs/{other}.new", "run/.address.mine"],
            "link": ["run/.groups.0123abcd"],
            # A directory without a record, and a tree that is root's, as no build's is.
            "directory": ["state/jobs/notes", f"state/jobs/{other}", "runtimes/.trash-mine",
                          f"runtimes/.trash-{other}", "base.old.mine"],
            "bridge": ["jb0badcafe"],
            "group": ["job-mine"]}


def plant_strangers(server, names):
    for name in names["file"]:
        write(os.path.join(server.prefix, name))
    for name in names["link"]:
        os.symlink("/etc/hostname", os.path.join(server.prefix, name))
    for name in names["directory"]:
        os.mkdir(os.path.join(server.prefix, name))
    for name in names["group"]:
        os.mkdir(os.path.join(parents(server)[0], name))
    for name in names["bridge"]:
        subprocess.run(["ip", "link", "add", name, "type", "bridge"], check=True)


def exists(server, name):
    if name.startswith("jb"):
        return os.path.exists(f"/sys/class/net/{name}")
    if name.startswith("inet "):
        return subprocess.run(["nft", "list", "table", *name.split()], capture_output=True, check=False).returncode == 0
    if name.startswith("job-"):
        return any(os.path.isdir(os.path.join(directory, name)) for directory in parents(server))
    return os.path.lexists(os.path.join(server.prefix, name))


def remove_strangers(server, strangers):
    subprocess.run(["ip", "link", "del", "jb0badcafe"], capture_output=True, check=False)
    for name in strangers:
        path = os.path.join(server.prefix, name)
        if os.path.isdir(path):
            shutil.rmtree(path)
        elif os.path.lexists(path):
            os.unlink(path)


@pytest.mark.shows("Checklist 5", "CIS-Docker 6.2", "NIST 4.4.5")
def test_leftovers(stubs, host):
    server, other = Server(*stubs), Server(*stubs)
    strangers = set()
    try:
        # Beside a running service with a job: its stock is no leftover, whatever it is.
        running = server.run("sleep", "600")
        dead = server.run("sleep", "600")
        result, found = gc(server)
        assert result.returncode == 0 and not found, found
        server.kill_joblet()
        os.kill(server.init_pid(dead), signal.SIGKILL)
        eventually(lambda: server.init_pid(dead) is None, 30, "the job is dead")
        ours, group, half_started = plant(server)
        names = name_strangers(server)
        strangers = {name for of_kind in names.values() for name in of_kind}
        plant_strangers(server, names)
        before = gc(other)[1]
        assert {name for name, item in before.items() if item["outcome"] != "not ours, left"} <= {f"jb{network_hash(server)[1]}"}

        # A dry run tells all of it and changes nothing.
        result, found = gc(server, "--dry-run")
        assert result.returncode == 0
        for name, kind in ours.items():
            item = found[name]
            expected = {"tree": "waits", "job": "to be recorded"}.get(kind, "goes")
            assert (item["kind"], item["outcome"]) == (kind, expected), item
            assert item["why"] and (item["ageSeconds"] is None or 0 <= item["ageSeconds"] < 3600), item
        assert found[group]["owner"].startswith("job ")
        assert found["run/joblet.pid"]["kind"] == "run file"
        assert found[f"state/jobs/{dead}"]["kind"] == "ended job" and found[f"state/jobs/{dead}"]["outcome"] == "waits"
        assert not any(running in name for name in found), "a job that runs is no leftover"
        assert {name for name, item in found.items() if item["outcome"] == "not ours, left"} == strangers
        assert all(exists(server, name) for name in [*ours, group, *strangers])
        # And so does the table for people: each with its age, and the job, build or service that left it.
        rows = table(server)
        assert set(rows) == set(found), rows
        for name, row in rows.items():
            item = found[name]
            assert row[:2] == (item["outcome"], item["kind"]) and row[3] == (item["owner"] or "-"), row
            if name not in strangers:
                assert row[3] == expected_owner(name, item["kind"], network_hash(server)[0]), (name, row)
                assert re.fullmatch(r"\d+ min", row[2]), (name, row)

        # The other service has another prefix: nothing of this one is its own.
        result, found = gc(other, "--run")
        assert result.returncode == 0 and all(exists(server, name) for name in [*ours, group, *strangers] if not name.startswith(("jb", "inet")))

        # A run removes what goes, leaves what waits and the strangers; a second one finds those alone.
        result, found = gc(server, "--run")
        assert result.returncode == 0, result.stderr
        assert found[group]["outcome"] == "removed" and found[f"state/jobs/{half_started}"]["outcome"] == "recorded"
        for name, kind in ours.items():
            assert exists(server, name) == (kind in ("tree", "job")), name
        assert not exists(server, group) and all(exists(server, name) for name in strangers)
        assert os.path.getsize(os.path.join(server.prefix, "state/jobs", half_started, "record")) > 0
        assert server.init_pid(running), "the job runs on"
        again = gc(server, "--run")[1]
        assert {item["outcome"] for item in again.values()} <= {"waits", "not ours, left"}, again

        # The start finds the same, says so, and does what gc leaves to it.
        ours_again, group, _ = plant(server)
        server.launch()
        server.close_channels()
        log = server.service_log
        for name in (*ours_again, group):
            assert name in log, name
        assert log.count("looks like ours and is not") >= len(strangers)
        eventually(lambda: not any(exists(server, name) for name, kind in {**ours, **ours_again}.items() if kind != "job"), 60,
                   "the start has removed all of it")
        assert not exists(server, group) and all(exists(server, name) for name in strangers)
        assert server.status(running).status == "RUNNING"
        assert server.wait(dead, 30).status == "FAILED"
        result, found = gc(server, "--run")
        assert result.returncode == 0
        assert {item["outcome"] for item in found.values()} <= {"not ours, left"}, found
        assert server.shell("echo well").text == "well\n"
    finally:
        remove_strangers(server, strangers)
        _, digits = network_hash(server)
        for command in (["ip", "link", "del", f"jb{digits}"], ["nft", "delete", "table", "inet", f"joblet_{digits}"]):
            subprocess.run(command, capture_output=True, check=False)
        with contextlib.suppress(Exception):
            server.clear()
        server.stop()
        other.stop()
        for directory in parents(server):  # what a stranger was in, or what a failed test left
            for path, _, _ in os.walk(directory, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(path)


@pytest.mark.shows("Checklist 5")
def test_loop_devices(stubs, host):
    """A device of our numbers without a file goes when no service lives that could keep it; one of others' numbers stays."""
    server = Server(*stubs)
    number, others = 26000, 9000
    try:
        control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
        fcntl.ioctl(control, LOOP_CTL_ADD, number)
        fcntl.ioctl(control, LOOP_CTL_ADD, others)
        assert f"/dev/loop{number}" not in gc(server)[1], "a service that lives may keep it"
        server.kill_joblet()
        eventually(lambda: not any(path.startswith("joblet ") for path in living(server)), 30, "its name is free")
        found = gc(server)[1]
        if f"/dev/loop{number}" not in found:
            assert others_live(server), "no service lives"
        else:
            item = found[f"/dev/loop{number}"]
            assert (item["kind"], item["owner"]) == ("loop device", "a service that is dead") and item["ageSeconds"] is not None
            assert gc(server, "--run")[0].returncode == 0 and not os.path.exists(f"/dev/loop{number}")
        assert f"/dev/loop{others}" not in found and os.path.exists(f"/dev/loop{others}")
    finally:
        for planted in (number, others):
            with contextlib.suppress(OSError):
                fcntl.ioctl(control, LOOP_CTL_REMOVE, planted)
        os.close(control)
        with contextlib.suppress(Exception):
            server.launch()
        server.stop()


def downloads(server, *arguments, code=0):
    """Name -> outcome, as gc tells it, and what it writes of errors."""
    result = subprocess.run([server.joblet_program, "--prefix", server.prefix, "gc", "--json", *arguments],
                            capture_output=True, text=True, check=False, timeout=seconds(120), stdin=subprocess.DEVNULL)
    assert result.returncode == code, result.stderr
    return {item["name"]: item["outcome"] for item in json.loads(result.stdout)["downloads"]}, result.stderr


def test_downloads(own_server):
    """The old ones go, then the oldest of too many; none while a build has them, and nothing without --run."""
    server, cache = own_server, os.path.join(own_server.prefix, "cache/apt")
    hours = {"apt-a": 100, "apt-b": 50, "apt-c": 3, "apt-d": 2, "apt-e": 1}
    os.makedirs(cache, exist_ok=True)
    assert not os.listdir(cache)
    for name, age in hours.items():
        write(os.path.join(cache, name), "x" * (1 << 20))
        os.utime(os.path.join(cache, name), (time.time() - age * 3600,) * 2)
    os.mkdir(os.path.join(cache, "mine"))
    kept = dict.fromkeys(hours, "kept") | {"mine": "not ours, left"}
    assert downloads(server, "--max-age", "101h")[0] == kept
    assert downloads(server, "--max-age=24h")[0] == {**kept, "apt-a": "goes", "apt-b": "goes"}
    assert downloads(server, "--max-age", "0", "--max-size", "3")[0] == {**kept, "apt-a": "goes", "apt-b": "goes"}
    assert downloads(server, "--max-age=75h", "--max-size=3")[0] == {**kept, "apt-a": "goes", "apt-b": "goes"}
    for wrong in (["--max-age", "soon"], ["--max-size", "-1"], ["--max-age"]):
        result = subprocess.run([server.joblet_program, "--prefix", server.prefix, "gc", *wrong], capture_output=True, check=False)
        assert result.returncode == 2 and wrong[0].encode() in result.stderr
    fd = os.open(cache, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH)  # as a build has it
        assert downloads(server, "--max-age=24h")[0]["apt-a"] == "goes"
        found, said = downloads(server, "--run", "--max-age=24h", code=1)
        assert not found and "builds use the downloads now" in said
    finally:
        os.close(fd)
    assert sorted(os.listdir(cache)) == sorted(kept)
    assert downloads(server, "--run", "--max-age=75h")[0] == {**kept, "apt-a": "removed"}
    assert sorted(os.listdir(cache)) == ["apt-b", "apt-c", "apt-d", "apt-e", "mine"]
    found = downloads(server, "--run", "--max-size=2", "--max-age=75h")[0]
    assert [name for name, outcome in found.items() if outcome == "removed"] == ["apt-b", "apt-c"]
    assert sorted(os.listdir(cache)) == ["apt-d", "apt-e", "mine"]


def living(server):
    identity = network_hash(server)[0]
    return [line.split("@")[1] for line in read("/proc/net/unix").decode().splitlines() if line.endswith("@" + identity)]


def others_live(server):
    identity = network_hash(server)[0]
    return any("@joblet " in line and not line.endswith(identity) for line in read("/proc/net/unix").decode().splitlines())
