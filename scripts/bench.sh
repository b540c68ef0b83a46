#!/usr/bin/env bash
# Measures Joblet on this machine, beside unshare, bubblewrap, runc and podman in the same run, with the goals next to what was
# seen. Durations are medians and 99th percentiles. A peer that does not work here is said to, with its own words.
#
#   bench.sh          everything
#   bench.sh quick    a tenth of the rounds
#   bench.sh builds   builds of runtimes alone, beside a chroot and systemd-nspawn: bench-builds.sh
#
# It is no test: nothing fails because a number is large. Built without sanitizers, optimised, in BUILD (build-bench/).
set -euo pipefail
. "$(dirname "$0")/lib.sh"
need_root
[ "${1:-}" != builds ] || exec "$ROOT/scripts/bench-builds.sh"
rounds=200 jobs=1000 sleepers=500 bytes=1000000000
if [ "${1:-}" = quick ]; then rounds=20 jobs=100 sleepers=50 bytes=100000000; fi

BUILD=${JOBLET_BUILD:-$ROOT/build-bench}
export JOBLET_BUILD=$BUILD
"$ROOT/scripts/deps.sh" --bench
TARGETS='^(src/|tests/(bench|e2e/hostile)/|tests/unit/init/sandbox_run$)' build_tree "$BUILD" --buildtype=release
bench=$BUILD/tests/bench/bench

work=$(mktemp -d /var/tmp/joblet-bench-XXXXXXXX)
tidy_up() {
    local status=$?
    trap - EXIT
    podman --root "$work/podman" --runroot "$work/podman-run" rm -fa >/dev/null 2>&1 || true
    [ ! -f "$work/env" ] || "$ROOT/scripts/dev-server.sh" stop "$work" || status=1
    umount "$work/podman/overlay" 2>/dev/null || true
    rm -rf "$work"
    exit "$status"
}
trap tidy_up EXIT
trap 'exit 130' INT TERM

"$ROOT/scripts/dev-server.sh" start "$work"
set -a
# shellcheck disable=SC1091 # written by dev-server.sh
. "$work/env"
set +a

title() { printf '\n%s%s%s\n' "$BOLD" "$*" "$PLAIN"; }
# row WHAT SEEN [GOAL]
row() { printf '  %-46s %s%s\n' "$1" "$2" "${3:+   (goal: $3)}"; }
# "MEDIAN P99" in microseconds, as milliseconds.
milliseconds() { awk '{printf "median %7.2f ms, p99 %7.2f ms", $1 / 1000, $2 / 1000}' <<<"$1"; }
ratio() { awk -v a="${1% *}" -v b="${2% *}" 'BEGIN {printf "%.2f", a / b}'; }
own=''
# peer NAME COMMAND...: one row; with $own, how many times as long as ours.
peer() {
    local name=$1 seen
    shift
    if seen=$("$bench" exec "$rounds" "$@" 2>"$work/peer.err"); then
        row "$name" "$(milliseconds "$seen")${own:+, $(ratio "$seen" "$own") times ours}"
    else
        row "$name" "does not work here: $(tr '\n' ' ' <"$work/peer.err" | cut -c 1-160)"
    fi
}

# A bundle of the same root for runc and podman, owned by root as they expect it.
rootfs=$work/bundle/rootfs
mkdir "$work/bundle"
cp -a "$JOBLET_PREFIX/base" "$rootfs"
chown -R --no-dereference 0:0 "$rootfs"
(cd "$work/bundle" && runc spec && sed -i 's/"terminal": true/"terminal": false/; s/"sh"/"true"/' config.json) 2>/dev/null || true
# shellcheck disable=SC2016 # for the other shell
runc_once='exec runc --root "$0/runc" run --bundle "$0/bundle" "bench-$$"'
# podman with what it needs where it may not raise limits, and where crun does not know the control groups.
podman=(podman --root "$work/podman" --runroot "$work/podman-run")
podman_run=(run --rm --network=none --log-driver=none)
ulimits=(--ulimit=nofile=1024:1024 --ulimit=nproc=1024:1024)
podman_works() { "${podman[@]}" "${podman_run[@]}" --rootfs "$rootfs" true >/dev/null 2>&1; }
podman_works || podman_run+=("${ulimits[@]}")
podman_works || podman+=(--runtime=/usr/sbin/runc --cgroup-manager=cgroupfs)

