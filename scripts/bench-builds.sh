#!/usr/bin/env bash
# Measures builds of a runtime beside the same packages installed in a plain chroot on an overlay of this host and in a container of
# systemd-nspawn over the same host, in one run, one after the other in each round: first with nothing downloaded, then with
# everything downloaded. Needs the package sources. buildah has no view of the host that it runs on: it would need an image of it.
#
#   bench-builds.sh [ROUNDS]    3 otherwise
#
# It is no test: nothing fails because a number is large. A peer that is not installed is said to be absent.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
need_root
rounds=${1:-3}
BUILD=${JOBLET_BUILD:-$ROOT/build-bench}
export JOBLET_BUILD=$BUILD
"$ROOT/scripts/deps.sh" --bench
TARGETS='^src/' build_tree "$BUILD" --buildtype=release

work=$(mktemp -d /var/tmp/joblet-bench-XXXXXXXX)
chmod 755 "$work"
tidy_up() {
    local status=$?
    trap - EXIT
    [ ! -f "$work/env" ] || "$ROOT/scripts/dev-server.sh" stop "$work" || status=1
    leave_chroot
    umount "$work/overlay" 2>/dev/null || true
    # What is still mounted below is the host's, its /dev for one: nothing is removed through that.
    if awk -v below="$work/" 'index($5, below) == 1 {found = 1} END {exit !found}' /proc/self/mountinfo; then
        echo "something is still mounted below $work: it stays, remove it by hand" >&2
        exit 1
    fi
    rm -rf --one-file-system "$work"
    exit "$status"
}
trap tidy_up EXIT
trap 'exit 130' INT TERM

title() { printf '\n%s%s%s\n' "$BOLD" "$*" "$PLAIN"; }
row() { printf '  %-58s %s%s\n' "$1" "$2" "${3:+   (goal: $3)}"; }
now() { date +%s%N; }
median() { sort -n | awk '{seen[NR] = $1} END {print seen[int((NR + 1) / 2)]}'; }
seconds() { awk '{printf "%.2f s", $1 / 1e9}' <<<"$1"; }
milliseconds() { awk '{printf "%.1f ms", $1 / 1e6}' <<<"$1"; }

# Packages that no host has by chance, with maintainer scripts; what a build of Python installs is in both.
specification() {
    cat <<END_SPEC
schema_version: "1.0"
name: $1
version: 1.0.0
description: measured
base: {language: python, version: "3.11"}
END_SPEC
}
packages=(python3.11 python3.11-dev python3.11-venv python3-pip libssl-dev zlib1g-dev libffi-dev)

# --- the peer: an overlay of this host, chroot, nothing else

enter_chroot() {
    mkdir -p "$work/overlay/upper" "$work/overlay/work" "$work/chroot"
    mount -t overlay overlay -o "lowerdir=/,upperdir=$work/overlay/upper,workdir=$work/overlay/work" "$work/chroot"
    mount -t proc proc "$work/chroot/proc"
    mount -t devtmpfs dev "$work/chroot/dev" 2>/dev/null || mount --bind /dev "$work/chroot/dev"
    printf '#!/bin/sh\nexit 101\n' >"$work/chroot/usr/sbin/policy-rc.d"
    chmod 755 "$work/chroot/usr/sbin/policy-rc.d"
    rm -f "$work/chroot/etc/apt/apt.conf.d/docker-clean"
}
leave_chroot() {
    local place
    for place in proc dev ''; do
        ! mountpoint -q "$work/chroot/$place" 2>/dev/null || umount "$work/chroot/$place"
    done
    rm -rf "$work/overlay/upper" "$work/overlay/work"
}
# in_chroot ARCHIVES: the time of installing, with the downloads of that directory.
in_chroot() {
    local start
    enter_chroot
    mount --bind "$1" "$work/chroot/var/cache/apt/archives"
    start=$(now)
    DEBIAN_FRONTEND=noninteractive chroot "$work/chroot" apt-get -y -q --no-install-recommends \
        -o Dpkg::Options::=--force-unsafe-io -o APT::Keep-Downloaded-Packages=true install "${packages[@]}" >"$work/chroot.log" 2>&1
    echo $(($(now) - start))
    umount "$work/chroot/var/cache/apt/archives"
    leave_chroot
}

# --- another one: systemd-nspawn, its changes in memory. It refuses the host's root directory by its own name. The other name is in a
# mount namespace of this call alone: here $work/host is an empty directory, whatever happens, and can be removed.

