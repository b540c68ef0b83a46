"""Hostile specifications of runtimes, built by the real service: hooks that try to get out of the builder root, to look into
what is not theirs, or to make our own clean-up and publisher follow what they planted. docs/ESCAPES.md has a row for each
attempt of tests/e2e/hostile_hook.sh."""

import contextlib
import hashlib
import os
import re
import socket
import stat
import textwrap
import time

import grpc
import pytest

from conftest import FINAL, HERE, Server, differences, eventually, pem_blocks, read, seconds
from test_builds import NO_APT

pytestmark = pytest.mark.host_only("builds install from the distribution's package sources")
HOOK = os.path.join(HERE, "hostile_hook.sh")


class Built:
    """The stream of one BuildRuntime call, read to its end."""

    def __init__(self, stream):
        self.phases, self.lines, self.result = [], [], None
        for progress in stream:
            kind = progress.WhichOneof("progress_type")
            assert self.result is None, "something follows the result"
            if kind == "phase":
                self.phases.append(progress.phase.phase_number)
            elif kind == "log":
                self.lines.append((progress.log.level, progress.log.message))
            else:
                self.result = progress.result
        assert self.result is not None, "the stream ended without a result"

    @property
    def text(self):
        return "\n".join(message for _, message in self.lines)


def specification(name="hostile", **hooks):
    text = (f"schema_version: '1.0'\nname: {name}\nversion: 1.0.0\ndescription: hostile\n"
            "base: {language: python, version: '3.11'}\n")
    if hooks:
        text += f"hooks:\n  timeout: {hooks.pop('timeout', '5m')}\n"
    for hook, script in hooks.items():
        text += f"  {hook}: |\n" + textwrap.indent(script if script.endswith("\n") else script + "\n", "    ")
    return text


def build(server, text, within=400, **fields):
    stub = server.stubs.RuntimeServiceStub(server.channel("admin"))
    return Built(stub.BuildRuntime(server.pb.BuildRuntimeRequest(yaml_content=text, verbose=True, **fields),
                                   timeout=seconds(within)))


@pytest.fixture(scope="module")
def builder(stubs, host):
    """A server of this file's own: builds leave caches, its prefix is looked at from outside, and what it has is soon used up."""
    server = Server(*stubs)
    try:
        path = os.path.join(server.prefix, "config/joblet-config.yml")
        text = read(path).decode()
        for key, value in (("buildDiskSize", 2048), ("buildMemoryLimit", 1024), ("buildProcessLimit", 500)):
            text, count = re.subn(rf"(?m)^( *{key}:) *\d+", rf"\1 {value}", text)
            assert count == 1, f"the configuration has no {key}"
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        server.restart()
        yield server
    finally:
        server.stop()


def packages():
    """What the host's package manager knows and what its own files are."""
    found = {}
    for path in ("/var/lib/dpkg/status", "/etc/passwd", "/etc/shadow", "/etc/group", "/etc/ld.so.cache", "/etc/hosts"):
        with contextlib.suppress(OSError):
            found[path] = hashlib.sha256(read(path)).hexdigest()
    return found


@pytest.fixture(autouse=True)
def unchanged():
    before = packages()
    yield
    changed = differences(before, packages())
    assert not changed, f"the host's accounts or its package database changed: {changed}"


def nothing_left(server, name="hostile"):
    runtimes = os.path.join(server.prefix, "runtimes")
    eventually(lambda: [entry for entry in os.listdir(runtimes) if entry.startswith(".")] == [], 20, "no staging, no trash")
    assert not os.path.exists(os.path.join(runtimes, name)), "a failed build left a runtime"
    server.assert_nothing_left()


# --- the hook's attempts

def documented():
    rows = re.findall(r"(?m)^\| (U\d\d) \| ([^|]+?) \|", read(os.path.join(HERE, "../../docs/ESCAPES.md")).decode())
    return {name.strip() for _, name in rows}


