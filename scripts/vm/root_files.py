#!/usr/bin/python3
"""Lists the files of the virtual machine's root: those of the named packages, of all that they depend on and of Debian's
essential ones, as this machine has them. Prints paths for tar, one per line; --key prints what the list depends on instead."""

import os
import re
import subprocess
import sys

WANTED = """
bash coreutils grep sed mawk findutils tar gzip bzip2 xz-utils util-linux mount procps iproute2 openssl ca-certificates tzdata
ncurses-base libc-bin netbase python3 python3-grpcio python3-protobuf python3-pytest libnghttp2-14 libprotobuf-c1 libssl3
libuv1 libsqlite3-0 libyaml-0-2 libjansson4 libseccomp2 libcap2 libelf1 libcmocka0 e2fsprogs libnftables1 busybox-static perl-base
""".split()
LEFT_OUT = re.compile(r"^/usr/share/(doc|man|locale|info|lintian|bug|doc-base|bash-completion)(/|$)|/__pycache__(/|$)|^/boot(/|$)")
# What packages' scripts made, and what no package owns.
MADE = ["/etc/alternatives", "/etc/ssl/certs", "/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/etc/ld.so.cache",
        "/etc/localtime", "/bin", "/sbin", "/lib", "/lib64", "/usr/bin/awk", "/usr/bin/python3"]


def installed():
    packages, provides = {}, {}
    output = subprocess.run(["dpkg-query", "-W", "-f=${Package}\t${binary:Package}\t${Version}\t${Essential}\t${Provides}\t"
                             "${Pre-Depends}, ${Depends}\t${db:Status-Status}\n"], check=True, capture_output=True, text=True)
    for line in output.stdout.splitlines():
        name, binary, version, essential, provided, depends, status = line.split("\t")
        if status != "installed" or name in packages:
            continue
        packages[name] = (binary, version, essential == "yes", depends)
        for other in filter(None, re.split(r",\s*", provided)):
            provides.setdefault(other.split(" ")[0], name)
    return packages, provides


def closure(packages, provides):
    found, open_ones = set(), WANTED + [name for name, package in packages.items() if package[2]]
    missing = [name for name in WANTED if name not in packages]
    if missing:
        sys.exit("not installed: " + " ".join(missing) + " (scripts/deps.sh --tests installs them)")
    while open_ones:
        name = open_ones.pop()
        if name in found:
            continue
        found.add(name)
        for group in filter(None, re.split(r"\s*,\s*", packages[name][3])):
            for choice in group.split("|"):
                other = re.split(r"[\s:(]", choice.strip())[0]
                other = other if other in packages else provides.get(other)
                if other:
                    open_ones.append(other)
                    break
    return sorted(found)


def main():
    packages, provides = installed()
    names = closure(packages, provides)
    if sys.argv[1:] == ["--key"]:
        print("\n".join(f"{name} {packages[name][1]}" for name in names))
        return
    paths = set(MADE)
    listed = subprocess.run(["dpkg-query", "-L"] + [packages[name][0] for name in names], check=True, capture_output=True, text=True)
    for path in listed.stdout.splitlines():
        if path.startswith("/") and path != "/." and not LEFT_OUT.search(path):
            paths.add(path)
    for path in sorted(paths):
        if os.path.lexists(path) and path != "/.":
            # By the real name of the directory, so that /lib/x of a package lies where /usr/lib/x does.
            print(os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path)).lstrip("/"))


main()
