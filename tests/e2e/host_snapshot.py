#!/usr/bin/python3
"""What a host looks like from outside: processes, mounts, cgroups, links, namespaces, loop devices, nft tables, settings,
files. The tests take it before and after and compare: Joblet must leave the host as it found it.

    host_snapshot.py take FILE
    host_snapshot.py compare FILE [SECONDS]    prints each difference, exit status 1 if there is one; waits up to SECONDS
                                               for what the kernel tears down in the background

A host has a life of its own. So only such processes and cgroups count that can be ours: by program, by id, by name.
JOBLET_BESIDE: a directory; processes of programs in it are those of other tests at the same time."""

import json
import os
import re
import shutil
import subprocess
import sys
import time

# Where `joblet setup` takes its ids from, and where no distribution gives any out.
IDS = range(0x70000000, 0x80000000)
PROGRAMS = {"joblet", "joblet-api", "joblet-init", "joblet-scratch", "joblet-builder", "rnx", "hostile", "bomb"}
SETTINGS = """
kernel/core_pattern kernel/core_uses_pid kernel/modprobe kernel/hostname kernel/domainname kernel/printk kernel/sysrq
kernel/unprivileged_userns_clone kernel/unprivileged_bpf_disabled kernel/yama/ptrace_scope kernel/pid_max kernel/threads-max
kernel/keys/maxkeys fs/suid_dumpable fs/protected_symlinks fs/protected_hardlinks fs/file-max fs/nr_open vm/overcommit_memory
vm/drop_caches vm/swappiness net/ipv4/ip_forward net/ipv4/ip_unprivileged_port_start net/ipv4/ping_group_range
net/ipv6/conf/all/forwarding user/max_user_namespaces user/max_mnt_namespaces user/max_pid_namespaces
user/max_net_namespaces user/max_ipc_namespaces user/max_uts_namespaces user/max_cgroup_namespaces
""".split()
# Every file below is compared by size, owner, mode, inode and time of change.
TREES = ["/etc", "/usr", "/boot", "/var/lib/dpkg"]
# What a Joblet has on a host only while it works, by kind and name. One that worked at the first look may have ended since.
PASSING = {"process": "", "namespace": "", "cgroup": "", "module": "", "mount": r"/(?:var/)?tmp/joblet-", "link": r"jb[0-9a-f]+",
           "loop device": r"loop1\d{4}$", "nft table": r"table \w+ joblet_[0-9a-f]{8}$",
           "file": r"/dev/loop1\d{4}$|/(?:var/)?tmp/joblet-"}
# Only the names in these.
DIRECTORIES = ["/", "/root", "/home", "/srv", "/opt", "/opt/joblet", "/run", "/run/joblet", "/var/lib", "/var/cache", "/var/spool",
               "/var/spool/cron", "/dev", "/dev/shm", "/dev/mqueue", "/run/netns", "/run/systemd/system", "/lib/modules"]


def read(path):
    try:
        with open(path, "rb") as file:
            return file.read().decode(errors="replace").strip()
    except OSError:
        return ""


def is_beside(pid):
    try:
        return "JOBLET_BESIDE" in os.environ and os.readlink(f"/proc/{pid}/exe").startswith(os.environ["JOBLET_BESIDE"] + "/")
    except OSError:
        return False


def processes():
    found, spaces = {}, {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        stat, status = read(f"/proc/{pid}/stat"), read(f"/proc/{pid}/status")
        uid = re.search(r"^Uid:\s+(\d+)", status, re.M)
        if not stat or not uid:
            continue
        name = stat[stat.index("(") + 1:stat.rindex(")")]
        identity = f"{pid} {name} started {stat[stat.rindex(')') + 2:].split()[19]}"
        ours = (name in PROGRAMS or int(uid[1]) in IDS) and not is_beside(pid)
        if ours:
            found[identity] = f"uid {uid[1]}"
        for kind in ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts"):
            try:
                space = os.readlink(f"/proc/{pid}/ns/{kind}")
            except OSError:
                continue
            if ours:
                spaces[space] = "held by a process of Joblet's"
    return found, spaces


def mounts():
    found = {}
    for line in read("/proc/self/mountinfo").splitlines():
        fields = line.split(" ")
        found[fields[4] + " (" + fields[2] + ")"] = " ".join(fields[5:])
    return found


def cgroups():
    own = {line.split(":", 2)[2] for line in read("/proc/self/cgroup").splitlines()} - {"/"}
    found = {}
    for directory, _, _ in os.walk("/sys/fs/cgroup"):
        if "joblet" in directory or any(path + "/" in directory + "/" for path in own):
            found[directory] = ""
    return found


def loops():
    found = {}
    for device in os.listdir("/sys/block"):
        backing = read(f"/sys/block/{device}/loop/backing_file")
        if backing:
            found[device] = backing
    return found


def tables():
    if not shutil.which("nft"):
        return {}
    listed = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=False)
    return {line: "" for line in listed.stdout.splitlines()}


