"""A build after the first one looks only at what may be masked and at what has changed. Every way by which a file or directory
of the host becomes one that a build may not see is gone between two builds of one joblet; then a build says what is there.

A way is a function of a directory in a layer, which is there when the first build looks, and of one outside of all layers on
the same file system. It returns the names below the first that must not be there afterwards; what else is there must be.

    test_watch.py JOBLET JOBLET_INIT RELAY_API STAND_BUILDER"""

import contextlib
import ctypes
import errno
import functools
import os
import re
import secrets
import shutil
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
import unittest

import channel

JOBLET, INIT, RELAY, BUILDER = sys.argv[1:5]
SCRATCH = os.path.join(os.path.dirname(JOBLET), "joblet-scratch")

MARK = f"joblet-watch-{secrets.token_hex(6)}"
LAYERS = [path for path in ("/usr/local/share", "/etc", "/opt", "/var/lib/ucf", "/var/cache/debconf") if os.path.isdir(path)]
OUTSIDE = f"/var/tmp/{MARK}"
LIBC = ctypes.CDLL(None, use_errno=True)
AT_FDCWD, AT_SYMLINK_FOLLOW, RENAME_EXCHANGE = -100, 0x400, 2

# Each name on lines of its own, in hexadecimal: names may hold what lines may not.
LIST = f"""
for layer in {" ".join(LAYERS)}; do
    (cd "$layer/{MARK}" 2>/dev/null || exit 0
    find . -mindepth 1 -print0) | od -An -v -tx1 | tr -d ' \\n' | fold -w 2000 | sed "s|.*|seen=$layer &|"
    echo
done
"""
# All that is there, but for what each build has of its own.
SUMS = """
for layer in /usr /etc /opt /var/lib /var/cache; do
    echo "sum=$layer $(find "$layer" -xdev -path /opt/joblet -prune -o -path /var/cache/apt/archives -prune -o -printf '%p %y %m %U %G %s %l\\n' \
        2>/dev/null | sort | sha256sum | cut -c1-40)"
done
"""


def put(path, mode=0o644):
    """A new file with exactly this mode, from its first moment on."""
    old = os.umask(0)
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode))
    finally:
        os.umask(old)


def call(function, *arguments):
    assert function(*arguments) == 0, os.strerror(ctypes.get_errno())


# --- the ways. Each: what is there at the first build, and what happens then.

def make(names, mode=0o644):
    def prepare(inside, _):
        for name in names:
            os.makedirs(os.path.dirname(f"{inside}/{name}"), exist_ok=True)
            put(f"{inside}/{name}", mode)
    return prepare


def chmod(inside, _):
    os.chmod(f"{inside}/chmod", 0o640)
    return ["chmod"]


def chmod_by_descriptor(inside, _):
    with open(f"{inside}/fchmod", "rb") as file:
        os.fchmod(file.fileno(), 0o600)
    return ["fchmod"]


def create(inside, _):
    put(f"{inside}/created", 0o600)
    put(f"{inside}/plain", 0o644)
    put(f"{inside}/later")
    os.chmod(f"{inside}/later", 0o600)
    return ["created", "later"]


def specials(inside, _):
    os.mkfifo(f"{inside}/pipe", 0o644)
    os.mknod(f"{inside}/device", 0o644 | stat.S_IFCHR, os.makedev(1, 3))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{inside}/socket")
    os.chmod(f"{inside}/socket", 0o777)
    return ["pipe", "device", "socket"]


def access_list(inside, _):
    """As setfacl -m o::- does it."""
    entries = [(1, 6, 0xffffffff), (4, 4, 0xffffffff), (32, 0, 0xffffffff)]
    os.setxattr(f"{inside}/acl", "system.posix_acl_access",
                struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries))
    return ["acl"]


def moved_in(inside, outside):
    put(f"{outside}/file", 0o600)
    os.rename(f"{outside}/file", f"{inside}/moved")
    put(f"{outside}/other", 0o600)
    os.rename(f"{outside}/other", f"{inside}/replaced")
    return ["moved", "replaced"]


def exchanged(inside, outside):
    put(f"{outside}/exchanged", 0o600)
    call(LIBC.renameat2, AT_FDCWD, f"{outside}/exchanged".encode(), AT_FDCWD, f"{inside}/exchanged".encode(), RENAME_EXCHANGE)
    return ["exchanged"]


