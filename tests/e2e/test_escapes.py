"""What hostile programs leave on the host, hostile requests, and jobs beside each other; docs/ESCAPES.md has the list.
(The programs themselves are in tests/e2e/hostile, each attempt a test in test_hostile.py.)"""

import contextlib
import os
import re
import signal
import socket

import grpc
import pytest

from conftest import IN_VM, ROOT, eventually, read

ONE_KERNEL_PER_TEST = pytest.mark.skipif(not IN_VM, reason="sets what the whole kernel runs; the virtual machine is ours alone")


# --- H: the host's state

@contextlib.contextmanager
def setting(path, value):
    before = read(path)
    with open(path, "w", encoding="utf-8") as file:
        file.write(value)
    try:
        yield
    finally:
        with open(path, "wb") as file:
            file.write(before)


@contextlib.contextmanager
def canary(path, value):
    """A program that the kernel runs as @path says; yields a function that returns what it was called with, by lines."""
    log, program = "/var/tmp/joblet-canary.log", "/var/tmp/joblet-canary"
    with open(program, "w", encoding="utf-8") as file:
        file.write(f'#!/bin/sh\necho "$*" >>{log}\n')
    os.chmod(program, 0o755)
    try:
        with setting(path, value.format(program)):
            yield lambda: read(log).decode().splitlines() if os.path.exists(log) else []
    finally:
        for name in (log, program):
            with contextlib.suppress(OSError):
                os.unlink(name)


@ONE_KERNEL_PER_TEST
def test_h01_no_module_is_asked_for(server):
    server.shell("true")
    with canary("/proc/sys/kernel/modprobe", "{}") as calls:
        server.attempt()
        asked = calls()
        with pytest.raises(OSError):
            socket.socket(socket.AF_INET, socket.SOCK_STREAM, 33)
        eventually(lambda: any("net-pf-2-proto-33" in call for call in calls()), what="the canary sings when we ask")
    assert not asked