@pytest.fixture(scope="module")
def attempts(builder):
    """Name -> (refused or ESCAPE, what was seen), of one build; and what must work."""
    canary = f"/var/tmp/joblet-build-canary-{os.getpid()}"
    with open(canary, "w", encoding="utf-8") as file:
        file.write("of the host\n")
    with socket.create_server(("127.0.0.1", 0)) as listener, contextlib.closing(listener):
        host = next((address[4][0] for address in socket.getaddrinfo(socket.gethostname(), 0, socket.AF_INET)
                     if not address[4][0].startswith("127.")), own_address())
        key = pem_blocks(os.path.join(builder.prefix, "config/rnx-config-admin.yml"))["key"].decode().splitlines()
        secret = key[len(key) // 2].strip()
        words = {"NAME": "hostile", "LANGUAGE": "python", "PREFIX": builder.prefix, "CANARY": canary,
                 "SECRET_1": secret[:20], "SECRET_2": secret[20:],
                 "HOST_SERVICE": f"{host}:{listener.getsockname()[1]}", "HOST_PORT": str(listener.getsockname()[1]),
                 "STARTED": str(int(time.time()))}
        script = read(HOOK).decode()
        for name, value in words.items():
            script = script.replace(f"@{name}@", value)
        # Somebody to look for.
        job = builder.run("sleep", "1000")
        built = build(builder, specification(pre_install=script + "exit 3\n"))
        assert builder.status(job).status == "RUNNING"
        builder.stop_job(job)
        builder.wait(job)
        builder.clear()
    os.unlink(canary)
    found = {}
    for name, verdict, seen in re.findall(r"(?m)^attempt ([a-z0-9-]+): (\w+) \((.*)\)$", built.text):
        assert name not in found, name
        found[name] = (verdict, seen)
    return found, dict(re.findall(r"(?m)^works ([a-z]+): (.*)$", built.text)), built


def own_address():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("198.51.100.1", 9))  # sends nothing
        return probe.getsockname()[0]


def test_the_hook_really_ran(attempts, builder):
    _, works, built = attempts
    assert set(works) == {"root", "write", "chown", "useradd", "chroot", "fifo", "passwd", "capabilities"}, built.text[-3000:]
    assert not built.result.success and "3" in built.result.message
    nothing_left(builder)


@pytest.mark.shows("Checklist 4", "NIST 4.4.4")
def test_every_attempt_is_refused(attempts):
    found, _, built = attempts
    escapes = {name: seen for name, (verdict, seen) in found.items() if verdict != "refused"}
    assert not escapes, escapes
    assert len(found) > 65, built.text[-2000:]


@pytest.mark.shows("CIS-Docker 2.4", "NIST 4.4.2")
def test_addresses_of_the_host_are_unreachable(attempts):
    """Not answered by chance: a port that is closed would say so."""
    found, _, _ = attempts
    for name in ("metadata-address", "host-service"):
        assert "unreachable" in found[name][1] or "No route" in found[name][1], found[name]
    assert "Connection refused" not in found["gateway-service"][1]


def test_the_list_of_attempts_is_documented(attempts):
    found, _, _ = attempts
    assert set(found) == documented()


# --- hooks that end what they should not

@pytest.mark.parametrize("script, said", [
    ("kill -KILL -1; sleep 100", "was ended by signal 9"),
    ("kill -KILL $PPID; sleep 100", "was ended by signal 9"),
    (":(){ :|:& };:; sleep 1; exit 5", "5"),
    ("setsid sh -c 'while :; do touch /usr/evil; done' & setsid sleep 1000 & exit 6", "6"),
    ("exec >&- 2>&-; exit 7", "7"),
    ("trap '' TERM INT HUP; sleep 1000", "not done within"),
    ("head -c 1000000000000 /dev/zero >/usr/huge; exit 8", "No space left on device"),
    ("yes endless output; exit 9", "not done within"),
    ("perl -e 'my @a; push @a, \"x\" x 1000000 while 1'; exit 10", "out of memory"),
], ids=["kills-all", "kills-its-parent", "fork-bomb", "leaves-processes", "closes-output", "does-not-end", "fills-the-disk",
        "endless-output", "fills-the-memory"])
