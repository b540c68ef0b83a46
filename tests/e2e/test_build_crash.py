"""Each of our processes is killed with SIGKILL while builds are in all of their phases: nothing is published but what is whole,
nothing is left, and the next builds of the same names work.

One round has a build in each phase at the same time: a hook replaces apt-get by one that does nothing, or that waits. With FULL=1
also in the steps that are one to all but joblet-builder, and joblet-init and joblet-builder in rounds of their own."""

import contextlib
import os
import re
import signal
import textwrap
import threading

import grpc
import pytest

from conftest import FULL, Server, eventually, seconds
from test_builds import NO_APT, bridge_of

pytestmark = pytest.mark.host_only("builds ask the distribution's package sources")

WAIT = "echo it waits; sleep 600"
# Name -> hooks, setup.sh, and from which sign on the build is where it is to be killed: a text of its log or a phase.
BUILDS = {
    "in-hook": ({"pre_install": WAIT}, "", "it waits"),
    "in-base": ({"pre_install": NO_APT.format(WAIT)}, "", "it waits"),
    "in-packages": ({"pre_install": NO_APT.format("")}, WAIT, "it waits"),
    "in-post-hook": ({"pre_install": NO_APT.format(""), "post_install": WAIT}, "", "it waits"),
    "in-collect": ({"pre_install": NO_APT.format("")}, "", 12),
    "in-publish": ({"pre_install": NO_APT.format("")}, "", 14),
    "in-check": ({"pre_install": "exit 77"}, "", 4),
}
WAITING = [name for name in BUILDS if FULL and BUILDS[name][2] == "it waits"] or ["in-hook"]
SANDBOXES = ["joblet-init", "joblet-builder"] if FULL else ["joblet-init or joblet-builder"]
PROCESSES = SANDBOXES + ["joblet-api", "joblet-scratch", "joblet"]


class Followed(threading.Thread):
    """A BuildRuntime call and what it said."""

    def __init__(self, server, name):
        super().__init__(daemon=True)
        hooks, setup, self.sign = BUILDS[name]
        text = (f"schema_version: '1.0'\nname: {name}\nversion: 1.0.0\ndescription: to be killed\n"
                "base: {language: python, version: '3.11'}\nhooks:\n  timeout: 5m\n")
        for hook, script in hooks.items():
            text += f"  {hook}: |\n" + textwrap.indent(script + "\n", "    ")
        self.name, self.said, self.phase, self.result, self.error = name, "", 0, None, None
        request = server.pb.BuildRuntimeRequest(yaml_content=text, verbose=True, setup_script=setup)
        self.stream = server.stubs.RuntimeServiceStub(server.channel("admin")).BuildRuntime(request, timeout=seconds(100))
        self.start()

    def run(self):
        try:
            for progress in self.stream:
                kind = progress.WhichOneof("progress_type")
                if kind == "phase":
                    self.phase = progress.phase.phase_number
                elif kind == "log":
                    self.said += progress.log.message + "\n"
                else:
                    self.result = progress.result
        except grpc.RpcError as error:
            self.error = error.code()

    def is_there(self):
        assert self.is_alive(), (self.name, self.phase, self.result, self.error, self.said[-1000:])
        return self.phase >= self.sign if isinstance(self.sign, int) else self.sign in self.said


@pytest.fixture(scope="module")
def server(stubs, host):
    made = Server(*stubs)
    path = os.path.join(made.prefix, "config/joblet-config.yml")
    with open(path, encoding="utf-8") as file:
        text, count = re.subn(r"^(  maxBuilds:) .*$", r"\1 8", file.read(), flags=re.M)
    assert count == 1
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    made.restart()
    yield made
    made.stop()


def all_in_place(server):
    """A build in each of the phases; the one that is published does not wait for the others."""
    builds = {name: Followed(server, name) for name in WAITING}
    for build in builds.values():
        eventually(build.is_there, 60, build.name)
    for name in ("in-publish", "in-collect"):
        builds[name] = Followed(server, name)
    eventually(lambda: builds["in-publish"].phase >= 11, 60, "the collect")
    builds["in-check"] = Followed(server, "in-check")
    eventually(lambda: builds["in-publish"].phase >= 14 or not builds["in-publish"].is_alive(), 60, "the end of the collect")
    return builds


