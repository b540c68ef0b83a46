"""What the audit log has of what clients did, read by `rnx audit`: an action of each kind, refused ones, filters, a build, and
canaries that must be nowhere in it."""

import datetime
import json
import os
import shutil
import subprocess

import grpc
import pytest

from conftest import ANY_KERNEL, read

pytestmark = ANY_KERNEL

CANARY = "geheim-canary-e2e-5"


def records(server, *filters):
    return json.loads(server.rnx("audit", "list", "--json", "--limit=1000", *filters).stdout)


def now():
    return datetime.datetime.now(datetime.timezone.utc).isoformat()


def refused(code, call):
    with pytest.raises(grpc.RpcError) as error:
        call()
    assert error.value.code() == code, error.value.details()


def assert_no_canary(server):
    """In no file of the log."""
    directory = os.path.join(server.prefix, "state/audit")
    names = os.listdir(directory)
    assert names
    for name in names:
        assert CANARY.encode() not in read(os.path.join(directory, name)), name


@pytest.mark.shows("NIST 4.5.4", "NIST 4.4.5", "OWASP D06", "OWASP D10", "Checklist 6")
def test_actions(server):
    begin = now()
    pb = server.pb
    job = server.run("sh", "-c", "exit 3", "--password", CANARY, "MY_TOKEN=" + CANARY, role="developer",
                     environment={"PLAIN": CANARY + "-plain", "MY_KEY": CANARY + "-key"},
                     secret_environment={"S": CANARY + "-secret"})
    server.wait(job)
    running = server.run("sleep", "100")
    server.stop_job(running)
    server.jobs().DeleteJob(pb.DeleteJobRequest(uuid=running), timeout=server.seconds(10))
    server.jobs().DeleteAllJobs(pb.DeleteAllJobsRequest(), timeout=server.seconds(30))
    refused(grpc.StatusCode.PERMISSION_DENIED, lambda: server.run("true", role="reader", environment={"A_KEY": CANARY}))
    refused(grpc.StatusCode.INVALID_ARGUMENT, lambda: server.run("true", work_dir="X_SECRET=" + CANARY))
    refused(grpc.StatusCode.NOT_FOUND, lambda: server.stop_job("01234567"))

    everything = records(server, "--since", begin)
    assert [one["seq"] for one in everything] == sorted(one["seq"] for one in everything)
    said = [(one["action"], one["result"], one["user"], one["role"]) for one in everything if one["source"] == "joblet-api"]
    admin, developer, reader = "admin-client", "developer-client", "reader-client"
    assert said == [
        ("job.run", "intent", developer, "developer"), ("job.run", "ok", developer, "developer"),
        ("job.run", "intent", admin, "admin"), ("job.run", "ok", admin, "admin"),
        ("job.stop", "intent", admin, "admin"), ("job.stop", "ok", admin, "admin"),
        ("job.delete", "intent", admin, "admin"), ("job.delete", "ok", admin, "admin"),
        ("job.delete-all", "intent", admin, "admin"), ("job.delete-all", "ok", admin, "admin"),
        ("job.run", "refused", reader, "reader"), ("job.run", "refused", admin, "admin"),
        ("job.stop", "refused", admin, "admin")]

    # By job, from its intent to its end.
    of_job = records(server, "--since", begin, "--job", job[:8])
    assert all(one["job"] == job for one in of_job)
    intent, = (one for one in of_job if one["result"] == "intent")
    assert intent["command"] == "sh -c 'exit 3' --password *** MY_TOKEN=***"
    assert (intent["environment"], intent["secret_environment"]) == ("MY_KEY,PLAIN", "S")
    assert intent["address"].startswith("127.0.0.1:") and len(intent["certificate"]) == 64 and intent["serial"]
    assert "prev" in intent and "hash" in intent

    # The other filters.
    for filters, expected in ((["--user", reader], 1), (["--action=job.stop"], 3), (["--result=refused"], 3),
                              (["--action=job.*", "--result=refused", "--user", admin], 2), (["--until", begin], 0),
                              (["--action=job"], 0), (["--user=nobody"], 0)):
        assert len(records(server, "--since", begin, *filters)) == expected, filters
    newest = json.loads(server.rnx("audit", "list", "--json", "--limit=1", "--since", begin).stdout)
    assert [one["seq"] for one in newest] == [everything[-1]["seq"]]
    table = server.rnx("audit", "list", "--since", begin, "--result=refused").stdout.splitlines()
    assert table[0].split() == ["SEQUENCE", "TIME", "ACTION", "RESULT", "USER", "JOB", "DETAIL"] and len(table) == 4
    assert "role reader is not allowed to perform operation run_job" in table[1]

    # One record whole.
    assert json.loads(server.rnx("audit", "show", "--json", str(intent["seq"])).stdout) == intent
    shown = server.rnx("audit", "show", str(intent["seq"])).stdout
    assert f"\njob: {job}\n" in shown and "\nresult: intent\n" in shown
    assert "there is no record" in server.rnx("audit", "show", "999999999", check=False).stderr
    assert_no_canary(server)
    assert CANARY not in server.service_log
    # Idle, they would be closed by the server, and the next test that uses one would be the first to notice.
    server.close_channels()


