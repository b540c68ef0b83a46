"""The hostile program (tests/e2e/hostile) inside a job: what it tries must be refused, each attempt a test of its own, and
afterwards the service works as before."""

import os
import re
import subprocess

import pytest

from conftest import BUILD

PROGRAM = os.path.join(BUILD, "tests/e2e/hostile/hostile")


def attempts():
    if not os.path.exists(PROGRAM):
        return ["the-hostile-program-is-not-built"]
    listed = subprocess.run([PROGRAM, "--list"], capture_output=True, text=True, check=True)
    return [line.split("\t")[2] for line in listed.stdout.splitlines()]


@pytest.fixture(scope="module")
def outcome(shared_server):
    """All attempts in one job: each runs in a process of its own."""
    return shared_server.attempt()


@pytest.mark.parametrize("name", attempts())
def test_refused(outcome, name):
    line = re.search(rf"^(ok|ESCAPED) (P\d+) {re.escape(name)}: .*$", outcome.text, re.M)
    assert line, f"no answer of {name}: {outcome.status.status} {outcome.status.error} {outcome.text[-500:]}"
    assert line[1] == "ok", line[0]


def test_the_service_is_unharmed(server):
    assert server.shell("echo well").text == "well\n"
