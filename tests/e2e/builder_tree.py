"""What joblet-builder meets in its sandboxes, made by hand: a mount namespace of its own with overlays over directories, and
roots to run the program in. Nothing of it is in the host's namespace, so all of it goes with the process that keeps it."""

import json
import os
import re
import shutil
import subprocess
import tempfile
import time

from conftest import BUILD, seconds

BUILDER = os.path.join(BUILD, "src/builder/joblet-builder")
CLOCK_OF_FILES = 5  # CLOCK_REALTIME_COARSE
RUNTIME_DIR = "/opt/joblet/runtimes/demo/1.0.0"
# What a build has left of root's rights.
CAPABILITIES = "-all,+chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+sys_chroot,+setfcap"


class Result:
    """The lines of one run."""

    def __init__(self, done):
        self.status = done.returncode
        self.bytes = done.stdout
        self.lines = done.stdout.decode().splitlines()
        self.last = self.lines[-1] if self.lines else ""

    def all(self, word):
        return [line[len(word) + 2:] for line in self.lines if line.startswith(f"@{word} ")]

    def counts(self):
        return {name: int(number) for name, number in (line.split() for line in self.all("count"))}


class Namespace:
    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="joblet-builder-", dir="/var/tmp")
        self.keeper = subprocess.Popen(["unshare", "-m", "--propagation", "private", "sh", "-c", "echo; exec sleep 3600"],
                                       stdout=subprocess.PIPE)
        self.keeper.stdout.readline()

    def path(self, *parts):
        return os.path.join(f"/proc/{self.keeper.pid}/root{self.directory}", *parts)

    def run(self, *command, **options):
        options.setdefault("timeout", seconds(120))
        return subprocess.run(["nsenter", "-t", str(self.keeper.pid), "-m", "--wdns=" + self.directory, *command], **options)

    def mount(self, *arguments):
        self.run("mount", *arguments, check=True)

    def close(self):
        self.keeper.kill()
        self.keeper.wait()
        self.keeper.stdout.close()
        shutil.rmtree(self.directory)


class Root:
    """A builder root: overlays over the directories of `host` (the real one, or one made by a test), and the root of the
    sandbox that collects from it."""

    def __init__(self, host=None, layers=("usr", "etc", "opt", "var/lib/dpkg", "var/cache/apt")):
        self.space = Namespace()
        self.layers = layers
        self.steps = []
        space = self.space
        for name in ("host", "disk", "tool", "cache"):
            os.makedirs(space.path(name))
        self.host = "/"
        if host:
            self.host = space.directory + "/host"
            put_tree(space.path("host"), host)
        space.mount("-t", "tmpfs", "-o", "size=2G", "none", "disk")
        for name in ("root", "tool/proc", *(f"root/{name}" for name in ("work", "tmp", "run", "proc", "dev", "root", "home"))):
            os.makedirs(space.path("disk", name))
        for name in ("bin", "sbin", "lib", "lib64"):
            os.symlink("usr/" + name, space.path("disk/root", name))
        for layer in layers:
            os.makedirs(space.path("disk/root", layer))
            if host:
                os.makedirs(space.path("host", layer), exist_ok=True)
        self.tool = "disk/tool"
        for name in ("merged", "base", "stage", "cache", "upper", "lower", "tmp"):
            os.makedirs(space.path(self.tool, name))
        with open(space.path(self.tool, "layers"), "w", encoding="utf-8") as file:
            file.write("".join(layer + "\n" for layer in layers))
        shutil.copy(BUILDER, space.path(self.tool, "builder"))

    def mount(self):
        """After this nothing of the masks can be put into the uppers."""
        space = self.space
        for number, layer in enumerate(self.layers):
            for kind in ("upper", "works"):
                os.makedirs(space.path("disk", kind, str(number)), exist_ok=True)
            for kind in ("upper", "lower"):
                os.makedirs(space.path(self.tool, kind, str(number)))
            lower = os.path.join(self.host, layer)
            space.mount("-t", "overlay", "-o", f"lowerdir={lower},upperdir=disk/upper/{number},workdir=disk/works/{number}",
                        "none", f"disk/root/{layer}")
            space.mount("--bind", f"disk/upper/{number}", f"{self.tool}/upper/{number}")
            space.mount("--bind", "-o", "ro", lower, f"{self.tool}/lower/{number}")
        time.sleep(0.3)  # what is there before is older than the build, by the clock of files
        self.since = time.time_ns()
        return self

    def upper(self, layer, *parts):
        path = self.space.path("disk/upper", str(self.layers.index(layer)), *parts)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return path

    def path(self, path):
        return self.space.path("disk/root", path.lstrip("/"))

    def step(self, name, tree=None, shell=None):
        """Something that the build did: puts a tree, or runs a shell of the host with the root as directory."""
        begin = time.clock_gettime_ns(CLOCK_OF_FILES)
        if tree:
            put_tree(self.path("/"), tree)
        if shell:
            self.space.run("sh", "-ec", f"cd disk/root && {shell}", check=True)
        end = time.time_ns()
        self.steps += ["step", name, str(begin), str(end)]
        while time.clock_gettime_ns(CLOCK_OF_FILES) <= end:
            time.sleep(0.001)

    def install(self, *words):
        """The real thing: steps in the root, in a PID namespace, with what a build has of root's rights."""
        space = self.space
        shutil.copy(BUILDER, self.path("/tmp/builder"))
        if not os.path.exists(self.path("/dev/null")):
            space.mount("--rbind", "/dev", "disk/root/dev")
        script = 'mount -t proc none disk/root/proc; setpriv --bounding-set "$1" chroot disk/root /bin/sh -c \'"$@"; exit $?\' sh "${@:2}"'
        done = space.run("unshare", "-pf", "bash", "-c", script, "bash", CAPABILITIES, "/tmp/builder", "install", *words,
                         stdout=subprocess.PIPE)
        space.run("umount", "disk/root/proc")
        os.unlink(self.path("/tmp/builder"))
        result = Result(done)
        begun = {}
        for line in result.lines:
            if line.startswith("@begin "):
                begun[line.split()[1]] = line.split()[2]
            elif line.startswith("@end "):
                self.steps += ["step", line.split()[1], begun[line.split()[1]], line.split()[2]]
        return result

    def collect(self, *words, base=None, since=None):
        space = self.space
        put_tree(space.path(self.tool, "base"), BASE if base is None else base)
        space.run("umount", "-l", "disk/root/dev", stderr=subprocess.DEVNULL)
        space.mount("--rbind", "disk/root", f"{self.tool}/merged")
        space.mount("-o", "remount,bind,ro", f"{self.tool}/merged")
        done = space.run("setpriv", "--bounding-set", "-all,+chown,+dac_override,+fowner,+sys_chroot", "chroot", self.tool, "/builder",
                         "collect", "since", str(since or self.since), *self.steps, "runtime-dir", RUNTIME_DIR, *words,
                         stdout=subprocess.PIPE)
        return Result(done)

    def run_tool(self, *words):
        return Result(self.space.run("chroot", self.tool, "/builder", *words, stdout=subprocess.PIPE))

    def stage(self, *parts):
        return self.space.path(self.tool, "stage", *parts)

    def isolated(self, path):
        return self.stage("isolated", path.lstrip("/"))

    def manifest(self):
        with open(self.stage("manifest"), encoding="utf-8") as file:
            lines = [json.loads(line) for line in file]
        return lines, {line["path"]: line for line in lines if "path" in line}

    def changes(self):
        with open(self.stage("changes"), encoding="utf-8") as file:
            return {line["path"]: line for line in map(json.loads, file)}

    def chroot(self, *command):
        """In the finished runtime."""
        done = self.space.run("/usr/sbin/chroot", f"{self.tool}/stage/isolated", *command, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, env={"PATH": "/usr/local/bin:/usr/bin:/bin"})
        return done.returncode, done.stdout.decode()

    def close(self):
        self.space.close()


