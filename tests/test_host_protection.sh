#!/bin/sh
# What a sandbox can see of the host's protection, from inside. It prints TAP (testanything.org), each line with the promise
# of docs/SECURITY.md that it belongs to:
#
#     ok 12 - P4 mounts: the root is read-only
#
# What a missing tool would have found or tried is no "ok": the line ends with "# SKIP no TOOL", and the exit status is 1.
#
# It runs in a job (`rnx job run --follow sh -c "$(cat tests/test_host_protection.sh)"`) and in a build, as setup.sh of
# examples/host-protection. `joblet verify` runs it in both, and looks from outside meanwhile, because a sandbox may lie.
#
# It only looks. It writes where a job or a build may write, removes that again, and elsewhere it tries only what would
# change nothing if it were not refused: files are opened for writing and closed. POSIX sh and the tools of the base root.

number=0
failed=0
tmp=${TMPDIR:-/tmp}
scratch=$tmp/host-protection-$$

# In the place of a tool that is not there stands a function that notes its name, wherever in a row it is called.
tools="awk bash cat cut find grep head id ls mkdir mknod readlink rm sed tail tee timeout tr wc"
missing=
note() { echo "$1" >>"$scratch.missing" && return 127; }
for tool in $tools; do
    command -v "$tool" >/dev/null 2>&1 && continue
    missing="$missing $tool"
    eval "$tool() { note $tool; }"
done

# lacks: true when the row before wanted a tool that is not there; sets $tool.
lacks() {
    tool=
    if [ -n "$missing" ] && [ -s "$scratch.missing" ]; then
        read -r tool <"$scratch.missing"
        : >"$scratch.missing"
    fi
    [ -n "$tool" ]
}
# report PROMISE TEXT SEEN STATUS
report() {
    number=$((number + 1))
    if lacks; then
        failed=$((failed + 1))
        echo "ok $number - $1 $2 # SKIP no $tool"
    elif [ "$4" -eq 0 ]; then
        echo "ok $number - $1 $2"
    else
        failed=$((failed + 1))
        echo "not ok $number - $1 $2"
        printf '%s' "$3" | head -n 5 | cut -c 1-200 | sed 's/^/#   /'
        echo
    fi
}
# holds PROMISE TEXT COMMAND...: the command must succeed.
holds() {
    promise=$1 text=$2
    shift 2
    seen=$("$@" 2>&1)
    report "$promise" "$text" "$seen" $?
}
# none PROMISE TEXT COMMAND...: the command must print nothing on standard output.
none() {
    promise=$1 text=$2
    shift 2
    seen=$("$@" 2>/dev/null)
    [ -z "$seen" ]
    report "$promise" "$text" "$seen" $?
}
# refused PROMISE TEXT COMMAND...: the command must fail.
refused() {
    promise=$1 text=$2
    shift 2
    seen=$("$@" 2>&1) && seen="succeeded: $* $seen" && set -- yes || set -- no
    [ "$1" = no ]
    report "$promise" "$text" "$seen" $?
}
equal() { echo "'$1', not '$2'"; [ "$1" = "$2" ]; }
has() { command -v "$1" >/dev/null 2>&1; }
no_command() { ! command -v "$1"; }
opens_for_writing() { (: >>"$1"); }
field() { sed -n "s/^$1:[[:space:]]*//p" /proc/self/status; }
# Of mountinfo: the options of the mount at $1, one per line.
options_of() { awk -v at="$1" '$5 == at { print $6 }' /proc/self/mountinfo | tr , '\n'; }
has_option() { options_of "$1" | tee /dev/stderr | grep -qx "$2"; }
files_below() { find "$@" -xdev -type f 2>/dev/null | head -n 3; }
can_write() { echo x >"$1/.host-protection-$$" && rm "$1/.host-protection-$$"; }

mode=job
[ -n "${BUILD_ID:-}" ] && mode=build
echo "TAP version 13"
echo "# host protection, seen from inside a $mode"

# --- 1. environment

complete() { for tool in $missing; do "$tool"; done; }
holds P5 "environment: the tools that this looks with are there" complete
uuid() { echo "${JOB_ID:-}" | grep -Eq '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'; }
holds P5 "environment: JOB_ID is set" uuid
holds P5 "environment: JOBLET_CHROOT is true" equal "${JOBLET_CHROOT:-}" true
if [ $mode = job ]; then
    holds P1 "environment: JOB_TYPE says that this is a job" equal "${JOB_TYPE:-}" standard
else
    holds P1 "environment: JOB_TYPE says that this is a build" equal "${JOB_TYPE:-}" runtime-build
    holds P5 "environment: BUILD_ID is JOB_ID" equal "$BUILD_ID" "${JOB_ID:-}"
    holds P5 "environment: RUNTIME_DIR is that of the runtime" equal "${RUNTIME_DIR:-}" \
        "/opt/joblet/runtimes/${RUNTIME_NAME:-}/${RUNTIME_VERSION:-}"
