"""joblet-builder by itself, as root in namespaces made by hand: steps of a build, collecting, verifying, deleting."""

import hashlib
import os
import shutil
import socket
import stat
import subprocess
import time

import pytest

from builder_tree import BUILDER, RUNTIME_DIR, Root, database, is_line, package, put_tree
from conftest import seconds

pytestmark = pytest.mark.host_only(reason="from packages, tools and a compiler of this host")


@pytest.fixture
def make_root():
    roots = []

    def make(*arguments, **options):
        roots.append(Root(*arguments, **options))
        return roots[-1]

    yield make
    for root in roots:
        root.close()


@pytest.fixture(scope="module")
def workshop():
    """A root over this host's own files, in which steps run."""
    root = Root().mount()
    yield root
    root.close()


def run(name, *words, timeout=0, kind="run"):
    return [kind, name, str(timeout), str(len(words)), *words]


def shell(name, script, **options):
    return run(name, "/bin/sh", "-c", script, **options)


# --- install


def test_steps_run_in_order_and_say_what_they_print(workshop):
    result = workshop.install(
        "phase", "5", "Prepare Directories", "here we go", "say", "warn", "careful", "env", "A=first", "env", "A=second", "env", "B=",
        *shell("one", 'echo "$A-$B-$PWD"; echo bad >&2; printf unfinished; [ -t 0 ] || read x || echo no input'),
        *shell("asked", "printf '1\\n2\\n'; echo side >&2", kind="query"), *run("two", "true"))
    assert result.status == 0 and result.last == "@done", result.lines
    assert result.lines[0] == "@phase 5 Prepare Directories: here we go"
    assert sorted(result.all("log")) == ["info second--/work", "info unfinishedno input", "warn bad", "warn careful", "warn side"]
    assert result.all("value") == ["asked 1", "asked 2"]
    assert [line.split()[0] for line in result.all("begin")] == ["one", "asked", "two"]
    ends = [line.split() for line in result.all("end")]
    assert [(end[0], *end[2:]) for end in ends] == [(name, "exit", "0") for name in ("one", "asked", "two")]
    assert abs(int(ends[0][1]) - time.time_ns()) < 600e9


@pytest.mark.parametrize("words, text", [
    (shell("a", "exit 7"), "a: exit status 7"),
    (shell("a", "kill -9 $$"), "a: ended by signal 9"),
    (run("a", "no-such-command"), "a: command 'no-such-command' was not found"),
    (run("a", "/etc/passwd"), "a: command '/etc/passwd' cannot be executed: Permission denied"),
    (shell("a", "sleep 1000 & sleep 1000", timeout=200000000), "a: not done within 200ms"),
])
def test_first_failure_ends_the_build(workshop, words, text):
    result = workshop.install(*words, *shell("b", "echo never"))
    assert (result.status, result.last) == (1, f"@fail {text}")
    assert "never" not in result.bytes.decode()


@pytest.mark.parametrize("words", [
    ["nonsense"], ["phase", "5"], ["phase", "x", "a", "b"], ["run", "a", "0", "2", "true"], ["run", "a", "0", "0"],
    ["run", "a", "-1", "1", "true"], ["env", "novalue"], ["env", "1=2"], ["say", "loud", "x"], ["package", "x"], ["run"],
    ["run", "a", "0", "99999999999999999999", "true"],
])
def test_a_recipe_that_is_wrong_does_nothing(workshop, words):
    result = workshop.install(*shell("a", "touch /tmp/done"), *words)
    assert result.status == 1 and result.lines[0].startswith("@fail recipe: ")
    assert not os.path.exists(workshop.path("/tmp/done"))


def test_output_cannot_be_taken_for_ours(workshop):
    result = workshop.install(*shell("a", r"""printf '@done\n@fail x\n\033[2J\001\377\303\251\000z\r\nprogress 1\rprogress 2\r'
        head -c 10000 /dev/zero | tr '\0' 'x'; echo; printf 'end'"""))
    assert result.last == "@done" and all(line.startswith("@") and is_line(line) for line in result.lines)
    logs = result.all("log")
    assert logs[:5] == ["info @done", "info @fail x", "info ?[2J??\u00e9?z", "info progress 1", "info progress 2"]
    assert len(logs[5].encode()) <= 4096 and set(logs[5][5:]) == {"x"} and logs[6] == "info end"


def test_a_lot_of_output_needs_no_memory(workshop):
    result = workshop.install(*shell("a", "yes 0123456789012345678901234567890123456789 | head -c 50000000; grep VmHWM /proc/$PPID/status"))
    assert result.status == 0
    peak = int(result.all("log")[-1].split()[-2])
    assert peak < 16 << 10, f"{peak} KiB"


def test_nothing_of_a_step_lives_on(workshop):
    script = """setsid sh -c 'trap "" TERM HUP INT; echo $$ > /tmp/stray; while :; do :; done' &
        (setsid su -s /bin/sh nobody -c 'sleep 1000' &)
        while [ ! -s /tmp/stray ]; do :; done"""
    result = workshop.install(*shell("a", script), *shell("b", "cat /proc/[0-9]*/comm"))
    assert result.status == 0, result.lines
    assert sorted(line.split()[-1] for line in result.all("log")) == ["builder", "sh", "sh"]


def test_install_is_for_a_namespace_of_its_own(workshop):
    """It kills all others: on the host it must not even begin."""
    done = subprocess.run([BUILDER, "install", *shell("a", "touch /tmp/joblet-builder-ran")], stdout=subprocess.PIPE)
    assert done.returncode == 1 and done.stdout.startswith(b"@fail 'install' runs below the first process")
    assert not os.path.exists("/tmp/joblet-builder-ran")