def put_tree(root, tree):
    """{"/path": "text", "/dir/": None, "/link": ("target",), "/file": ("text", mode)}"""
    for path, what in tree.items():
        here = os.path.join(root, path.strip("/"))
        os.makedirs(here if path.endswith("/") else os.path.dirname(here), exist_ok=True)
        if path.endswith("/"):
            continue
        if isinstance(what, tuple) and len(what) == 1:
            os.symlink(what[0], here)
            continue
        text, mode = what if isinstance(what, tuple) else (what, 0o644)
        with open(here, "wb") as file:
            file.write(text if isinstance(text, bytes) else text.encode())
        os.chmod(here, mode)


BASE = {
    "/bin": ("usr/bin",), "/sbin": ("usr/sbin",), "/lib": ("usr/lib",), "/lib64": ("usr/lib64",), "/usr/lib64/": None,
    "/usr/bin/base-tool": ("#!/bin/sh\n", 0o755), "/usr/bin/sh": ("sh\n", 0o755), "/usr/sbin/": None,
    "/usr/lib/": None, "/tmp/": None,
    "/etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:job:/work:/bin/sh\n",
    "/etc/group": "root:x:0:\nnogroup:x:65534:\n", "/etc/hosts": "127.0.0.1 localhost\n", "/etc/hostname": "job\n",
    "/etc/resolv.conf": "", "/etc/nsswitch.conf": "passwd: files\n",
}


def package(name, depends="", files=(), **fields):
    """One package of a database made by hand: its stanza and its list."""
    fields = {"Status": "install ok installed", "Architecture": "amd64", "Version": "1.0", **fields}
    text = f"Package: {name}\n" + "".join(f"{key.replace('_', '-')}: {value}\n" for key, value in fields.items())
    if depends:
        text += f"Depends: {depends}\n"
    listed = {"/."}
    for path in files:
        parts = path.split("/")
        listed |= {"/".join(parts[:count]) for count in range(2, len(parts) + 1)}
    return text + "\n", name, "\n".join(sorted(listed)) + "\n"


def database(*packages):
    tree = {"/var/lib/dpkg/status": "".join(text for text, _, _ in packages)}
    for _, name, listed in packages:
        tree[f"/var/lib/dpkg/info/{name}.list"] = listed
    return tree


def is_line(text):
    return re.fullmatch(r"[^\x00-\x08\x0a-\x1f\x7f]*", text) is not None
