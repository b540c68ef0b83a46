"""A real job from one end to the other: run, follow, status, log, list, delete."""

import json
import re

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def test_run_status_log_list_delete(server):
    submitted = server.rnx("job", "run", "sh", "-c", "echo out; echo err >&2; exit 3").stdout
    job = UUID.search(submitted)[0]
    assert re.search(rf"^ID: {job}$", submitted, re.M)
    status = server.wait(job)
    assert (status.status, status.exit_code, status.end_reason) == ("FAILED", 3, "exited")
    assert sorted(server.rnx("job", "log", job).stdout.split()) == ["err", "out"]
    shown = server.rnx("job", "status", job[:8]).stdout
    assert job in shown and "Status: FAILED" in shown
    assert job in server.rnx("job", "list").stdout
    assert job in [row["id"] for row in json.loads(server.rnx("job", "list", "--json").stdout)]
    server.rnx("job", "delete", job)
    assert job not in server.rnx("job", "list").stdout
    gone = server.rnx("job", "status", job, check=False)
    assert gone.returncode == 1 and "NotFound" in gone.stderr


def test_follow_streams_and_exits_with_the_jobs_status(server):
    ended = server.rnx("job", "run", "--follow", "sh", "-c", "echo one; echo two >&2; exit 42", check=False)
    assert ended.returncode == 42
    assert "one" in ended.stdout
    assert "two" in ended.stdout + ended.stderr


def test_true_completes(server):
    status = server.wait(server.run("true"))
    assert (status.status, status.exit_code, status.end_reason, status.error) == ("COMPLETED", 0, "exited", "")
    assert status.start_time and status.end_time