title "This machine"
row "$(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1)" "$(nproc) cores, Linux $(uname -r), load $(cut -d' ' -f1 /proc/loadavg)"

title "A sandbox from clone to reaped exit, command: true, $rounds rounds"
sandbox=$("$BUILD/tests/unit/init/sandbox_run" "$BUILD/src/init/joblet-init" bench "$rounds" | awk '{print $9, $11}')
own=$sandbox
row "joblet-init, full production sandbox" "$(milliseconds "$own")" "2 ms, under half of bubblewrap's"
peer "unshare (six namespaces, no more)" unshare --mount --uts --ipc --net --pid --cgroup --fork --mount-proc true
peer "bubblewrap" bwrap --unshare-all --die-with-parent --ro-bind "$rootfs" / --proc /proc --dev /dev --tmpfs /tmp --chdir / true
peer "runc run" sh -c "$runc_once" "$work"
rounds_of_podman=$((rounds / 10 + 1))
rounds_all=$rounds
rounds=$rounds_of_podman peer "podman run ($rounds_of_podman rounds)" "${podman[@]}" "${podman_run[@]}" --rootfs "$rootfs" true
rounds=$rounds_all

title "RunJob of true to its finished state, warm connection, $rounds rounds"
row "RunJob, log followed to its end, end stored" "$(milliseconds "$("$bench" run "$rounds")")" "5 ms, p99 15 ms"

title "rnx job run --follow true, the whole process, $rounds rounds"
own=$("$bench" exec "$rounds" "$RNX" job run --follow true)
row "rnx job run --follow true" "$(milliseconds "$own")" "faster than runc run, a tenth of podman run"
peer "runc run" sh -c "$runc_once" "$work"
rounds=$rounds_of_podman peer "podman run ($rounds_of_podman rounds)" "${podman[@]}" "${podman_run[@]}" --rootfs "$rootfs" true
rounds=$rounds_all

title "Jobs of true through the API, state on disk"
for clients in 1 4 16; do
    row "$jobs jobs, $clients at a time" "$("$bench" rate "$jobs" "$clients") a second" "300"
done
"$RNX" job delete-all >/dev/null

title "A stop of 100 processes that hear no signal, no grace"
install_in_base() { # FILE...: into the root that jobs see, read-only
    local file
    for file in "$@"; do
        install -m 755 -o "$(stat -c %u "$JOBLET_PREFIX/base/usr/bin/env")" -g "$(stat -c %g "$JOBLET_PREFIX/base/usr/bin/env")" \
            "$file" "$JOBLET_PREFIX/base/usr/bin/"
    done
}
install_in_base "$BUILD/tests/e2e/hostile/bomb" "$BUILD/tests/bench/syscall_cost"
set_key() { sed -i "s/^\( *$1:\).*/\1 $2/" "$JOBLET_PREFIX/config/joblet-config.yml"; }
restart() { kill -TERM "$(cat "$JOBLET_PREFIX/run/joblet.pid")" && sleep 1 && "$ROOT/scripts/dev-server.sh" launch "$work"; }
set_key stopGracePeriod 0s && restart
row "StopJob, the whole tree gone and stored" "$(milliseconds "$("$bench" stop $((rounds / 5)))")" "20 ms"
set_key stopGracePeriod 100ms && restart
"$RNX" job delete-all >/dev/null