fi
holds P4 "environment: TMPDIR is this sandbox's own" equal "${TMPDIR:-}" "/tmp/job-${JOB_ID:-}"
holds P3 "environment: process 1 is joblet-init" equal "$(cat /proc/1/comm)" joblet-init
few_processes() { ls -d /proc/[0-9]* | wc -l | { read -r count; echo "$count processes"; [ "$count" -lt 20 ]; }; }
holds P3 "environment: no process of the host is seen" few_processes

# --- 2. /opt/joblet

if [ $mode = job ]; then
    none P3 "exclusion: /opt/joblet is empty or not there" ls -A /opt/joblet
else
    entries() { ls -A /opt/joblet | grep -vx runtimes; }
    none P3 "exclusion: /opt/joblet has the runtimes alone" entries
    others() { ls -A /opt/joblet/runtimes | grep -vx -e "$RUNTIME_NAME" -e "$RUNTIME_TYPE"; }
    none P3 "exclusion: /opt/joblet/runtimes has this runtime alone" others
fi
configurations() { find / -xdev \( -name joblet-config.yml -o -name 'rnx-config*.yml' -o -name joblet.db \) 2>/dev/null | head -n 3; }
none P3 "exclusion: no configuration, key or database of the service" configurations
none P3 "exclusion: no other job's files" ls -A /opt/joblet/jobs /opt/joblet/state /opt/joblet/config

# --- 3. file systems

none P3 "isolation: /home, /root, /srv, /boot and /mnt hold no file" files_below /home /root /srv /boot /mnt
hashes() { grep -h ':[$][0-9a-z]*[$]' /etc/shadow /etc/gshadow /etc/shadow- /etc/gshadow- | cut -d: -f1; }
none P3 "isolation: no hash of a password" hashes
for link in root cwd exe; do
    refused P3 "isolation: /proc/1/$link does not lead out" readlink "/proc/1/$link"
done
refused P3 "isolation: the environment of process 1 is closed" head -c 1 /proc/1/environ
masked() { for file in kcore keys key-users timer_list sched_debug kallsyms; do head -c 16 "/proc/$file"; done | tr '\0' x; }
none P3 "isolation: what /proc knows of the machine's secrets is masked" masked
none P3 "isolation: /sys is empty" ls -A /sys
devices() { find /dev -xdev \( -type b -o -type c \) | grep -vxE '/dev/(null|zero|full|random|urandom|tty)'; }
none P2 "isolation: no device but the six private ones" devices
id_map() { awk '{ print } $2 == 0 || $3 != 65536 { bad = 1 } END { exit bad || NR != 1 }' /proc/self/uid_map; }
holds P2 "isolation: ids are a range of this sandbox's own" id_map
if [ $mode = job ]; then
    holds P2 "isolation: the user is nobody" equal "$(id -u)" 65534
fi
none P3 "isolation: no supplementary group" field Groups
none P3 "isolation: no object of System V of the host" sed -s 1d /proc/sysvipc/shm /proc/sysvipc/sem /proc/sysvipc/msg
abstract() { grep -c '@' /proc/net/unix | grep -vx 0; }
none P3 "isolation: no abstract socket of the host" abstract
sockets() { find /run /var/run/ /tmp -type s 2>/dev/null | head -n 3; }
none P3 "isolation: no socket of a service of the host" sockets
links() { tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' ' | grep -vx -e lo; }
if [ $mode = job ]; then
    none P3 "isolation: no link of the network but loopback" links
fi
metadata() {
    case "$missing " in *" bash "*) bash ;; esac
    timeout 5 bash -c ': <>/dev/tcp/169.254.169.254/80' 2>&1 | tee /dev/stderr | grep -q -e unreachable -e 'No route'
}
holds P3 "isolation: the cloud's metadata service is unreachable" metadata

# --- 4. package managers

if [ $mode = job ]; then
    for manager in apt-get dpkg dnf rpm apk; do
        holds P1 "packages: there is no $manager" no_command $manager
    done
elif has dpkg-deb; then
    policy() { /usr/sbin/policy-rc.d ssh start; [ $? -eq 101 ]; }
    holds P2 "packages: no service is started" policy
    holds P2 "packages: the package database is an overlay's" equal \
        "$(awk '$5 == "/var/lib/dpkg" { print $(NF - 2) }' /proc/self/mountinfo)" overlay
    # A package of our own, made here: installing is seen to work without a network.
    install_package() {
        mkdir -p "$scratch/package/DEBIAN" "$scratch/package/usr/share/joblet-host-protection" &&
            printf 'Package: joblet-host-protection\nVersion: 1\nArchitecture: all\nMaintainer: nobody <nobody@localhost>\nDescription: made by a test\n' \
                >"$scratch/package/DEBIAN/control" &&
            dpkg-deb --build "$scratch/package" "$scratch/package.deb" && dpkg -i "$scratch/package.deb" &&
            dpkg -s joblet-host-protection
    }
    holds P4 "packages: one is installed into the throw-away root" install_package
    remove_package() { dpkg -P joblet-host-protection && rm -rf "$scratch"; }
    holds P4 "packages: and removed" remove_package
fi

# --- 5. mounts