def test_a_hook_that_misbehaves_ends_the_build_alone(builder, script, said):
    job = builder.run("sleep", "1000")
    timeout = "2s" if said == "not done within" else "2m"
    built = build(builder, specification(pre_install=script, timeout=timeout), within=200)
    assert not built.result.success and said in built.result.message, built.result.message
    assert builder.status(job).status == "RUNNING"
    builder.stop_job(job)
    builder.wait(job)
    builder.clear()
    nothing_left(builder)


@pytest.mark.parametrize("script", ["kill -KILL -1; sleep 100", "kill -KILL $PPID; sleep 100"], ids=["all", "its-parent"])
def test_a_setup_script_that_kills(builder, script):
    built = build(builder, specification(pre_install=NO_APT.format("")), setup_script=script)
    assert not built.result.success and "Install Packages" in built.result.message, built.result.message
    nothing_left(builder)


def test_a_call_that_is_cancelled_leaves_nothing(builder):
    stub = builder.stubs.RuntimeServiceStub(builder.channel("admin"))
    stream = stub.BuildRuntime(builder.pb.BuildRuntimeRequest(
        yaml_content=specification(pre_install="echo in the hook; sleep 1000")), timeout=seconds(100))
    for progress in stream:
        if progress.WhichOneof("progress_type") == "log" and "in the hook" in progress.log.message:
            break
    stream.cancel()
    nothing_left(builder)


# --- what is planted for the publisher

PLANT = r"""
set -u
cp /bin/true /usr/local/bin/set-user && chmod 6755 /usr/local/bin/set-user
cp /bin/true /usr/local/bin/with-capability && setcap cap_net_admin+ep /usr/local/bin/with-capability
mkfifo /usr/local/a-fifo
perl -MIO::Socket::UNIX -e 'IO::Socket::UNIX->new(Local => "/usr/local/a-socket", Listen => 1)'
ln -s /etc/shadow /usr/local/a-link
ln -s ../../../../../../../../etc/shadow /usr/local/b-link
rm -rf /etc/hosts && ln -s /etc/passwd /etc/hosts
rm -rf /srv && ln -s /etc /srv
mkdir -p "$RUNTIME_DIR" && ln -sfn /etc "$RUNTIME_DIR/isolated"
ln -sfn /etc "$RUNTIME_DIR/planted"
ln -sfn /etc/passwd "$RUNTIME_DIR/runtime.yml"
touch "$RUNTIME_DIR/../escaped" /opt/joblet/runtimes/stray
perl -e 'mkdir "/usr/local/a\nnewline"; open F, ">", "/usr/local/\xff\xfe\x01bytes"; close F; open F, ">", "/usr/local/" . "x" x 255; close F'
perl -e 'chdir "/usr/local"; for (1 .. 100) { mkdir "d" or die; chdir "d" or die }'
mkdir /usr/local/closed && touch /usr/local/closed/inside && chmod 0 /usr/local/closed
for i in 1 2 3; do ln /usr/local/bin/set-user "/usr/local/hard-$i"; done
printf 'Package: evil\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\nDepends: evil, python3.11\n\n' >>/var/lib/dpkg/status
printf '/../../../etc/shadow\n/etc/../../proc/1/environ\nrelative\n/dev/null\n' >/var/lib/dpkg/info/evil.list
"""


@pytest.fixture(scope="module")
def planted(builder):
    built = build(builder, specification("planted", pre_install=NO_APT.format(""), post_install=PLANT))
    assert built.result.success, (built.result.message, built.text[-3000:])
    return built


@pytest.mark.shows("NIST 4.1.3", "CIS-Docker 4.8")
def test_planted_files_are_stripped_and_told(planted, builder):
    root = os.path.join(builder.prefix, "runtimes/planted/1.0.0/isolated")
    for path, _, names in os.walk(root):
        for name in names:
            status = os.lstat(os.path.join(path, name))
            assert not status.st_mode & (stat.S_ISUID | stat.S_ISGID), (path, name)
            assert stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode), (path, name)
            with contextlib.suppress(OSError):
                assert "security.capability" not in os.listxattr(os.path.join(path, name), follow_symlinks=False)
    assert os.path.exists(os.path.join(root, "usr/local/bin/set-user"))
    for word in ("set-user", "with-capability", "a-fifo", "a-socket"):
        assert word in planted.text, word


