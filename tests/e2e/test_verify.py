"""joblet verify against a server: every promise has rows and is kept, in a job and in a build, and nothing stays."""

import glob
import json
import os
import re
import signal
import subprocess

import pytest

from conftest import HERE, ROOT, eventually, read, seconds

pytestmark = pytest.mark.host_only("builds use the distribution's package sources")

# Of tests/test_host_protection.sh.
SECTIONS = {"environment", "exclusion", "isolation", "packages", "mounts", "writing", "clean-up"}


def verify(server, *arguments):
    return subprocess.run([server.joblet_program, "--prefix", server.prefix, "verify", *arguments], capture_output=True,
                          text=True, check=False, timeout=seconds(20), stdin=subprocess.DEVNULL)


@pytest.mark.shows("NIST 4.3.5", "Checklist 1", "Checklist 2", "Checklist 3", "Checklist 6")
def test_every_promise_is_kept(server, tmp_path):
    running = server.run("sleep", "1000")
    page = tmp_path / "page.html"
    result = verify(server, "--json", "--html", str(page))
    report = json.loads(result.stdout)
    bad = [row for promise in report["promises"] for row in promise["rows"] if row["result"] not in ("kept", "not-tried")]
    assert not bad and result.returncode == 0 and report["result"] == "kept", bad
    assert [promise["id"] for promise in report["promises"]] == [f"P{number}" for number in range(1, 11)]
    assert all(promise["result"] == "kept" for promise in report["promises"])
    rows = [row for promise in report["promises"] for row in promise["rows"]]
    for source, least in (("inside-job", 70), ("inside-build", 60), ("outside", 50), ("escape", 60), ("client", 6)):
        assert sum(row["source"] == source for row in rows) >= least, source
    assert report["durationMs"] < 60000
    # Both sandboxes were looked at in all seven sections of the suite.
    for source in ("inside-job", "inside-build"):
        assert {row["tried"].split(":")[0] for row in rows if row["source"] == source} == SECTIONS, source
    text = page.read_text(encoding="utf-8")
    assert "Every promise that was tried is kept" in text and "<script" not in text and "http://" not in text
    # Beside a job that runs, and nothing is left of ours.
    assert server.status(running).status == "RUNNING"
    assert [job.uuid for job in server.list()] == [running]
    eventually(lambda: os.listdir(os.path.join(server.prefix, "state/jobs")) == [running], 20, "no file of a job of ours")
    assert not any(name.startswith((".staging", "joblet-verify")) for name in os.listdir(os.path.join(server.prefix, "runtimes")))


def test_a_build_that_is_left_out_is_told(server, tmp_path):
    page = tmp_path / "page.html"
    tried, why = "a build with the host-protection suite", "--no-build: half of what is promised was not looked at"
    report = json.loads(verify(server, "--json", "--no-build").stdout)
    rows = {promise["id"]: [row for row in promise["rows"] if row["tried"] == tried] for promise in report["promises"]}
    assert {promise for promise, found in rows.items() if found} == {"P1", "P2", "P3", "P4", "P5", "P7", "P8"}
    assert all((row["result"], row["seen"]) == ("not-tried", why) for found in rows.values() for row in found)
    assert not [row for promise in report["promises"] for row in promise["rows"] if row["source"] == "inside-build"]
    # As docs/SECURITY.md has it: what was tried is kept.
    result = verify(server, "--no-build", "--html", str(page))
    assert result.returncode == 0 and report["result"] == "kept", result.stdout
    lines = [line for line in result.stdout.splitlines() if tried in line]
    assert len(lines) == 7 and all(f"not tried: {why}" in line for line in lines), result.stdout
    assert page.read_text(encoding="utf-8").count(why) == 7


@pytest.mark.full
def test_a_service_that_stops_answering(own_server):
    """tests/unit/verify/test_run.c has it in pieces. The run ends all the same, breaks no promise, and says what it has left."""
    logs = os.path.join(own_server.prefix, "state/jobs/*/log")
    words = [own_server.joblet_program, "--prefix", own_server.prefix, "verify", "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True) as running:
        eventually(lambda: any(b" mounts: " in read(log) for log in glob.glob(logs)), 20, "verify has started its job")
        stopped = [own_server.pid, *own_server.children("joblet-api")]
        try:
            for pid in stopped:
                os.kill(pid, signal.SIGSTOP)
            output = running.communicate(timeout=seconds(20))[0]
        finally:
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)
    report = json.loads(output)
    rows = [row for promise in report["promises"] for row in promise["rows"]]
    assert running.returncode == 2 and report["durationMs"] < 60000
    assert not [row for row in rows if row["result"] == "broken"], rows
    assert any(row["result"] == "unable" and "could not be deleted within the time" in row["seen"] for row in rows), rows
    own_server.clear()


