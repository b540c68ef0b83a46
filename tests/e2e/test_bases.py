"""The packages of a language are installed once: a build with other packages of pip begins with the base of an earlier one.
One server, a few small builds. It needs package sources, so it is host_only."""

import json
import os
import time

import pytest

from conftest import Server, read
from test_builds import Builder, log_lines, unchanged_packages

pytestmark = pytest.mark.host_only("needs package sources")

POST = """set -eu
echo stray >/home/stray
mkdir -p /usr/local/share/made; echo made >/usr/local/share/made/file
"""


@pytest.fixture(scope="module")
def builder(stubs, host):
    server = Server(*stubs)
    made = Builder(server)
    yield made
    made.pool.shutdown(cancel_futures=True)
    server.stop()


def build(builder, name, **more):
    started = time.monotonic()
    result = builder.build(builder.write(name, **more), "-v")
    assert "BUILD SUCCESSFUL" in result.out, result.out[-4000:] + result.err
    print(f"{name}: {time.monotonic() - started:.1f} s")
    return result


def base_line(result):
    lines = [line for line in log_lines(result) if line.startswith("base: ")]
    assert len(lines) == 1, result.out[-4000:]
    return lines[0]


def entries(builder, name, file):
    """Path → entry of a list beside the runtime."""
    text = read(os.path.join(builder.server.prefix, "runtimes", name, "1.0.0", file)).decode()
    found = [json.loads(line) for line in text.splitlines() if line.startswith('{"path"')]
    assert found, text[:300]
    return {entry["path"]: entry for entry in found}


def test_base(builder):
    with unchanged_packages():
        first = build(builder, "first", pip=["six==1.16.0"])
        second = build(builder, "second", pip=["idna==3.7"], hooks={"timeout": "60s", "post_install": POST})
    assert base_line(first) == "base: MISS: these packages were not installed before"
    assert "Unpacking" in first.out and "Unpacking" not in second.out
    assert base_line(second).startswith("base: HIT: ")
    assert "/home/stray" in second.out
    # The base is there as if it had been installed for this one, each file with its origin.
    ours, theirs = (entries(builder, name, "manifest") for name in ("second", "first"))
    strange = {path for path, entry in ours.items() if entry["origin"] not in ("step pip", "step post_install")
               and theirs.get(path, {}).get("origin") != entry["origin"]}
    assert not {path for path in strange if "/opt/joblet" not in path}, sorted(strange)[:20]
    assert ours["/usr/local/share/made/file"]["origin"] == "step post_install"
    assert any("/idna/" in path and entry["origin"] == "step pip" for path, entry in ours.items())
    assert not any(path.endswith("/six.py") and entry["origin"] == "step pip" for path, entry in ours.items())
    missing = {path for path, entry in theirs.items() if entry["origin"] not in ("step pip", "joblet") and path not in ours}
    assert not missing, sorted(missing)[:20]
    changes = entries(builder, "second", "changes")
    assert changes["/home/stray"]["kept"] is False
    tested = builder.server.rnx("runtime", "test", "second", within=120)
    assert tested.returncode == 0


def test_a_base_that_turned_stale(builder):
    """What the base changed of a file that could be read then is in it, and would be read by a build that may not: everything is
    installed in one go then, and the base is dropped."""
    path = "/var/lib/apt/extended_states"  # the package manager writes it in each base
    if not os.path.exists(path):
        pytest.skip("the host's package manager has installed nothing yet that a package asked for")
    mode = os.stat(path).st_mode & 0o7777
    os.chmod(path, mode & ~0o004)
    try:
        result = build(builder, "third", pip=["idna==3.6"])
    finally:
        os.chmod(path, mode)
    said = [line for line in log_lines(result) if line.startswith("base: ")]
    assert said[-1] == f"base: MISS after all: the base has the host's '{path}', which may not be read any more", said
    assert "Unpacking" in result.out
    assert not os.listdir(os.path.join(builder.server.prefix, "cache/base"))