def without_a_name(inside, _):
    file = os.open(inside, os.O_TMPFILE | os.O_WRONLY, 0o600)
    call(LIBC.linkat, AT_FDCWD, f"/proc/self/fd/{file}".encode(), AT_FDCWD, f"{inside}/linked".encode(), AT_SYMLINK_FOLLOW)
    os.close(file)
    return ["linked"]


def tree_moved_in(inside, outside):
    os.makedirs(f"{outside}/tree/a/b/c")
    put(f"{outside}/tree/a/b/c/secret", 0o600)
    put(f"{outside}/tree/a/b/c/plain")
    os.makedirs(f"{outside}/tree/closed/in")
    os.chmod(f"{outside}/tree/closed", 0o700)
    os.rename(f"{outside}/tree", f"{inside}/tree")
    return ["tree/a/b/c/secret", "tree/closed/in"]


def tree_made(inside, _):
    os.makedirs(f"{inside}/made/deep/er")
    put(f"{inside}/made/deep/er/secret", 0o600)
    os.mkdir(f"{inside}/made/shut", 0o700)
    put(f"{inside}/made/shut/file")
    return ["made/deep/er/secret", "made/shut/file"]


def directory_shut(inside, _):
    os.chmod(f"{inside}/open", 0o750)
    return ["open/file", "open/deep", "open/deep/file"]


def prepare_shut(inside, _):
    os.makedirs(f"{inside}/shut/deep")
    put(f"{inside}/shut/file")
    put(f"{inside}/shut/deep/secret", 0o600)
    os.chmod(f"{inside}/shut", 0o700)


def directory_opened(inside, _):
    os.chmod(f"{inside}/shut", 0o755)
    return ["shut/deep/secret"]


def changed_in_a_shut_one(inside, _):
    put(f"{inside}/before/second", 0o600)
    os.chmod(f"{inside}/before/first", 0o600)
    os.chmod(f"{inside}/before", 0o711)
    return ["before/first", "before/second"]


def prepare_changed_in_a_shut_one(inside, outside):
    make(["before/first"])(inside, outside)
    os.chmod(f"{inside}/before", 0o700)


def made_readable(inside, _):
    os.chmod(f"{inside}/readable", 0o644)
    os.chmod(f"{inside}/and-back", 0o644)
    os.chmod(f"{inside}/and-back", 0o600)
    return ["and-back"]


def gone(inside, _):
    os.remove(f"{inside}/gone")
    os.remove(f"{inside}/and-new")
    os.mkdir(f"{inside}/and-new")
    put(f"{inside}/and-new/secret", 0o600)
    return ["and-new/secret"]


def renamed(inside, _):
    os.rename(f"{inside}/old", f"{inside}/new")
    os.symlink("new", f"{inside}/old")
    return ["new/secret", "new/deep/secret"]


def prepare_renamed(inside, _):
    os.makedirs(f"{inside}/old/deep")
    put(f"{inside}/old/secret", 0o600)
    put(f"{inside}/old/deep/secret", 0o600)


STRANGE = [b"two\nlines", b"not\xff\xfeutf-8", b" blank ", b"x" * 255, b"-rf", b"a\\b\"c'$(d)", "ümläut".encode(), b"\x01\x02"]


def strange_names(inside, _):
    hidden = []
    for name in STRANGE:
        os.chmod(inside.encode() + b"/" + name, 0o600)
        os.mkdir(inside.encode() + b"/d" + name[:200])
        put(inside.encode() + b"/d" + name[:200] + b"/" + name, 0o600)
        hidden += [name, b"d" + name[:200] + b"/" + name]
    return hidden


def prepare_strange(inside, _):
    for name in STRANGE:
        put(inside.encode() + b"/" + name)


def link_from_outside(inside, outside):
    """Its name in the layer is never touched."""
    os.link(f"{inside}/one", f"{outside}/link")
    os.chmod(f"{outside}/link", 0o600)
    os.remove(f"{outside}/link")
    return ["one"]


def below_a_mount(inside, outside):
    """A build sees what lies below what is mounted in a layer."""
    os.mkdir(f"{outside}/cover")
    with mounted("--bind", inside, f"{outside}/cover"), mounted("-t", "tmpfs", "none", f"{inside}/covered"):
        os.chmod(f"{outside}/cover/covered/file", 0o600)
        put(f"{outside}/cover/covered/created", 0o600)
    return ["covered/file", "covered/created"]