@pytest.mark.shows("NIST 4.3.1", "OWASP D10")
def test_for_administrators_only(server):
    begin = now()
    for role in ("reader", "developer", "maintainer"):
        for words in (["list"], ["show", "1"]):
            result = server.rnx("audit", *words, role=role, check=False)
            assert result.returncode == 1 and "PermissionDenied" in result.stderr and not result.stdout
    found = records(server, "--since", begin, "--action=audit.*")
    assert [(one["action"], one["role"], one["result"]) for one in found] == [
        (action, role, "refused") for role in ("reader", "developer", "maintainer") for action in ("audit.list", "audit.show")]


@pytest.mark.host_only("needs package sources")
def test_a_build(server, tmp_path):
    begin = now()
    (tmp_path / "runtime.yaml").write_text(json.dumps({
        "schema_version": "1.0", "name": "audited", "version": "1.0.0", "description": "d",
        "base": {"language": "python", "version": "3.11"}, "environment": {"PLAIN": CANARY + "-spec"},
        "hooks": {"pre_install": f"echo A_TOKEN={CANARY} and $PLAIN {CANARY}-spec >&2; exit 9", "timeout": "60s"}}))
    result = server.rnx("runtime", "build", str(tmp_path), check=False, within=120, role="maintainer")
    assert result.returncode == 1
    assert server.rnx("runtime", "build", str(tmp_path), check=False, role="developer").returncode == 1
    intent, end, denied = (one for one in records(server, "--since", begin, "--action=runtime.build")
                           if one["source"] == "joblet-api")
    assert [one["result"] for one in (intent, end, denied)] == ["intent", "failed", "refused"]
    assert (intent["runtime"], intent["language"], intent["hooks"]) == ("audited@1.0.0", "python", "pre_install")
    assert intent["job"] == end["job"] and intent["specification"] == end["specification"]
    assert end["phase_06"].startswith("Pre-install Hook: failed") and "phase_07" not in end
    assert "exit status 9" in end["error"] and end["outcome"] == "failed" and end["host"] == "unchanged"
    assert end["user"] == "maintainer-client"
    shown = server.rnx("audit", "show", str(end["seq"])).stdout
    assert "\nphase_06: Pre-install Hook: failed" in shown
    assert_no_canary(server)


# --- the command on the server


def audit(server, *words, prefix=None):
    return subprocess.run([server.joblet_program, "--prefix", prefix or server.prefix, "audit", *words], capture_output=True,
                          text=True, check=False, timeout=server.seconds(20))


