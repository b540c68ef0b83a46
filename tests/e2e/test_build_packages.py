"""Common packages with maintainer scripts, installed by one build's hook, and what such scripts do by hand: all of it has to
work in the builder root, and the host must not notice."""

import hashlib
import os
import re
import subprocess

import pytest

from conftest import FULL, HERE, Server, read, seconds

pytestmark = pytest.mark.host_only("builds install from the distribution's package sources")

HOOK = os.path.join(HERE, "packages_hook.sh")
# Those that the host has are installed once more: their scripts run all the same.
PACKAGES = """adduser bash-completion build-essential ca-certificates cron curl default-jdk-headless fontconfig
fonts-dejavu-core git install-info locales mailcap man-db media-types nano nginx-light openssh-server openssl
postgresql-client python3-venv redis-server shared-mime-info sqlite3 sudo tzdata ucf vim-tiny""".split()
# Large, and without scripts; test_builds.py builds runtimes of them.
LARGE = ["cargo", "golang-go", "rustc"]
# What the hook does by hand.
DONE = """alternatives audit capabilities certificates chown compile cron deb-conffile debconf divert fonts group-of-service host-keys
install invoke java ldconfig locale man mime no-process node npm owner-of-directory postgresql python-venv reconfigure service-denied
setpriv status su systemctl tar trigger ucf user-of-service useradd userdel zone""".split()
DONE_WITH_LARGE = ["go", "rust"]


def node_packages():
    """npm of the distribution, or a nodejs that has one inside and conflicts with it."""
    words = ["apt-get", "-s", "-qq", "install", "--no-install-recommends", "nodejs", "npm"]
    fits = subprocess.run(words, capture_output=True, check=False).returncode == 0
    return ["nodejs", "npm"] if fits else ["nodejs"]


def host_state():
    """What maintainer scripts change, by content."""
    found = {}
    for path in ("/var/lib/dpkg/status", "/var/lib/dpkg/diversions", "/var/lib/dpkg/statoverride", "/etc/passwd", "/etc/group",
                 "/etc/shadow", "/etc/gshadow", "/etc/subuid", "/etc/subgid", "/etc/ld.so.cache", "/etc/shells", "/etc/timezone",
                 "/etc/locale.gen", "/usr/lib/locale/locale-archive", "/etc/ssl/certs/ca-certificates.crt",
                 "/var/cache/debconf/config.dat"):
        found[path] = hashlib.sha256(read(path)).hexdigest() if os.path.exists(path) else ""
    for path in ("/etc/localtime", "/bin/sh", "/etc/mtab"):
        found[path] = os.readlink(path) if os.path.islink(path) else ""
    for path in ("/etc/alternatives", "/var/lib/dpkg/alternatives", "/var/lib/dpkg/info", "/etc/init.d", "/etc/ssh", "/etc/ssl/certs",
                 "/var/lib", "/var/cache", "/var/spool", "/etc/systemd/system/multi-user.target.wants"):
        if os.path.isdir(path):
            found[path] = sorted((entry.name, os.readlink(entry.path) if entry.is_symlink() else "") for entry in os.scandir(path))
    return found


@pytest.fixture(scope="module")
def seen(stubs, host):
    """Name -> what the hook said of it, how it began ("works" or "fails"), and all that the build wrote."""
    server = Server(*stubs)
    try:
        before = host_state()
        script = read(HOOK).decode().replace("@PACKAGES@", " ".join(PACKAGES + node_packages() + (LARGE if FULL else [])))
        if not FULL:
            script = re.sub(rf"(?m)^try ({'|'.join(DONE_WITH_LARGE)}) .*\n", "", script)
        text = ("schema_version: '1.0'\nname: packages\nversion: 1.0.0\ndescription: common packages\n"
                "base: {language: python, version: '3.11'}\nhooks:\n  timeout: 10m\n  pre_install: |\n" +
                "".join(f"    {line}\n" for line in script.splitlines()))
        stub = server.stubs.RuntimeServiceStub(server.channel("admin"))
        lines, result = [], None
        for progress in stub.BuildRuntime(server.pb.BuildRuntimeRequest(yaml_content=text, verbose=True), timeout=seconds(600)):
            if progress.WhichOneof("progress_type") == "log":
                lines.append(progress.log.message)
            elif progress.WhichOneof("progress_type") == "result":
                result = progress.result
        after = host_state()
        server.assert_nothing_left()
        assert not os.listdir(os.path.join(server.prefix, "runtimes"))
    finally:
        server.stop()
    output = "\n".join(lines)
    found = {name: (verdict, said) for verdict, name, said in re.findall(r"(?m)^(works|fails) ([a-z-]+): (.*)$", output)}
    print(output)
    return found, result, [path for path in before if before[path] != after[path]], output


def test_the_packages_install(seen):
    found, result, _, output = seen
    assert not result.success and "77" in result.message, (result.message, output[-3000:])
    assert found["packages"][0] == "works", (found["packages"], output[-3000:])
    assert int(found["packages"][1].split()[0]) > len(PACKAGES)


def test_what_maintainer_scripts_do_works(seen):
    found, _, _, output = seen
    failed = {name: said for name, (verdict, said) in found.items() if verdict != "works"}
    assert not failed, (failed, output[-3000:])
    assert set(found) == {*DONE, "packages", *(DONE_WITH_LARGE if FULL else [])}


def test_no_script_complains(seen):
    """dpkg and apt go on after much that went wrong."""
    complaints = re.findall(r"(?mi)^(?:dpkg|apt|apt-get|W|E|chown|chmod|chgrp|ldconfig|setcap|[a-z.-]*tar): .*"
                            r"(?:error|fail|not permitted|denied|invalid argument|cannot|could not).*$", seen[3])
    assert not complaints, complaints


def test_the_host_does_not_notice(seen):
    assert not seen[2]
