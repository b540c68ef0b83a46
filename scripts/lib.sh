# Shared by the scripts; sourced, not run. Sets ROOT (the checkout) and BUILD (the build directory, JOBLET_BUILD or build/).
# shellcheck shell=bash
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck disable=SC2034 # used by the scripts that source this
BUILD=${JOBLET_BUILD:-$ROOT/build}

die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

need_root() {
    [ "$(id -u)" = 0 ] || die "must be run as root: it makes namespaces, cgroups and id ranges"
}

# Colours on a terminal only.
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
    BOLD=$'\033[1m' DIM=$'\033[2m' GREEN=$'\033[32m' RED=$'\033[31m' PLAIN=$'\033[0m'
else
    BOLD='' DIM='' GREEN='' RED='' PLAIN=''
fi
export BOLD DIM GREEN RED PLAIN

# build_tree DIR [meson options...]: configures once, builds; with TARGETS only the targets whose names fit this pattern. Quiet unless
# it fails. Who comes second waits.
build_tree() {
    mkdir -p "$1"
    (flock 8 && build_locked "$@") 8>"$1/.lock"
}

build_locked() {
    local directory=$1 log=$1/build.log targets=()
    shift
    if [ ! -f "$directory/build.ninja" ]; then
        meson setup "$directory" "$ROOT" "$@" >"$log" 2>&1 || { cat "$log" >&2; return 1; }
    fi
    [ -z "${TARGETS:-}" ] ||
        mapfile -t targets < <(ninja -C "$directory" -t targets all | sed -n 's/: .*//p' | grep -E "$TARGETS")
    ninja -C "$directory" "${targets[@]}" >"$log" 2>&1 || { tail -n 60 "$log" >&2; return 1; }
}