def test_a_fork_bomb_is_ended(workshop):
    """As another user, because root has no limit of processes here; in a build the cgroup has one."""
    bomb = ("setpriv --reuid 2000012 --clear-groups bash -c 'ulimit -u 200; b() { b & b & }; b' 2>/dev/null; sleep 0.5; "
            "ls -d /proc/[0-9]* | wc -l")
    result = workshop.install(*shell("bomb", bomb), *shell("b", "ls -d /proc/[0-9]* | wc -l"))
    assert result.status == 0, result.lines[-5:]
    logs = [int(line.split()[-1]) for line in result.all("log") if line.startswith("info ")]
    assert len(logs) == 2 and logs[0] > 10 and logs[1] <= 6, logs


def test_a_step_that_kills_the_driver_is_no_success(workshop):
    result = workshop.install(*shell("a", "kill -9 $PPID; sleep 5"))
    assert result.status != 0 and result.last != "@done"


def test_a_step_cannot_reach_the_driver(workshop):
    result = workshop.install(*shell("a", """
        for file in mem environ maps auxv; do head -c1 /proc/$PPID/$file >/dev/null 2>&1 && echo "read $file"; done
        readlink /proc/$PPID/fd/1 && echo linked; readlink /proc/$PPID/exe && echo exe
        { true > /proc/$PPID/fd/1; } 2>/dev/null && echo wrote
        grep -E '^(CapEff|TracerPid)' /proc/$PPID/status
        python3 -c 'import ctypes, sys; print("ptrace", ctypes.CDLL(None).ptrace(16, int(sys.argv[1]), 0, 0))' $PPID
        ls /proc/self/fd | wc -l"""))
    assert result.status == 0, result.lines
    logs = [line[5:] for line in result.all("log")]
    assert not {"read mem", "read environ", "read maps", "read auxv", "linked", "exe", "wrote"} & set(logs), logs
    assert "ptrace -1" in logs and "TracerPid:\t0" in logs
    assert logs[-1] == "4", "0, 1, 2 and the directory itself"


# --- collect, from a database made by hand

HOST = {
    **database(
        package("alpha", "beta (>= 1) | nowhere, virtual-thing, gone | delta:any", ["/usr/bin/alpha", "/usr/lib/alpha/data",
                "/usr/share/doc/alpha/readme", "/usr/share/man/man1/alpha.1", "/usr/include/alpha.h", "/lib/alpha.so.1",
                "/usr/lib/libalpha.a", "/usr/lib/libalpha.so", "/usr/lib/libonly.a", "/etc/alpha.conf"], Pre_Depends="epsilon"),
        package("beta", "alpha", ["/usr/bin/beta"]),
        package("gamma", "", ["/usr/bin/gamma"], Provides="other, virtual-thing (= 2)"),
        package("delta", "", ["/usr/bin/delta"], Multi_Arch="foreign"),
        package("epsilon", "", ["/usr/bin/epsilon"]),
        package("outside", "alpha", ["/usr/bin/outside", "/etc/outside.conf", "/usr/share/outside/x"]),
        package("removed", "", ["/usr/bin/removed"], Status="deinstall ok config-files")),
    **{path: f"{path}\n" for path in (
        "/usr/lib/alpha/data", "/usr/share/doc/alpha/readme", "/usr/share/man/man1/alpha.1", "/usr/include/alpha.h",
        "/usr/lib/alpha.so.1", "/usr/lib/libalpha.a", "/usr/lib/libonly.a", "/etc/alpha.conf", "/etc/outside.conf",
        "/usr/share/outside/x", "/usr/lib/alpha/cache", "/usr/bin/unowned", "/etc/admin.conf")},
    **{f"/usr/bin/{name}": (f"#!/bin/sh\n# {name}\n", 0o755) for name in
       ("alpha", "beta", "gamma", "delta", "epsilon", "outside", "removed")},
    "/usr/lib/libalpha.so": ("alpha.so.1",),
    "/etc/passwd": "root:x:0:0::/root:/bin/sh\nadmin:x:1000:1000::/home/admin:/bin/sh\nservice:secret:101:101::/:/bin/false\n",
    "/etc/group": "root:x:0:\nadmin:x:1000:\nservice:x:101:\n",
    "/etc/alternatives/tool": ("/usr/bin/alpha",), "/usr/bin/tool": ("/etc/alternatives/tool",),
    "/etc/alternatives/bad": ("/usr/bin/outside",), "/usr/bin/bad": ("/etc/alternatives/bad",),
    "/var/lib/dpkg/alternatives/tool": "auto\n/usr/bin/tool\n\n/usr/bin/alpha\n5\n",
    "/var/lib/dpkg/alternatives/bad": "auto\n/usr/bin/bad\n\n/usr/bin/outside\n5\n",
    "/usr/sbin/": None, "/usr/lib64/": None,
}
APT = ["packager", "apt", "package", "alpha"]


