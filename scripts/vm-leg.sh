#!/usr/bin/env bash
# The second leg of the tests: boots Debian's 6.1 cloud kernel with one pure version-2 cgroup hierarchy in a virtual machine
# under software emulation, and runs there, as root, the end-to-end tests marked `vm` with the binaries of the build
# directory (JOBLET_BUILD, build/ otherwise). What the machine's console said is in BUILD/vm-leg.log.
#
# Arguments are handed to pytest. VM_COMMAND runs a shell command there instead. VM_TIMEOUT: seconds, 2400 otherwise.
# VM_DISK: a file with the disk of tests and binaries that is written to and kept; made when it is not there, with the
# directory VM_TREE added. VM_LOG: for the console's words.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
need_root
timeout=${VM_TIMEOUT:-2400}
[ -x "$BUILD/src/joblet/joblet" ] || [ -n "${VM_COMMAND:-}" ] || build_tree "$BUILD"
cache=$("$ROOT/scripts/vm-image.sh")
work=$(mktemp -d "${TMPDIR:-/tmp}/joblet-vm.XXXXXX")
log=${VM_LOG:-$BUILD/vm-leg.log}
disk=${VM_DISK:-$work/tests.img}
mkdir -p "$BUILD"
# Even an interrupted run leaves no machine and no image behind.
trap 'kill "$qemu" 2>/dev/null || true; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
qemu=

make_disk() {
    local tree=$work/tree file
    mkdir -p "$tree/build"
    cp -a "$ROOT/scripts" "$ROOT/tests" "$ROOT/proto" "$ROOT/examples" "$tree/"
    find "$tree" -name __pycache__ -prune -exec rm -rf {} +
    for file in src/joblet/{joblet,joblet-api,joblet-init,joblet-scratch,joblet-builder} src/rnx/rnx tests/e2e/hostile/{hostile,bomb} \
        tests/faults/{joblet-faults,joblet-init-faults} tests/e2e/crash/kill_at tests/bench/bench; do
        [ -x "$BUILD/$file" ] || continue
        mkdir -p "$tree/build/${file%/*}"
        cp "$BUILD/$file" "$tree/build/$file"
    done
    "$ROOT/scripts/stubs.sh" "$tree/stubs"
    [ -z "${VM_TREE:-}" ] || cp -a "$VM_TREE" "$tree/"
    {
        printf 'export JOBLET_BUILD=/joblet/build JOBLET_STUBS=/joblet/stubs\n'
        printf 'VM_PYTEST=%q\nVM_COMMAND=%q\n' "$*" "${VM_COMMAND:-}"
    } >"$tree/vm.env"
    mke2fs -q -t ext4 -L tests -E root_owner=0:0 -d "$tree" "$disk" 512m >/dev/null
    rm -rf "$tree"
}

[ -f "$disk" ] || make_disk "$@"
version=$(cat "$cache/kernel/version")
# The images are not written to, but for a disk that is to be kept: what the machine changes goes to a temporary file that qemu
# has unlinked.
snapshot=on
[ -z "${VM_DISK:-}" ] || snapshot=off
TMPDIR=$work timeout "$timeout" qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m 2048 -nodefaults -no-user-config -display none \
    -no-reboot -kernel "$cache/kernel/root/boot/vmlinuz-$version" -initrd "$cache/initramfs" \
    -append "console=ttyS0 quiet loglevel=4 panic=-1 systemd.unified_cgroup_hierarchy=1 cgroup_no_v1=all" \
    -drive "file=$cache/root.img,format=raw,if=virtio,snapshot=on,cache=unsafe" \
    -drive "file=$disk,format=raw,if=virtio,snapshot=$snapshot,cache=unsafe" \
    -device virtio-rng-pci -serial stdio -monitor none </dev/null >"$log" 2>&1 &
qemu=$!
status=0
wait "$qemu" || status=$?
qemu=

tr -d '\r' <"$log" | grep -v '^VM-RESULT' || true
result=$(tr -d '\r' <"$log" | awk '$1 == "VM-RESULT" {print; exit}')
if [ -z "$result" ]; then
    [ "$status" = 124 ] && die "the virtual machine was stopped after $timeout seconds; its console is in $log"
    die "the virtual machine ended without a result (qemu: $status); its console is in $log"
fi
read -r _ code passed failed skipped <<<"$result"
if [ -n "${JOBLET_TEST_COUNTS:-}" ]; then
    echo "${passed:-0} ${failed:-0} ${skipped:-0}" >"$JOBLET_TEST_COUNTS"
fi
exit "$code"