nspawn() {
    # shellcheck disable=SC2016 # expanded by that shell
    unshare --mount --propagation private sh -c 'mount --bind -o ro / "$0" && exec "$@"' "$work/host" \
        systemd-nspawn --quiet --register=no --keep-unit --link-journal=no --volatile=overlay --resolv-conf=copy-host \
        --directory="$work/host" --pipe "$@"
}
has_nspawn() {
    command -v systemd-nspawn >/dev/null && nspawn /bin/true >"$work/nspawn.log" 2>&1
}
# in_nspawn ARCHIVES
in_nspawn() {
    local start
    start=$(now)
    nspawn --bind="$1:/var/cache/apt/archives" --setenv=DEBIAN_FRONTEND=noninteractive /bin/sh -c '
        printf "#!/bin/sh\nexit 101\n" >/usr/sbin/policy-rc.d && chmod 755 /usr/sbin/policy-rc.d
        rm -f /etc/apt/apt.conf.d/docker-clean
        exec apt-get -y -q --no-install-recommends -o Dpkg::Options::=--force-unsafe-io -o APT::Keep-Downloaded-Packages=true install "$@"' \
        sh "${packages[@]}" >"$work/nspawn.log" 2>&1 || { tail -n 20 "$work/nspawn.log" >&2; return 1; }
    echo $(($(now) - start))
}
first_of_nspawn() {
    local start
    start=$(now)
    nspawn /bin/true >/dev/null 2>&1
    echo $(($(now) - start))
}

# --- ours

build() {
    local start
    start=$(now)
    "$RNX" runtime build "$@" >"$work/build.log" 2>&1 || { cat "$work/build.log" >&2; return 1; }
    echo $(($(now) - start))
}
# The time until the builder's first line, from the call on.
first_line() {
    local start
    start=$(now)
    "$RNX" runtime build --dry-run --verbose "$1" 2>/dev/null | {
        while read -r line; do
            case $line in *'step '*) break ;; esac
        done
        echo $(($(now) - start))
        cat >/dev/null
    }
}
forget_downloads() { "$JOBLET" --prefix "$JOBLET_PREFIX" gc --run --max-size 0 >/dev/null; }

# The overlay of the peer needs a file system that is none itself, and our own disk would be charged for it twice.
truncate -s 8G "$work/overlay.img"
mke2fs -q -t ext4 "$work/overlay.img"
mkdir "$work/overlay"
mount -o loop "$work/overlay.img" "$work/overlay"

JOBLET_BUILD=$BUILD "$ROOT/scripts/dev-server.sh" start "$work" >/dev/null
set -a
# shellcheck disable=SC1091 # written by dev-server.sh
. "$work/env"
set +a
specification bench >"$work/bench.yaml"
mkdir "$work/archives" "$work/host"
peer=1
has_nspawn || peer=''

title "Builds of Python 3.11, $rounds rounds, load $(cut -d' ' -f1 /proc/loadavg)"
for _ in $(seq "$rounds"); do
    forget_downloads
    rm -rf "$work/archives" && mkdir -p "$work/archives/partial"
    in_chroot "$work/archives" >>"$work/chroot.cold"
    build --force "$work/bench.yaml" >>"$work/ours.cold"
    in_chroot "$work/archives" >>"$work/chroot.warm"
    if [ -n "$peer" ]; then
        in_nspawn "$work/archives" >>"$work/nspawn.warm"
        first_of_nspawn >>"$work/nspawn.first"
    fi
    "$RNX" runtime remove bench >/dev/null
    build --force "$work/bench.yaml" >>"$work/ours.warm"
    build "$work/bench.yaml" >>"$work/ours.hit"
    first_line "$work/bench.yaml" >>"$work/ours.first"
done
for kind in cold warm; do
    ours=$(median <"$work/ours.$kind") plain=$(median <"$work/chroot.$kind")
    row "$kind downloads: a finished runtime" "$(seconds "$ours"), $(awk -v a="$ours" -v b="$plain" 'BEGIN {printf "%.2f", a / b}') times the chroot" \
        "cold: 1.1 times"
    row "$kind downloads: the packages in a plain chroot" "$(seconds "$plain")"
done
if [ -n "$peer" ]; then
    row "warm downloads: the packages in systemd-nspawn, in memory" "$(seconds "$(median <"$work/nspawn.warm")")"
else
    row "systemd-nspawn" "absent, or does not work here: $(tr '\n' ' ' <"$work/nspawn.log" 2>/dev/null | cut -c 1-160)"
fi
row "the same again, from the store (rnx as a whole process)" "$(milliseconds "$(median <"$work/ours.hit")")" "50 ms"
row "the builder's first line (rnx as a whole process)" "$(milliseconds "$(median <"$work/ours.first")")" "20 ms"
[ -z "$peer" ] || row "the first command of systemd-nspawn" "$(milliseconds "$(median <"$work/nspawn.first")")"
runtime=$JOBLET_PREFIX/runtimes/bench/1.0.0
row "size of the runtime, of its manifest" "$(du -sm "$runtime/isolated" | cut -f1) MB in $(find "$runtime/isolated" | wc -l) entries, $(du -k "$runtime/manifest" | cut -f1) KB"
