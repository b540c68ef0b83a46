#!/usr/bin/env bash
# Installs the Debian packages that Joblet is built from (and with --tests: tested with). Knows what is already there: when
# nothing is missing it calls no package manager and needs no network.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

build=(gcc libc6-dev meson ninja-build pkg-config protobuf-c-compiler libprotobuf-c-dev libnghttp2-dev libssl-dev libuv1-dev
    libsqlite3-dev libyaml-dev libjansson-dev libseccomp-dev libelf-dev libnftables-dev libcmocka-dev git ca-certificates)
# openssl, iproute2, procps: used by the demo and by the base root. e2fsprogs: formats the /work of jobs.
run=(openssl e2fsprogs iproute2 procps bash coreutils grep sed mawk findutils tar gzip util-linux)
tests=(clang clang-format clang-tidy cppcheck libclang-rt-14-dev libcap2-bin busybox-static shellcheck python3 python3-grpcio
    python3-grpc-tools python3-pytest qemu-system-x86 cpio xz-utils kmod nftables)
bench=(bubblewrap runc podman systemd-container)

wanted=("${build[@]}" "${run[@]}")
for argument in "$@"; do
    case $argument in
    --tests) wanted+=("${tests[@]}") ;;
    --bench) wanted+=("${bench[@]}") ;;
    *) die "unknown argument '$argument'; known are --tests and --bench" ;;
    esac
done

command -v dpkg-query >/dev/null || die "this script knows Debian's packages only; install by hand: ${wanted[*]}"
missing=()
for package in "${wanted[@]}"; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

[ "$(id -u)" = 0 ] || die "must be root to install: ${missing[*]}"
echo "Installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -q >/dev/null
apt-get install -y -q --no-install-recommends "${missing[@]}" >/dev/null