def files():
    found = {}
    for tree in TREES:
        for directory, _, names in os.walk(tree):
            if "__pycache__" in directory:
                continue
            for name in names + [""]:
                path = os.path.join(directory, name)
                try:
                    stat = os.lstat(path)
                except OSError:
                    continue
                # A directory's own times change with what others put into it; the names tell that.
                when = "" if not name else f" changed {stat.st_ctime_ns}"
                size = "" if not name else f" {stat.st_size} bytes"
                found[path] = f"{stat.st_mode:o} {stat.st_uid}:{stat.st_gid} inode {stat.st_ino}{size}{when}"
    for directory in DIRECTORIES:
        try:
            names = os.listdir(directory)
        except OSError:
            continue
        for name in names:
            # Build and package tools of the host come and go there; only our own names count in /tmp.
            found[os.path.join(directory, name)] = found.get(os.path.join(directory, name), "")
    for directory in ("/tmp", "/var/tmp"):
        for name in os.listdir(directory):
            if re.match(r"joblet-(?!check)", name):
                found[os.path.join(directory, name)] = ""
    return found


def keys():
    owners = [line.split()[5] for line in read("/proc/keys").splitlines() if len(line.split()) > 5]
    return {f"keys of {owner}": "" for owner in set(owners) if owner.isdigit() and int(owner) in IDS}


def take():
    ours, spaces = processes()
    return {
        "process": ours,
        "namespace": spaces,
        "mount": mounts(),
        "cgroup": cgroups(),
        "link": {name: read(f"/sys/class/net/{name}/address") for name in os.listdir("/sys/class/net")},
        "loop device": loops(),
        "nft table": tables(),
        "key": keys(),
        "shared memory": {line: "" for kind in ("shm", "sem", "msg") for line in read(f"/proc/sysvipc/{kind}").splitlines()[1:]},
        "setting": {name: read(f"/proc/sys/{name}") for name in SETTINGS},
        "module": {line.split()[0]: "" for line in read("/proc/modules").splitlines()},
        "file": files(),
    }


def compare(before, after):
    """The differences, as texts."""
    found = []
    for kind in after:
        old, new = before.get(kind, {}), after[kind]
        for name in sorted(set(old) | set(new)):
            # What ran before may end; what is new is ours.
            if name not in new and not (kind in PASSING and re.match(PASSING[kind], name)):
                found.append(f"{kind} is gone: {name}")
            elif name in new and name not in old:
                found.append(f"{kind} is new: {name} {new[name]}".rstrip())
            elif name in new and old[name] != new[name] and kind not in ("process", "namespace"):
                found.append(f"{kind} changed: {name}: {old[name]!r} -> {new[name]!r}")
    return found


def compare_wait(before, seconds):
    """As compare(), but gives the kernel time to tear down what it tears down in the background."""
    deadline = time.monotonic() + seconds
    while True:
        found = compare(before, take())
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def main():
    if sys.argv[1:2] == ["take"] and len(sys.argv) == 3:
        with open(sys.argv[2], "w", encoding="utf-8") as file:
            json.dump(take(), file)
    elif sys.argv[1:2] == ["compare"] and len(sys.argv) in (3, 4):
        with open(sys.argv[2], encoding="utf-8") as file:
            found = compare_wait(json.load(file), float(sys.argv[3]) if len(sys.argv) == 4 else 5)
        print("\n".join(found[:50]), end="\n" if found else "")
        sys.exit(1 if found else 0)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
