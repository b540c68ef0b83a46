#!/usr/bin/env bash
# Shows Joblet at work on this machine: builds it, starts a throw-away server with its own certificates, runs real jobs, kills
# the service under a running job, shows that the host is as it was, tidies up. Nothing stays but the build directory.
# shellcheck disable=SC2016 # what stands in single quotes is for the jobs' shells
set -euo pipefail
. "$(dirname "$0")/lib.sh"
need_root

work=''
tidy_up() {
    local status=$?
    trap - EXIT
    if [ -n "$work" ]; then
        [ ! -f "$work/env" ] || JOBLET_BUILD=$BUILD "$ROOT/scripts/dev-server.sh" stop "$work" || status=1
        rm -rf "$work"
    fi
    exit "$status"
}
trap tidy_up EXIT
trap 'exit 130' INT TERM

say() { printf '\n%s== %s%s\n' "$BOLD" "$*" "$PLAIN"; }

# show EXPECTED-STATUS COMMAND...: prints the command as a person would type it, runs it, and insists on its exit status.
show() {
    local expected=$1 status=0 word line=''
    shift
    for word in "$@"; do
        [[ $word =~ ^[A-Za-z0-9_./=:-]+$ ]] || word="'$word'"
        line+=" $word"
    done
    printf '%s$ rnx%s%s\n' "$DIM" "$line" "$PLAIN"
    "$RNX" "$@" 2>&1 || status=$?
    [ "$expected" = 0 ] || printf '%s(exit status %s)%s\n' "$DIM" "$status" "$PLAIN"
    [ "$status" = "$expected" ] || die "expected exit status $expected, not $status"
}

# What a job could have changed, as far as one can look in a second.
look_at_host() {
    {
        sha256sum /etc/passwd /etc/group /etc/shadow /etc/hosts /etc/hostname /etc/resolv.conf /var/lib/dpkg/status 2>/dev/null
        find /etc /usr/bin /usr/lib -xdev -newer "$work/start" 2>/dev/null | sort
        awk '{$1 = $2 = ""; print}' /proc/self/mountinfo
        hostname
        sysctl -n kernel.core_pattern net.ipv4.ip_forward user.max_user_namespaces 2>/dev/null
        ls /sys/class/net
    } >"$1"
}

say "Packages and build"
"$ROOT/scripts/deps.sh"
build_tree "$BUILD"
echo "built in ${BUILD#"$ROOT"/}"

# On a disk: the root of jobs cannot lie on a file system in memory.
work=$(mktemp -d /var/tmp/joblet-demo-XXXXXXXX)
chmod 755 "$work"
touch "$work/start"
look_at_host "$work/before"

say "A throw-away server: certificates for four roles, a base root from this host's own files, a free port"
JOBLET_BUILD=$BUILD "$ROOT/scripts/dev-server.sh" start "$work"
set -a
# shellcheck disable=SC1091 # written by dev-server.sh
. "$work/env"
set +a
echo "listens on $JOBLET_ADDRESS; the base root has $(du -sm "$JOBLET_PREFIX/base" | cut -f1) MB"

say "A job"
show 3 job run --follow sh -c 'echo hello from $(hostname), I am $(id -un), process $$; exit 3'

say "It sees nothing of the host and can write nothing but its own places"
show 0 job run --follow sh -c 'touch /etc/x; cat /etc/shadow; ls -A /home /root; echo written > /work/mine && cat /work/mine'
show 0 job run --follow sh -c 'grep -E "^(CapBnd|NoNewPrivs|Seccomp):" /proc/self/status; cat /proc/self/uid_map; ps -e -o pid,user,comm'

say "Limits hold, and the end says why"
show 137 job run --follow --max-memory 32 sh -c 'head -c 200M /dev/zero | tail | wc -c'
show 124 job run --follow --timeout 1s sleep 30
show 127 job run --follow no-such-command

say "A job goes on while the service is killed and comes back"
job=$("$RNX" job run sh -c 'for i in 1 2 3 4 5 6; do echo step $i; sleep 0.5; done' | awk '/^ID:/ {print $2}')
echo "started $job"
kill -KILL "$(cat "$JOBLET_PREFIX/run/joblet.pid")"
echo "killed the service; starting it again"
JOBLET_BUILD=$BUILD "$ROOT/scripts/dev-server.sh" launch "$work"
show 0 job log "${job:0:8}"
show 0 job status "${job:0:8}"

say "A language, built with this host's package manager, without the host noticing"
packages=$(sha256sum </var/lib/dpkg/status)
show 0 runtime build "$ROOT/examples/python"
show 0 job run --follow --runtime=python-3.11 python3 -c 'import numpy, ssl, sys; print(sys.version.split()[0], numpy.arange(3) * 2)'
show 0 runtime list
[ "$packages" = "$(sha256sum </var/lib/dpkg/status)" ] || die "the host's package database has changed"
echo "the host's package database: ${GREEN}no difference${PLAIN}"

say "A reader may look, and no more"
show 0 --node reader job list
show 1 --node reader job run true

say "The host is as it was"
JOBLET_BUILD=$BUILD "$ROOT/scripts/dev-server.sh" stop "$work"
look_at_host "$work/after"
if ! diff "$work/before" "$work/after"; then
    die "the host is not as it was"
fi
echo "accounts, packages, system files, mounts, network links, kernel settings: ${GREEN}no difference${PLAIN}"
if grep -rqs "joblet" /proc/[0-9]*/cgroup && pgrep -f "$work" >/dev/null; then
    die "a process of the demo is still there"
fi