@contextlib.contextmanager
def mounted(*arguments):
    subprocess.run(["mount", *arguments], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", arguments[-1]], check=True)


WAYS = [
    (make(["chmod"]), chmod), (make(["fchmod"]), chmod_by_descriptor), (None, create), (None, specials), (make(["acl"]), access_list),
    (make(["replaced"]), moved_in), (make(["exchanged"]), exchanged), (None, without_a_name), (None, tree_moved_in), (None, tree_made),
    (make(["open/file", "open/deep/file"]), directory_shut), (prepare_shut, directory_opened),
    (prepare_changed_in_a_shut_one, changed_in_a_shut_one), (make(["readable", "and-back"], 0o600), made_readable),
    (make(["gone", "and-new"], 0o600), gone), (prepare_renamed, renamed), (prepare_strange, strange_names), (make(["one"]), link_from_outside),
    (make(["covered/file"]), below_a_mount),
]


# --- what a build sees

def on_host(inside):
    return {b"." + path.encode(errors="surrogateescape")[len(inside):] for top, directories, files in os.walk(inside)
            for path in (os.path.join(top, name) for name in directories + files)}


def as_bytes(names):
    return {b"./" + (name if isinstance(name, bytes) else name.encode()) for name in names}


# Why a list ends when others are at work on this host; a tree that is too deep for a path is enough.
DISTURBED = ("cannot be followed", "too much happened", "more happens on the host")
TRIES = 4


def undisturbed(test):
    """Then the test says nothing, and is done once more."""
    @functools.wraps(test)
    def repeated(self):
        for left in reversed(range(TRIES)):
            before = len(self.joblet.log())
            try:
                return test(self)
            except AssertionError:
                if left == 0 or not any(reason in self.joblet.log()[before:] for reason in DISTURBED):
                    raise
            self.clear()
        return None
    return repeated


class Watch(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.joblet = channel.Joblet({"joblet": JOBLET, "joblet-init": INIT, "joblet-scratch": SCRATCH, "joblet-api": RELAY,
                                     "joblet-builder": BUILDER}, "buildDiskSize: 512\nmaxBuilds: 3\n")

    @classmethod
    def tearDownClass(cls):
        cls.joblet.remove()

    def setUp(self):
        """The directories of a test in each layer, and the one outside."""
        self.places = [f"{layer}/{MARK}" for layer in LAYERS]
        for path in [OUTSIDE, *self.places]:
            self.addCleanup(shutil.rmtree, path, ignore_errors=True)
            os.mkdir(path, 0o755)
            os.chmod(path, 0o755)
        self.joblet.start()
        self.addCleanup(self.stop)

    def stop(self):
        if self._outcome.result.failures + self._outcome.result.errors:
            print(self.joblet.log()[-4000:])
        self.joblet.stop()
        self.assertEqual(self.joblet.groups(), [])

    def clear(self):
        for path in [OUTSIDE, *self.places]:
            shutil.rmtree(path)
            os.mkdir(path, 0o755)
            os.chmod(path, 0o755)

    def restart(self):
        self.joblet.stop()
        self.joblet.start()

    def found(self):
        """How the masks of each build were found, in order."""
        return re.findall(r'masks found job=\S+ by="?([^"]*?)"? looked_at=(\d+) of=(\d+)', self.joblet.log())

    def begin(self, script):
        build, error = self.joblet.build(["install", script], name=f"w{secrets.token_hex(4)}")
        self.assertEqual(error.code, 0, error)
        return build

    def finish(self, build):
        """What it wrote."""
        ended = self.joblet.end(build)
        text = self.joblet.output(build)
        self.joblet.release(build)
        self.assertEqual((ended.reason, ended.exit_code), (channel.EXITED, 0), (ended, text[-2000:]))
        return text

    def build(self, script=":"):
        return self.finish(self.begin(script))

    def seen(self):
        """Layer → the names below the test's directory in it that a build sees now, and how its masks were found."""
        before = len(self.found())
        names = {}
        for layer, text in re.findall(r"^seen=(\S+) (.*)$", self.build(LIST), re.M):
            names[layer] = names.get(layer, "") + text
        how = self.found()[before:]
        self.assertEqual(len(how), 1, how)
        return {layer: set(bytes.fromhex(text).split(b"\0")) - {b""} for layer, text in names.items()}, how[0][0]

    def check(self, names, places, hidden):
        for inside in places:
            layer = os.path.dirname(inside)
            there, there_on_host = names.get(layer, set()), on_host(inside)
            must = there_on_host - as_bytes(hidden)
            assert as_bytes(hidden) <= there_on_host, "the test hides what is not there"
            assert not there & as_bytes(hidden), f"{layer}: a build sees {sorted(there & as_bytes(hidden))}"
            assert there == must, f"{layer}: missing {sorted(must - there)}, too many {sorted(there - must)}"

    def check_looked(self, hidden, places=None):
        names, how = self.seen()
        self.assertEqual(how, "looking at the list")
        self.check(names, places or [self.places[0]], hidden)

    def listed(self):
        """A build, and another if need be, so that there is a list."""
        for _ in range(2):
            self.build()
            if self.found()[-1][0] == "looking at the list":
                return
        raise AssertionError((self.found()[-3:], re.findall(r"masks are to be found anew.*", self.joblet.log())[-3:]))

    # --- the tests

    @undisturbed
    def test_the_second_build_does_not_walk(self):
        """And both see the same: the whole of a build's root."""
        walked, by_list = (re.findall(r"^sum=.*$", self.build(SUMS), re.M) for _ in range(2))
        (first, first_at, first_of), (second, second_at, second_of) = self.found()[-2:]
        self.assertEqual((first, second), ("walking", "looking at the list"))
        self.assertTrue(first_at == first_of == second_of and int(first_at) > 1000 and int(second_at) * 20 < int(first_at))
        self.assertEqual(len(walked), 5)
        self.assertEqual(walked, by_list)

    @undisturbed
    def test_every_way(self):
        for inside in self.places:
            for prepare, _ in WAYS:
                if prepare:
                    prepare(inside, OUTSIDE)
        self.listed()
        before, how = self.seen()
        self.assertEqual(how, "looking at the list")
        for number, inside in enumerate(self.places):
            hidden = []
            for _, way in WAYS:
                outside = f"{OUTSIDE}/{number}-{way.__name__}"
                os.mkdir(outside)
                hidden += way(inside, outside)
            self.assertLessEqual(as_bytes(["chmod", "shut", "one"]), before[os.path.dirname(inside)])
        names, how = self.seen()
        self.assertEqual(how, "looking at the list")
        self.check(names, self.places, hidden)
        # And a walk says the same.
        self.restart()
        self.assertEqual(self.seen(), (names, "walking"))

    @undisturbed
    def test_links_that_stay(self):
        """Other names of a file that is made unreadable by one of them. Which ones there are nobody can tell: all is walked."""
        for outside in (False, True):
            inside = self.places[outside]
            put(f"{inside}/file")
            self.restart()
            self.listed()
            other = f"{OUTSIDE}/other" if outside else f"{inside}/other"
            os.link(f"{inside}/file", other)
            if outside:
                # A walk that saw one name of two, and then the other one changes.
                self.listed()
            os.chmod(other, 0o600)
            names, how = self.seen()
            self.assertEqual(how, "walking")
            hidden = ["file"] if outside else ["file", "other"]
            self.check(names, [inside], hidden)
            self.check_looked(hidden, [inside])

    @undisturbed
    def test_owners(self):
        """An owner that no build can have is found by the list, too."""
        put(f"{self.places[0]}/file")
        self.restart()
        self.listed()
        os.chown(f"{self.places[0]}/file", 70000, 0)
        build, error = self.joblet.build(["install", ":"])
        if error.code == 0:
            error = self.joblet.end(build).error
        self.assertEqual((error.code, "is above 65535" in error.text), (errno.EOVERFLOW, True), error)
        self.joblet.release(build)
        os.chown(f"{self.places[0]}/file", 0, 0)
        self.check(self.seen()[0], [self.places[0]], [])

    @undisturbed
    def test_overflow(self):
        """More events than the kernel keeps for us, and a secret among them."""
        put(f"{self.places[0]}/file")
        self.restart()
        self.listed()
        for number in range(20000):
            put(f"{OUTSIDE}/{number}")
            if number == 10000:
                os.chmod(f"{self.places[0]}/file", 0o600)
        self.check(self.seen()[0], [self.places[0]], ["file"])
        # As many of the layer's own: a walk is as good.
        self.listed()
        for number in range(6000):
            put(f"{self.places[0]}/{number}", 0o600)
        names, how = self.seen()
        self.assertEqual(how, "walking")
        self.check(names, [self.places[0]], ["file", *map(str, range(6000))])

    @undisturbed
    def test_while_a_walk_is_going_on(self):
        """What happens after the walk was there is in the list that it leaves."""
        stop = threading.Event()
        made = []

        def change():
            while not stop.is_set():
                inside = self.places[len(made) % len(self.places)]
                put(f"{inside}/{len(made)}")
                os.chmod(f"{inside}/{len(made)}", 0o600)
                made.append(inside)
                time.sleep(0.002)

        worker = threading.Thread(target=change)
        worker.start()
        try:
            self.build()
        finally:
            stop.set()
            worker.join()
        self.assertEqual(self.found()[-1][0], "walking")
        self.assertGreater(len(made), 30)
        names, how = self.seen()
        self.assertEqual(how, "looking at the list")
        for inside in self.places:
            self.check(names, [inside], [str(number) for number, place in enumerate(made) if place == inside])

    @undisturbed
    def test_two_builds_at_once(self):
        """Both walk, or one takes the other's list; the next one sees what changed meanwhile either way."""
        put(f"{self.places[0]}/file")
        both = [self.begin(":"), self.begin(":")]
        os.chmod(f"{self.places[0]}/file", 0o600)
        for build in both:
            self.finish(build)
        self.check_looked(["file"])

    @undisturbed
    def test_another_directory_in_a_layers_place(self):
        """Mounted over, and taken away again; changed while it was not there."""
        layer, place = LAYERS[-1], self.places[-1]
        put(f"{place}/file")
        os.makedirs(f"{OUTSIDE}/layer/{MARK}")
        put(f"{OUTSIDE}/layer/{MARK}/secret", 0o600)
        put(f"{OUTSIDE}/layer/{MARK}/plain")
        self.listed()
        with mounted("--bind", f"{OUTSIDE}/layer", layer):
            self.assertEqual(self.seen()[0][layer], as_bytes(["plain"]))
        self.check(self.seen()[0], [place], [])
        self.listed()
        with mounted("--bind", f"{OUTSIDE}/layer", layer):
            os.chmod(f"{OUTSIDE}/layer/{MARK}/plain", 0o600)
        os.chmod(f"{place}/file", 0o600)
        self.check(self.seen()[0], [place], ["file"])

    @undisturbed
    def test_a_disk_of_its_own(self):
        """A layer on another file system that goes and comes back: changed in between, elsewhere."""
        layer = LAYERS[-1]
        image, elsewhere = f"{OUTSIDE}/image", f"{OUTSIDE}/elsewhere"
        os.mkdir(elsewhere)
        subprocess.run(["truncate", "-s", "64M", image], check=True)
        subprocess.run(["mke2fs", "-q", "-t", "ext4", image], check=True)
        loop = subprocess.run(["losetup", "-f", "--show", image], check=True, capture_output=True, text=True).stdout.strip()
        try:
            with mounted(loop, elsewhere):
                os.mkdir(f"{elsewhere}/{MARK}")
                os.chmod(f"{elsewhere}/{MARK}", 0o755)
                put(f"{elsewhere}/{MARK}/file")
                put(f"{elsewhere}/{MARK}/other")
            with mounted(loop, layer):
                self.listed()
                self.assertEqual(self.seen()[0][layer], as_bytes(["file", "other"]))
                subprocess.run(["umount", layer], check=True)  # nothing of ours holds it
                with mounted(loop, elsewhere):
                    os.chmod(f"{elsewhere}/{MARK}/file", 0o600)
                subprocess.run(["mount", loop, layer], check=True)
                self.assertEqual(self.seen()[0][layer], as_bytes(["other"]))
            self.listed()  # the disk is let go, and the watch is one of what is there now
        finally:
            subprocess.run(["losetup", "-d", loop], check=True)

    @undisturbed
    def test_a_restart_has_no_list(self):
        put(f"{self.places[0]}/file")
        self.listed()
        self.joblet.kill()
        os.chmod(f"{self.places[0]}/file", 0o600)
        self.joblet.start()
        names, how = self.seen()
        self.assertEqual(how, "walking")
        self.check(names, [self.places[0]], ["file"])

    @undisturbed
    def test_nothing_is_held_up(self):
        """While a host makes files as fast as it can, jobs start as ever."""
        self.listed()
        stop = threading.Event()

        def churn():
            number = 0
            while not stop.is_set():
                put(f"{OUTSIDE}/{number % 500}-{number}")
                os.remove(f"{OUTSIDE}/{number % 500}-{number}")
                number += 1

        worker = threading.Thread(target=churn)
        worker.start()
        try:
            slowest = 0.0
            for _ in range(20):
                started = time.monotonic()
                job, error = self.joblet.run(["true"])
                self.assertEqual(error.code, 0, error)
                self.joblet.end(job)
                slowest = max(slowest, time.monotonic() - started)
                self.joblet.release(job)
        finally:
            stop.set()
            worker.join()
        # A hundred times what it takes without.
        self.assertLess(slowest, 2)


if __name__ == "__main__":
    channel.run_tests(sys.argv[5:])