def pids(server, name):
    """Of this server alone: others may run on the machine."""
    if name == "joblet":
        return [server.pid]
    if name in ("joblet-api", "joblet-scratch"):
        return server.children(name)
    inits = server.init_pids()
    if name == "joblet-init":
        return inits
    # One of each kind of sandbox has the other one killed.
    found = [] if name == "joblet-builder" else inits[::2]
    for init in set(inits) - set(found):
        with contextlib.suppress(OSError), open(f"/proc/{init}/task/{init}/children", encoding="ascii") as file:
            found += [int(pid) for pid in file.read().split()]
    return found


def answers(server):
    with contextlib.suppress(grpc.RpcError):
        server.list()
        return True
    server.close_channels()
    return False


def published(server):
    listed = server.stubs.RuntimeServiceStub(server.channel("admin")).ListRuntimes(server.pb.EmptyRequest(), timeout=seconds(10))
    return {runtime.name: runtime.available for runtime in listed.runtimes}


def disks_of_builds(server):
    """Loop devices of this server that are as large as builds' are, and jobs' are not."""
    found = 0
    for device in os.listdir("/sys/block"):
        with contextlib.suppress(OSError), open(f"/sys/block/{device}/loop/backing_file", encoding="utf-8") as backing:
            if backing.read().startswith(server.prefix + "/"):
                with open(f"/sys/block/{device}/size", encoding="ascii") as size:
                    found += int(size.read()) << 9 > 8 << 30
    return found


def assert_clean(server):
    runtimes = os.path.join(server.prefix, "runtimes")
    eventually(lambda: not [name for name in os.listdir(runtimes) if name.startswith(".")], 30, "no staging, no trash")
    eventually(lambda: not server.init_pids(), 20, "no process 1 is left")
    eventually(lambda: not os.listdir(os.path.join(server.prefix, "state/jobs")), 20, "no files of builds are left")
    eventually(lambda: disks_of_builds(server) <= 1, 20, "the disks of builds are given back, but for one made ahead")
    ports = bridge_of(server) + "p"
    assert not [name for name in os.listdir("/sys/class/net") if name.startswith(ports)]


@pytest.mark.parametrize("process", PROCESSES)
def test_killed_in_each_phase(server, process):
    builds = all_in_place(server)
    print(process, {name: build.phase for name, build in builds.items()})
    victims = pids(server, process)
    assert victims and disks_of_builds(server) >= len(WAITING)
    for pid in victims:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if process == "joblet":
        eventually(lambda: not os.path.exists(f"/proc/{victims[0]}/exe"), 10, "joblet is gone")
        for build in builds.values():
            build.join(seconds(20))
        server.close_channels()
        server.launch()
    if process == "joblet-scratch":
        for name in WAITING:  # they need it for nothing until they end
            builds[name].stream.cancel()
    for build in builds.values():
        build.join(seconds(60))
        assert not build.is_alive(), (build.name, build.phase)
    if process in ("joblet-api", "joblet"):
        server.close_channels()
        eventually(lambda: answers(server), 20, "the service answers")
    # The others may have been between two sandboxes, or done.
    for name in WAITING:
        assert not builds[name].result or not builds[name].result.success, name
        assert builds[name].result or builds[name].error, name
        print(name, builds[name].result.message if builds[name].result else builds[name].error)
    assert_clean(server)
    there = published(server)
    assert set(there) <= {"in-publish", "in-collect"} and all(there.values()), there
    for name, build in builds.items():
        assert name in there or not build.result or not build.result.success, name
    remove(server, there)


def remove(server, names):
    stub = server.stubs.RuntimeServiceStub(server.channel("admin"))
    for name in names:
        tested = stub.TestRuntime(server.pb.TestRuntimeRequest(runtime=name), timeout=seconds(60))
        assert tested.success, (name, tested)
        answer = stub.RemoveRuntime(server.pb.RemoveRuntimeRequest(runtime=name), timeout=seconds(30))
        assert answer.success, answer.message
    assert_clean(server)


def test_a_build_of_the_same_name_works_then(server):
    build = Followed(server, "in-publish")
    build.join(seconds(90))
    assert build.result and build.result.success, (build.phase, build.result, build.error, build.said[-2000:])
    assert published(server) == {build.name: True}
    remove(server, [build.name])