def test_the_example_runs_the_suite_in_a_build(server):
    """As README.md says it: whoever builds the example reads the suite's answer, and has a runtime."""
    example = os.path.join(ROOT, "examples/host-protection")
    validated = json.loads(server.rnx("runtime", "validate", "--json", example, within=60).stdout)
    assert validated["valid"] and not validated["errors"], validated
    assert not [text for text in validated["warnings"] or [] if "not checked" in text], validated
    try:
        result = server.rnx("runtime", "build", "-v", example, check=False, within=240)
        server.close_channels()
        lines = [line.split("] ", 1)[1] for line in result.stdout.splitlines() if re.match(r"\[[A-Z]+\] ", line)]
        assert "TAP version 13" in lines and "# host protection, seen from inside a build" in lines, result.stdout[-3000:]
        assert not [line for line in lines if line.startswith("not ok")], lines
        count = sum(line.startswith("ok ") for line in lines)
        assert count >= 60 and f"1..{count}" in lines
        assert result.returncode == 0 and "BUILD SUCCESSFUL" in result.stdout, f"{result.stdout[-3000:]}{result.stderr}"
        info = json.loads(server.rnx("runtime", "info", "--json", "host-protection").stdout)
        assert (info["name"], info["version"]) == ("host-protection", "1.0.0")
        assert info["language"] == validated["spec_info"]["language"]
    finally:
        server.rnx("runtime", "remove", "host-protection", check=False, within=60)
    assert server.rnx("runtime", "info", "host-protection", check=False).returncode == 1


def test_the_suite_says_what_a_missing_tool_left_open(server):
    """Without a tool nothing is found and everything is refused: such a row is skipped and not ok."""
    suite = read(os.path.join(ROOT, "tests/test_host_protection.sh")).decode()
    tools = re.search(r'(?m)^tools="(.*)"$', suite)[1].split()
    few = " ".join(tool for tool in tools if tool not in ("find", "mknod"))
    script = ('mkdir /tmp/few && for tool in $2; do ln -s "$(command -v "$tool")" /tmp/few/ || exit 99; done\n'
              'PATH=/tmp/few exec /bin/sh -c "$1"')
    job = server.run("sh", "-c", script, "sh", suite, few)
    assert server.wait(job, 30).exit_code == 1
    lines = server.logs(job).decode().splitlines()
    count = sum(line.startswith("ok ") for line in lines)
    assert f"1..{count}" in lines and not [line for line in lines if line.startswith("not ok")], lines
    skipped = [line.split(": ", 1)[1] for line in lines if " # SKIP " in line]
    assert skipped[0] == "the tools that this looks with are there # SKIP no find"
    for row in ("no device but the six private ones # SKIP no find", "no device node can be made (c 1 1) # SKIP no mknod",
                "no control group is in reach or named # SKIP no find", "nothing of this test is left # SKIP no find"):
        assert row in skipped, skipped
    # All others are as with the tools.
    assert len(skipped) == sum(bool(re.search(r"no (find|mknod)$", line)) for line in skipped) < count / 4


def test_no_host_lacks_what_the_builds_want():
    """The packages of a version are in the sources of some hosts; "any" is refused where a package's name has the version."""
    for name in ("examples/host-protection/runtime.yaml", "src/verify/build.c"):
        text = read(os.path.join(ROOT, name)).decode().replace("\\n", "\n")
        assert re.search(r"\bbase:\n  language: \w+\n  version: (\S+)\n", text)[1] == "any", name


def test_a_service_that_is_not_there(server, tmp_path):
    result = subprocess.run([server.joblet_program, "--prefix", str(tmp_path), "verify"], capture_output=True, text=True,
                            check=False, timeout=seconds(60), stdin=subprocess.DEVNULL)
    assert result.returncode == 2 and not result.stdout and "does not answer" in result.stderr
    assert verify(server, "--unknown").returncode == 2


def test_the_attempts_that_are_made_are_documented():
    document = read(os.path.join(HERE, "../../docs/ESCAPES.md")).decode()
    listed = re.search(r"(?s)## Tried by `joblet verify`.*?\n\n((?:[A-Z]\d\d[ ,.\n]+)+)", document)[1]
    source = read(os.path.join(HERE, "../../src/verify/escapes.c")).decode()
    assert re.findall(r"[A-Z]\d\d", listed) == re.findall(r'\{"([A-Z]\d\d)", \d+\}', source)