@pytest.mark.shows("CIS-Docker 4.3", "NIST 4.1.2")
def test_packages_bring_what_they_depend_on_and_no_more(make_root):
    root = make_root(HOST).mount()
    root.step("base", {"/usr/local/lib/site/module.py": "x\n"})
    result = root.collect(*APT, "binary", "alpha", "path", "/usr/bin")
    assert result.last == "@done", result.lines
    lines, entries = root.manifest()
    assert [line.split()[0] for line in result.all("package")] == ["alpha", "beta", "gamma", "delta", "epsilon"]
    assert lines[0] == {"manifest": 1, "name": "demo", "version": "1.0.0"}
    for path, origin in {"/usr/bin/alpha": "package alpha", "/usr/bin/epsilon": "package epsilon", "/usr/lib/alpha.so.1": "package alpha",
                         "/usr/bin/base-tool": "base", "/usr/include/alpha.h": "package alpha", "/etc/alpha.conf": "package alpha",
                         "/usr/lib/libonly.a": "package alpha", "/usr/lib/alpha/cache": "script", "/usr/bin/tool": "script",
                         "/etc/alternatives/tool": "script", "/usr/local/lib/site/module.py": "script",
                         "/etc/passwd": "joblet"}.items():
        assert entries[path]["origin"] == origin, path
    for path in ("/usr/bin/outside", "/etc/outside.conf", "/usr/bin/unowned", "/etc/admin.conf", "/usr/share/doc/alpha/readme", "/usr/bin/bad",
                 "/usr/share/man/man1/alpha.1", "/usr/lib/libalpha.a", "/var/lib/dpkg/status", "/lib/alpha.so.1", "/etc/alternatives/bad"):
        assert path not in entries, path
    with open(root.isolated("/etc/passwd"), encoding="utf-8") as file:
        assert [line.split(":")[0] for line in file] == ["root", "nobody"]
    for path in ("/proc", "/sys", "/dev", "/work", "/run", "/volumes"):
        assert entries[path]["type"] == "directory"
    assert entries["/tmp"]["mode"] == "1777" and entries["/lib"]["target"] == "usr/lib"
    for entry in entries.values():
        if entry["type"] == "file":
            with open(root.isolated(entry["path"]), "rb") as file:
                data = file.read()
            assert (entry["size"], entry["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    with open(root.stage("manifest"), "rb") as file:
        assert result.all("digest") == [hashlib.sha256(file.read()).hexdigest()]


def test_what_is_left_out_can_be_kept(make_root):
    root = make_root(HOST).mount()
    root.step("base", {"/x/": None})
    root.collect(*APT, "keep", "doc", "keep", "man", "keep", "static")
    entries = root.manifest()[1]
    assert {"/usr/share/doc/alpha/readme", "/usr/share/man/man1/alpha.1", "/usr/lib/libalpha.a"} <= set(entries)


def test_what_steps_wrote(make_root):
    root = make_root(HOST)
    put_tree(root.upper("etc"), {"/mask.conf": "made by joblet\n"})
    root.mount()
    root.step("base", {"/etc/generated": "1\n", "/var/lib/dpkg/new": "state\n", "/etc/outside.conf": "touched\n",
                       "/var/cache/apt/archives/x_1_amd64.deb": "deb\n"})
    root.step("hook", {
        "/data/": None, "/srv/x": "kept\n", "/root/secret": "stray\n", "/tmp/y": "stray\n", "/home/z": "stray\n",
        "/opt/tool/bin": "kept\n", "/opt/joblet/other": "stray\n", RUNTIME_DIR + "/own": "kept\n",
        RUNTIME_DIR + "/isolated/bin/laid": ("over\n", 0o755), RUNTIME_DIR + "/isolated/etc/laid.conf": "over\n",
        "/etc/alpha.conf": "changed\n", "/etc/shadow-": "x\n", "/etc/machine-id": "x\n", "/usr/sbin/policy-rc.d": "x\n",
        "/etc/passwd": HOST["/etc/passwd"] + "added:x:200:201::/:/bin/false\nbad line\nevil:x:0:0\n+::::::\n",
        "/etc/group": HOST["/etc/group"] + "added:x:201:\n", "/usr/lib/m/__pycache__/gone.cpython-311.pyc": "x",
        "/usr/lib/m/there.py": "x", "/usr/lib/m/__pycache__/there.cpython-311.pyc": "x",
        "/usr/local/lib/python3.11/dist-packages/six-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: six\nVersion: 1.0\n\nName: no\n",
        "/usr/local/lib/node_modules/@s/p/package.json": '{"x":{"name":"no"},"name":"@s/p","version":"2.0"}',
    }, shell="rm usr/bin/delta; chown 101:101 srv/x; ln -s /root/secret usr/local/link")
    result = root.collect(*APT)
    assert result.last == "@done", result.lines
    entries, changes = root.manifest()[1], root.changes()
    kept = {"/etc/generated": "script", "/srv/x": "step hook", "/data": "step hook", "/opt/tool/bin": "step hook", RUNTIME_DIR + "/own": "step hook",
            "/usr/bin/laid": "step hook", "/etc/laid.conf": "step hook", "/usr/lib/m/there.py": "step hook",
            "/usr/lib/m/__pycache__/there.cpython-311.pyc": "step hook", "/usr/local/link": "step hook"}
    for path, origin in kept.items():
        assert path in entries and entries[path]["origin"] == origin, (path, entries.get(path))
    gone = ("/root/secret", "/tmp/y", "/home/z", "/opt/joblet/other", "/etc/shadow-", "/etc/machine-id", "/usr/sbin/policy-rc.d",
            "/usr/lib/m/__pycache__/gone.cpython-311.pyc", "/etc/mask.conf", "/var/lib/dpkg/new", "/var/cache/apt/archives/x_1_amd64.deb")
    assert not [path for path in gone if path in entries]
    assert sorted(result.all("stray")) == ["/home/z", "/opt/joblet/other", "/root/secret", "/tmp/y"]
    assert result.counts()["stray"] == 4
    with open(root.isolated("/etc/passwd"), encoding="utf-8") as file:
        assert file.read().splitlines()[2:] == ["service:x:101:101::/:/bin/false", "added:x:200:201::/:/bin/false"]
    assert "/etc/mask.conf" not in changes
    assert changes["/usr/bin/delta"] == {"path": "/usr/bin/delta", "change": "removed", "kept": False, "origin": "package delta"}
    assert changes["/etc/outside.conf"]["change"] == "changed" and not changes["/etc/outside.conf"]["kept"]
    assert changes["/srv/x"] == {"path": "/srv/x", "change": "added", "kept": True, "origin": "step hook"}
    assert changes["/root/secret"]["kept"] is False
    assert changes[RUNTIME_DIR + "/own"]["kept"] and changes[RUNTIME_DIR + "/isolated/bin/laid"]["kept"]
    assert {line.split(" ", 1)[0] for line in result.all("package")} >= {"six", "@s/p"}
    status = os.stat(root.isolated("/srv/x"))
    assert (status.st_uid, status.st_gid) == (101, 101)


def test_what_a_failed_build_changed(make_root):
    """Told with where it came from, what packages brought last; nothing is made."""
    root = make_root(HOST)
    put_tree(root.upper("etc"), {"/mask.conf": "made by joblet\n"})
    root.mount()
    root.step("base", {"/etc/generated": "1\n", "/etc/outside.conf": "touched\n"})
    root.step("hook", {"/srv/x y": "1\n", "/root/secret": "1\n", RUNTIME_DIR + "/own": "1\n", "/etc/admin.conf": "mine\n"},
              shell="rm usr/bin/delta usr/bin/unowned; ln -s /a usr/link")
    result = root.collect("failed", "packager", "apt")
    assert (result.status, result.last) == (0, "@done"), result.lines
    told = result.all("changed")
    assert told[-2:] == ["changed package:outside /etc/outside.conf", "removed package:delta /usr/bin/delta"]
    assert {"added script /etc/generated", "changed step:hook /etc/admin.conf", "added step:hook /srv/x y", "added step:hook /root/secret",
            "added step:hook " + RUNTIME_DIR + "/own", "removed step:hook /usr/bin/unowned", "added step:hook /usr/link"} < set(told)
    assert result.counts() == {"changed": len(told), "host-changed": 0} and "mask.conf" not in str(told)
    assert not result.all("stray") and not result.all("phase")
    assert os.listdir(root.stage()) == ["isolated"] and not os.listdir(root.stage("isolated"))


def test_a_failed_build_of_many_changes_and_no_database(make_root):
    root = make_root(HOST).mount()
    root.step("hook", {"/var/lib/dpkg/status": "Package: \n\n:::\n"}, shell="mkdir -p srv/many; cd srv/many; seq 1500 | xargs touch")
    result = root.collect("failed", "packager", "apt")
    assert result.last == "@done", result.lines
    told = result.all("changed")
    assert len(told) == 1000 and result.counts()["changed"] > 1500
    assert told[0] == "added step:hook /srv" and "added step:hook /srv/many/1" in told
    # What cannot be looked at ends it, and what was found is told.
    root = make_root(HOST).mount()
    root.step("hook", {"/etc/found": "1\n"}, shell='mkdir -p srv/deep; cd srv/deep; for i in $(seq 40); do d=$(printf %0200d 0); mkdir $d; cd -P $d; done')
    result = root.collect("failed", "packager", "apt")
    assert result.status == 1 and "added step:hook /etc/found" in result.all("changed"), result.lines[-3:]


def test_a_hook_that_installs_packages(make_root):
    root = make_root(HOST).mount()
    root.step("base", {"/x/": None})
    more = database(package("late", "later", ["/usr/bin/late"]), package("later", "", ["/usr/bin/later"]))
    with open(root.path("/var/lib/dpkg/status"), encoding="utf-8") as file:
        more["/var/lib/dpkg/status"] = file.read() + more["/var/lib/dpkg/status"]
    root.step("post_install", {**more, "/usr/bin/late": ("x", 0o755), "/usr/bin/later": ("x", 0o755)})
    result = root.collect(*APT, "binary", "late", "path", "/bin")
    assert result.last == "@done", result.lines
    assert root.manifest()[1]["/usr/bin/later"]["origin"] == "package later"


def test_rights_are_taken_away(make_root):
    root = make_root(HOST).mount()
    root.step("hook", {"/opt/set": ("x", 0o6755), "/opt/cap": ("x", 0o755), "/opt/d/": None},
              shell="chmod 2775 opt/d; mkfifo opt/fifo; mknod opt/device c 1 3; setcap cap_net_raw+ep opt/cap")
    with socket.socket(socket.AF_UNIX) as server:
        directory = os.getcwd()
        os.chdir(root.path("/opt"))
        server.bind("socket")
        os.chdir(directory)
    root.steps[-1] = str(time.time_ns())
    result = root.collect()
    assert result.last == "@done"
    entries = root.manifest()[1]
    assert not {"/opt/fifo", "/opt/device", "/opt/socket"} & set(entries)
    assert (entries["/opt/set"]["mode"], entries["/opt/cap"]["mode"], entries["/opt/d"]["mode"]) == ("0755", "0755", "0775")
    assert "security.capability" not in os.listxattr(root.isolated("/opt/cap"))
    assert sorted(result.all("stripped")) == ["capability /opt/cap", "device /opt/device", "fifo /opt/fifo", "set-id /opt/set", "socket /opt/socket"]
    assert result.counts()["stripped"] == 5


def test_hard_links_sparse_files_and_times(make_root):
    root = make_root(HOST).mount()
    root.step("hook", {"/opt/a": "same\n"}, shell="ln opt/a opt/b; truncate -s 300M opt/sparse; echo end >> opt/sparse; touch -d @86400 opt/a opt")
    result = root.collect("limit", str(1 << 30))
    assert result.last == "@done"
    a, b = os.stat(root.isolated("/opt/a")), os.stat(root.isolated("/opt/b"))
    assert a.st_ino == b.st_ino and a.st_mtime == 86400 and os.stat(root.isolated("/opt")).st_mtime == 86400
    sparse = os.stat(root.isolated("/opt/sparse"))
    assert sparse.st_size == (300 << 20) + 4 and sparse.st_blocks * 512 < 1 << 20


def test_a_limit(make_root):
    root = make_root(HOST).mount()
    root.step("hook", shell="truncate -s 1T opt/huge")
    begin = time.monotonic()
    result = root.collect("limit", "1000000")
    assert (result.status, result.last) == (1, "@fail the runtime is larger than 1000000 bytes")
    assert time.monotonic() - begin < seconds(20)


@pytest.mark.parametrize("tree, words, text", [
    ({}, ["binary", "nowhere", "path", "/usr/bin:/bin"], "the program 'nowhere' is not in the runtime's PATH"),
    ({"/usr/local/bin/script": ("#!/opt/missing\n", 0o755)}, ["binary", "script", "path", "/usr/local/bin"],
     "'script' needs '/opt/missing', which is not in the runtime"),
    ({"/usr/local/bin/script": ("#!/usr/bin/env nothing\n", 0o755)}, ["binary", "script", "path", "/usr/local/bin"],
     "'script' needs 'nothing', which is not in the runtime"),
    ({}, ["package", "nothing", "packager", "apt"], "the package 'nothing' is not installed"),
    ({}, ["packager", "dnf"], "runtimes from packages of 'dnf' are not supported yet: only those of 'apt' are"),
    ({"/var/lib/dpkg/status": ("/etc/passwd",)}, ["packager", "apt"], None),
])
def test_failures_name_what_is_missing(make_root, tree, words, text):
    root = make_root({**HOST, "/var/lib/dpkg/status": HOST["/var/lib/dpkg/status"]}).mount()
    if "/var/lib/dpkg/status" in tree:
        os.unlink(root.path("/var/lib/dpkg/status"))
    root.step("hook", {"/x": "", **tree})
    result = root.collect(*words)
    assert result.status == 1 and result.last.startswith("@fail "), result.lines
    assert text is None or result.last == f"@fail {text}"


def test_a_program_without_its_library(make_root):
    root = make_root(HOST).mount()
    root.step("hook", shell="mkdir -p usr/local/bin; cp /bin/bash usr/local/bin/own")
    result = root.collect("binary", "own", "path", "/usr/local/bin")
    assert result.last.startswith("@fail '/usr/local/bin/own' needs the loader '/lib"), result.last


def test_a_change_of_the_host_is_found(make_root):
    root = make_root(HOST).mount()
    root.step("base", {"/x": ""})
    with open(root.space.path("host/etc/admin.conf"), "a", encoding="utf-8") as file:
        file.write("more\n")
    os.utime(root.space.path("host/etc/admin.conf"), (1, 1))
    result = root.collect()
    assert (result.status, result.last) == (75, "@fail host changed during the build: /etc/admin.conf")
    assert result.all("host-changed") == ["/etc/admin.conf"] and result.counts()["host-changed"] == 1
    # A build that failed is no less a reason to look.
    root = make_root(HOST).mount()
    root.step("hook", {"/x": ""})
    with open(root.space.path("host/etc/admin.conf"), "a", encoding="utf-8") as file:
        file.write("more\n")
    result = root.collect("failed", "packager", "apt")
    assert (result.status, result.last) == (75, "@fail host changed during the build: /etc/admin.conf")
    assert result.all("host-changed") == ["/etc/admin.conf"] and result.all("changed") == ["added step:hook /x"]


def test_a_hostile_tree(make_root):
    """Links out of the root, names of any kind, deep directories, databases that are none."""
    root = make_root(HOST).mount()
    deep = "/opt/" + "d/" * 60
    root.step("hook", {
        "/opt/out": ("../../../../../../etc/passwd",), "/opt/loop": ("loop",), "/opt/a": ("b",), "/opt/b": ("a",), "/opt/proc": ("/proc/self/root/etc/shadow",),
        "/usr/local/lib/dir": ("/opt",), deep + "file": "x", '/opt/q"uo\\te\n\x01': "x",
        "/var/lib/dpkg/info/alpha.list": "/../../../../etc/passwd\n/usr/bin/../../../etc/shadow\n/" + "a" * 5000 + "\n/opt/loop/x\n/proc/1/mem\n//\n/usr/bin/alpha/x\n/opt/out\n",
        "/var/lib/dpkg/diversions": "/usr/bin/beta\n/etc/shadow\nother\nx",
        "/var/lib/dpkg/alternatives/../../evil": "auto\n/etc/evil\n../../x\n/etc/evil2\n",
        "/etc/ld.so.conf": "include /etc/ld.so.conf\ninclude /*\n" + "/lib\n" * 10,
        "/usr/local/lib/python3.11/dist-packages/bad.dist-info/METADATA": b"Name: \xff\x1b[2J\nVersion: 1\n",
        "/usr/local/lib/node_modules/p/package.json": "[" * 100000,
    })
    with open(os.path.join(root.path("/opt").encode(), b"bad-\xff\xfe"), "wb") as file:
        file.write(b"x")
    root.steps[-1] = str(time.time_ns())
    result = root.collect(*APT)
    assert all(is_line(line) for line in result.lines)
    if result.last != "@done":
        assert result.last.startswith("@fail read /etc/ld.so.conf"), result.lines
        return
    entries = root.manifest()[1]
    assert entries["/opt/out"]["target"] == "../../../../../../etc/passwd" and "/opt/bad-\udcff\udcfe" in entries
    assert '/opt/q"uo\\te\n\x01' in entries and deep + "file" in entries
    assert not [path for path in entries if "shadow" in path or path.startswith("/proc/")]
    assert result.all("package")[-1].startswith("??[2J ")
    verified = root.run_tool("verify", "digest", result.all("digest")[0])
    assert verified.last == "@done", verified.lines


def test_directories_that_are_too_deep(make_root):
    root = make_root(HOST).mount()
    root.step("hook", {"/opt/" + "d/" * 200: None})
    result = root.collect()
    assert result.last.startswith("@fail /opt holds directories that are nested deeper"), result.lines


def test_depth_costs_no_stack(make_root):
    """A package's list may name a path as deep as paths can be, and libraries may need each other in a chain without end."""
    deep = "/usr/lib/" + "d/" * 1900 + "x"
    root = make_root({**HOST, "/var/lib/dpkg/info/alpha.list": "/usr/bin/alpha\n" + deep + "\n"})
    here = os.open(root.space.path("host/usr/lib"), os.O_RDONLY)
    for _ in range(1900):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("x", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
    root.mount()
    root.step("hook", {"/x": ""})
    result = root.collect(*APT)
    assert result.status == 1 and result.last.startswith("@fail '/usr/lib/d/d/") and result.last.endswith("is nested too deeply"), result.lines
    root.space.run("rm", "-rf", "host/usr/lib/d")


def chain_of_libraries(directory, count):
    """own needs lib0.so, which needs lib1.so, and so on; the last needs nothing."""
    compile_c = ["cc", "-nostdlib", "-x", "c", "-", "-x", "none", "-Wl,--no-as-needed"]
    previous = []
    for number in reversed(range(count)):
        name = f"{directory}/lib{number}.so"
        subprocess.run([*compile_c, "-shared", f"-Wl,-soname,lib{number}.so", *previous, "-o", name], input=b"", check=True)
        previous = [name]
    subprocess.run([*compile_c, "-Wl,--allow-shlib-undefined", "-Wl,-rpath,$ORIGIN", "-o", f"{directory}/own", *previous],
                   input=b"void _start(void) {}", check=True)


@pytest.mark.skipif(not shutil.which("cc"), reason="there is no compiler")
def test_a_chain_of_libraries(make_root, tmp_path):
    chain_of_libraries(str(tmp_path), 60)
    root = make_root(HOST).mount()
    root.step("hook", shell=f"mkdir -p usr/local/own; cp {tmp_path}/* usr/local/own; cp -L --parents /lib64/ld-linux-*.so.* .")
    words = ["binary", "own", "path", "/usr/local/own"]
    result = root.collect(*words)
    assert result.last == "@done", result.lines


@pytest.mark.skipif(not shutil.which("cc"), reason="there is no compiler")
def test_a_gap_in_a_chain_of_libraries(make_root, tmp_path):
    chain_of_libraries(str(tmp_path), 20)
    os.unlink(tmp_path / "lib19.so")
    root = make_root(HOST).mount()
    root.step("hook", shell=f"mkdir -p usr/local/own; cp {tmp_path}/* usr/local/own; cp -L --parents /lib64/ld-linux-*.so.* .")
    result = root.collect("binary", "own", "path", "/usr/local/own")
    assert result.last == "@fail '/usr/local/own/lib18.so' needs the library 'lib19.so', which is not in the runtime", result.lines


def apt_name(text, directory=""):
    return directory + "apt-" + hashlib.sha256(text.encode()).hexdigest()


def test_downloads_are_kept(make_root):
    """And of those that are named by their content only what has it, and was fetched by the steps of pip and npm."""
    root = make_root(HOST).mount()
    archives, pip, npm = "/var/cache/apt/archives/", "/tmp/pip-files/", "/tmp/npm-cache/_cacache/content-v2/sha512/"
    right = {kind: "\x1f\x8b" + kind for kind in ("pip", "npm")}
    bytes_of = {kind: text.encode("latin-1") for kind, text in right.items()}
    digests = {"pip": hashlib.blake2b(bytes_of["pip"], digest_size=32).hexdigest(), "npm": hashlib.sha512(bytes_of["npm"]).hexdigest()}
    root.step("base", {archives + "a_1.0-1_amd64.deb": "new\n", archives + "partial/b_1_all.deb": "x", archives + "evil.deb": "x",
                       archives + "c_1_all.deb": ("/etc/passwd",), archives + "-d_1_all.deb": "x", archives + "d_2%3a1_all.deb": "epoch\n",
                       apt_name("epoch\n", archives): "poisoned", archives + "pip-" + digests["pip"]: "poisoned", archives + "npm-" + digests["npm"]: "poisoned",
                       pip + hashlib.blake2b(b"hook", digest_size=32).hexdigest(): "hook"})
    root.step("hook", {archives + "e_1_all.deb": "hook"})
    root.step("pip", {pip + "0" * 64: "poisoned"}, shell=f"printf '\\037\\213pip' >.{pip}{digests['pip']}")
    directory = f".{npm}{digests['npm'][:2]}/{digests['npm'][2:4]}"
    root.step("npm", {npm + "00/00/" + "0" * 124: "poisoned"},
              shell=f"mkdir -p {directory}; printf '\\037\\213npm' >{directory}/{digests['npm'][4:]}")
    assert root.collect("cache", "1000000").last == "@done"
    cache = root.space.path(root.tool, "cache")
    assert sorted(os.listdir(cache)) == sorted([*(apt_name(text) for text in ("new\n", "epoch\n")), "npm-" + digests["npm"],
                                                "pip-" + digests["pip"]])
    for kind in ("pip", "npm"):
        with open(f"{cache}/{kind}-{digests[kind]}", "rb") as file:
            assert file.read() == bytes_of[kind]


def test_downloads_of_private_steps_are_not_kept(make_root):
    """Other builds could read them."""
    root = make_root(HOST).mount()
    digest = hashlib.blake2b(b"secret", digest_size=32).hexdigest()
    root.step("base", {"/var/cache/apt/archives/a_1_all.deb": "public"})
    root.step("pip", shell=f"mkdir -p ./tmp/pip-files; printf secret >./tmp/pip-files/{digest}")
    assert root.collect("cache", "1000000", "private", "pip").last == "@done"
    assert os.listdir(root.space.path(root.tool, "cache")) == [os.path.basename(apt_name("public"))]


BLOCK = 4096  # what a small file takes


@pytest.mark.parametrize("limit, left", [
    (None, "old1 old2 old3 old4"),
    (0, ""),
    (BLOCK - 1, ""),
    (BLOCK, "new1"),
    (2 * BLOCK, "new1 new3"),
    (4 * BLOCK, "new1 new2 new3"),
    (6 * BLOCK, "new1 new2 new3 old1"),  # and not old4, which is smaller and older than old2
    (7 * BLOCK, "new1 new2 new3 old1 old2"),
    (9 * BLOCK, "new1 new2 new3 old1 old2 old3 old4"),
    (20 * BLOCK, "large new1 new2 new3 old1 old2 old3 old4"),
])
def test_the_newest_downloads_are_kept(make_root, limit, left):
    root = make_root(HOST).mount()
    cache = root.space.path(root.tool, "cache")
    contents = {"old1": "1", "old2": "2" * 2 * BLOCK, "old3": "3" * BLOCK, "old4": "4" * 10, "new1": "x" * 100, "new2": "y" * 2 * BLOCK,
                "large": "z" * 9 * BLOCK, "new3": "w"}
    for age, name in enumerate(name for name in contents if name.startswith("old")):
        with open(apt_name(contents[name], cache + "/"), "w", encoding="utf-8") as file:
            file.write(contents[name])
        os.utime(file.name, (10**9 - age, 10**9 - age))
    others = {"notes": "x", "not-ours": None, "apt-" + "0" * 64: ("/etc/passwd",)}
    put_tree(cache, {"/not-ours/": None, "/notes": "x", "/apt-" + "0" * 64: ("/etc/passwd",), "/.new": "x", "/a_1_all.deb": "an old name"})
    archives = "/var/cache/apt/archives/"
    root.step("base", {f"{archives}{name}_1_all.deb": text for name, text in contents.items() if not name.startswith("old")},
              shell=f"touch -d @2000000000 .{archives}new1_1_all.deb; touch -d @1 .{archives}new3_1_all.deb")
    result = root.collect(*(("cache", str(limit)) if limit is not None else ()))
    assert result.last == "@done"
    found = set(os.listdir(cache))
    assert set(others) <= found and ("a_1_all.deb" in found) == (limit is None)
    names = {apt_name(text): name for name, text in contents.items()}
    assert sorted(names.get(name, name) for name in found - set(others) - {".new", "a_1_all.deb"}) == left.split()


def test_a_limit_of_downloads_is_a_number(make_root):
    result = make_root(HOST).mount().collect("cache", "-1")
    assert (result.status, result.last) == (1, "@fail recipe: 'cache' may not be '-1'")


# --- verify and sweep

SPOILS = {
    "content": ("/usr/bin/alpha another content", lambda path: rewrite(path, "/usr/bin/alpha")),
    "size": ("/usr/bin/alpha another size", lambda path: open(path("/usr/bin/alpha"), "a", encoding="utf-8").write("x")),
    "mode": ("/usr/bin/alpha another mode", lambda path: os.chmod(path("/usr/bin/alpha"), 0o4755)),
    "owner": ("/usr/bin/alpha another owner", lambda path: os.chown(path("/usr/bin/alpha"), 5, 0)),
    "missing": ("/usr/bin/alpha missing", lambda path: os.unlink(path("/usr/bin/alpha"))),
    "more": ("/usr/bin/more not in the manifest", lambda path: put_tree(path("/"), {"/usr/bin/more": "x"})),
    "type": ("/usr/bin/alpha another type", lambda path: (os.unlink(path("/usr/bin/alpha")), os.mkfifo(path("/usr/bin/alpha")))),
    "link": ("/lib another target", lambda path: (os.unlink(path("/lib")), os.symlink("usr/lib64", path("/lib")))),
    "beside": ("runtime.yml another content", lambda path: rewrite(lambda _: path("/../runtime.yml"), "")),
}


def rewrite(path, name):
    with open(path(name), "r+b") as file:
        first = file.read(1)
        file.seek(0)
        file.write(bytes([first[0] ^ 1]))


@pytest.fixture(scope="module")
def finished():
    root = Root(HOST).mount()
    root.step("hook", {"/x": "x"})
    result = root.collect(*APT, "file", "runtime.yml", "2", "a: ", "b\n")
    assert result.last == "@done"
    root.digest = result.all("digest")[0]
    yield root
    root.close()


def test_a_good_runtime_is_good(finished):
    result = finished.run_tool("verify", "digest", finished.digest)
    assert result.last == "@done" and result.counts()["wrong"] == 0
    assert finished.run_tool("verify", "digest", "0" * 64).last == "@fail the manifest is not the one that was made"


@pytest.mark.parametrize("spoil", SPOILS)
def test_what_is_not_as_it_was_made_is_found(finished, spoil):
    text, change = SPOILS[spoil]
    tool = finished.space.path(finished.tool)
    shutil.move(os.path.join(tool, "stage"), os.path.join(tool, "good"))
    subprocess.run(["cp", "-a", os.path.join(tool, "good"), os.path.join(tool, "stage")], check=True)
    try:
        change(finished.isolated)
        result = finished.run_tool("verify", "digest", finished.digest)
        assert result.status == 1 and result.all("wrong") == [text], result.lines
    finally:
        shutil.rmtree(os.path.join(tool, "stage"))
        shutil.move(os.path.join(tool, "good"), os.path.join(tool, "stage"))


def test_sweeping_anything(make_root):
    root = make_root(HOST)
    stage = root.stage()
    put_tree(stage, {"/a/b/c": "x", "/a/link": ("/",), "/x/.sweep-0/y": "x", "/.sweep-1/y": "x", "/up": ("..",)})
    here = os.open(stage, os.O_RDONLY)
    for _ in range(3000):  # deeper than any path
        os.mkdir("d" * 100, dir_fd=here)
        below = os.open("d" * 100, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
    with open(os.path.join(stage.encode(), b"\xff\n"), "wb"):
        pass
    os.mkdir(os.path.join(stage, "locked"), 0)
    put_tree(os.path.join(stage, "many"), {f"/{number}": "" for number in range(2000)})
    os.makedirs(os.path.join(stage, "locked/in"), 0)
    os.mkfifo(os.path.join(stage, "fifo"))
    result = root.run_tool("sweep")
    assert result.last == "@done" and os.listdir(stage) == [], result.lines
    assert stat.S_ISDIR(os.stat(root.space.path("host/etc")).st_mode) and os.path.exists(root.space.path("host/etc/passwd"))


def test_sweeping_stops_at_a_mount(make_root):
    root = make_root(HOST)
    os.makedirs(root.stage("a/mounted"))
    root.space.mount("--bind", "host/etc", f"{root.tool}/stage/a/mounted")
    result = root.run_tool("sweep")
    assert result.status == 1 and result.last.startswith("@fail remove 'mounted'"), result.lines
    assert os.path.exists(root.space.path("host/etc/passwd"))


# --- a whole one, from this host's own packages


@pytest.mark.skipif(not os.path.exists("/var/lib/dpkg/info/python3.list"), reason="Python is not of a Debian package here")
def test_python_from_this_host(make_root, tmp_path):
    root = make_root().mount()
    debian = tmp_path / "pkg/DEBIAN"
    debian.mkdir(parents=True)
    (debian / "control").write_text("Package: joblet-sample\nVersion: 1.0\nArchitecture: all\nMaintainer: x <x@example.org>\n"
                                    "Depends: python3\nDescription: x\n")
    (debian / "postinst").write_text("#!/bin/sh\nset -e\nupdate-alternatives --install /usr/bin/sample-tool sample-tool /usr/bin/joblet-sample 5\n"
                                     "echo made > /usr/lib/joblet-sample-made\n")
    (debian / "postinst").chmod(0o755)
    (tmp_path / "pkg/usr/bin").mkdir(parents=True)
    (tmp_path / "pkg/usr/bin/joblet-sample").write_text("#!/usr/bin/env python3\nimport own_module\nprint(own_module.text)\n")
    (tmp_path / "pkg/usr/bin/joblet-sample").chmod(0o755)
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", str(tmp_path / "pkg"), root.path("/tmp/sample.deb")], check=True, stdout=subprocess.DEVNULL)
    before = subprocess.run(["sha256sum", "/var/lib/dpkg/status"], check=True, stdout=subprocess.PIPE).stdout
    built = root.install("env", f"RUNTIME_DIR={RUNTIME_DIR}", *run("base", "dpkg", "-i", "/tmp/sample.deb"),
                         *shell("hook", "mkdir -p $RUNTIME_DIR/isolated/usr/lib/python3/dist-packages; "
                                        "echo 'text = \"from a hook\"' > $RUNTIME_DIR/isolated/usr/lib/python3/dist-packages/own_module.py"))
    assert built.last == "@done", built.lines
    result = root.collect("packager", "apt", "package", "joblet-sample", "binary", "python3", "binary", "sample-tool", "path", "/usr/bin",
                          "phase", "10", "Copy Binaries", "x", "phase", "14", "Validate Build", "y", "file", "runtime.yml", "1", "name: x\n")
    assert result.last == "@done", result.lines[-5:]
    assert result.all("phase") == ["10 Copy Binaries: x", "14 Validate Build: y"]
    assert before == subprocess.run(["sha256sum", "/var/lib/dpkg/status"], check=True, stdout=subprocess.PIPE).stdout
    assert root.chroot("/usr/bin/python3", "-B", "-c", "import ssl, ctypes, sqlite3; print(ctypes.sizeof(ctypes.c_long), sqlite3.connect(':memory:').execute('select 7').fetchone()[0], bool(ssl.OPENSSL_VERSION))") == (0, "8 7 True\n")
    entries = root.manifest()[1]
    assert entries["/usr/bin/sample-tool"]["origin"] == "script" and entries["/usr/bin/joblet-sample"]["origin"] == "package joblet-sample"
    assert entries["/usr/lib/joblet-sample-made"]["origin"] == "script"
    assert result.counts()["bytes"] < 150 << 20
    assert root.run_tool("verify", "digest", result.all("digest")[0]).last == "@done"
    assert root.run_tool("sweep").last == "@done" and os.listdir(root.stage()) == []