title "What a job costs a program"
plain=$("$BUILD/tests/bench/syscall_cost")
inside=$("$RNX" job run --follow syscall_cost)
row "a system call (getppid), on the host / in a job" "$plain / $inside ns: the filter takes $(awk -v a="$plain" -v b="$inside" 'BEGIN {printf "%.0f", b - a}') ns"
# The compiler and what it needs, as the base root has it not: only for this measurement.
toolchain() {
    local owner package
    owner=$(stat -c %u:%g "$JOBLET_PREFIX/base/usr/bin/env")
    for package in gcc gcc-12 cpp cpp-12 binutils binutils-x86-64-linux-gnu make libc6-dev linux-libc-dev libgcc-12-dev libbinutils libctf-nobfd0 libctf0 \
        libgprofng0 libisl23 libmpc3 libmpfr6 libgmp10 libzstd1 zlib1g libgcc-s1 libjansson4; do
        dpkg-query -L "$package" 2>/dev/null | grep -E '^/usr/(bin|lib|include)/|^/lib' || true
    done | sort -u | while read -r path; do [ -d "$path" ] && [ ! -L "$path" ] || echo "$path"; done |
        tar -C / --no-recursion --owner="${owner%:*}" --group="${owner#*:}" -cf - --files-from=- 2>/dev/null |
        tar -C "$JOBLET_PREFIX/base" --keep-directory-symlink --skip-old-files -xf -
    mkdir -p "$JOBLET_PREFIX/base/usr/src/joblet/tests"
    cp -a "$ROOT/src" "$JOBLET_PREFIX/base/usr/src/joblet/"
    cp "$ROOT/tests/bench/tree.mk" "$JOBLET_PREFIX/base/usr/src/joblet/tests/"
    chown -R "$owner" "$JOBLET_PREFIX/base/usr/src"
}
toolchain
# shellcheck disable=SC2016 # for the other shell
make_it='cd "$0" && rm -rf tree && mkdir tree && cd tree && start=$(date +%s%N) && make -s -j2 -f "$1/tests/tree.mk" SOURCE="$1" && echo $((($(date +%s%N) - start) / 1000000))'
times_host=() times_job=()
for _ in 1 2 3 4 5; do
    times_host+=("$(sh -c "$make_it" "$work" "$JOBLET_PREFIX/base/usr/src/joblet")")
    times_job+=("$("$RNX" job run --follow sh -c "$make_it" /work /usr/src/joblet)")
done
median() { printf '%s\n' "$@" | sort -n | sed -n "$((($# + 1) / 2))p"; }
host_ms=$(median "${times_host[@]}") job_ms=$(median "${times_job[@]}")
row "make -j2 of a C tree, on the host / in a job, five each" "$host_ms / $job_ms ms: $(awk -v a="$host_ms" -v b="$job_ms" 'BEGIN {printf "%+.1f %%", 100 * (b - a) / a}')" "at most 3 %"
"$RNX" job delete-all >/dev/null

title "A log of $bytes bytes, every byte counted"
row "to disk" "$("$bench" log "$bytes" alone) MB/s" "400"
row "to disk and one follower" "$("$bench" log "$bytes" follow) MB/s" "250"
"$RNX" job delete-all >/dev/null

# memory KIND PID...: sum in KB.
memory() {
    local kind=$1
    shift
    for pid in "$@"; do cat "/proc/$pid/smaps_rollup" 2>/dev/null || true; done | awk -v kind="$kind:" '$1 == kind {sum += $2} END {print sum + 0}'
}
service=$(cat "$JOBLET_PREFIX/run/joblet.pid")
api=$(pgrep -P "$service" -x joblet-api)

title "Memory"
idle=$(memory Rss "$service" "$api")
before=$(memory Pss "$service" "$api")
row "joblet and joblet-api, idle, resident" "$((idle / 1024)) MB (joblet $(memory Rss "$service") KB, joblet-api $(memory Rss "$api") KB; proportional $before KB)" "16 MB"
took=$("$bench" sleepers "$sleepers" 4)
mapfile -t inits < <(pgrep -P "$service" -x joblet-init)
after=$(memory Pss "$service" "$api" "${inits[@]}")
row "$sleepers sleeping jobs, all running after" "$took ms" "500 within 1500 ms"
row "each of ${#inits[@]}, proportional, our processes together" "$(((after - before) / (${#inits[@]} > 0 ? ${#inits[@]} : 1))) KB" "400 KB"
echo