if [ $mode = job ]; then
    holds P4 "mounts: the root is read-only" has_option / ro
    writable() {
        awk '$6 ~ /^rw/ && $5 !~ "^/(work|tmp|proc|dev/(shm|pts|mqueue)|volumes/.*)$" { print $5 }' /proc/self/mountinfo
    }
    none P4 "mounts: only the named places are writable" writable
else
    foreign() {
        awk '{ type = $0; sub(/.* - /, "", type); split(type, word, " ")
            if (!($5 == "/" && word[2] ~ /loop/) && word[1] !~ /^(overlay|proc|tmpfs|devpts|mqueue)$/) print $5, type }' \
            /proc/self/mountinfo
    }
    none P4 "mounts: all that is written goes to a disk that is thrown away" foreign
fi
for option in nosuid nodev; do
    holds P2 "mounts: the root is $option" has_option / $option
done
without() { awk '$6 !~ /nosuid/ { print $5 }' /proc/self/mountinfo; }
none P2 "mounts: set-id bits count nowhere" without
holds P2 "mounts: /proc/sys is read-only" has_option /proc/sys ro
propagating() { awk '$7 != "-" { print $5 }' /proc/self/mountinfo; }
none P2 "mounts: none propagates" propagating
limited() { awk '$5 == "/tmp" || $5 == "/dev/shm" { print $5, $NF }' /proc/self/mountinfo | grep -v 'size='; }
none P8 "mounts: what lies in memory has a size" limited
mount_refused() {
    mkdir -p "$scratch" && ! { mount -t tmpfs none "$scratch" && umount "$scratch"; }
}
if has mount && has umount; then
    holds P4 "mounts: a new one is refused" mount_refused
fi
if has unshare; then
    refused P2 "mounts: a namespace of its own is refused" unshare -m true
    refused P2 "mounts: a user namespace is refused" unshare -U true
fi

# --- 6. writing

# Without it another fence says "not permitted".
landlock() { mknod "$tmp/node" b 1 1 2>&1 | tee /dev/stderr | grep -q 'Permission denied'; }
if [ $mode = job ]; then
    for directory in / /etc /usr /usr/bin /bin /lib /sbin /opt /var /var/lib /root /home /run; do
        refused P4 "writing: $directory is closed" can_write $directory
    done
    for directory in /work /tmp "$tmp" /dev/shm; do
        holds P4 "writing: $(echo "$directory" | sed 's/-.*//') is open" can_write "$directory"
    done
    holds P4 "writing: Landlock refuses what it does not grant" landlock
else
    for directory in /etc /usr/bin /var/lib/dpkg /opt/joblet/runtimes "$RUNTIME_DIR"; do
        holds P4 "writing: $(echo "$directory" | sed "s,$RUNTIME_NAME.*,this,") is a copy of the build's own" can_write "$directory"
    done
    holds P4 "writing: Landlock refuses what it does not grant" landlock
fi
for node in "b 1 1" "c 1 1"; do
    # shellcheck disable=SC2086 # three words
    refused P2 "writing: no device node can be made ($node)" mknod "$tmp/node" $node
done
for setting in kernel/core_pattern kernel/modprobe kernel/hostname vm/drop_caches net/ipv4/ip_forward; do
    refused P2 "writing: the setting $setting is closed" opens_for_writing /proc/sys/$setting
done
refused P2 "writing: /proc/sysrq-trigger is closed" opens_for_writing /proc/sysrq-trigger
raised() { grep -hvx 0 /proc/sys/user/max_*_namespaces; }
none P2 "writing: no namespace may be made in this one" raised
holds P2 "writing: no new privileges" equal "$(field NoNewPrivs)" 1
holds P2 "writing: system calls are filtered" equal "$(field Seccomp)" 2
rights=0000000000000000
[ $mode = build ] && rights=00000000800400fb
for set in CapPrm CapEff CapBnd; do
    holds P2 "writing: capabilities are as promised ($set)" equal "$(field $set)" $rights
done
for set in CapInh CapAmb; do
    holds P2 "writing: no capability is handed down ($set)" equal "$(field $set)" 0000000000000000
done
holds P2 "writing: no core handler of the host is run" equal "$(awk '/^Max core/ { print $5 $6 }' /proc/self/limits)" 11
groups() { find / -xdev -name cgroup.procs 2>/dev/null | head -n 1; cut -d: -f3 /proc/self/cgroup | grep -vx /; }
none P3 "writing: no control group is in reach or named" groups

# --- 7. clean-up

old() { find "$tmp" /dev/shm /dev/mqueue -mindepth 1 2>/dev/null | grep -v "^$scratch"; }
none P7 "clean-up: nothing of an earlier sandbox is in $(echo "$tmp" | cut -c 1-8), /dev/shm and /dev/mqueue" old
rm -rf "$scratch" "$scratch.missing"
left() { find / -xdev -name "*host-protection-$$*" 2>/dev/null; find /tmp /work /dev/shm -name "*host-protection-$$*" 2>/dev/null; }
none P7 "clean-up: nothing of this test is left" left

[ -z "$missing" ] || rm -f "$scratch.missing"

echo "1..$number"
[ "$failed" -eq 0 ] && exit 0
exit 1