def test_the_command(server):
    """It reads the same log beside the service that writes it, and its filters are those of rnx."""
    begin = now()
    job = server.run("sh", "-c", "exit 3", role="developer")
    server.wait(job)
    refused(grpc.StatusCode.PERMISSION_DENIED, lambda: server.run("true", role="reader"))
    for filters in ([], ["--job", job], ["--user", "reader-client"], ["--action=job.*"], ["--result=refused"], ["--until", begin]):
        listed = audit(server, "list", "--json", "--since", begin, *filters)
        assert listed.returncode == 0, listed
        # The end of a job is recorded by joblet, when it has found it.
        assert [one["seq"] for one in json.loads(listed.stdout)] == [one["seq"] for one in records(server, "--since", begin, *filters)]
    found = json.loads(audit(server, "list", "--json", "--since", begin, "--action=job.run", "--result=intent").stdout)
    assert len(found) == 1 and found[0]["job"] == job
    assert json.loads(audit(server, "show", "--json", str(found[0]["seq"])).stdout) == found[0]
    assert f"\njob: {job}\n" in audit(server, "show", str(found[0]["seq"])).stdout
    table = audit(server, "list", "--since", begin, "--result=refused").stdout.splitlines()
    assert table[0].split() == ["SEQUENCE", "TIME", "ACTION", "RESULT", "USER", "JOB", "DETAIL"] and len(table) == 2
    assert audit(server, "show", "999999999").returncode == 1
    for words in (["list", "--limit=0"], ["list", "--since=yesterday"], ["show", "x"], ["show"], ["verify", "--expect=1:2"], ["turn"], []):
        wrong = audit(server, *words)
        assert wrong.returncode == 2 and "usage: joblet audit" in wrong.stderr and not wrong.stdout, words
    verdict = json.loads(audit(server, "verify", "--json").stdout)
    assert verdict["ok"] and verdict["records"] > 3 and verdict["problems"] == []
    assert audit(server, "verify").stdout.endswith(": all as it was written\n")


def swap_lines(lines):
    lines[1], lines[2] = lines[2], lines[1]


def cut_out(lines):
    del lines[2]


def change(lines):
    lines[2] = lines[2].replace(b'"result":"', b'"result":"x', 1)


def forge(lines):
    lines.insert(2, lines[1])


def cut_off(lines):
    del lines[3:]


@pytest.mark.shows("NIST 4.5.4", "OWASP D10")
@pytest.mark.parametrize("tamper", [swap_lines, cut_out, change, forge, cut_off])
def test_the_command_finds(server, tmp_path, tamper):
    """In a copy; which line it is, it says."""
    for number in range(5):
        refused(grpc.StatusCode.NOT_FOUND, lambda: server.stop_job(f"0123456{number}"))
    shutil.copytree(os.path.join(server.prefix, "state/audit"), tmp_path / "state/audit")
    os.mkdir(tmp_path / "config")
    shutil.copy(os.path.join(server.prefix, "config/audit-public.pem"), tmp_path / "config")
    whole = audit(server, "verify", "--json", prefix=str(tmp_path))
    assert whole.returncode == 0 and json.loads(whole.stdout)["ok"], whole
    newest = max((tmp_path / "state/audit").glob("*.jsonl"))
    lines = newest.read_bytes().splitlines(keepends=True)
    tamper(lines)
    newest.write_bytes(b"".join(lines))
    found = audit(server, "verify", prefix=str(tmp_path))
    assert found.returncode == 1 and "NOT as it was written" in found.stdout, found
    problem = json.loads(audit(server, "verify", "--json", prefix=str(tmp_path)).stdout)["problems"][0]
    if tamper is not cut_off:
        assert problem["file"] == newest.name and problem["line"] in (2, 3), problem


def test_the_command_compares(server, tmp_path):
    """With what lies elsewhere: a copy of the public key, the sequence and hash of a record."""
    refused(grpc.StatusCode.NOT_FOUND, lambda: server.stop_job("01234567"))
    private, other = tmp_path / "private.pem", tmp_path / "other.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", private], check=True, timeout=server.seconds(20))
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", other], check=True, timeout=server.seconds(20))
    found = audit(server, "verify", "--key", str(other))
    assert found.returncode == 1 and "head: " in found.stdout and "NOT as it was written" in found.stdout, found
    own = audit(server, "verify", "--key", os.path.join(server.prefix, "config/audit-public.pem"))
    assert own.returncode == 0 and not own.stderr, own
    # What is no key cannot be compared with.
    other.write_text("no key")
    assert audit(server, "verify", "--key", str(other)).returncode == 2
    newest = json.loads(audit(server, "list", "--json", "--limit=1").stdout)[0]
    expected = audit(server, "verify", f"--expect={newest['seq']}:{newest['hash']}")
    assert expected.returncode == 0, expected
    for seq, hash_ in ((newest["seq"], newest["prev"]), (newest["seq"] - 1, newest["hash"]), (newest["seq"] + 100000, newest["hash"])):
        found = audit(server, "verify", f"--expect={seq}:{hash_}")
        assert found.returncode == 1 and f"record {seq} with the hash that is expected is not there" in found.stdout, found