def test_nothing_is_written_beside_the_runtime(planted, builder):
    directory = os.path.join(builder.prefix, "runtimes/planted/1.0.0")
    assert sorted(os.listdir(directory)) == ["changes", "isolated", "manifest", "runtime.yml"]
    assert os.listdir(os.path.join(builder.prefix, "runtimes")) == ["planted"]
    assert stat.S_ISREG(os.lstat(os.path.join(directory, "runtime.yml")).st_mode)
    assert b"hostile" in read(os.path.join(directory, "runtime.yml"))
    assert not os.path.islink(os.path.join(directory, "isolated"))
    assert "stray" in planted.text or b"/opt/joblet/runtimes/stray" in read(os.path.join(directory, "changes"))


@pytest.mark.shows("Checklist 1")
def test_a_job_in_it_sees_nothing_of_the_host(planted, builder):
    outcome = builder.shell("cat /usr/local/a-link /usr/local/b-link /etc/hosts; ls -ld /etc/hosts; id -u; python3.11 -c 'print(6 * 7)'",
                            runtime="planted")
    assert outcome.status.status in FINAL and "42" in outcome.text, outcome.text
    assert "$" not in outcome.text.replace("$y$", "$"), outcome.text
    builder.clear()


def test_it_is_removed_whole(planted, builder):
    stub = builder.stubs.RuntimeServiceStub(builder.channel("admin"))
    answer = stub.RemoveRuntime(builder.pb.RemoveRuntimeRequest(runtime="planted"), timeout=seconds(30))
    assert answer.success, answer.message
    nothing_left(builder, "planted")


def test_a_runtime_that_is_too_large_is_not_published(builder):
    built = build(builder, specification("huge", pre_install=NO_APT.format(""), post_install="truncate -s 1T /usr/local/huge"))
    assert not built.result.success and "larger" in built.result.message, built.result.message
    nothing_left(builder, "huge")


def test_a_runtime_that_is_too_deep_is_not_published(builder):
    script = """perl -e 'chdir "/usr/local"; for (1 .. 3000) { mkdir "d" or die; chdir "d" or die }'"""
    built = build(builder, specification("deep", pre_install=NO_APT.format(""), post_install=script))
    assert not built.result.success and "nested" in built.result.message, built.result.message
    nothing_left(builder, "deep")


def test_two_hostile_builds_do_not_see_each_other(builder):
    stub = builder.stubs.RuntimeServiceStub(builder.channel("admin"))
    script = "touch /tmp/mark-{0} /etc/mark-{0}; echo waiting; sleep 3; ls /tmp /etc | grep mark; ls /proc | grep -c '^[0-9]'; exit 3"
    streams = [stub.BuildRuntime(builder.pb.BuildRuntimeRequest(
        yaml_content=specification(f"pair-{i}", pre_install=script.format(i))), timeout=seconds(100)) for i in (1, 2)]
    for i, other in ((0, 2), (1, 1)):
        built = Built(streams[i])
        assert f"mark-{i + 1}" in built.text and f"mark-{other}" not in built.text
        processes, = re.findall(r"(?m)^\d+$", built.text)
        assert int(processes) < 10, built.text
    nothing_left(builder, "pair-1")


# --- specifications

@pytest.mark.parametrize("change", [
    ("name: hostile", "name: ../../etc"), ("name: hostile", "name: .."), ("name: hostile", "name: 'a\nb'"),
    ("version: 1.0.0", "version: ../1.0.0"), ("version: 1.0.0", "version: 1.0"), ("name: hostile", "name: /etc"),
    ("description: hostile", "description: " + "x" * (10 << 20)),
    ("description: hostile", "description: &a [&b [*a]]"),
], ids=["climbs", "dots", "newline", "version-climbs", "version-short", "absolute", "ten-megabytes", "alias"])
def test_a_hostile_specification_builds_nothing(builder, change):
    text = specification().replace(*change)
    try:
        assert not build(builder, text).result.success
    except grpc.RpcError as error:
        assert error.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED), error
    nothing_left(builder)
