#!/usr/bin/env bash
# The whole check: installs what it needs, then the cheap looks first: format, include law, words, shell scripts; then gcc. What
# starts servers and waits for them (the privileged side alone, end to end on this host, the demo) runs in one lane; beside it, with
# the processors that are left over, unit tests, those in a virtual machine with another kernel and those with sanitizers, and behind
# these what only computes: other compilers, analysers, fuzzing. At last the host is compared with before. The last lines name the tests that
# failed and say how many passed and failed.
#
#   check.sh           everything
#   check.sh STEP...   only these steps (the names are in the table at the end)
#
# What it builds is in CHECK_DIR (build-check/ in the checkout otherwise), with the log of each step. FUZZ_SECONDS: for each
# fuzz target, 2 otherwise. FULL=1: every variant of every test, and clang-tidy without a bound (docs/HACKING.md); takes long.
set -uo pipefail
. "$(dirname "$0")/lib.sh"
cd "$ROOT" || exit 1
exec </dev/null
need_root

check=${CHECK_DIR:-$ROOT/build-check}
logs=$check/log
mkdir -p "$logs"
export JOBLET_CACHE=${JOBLET_CACHE:-$ROOT/build-cache}
# What Python compiles would be found by the tests that look at the whole host.
export PYTHONDONTWRITEBYTECODE=1
# Tests that run beside others: what looks at the whole host looks past the programs in there, and past files of this name.
export JOBLET_BESIDE=$check/sanitize
beside=$(mktemp -d "${TMPDIR:-/tmp}/joblet-check-XXXXXX")
chmod 755 "$beside"
trap 'rm -rf "$beside"' EXIT
chosen=" $* "

# --- a step

# A step is a function. It fails by its exit status; one that ran tests leaves "PASSED FAILED SKIPPED" in $counts, else it
# counts as one, and may leave a line for each failed test in $failed. What it came to is in NAME.result.
run_step() {
    local name=$1 text=$2 start=$SECONDS status=0 p=0 f=0 s=0
    log=$logs/$name.log counts=$logs/$name.counts failed=$logs/$name.failed
    rm -f "$counts" "$failed"
    (set -e; "step_$name") >"$log" 2>&1
    status=$?
    if [ -s "$counts" ]; then
        read -r p f s <"$counts"
        [ "$status" = 0 ] || [ "$f" -gt 0 ] || f=1
    elif [ "$status" = 0 ]; then
        p=1
    else
        f=1
    fi
    [ "$f" = 0 ] || [ -s "$failed" ] || tail -n 1 "$log" | cut -c 1-300 >"$failed"
    # Lanes write one after the other.
    {
        flock 9
        report
    } 9>"$logs/print.lock"
    echo "$p $f $s" >"$logs/$name.result"
}

report() {
    printf '%-14s %s ... ' "$name" "$text"
    if [ "$f" -gt 0 ]; then
        printf '%sFAILED%s (%s passed, %s failed, %s s)\n' "$RED" "$PLAIN" "$p" "$f" $((SECONDS - start))
        sed 's/^/    /' "$failed"
        echo "    --- the end of $log:"
        tail -n 80 "$log" | sed 's/^/    /'
    else
        printf '%sok%s (%s, %s s)\n' "$GREEN" "$PLAIN" "$p$([ "$s" -gt 0 ] && echo ", $s skipped")" $((SECONDS - start))
        grep -h '^SKIPPED' "$log" | sed 's/^/    /'
    fi
}

# meson_tests DIR [suites...]: runs them and counts. Another step may run others there at the same time.
meson_tests() {
    local directory=$1 status=0 suites=()
    shift
    for suite in "$@"; do suites+=(--suite "$suite"); done
    rm -f "$directory/meson-logs/$name.json"
    meson test -C "$directory" --no-rebuild --logbase "$name" --timeout-multiplier 4 "${suites[@]}" || status=$?
    scripts/failed-tests.py meson "$directory/meson-logs/$name.json" "$failed.new" >"$counts.new"
    cat "$failed.new" >>"$failed"
    add_counts "$counts.new"
    rm "$failed.new" "$counts.new"
    return "$status"
}

# To those of the step that are there.
add_counts() {
    local p=0 f=0 s=0 q g t
    [ ! -s "$counts" ] || read -r p f s <"$counts"
    read -r q g t <"$1"
    echo $((p + q)) $((f + g)) $((s + t)) >"$counts"
}

# pytest_tests COMMAND...: something that runs pytest and writes its counts.
pytest_tests() {
    local status=0
    JOBLET_BUILD=$check/gcc JOBLET_TEST_COUNTS=$counts COLUMNS=160 "$@" -rfEs || status=$?
    scripts/failed-tests.py pytest "$log" "$failed"
    return "$status"
}

step_format() { scripts/format.sh --check; }

step_includes() { scripts/include-check.sh; }

# Nothing of the machine that it was written on, nothing left undone.
step_words() {
    local bad=0 file
    while read -r file; do
        [ -f "$file" ] || continue
        case $file in scripts/check.sh | *.md | tests/fuzz/corpus/*) continue ;; esac
        if grep -nHE '\b(TODO|FIXME|XXX)\b|(^|[ "=])/home/[a-z]+/' "$file"; then bad=1; fi
        if [ "${#ROOT}" -gt 6 ] && grep -nHF -e "$ROOT/" "$file"; then bad=1; fi
    done < <(git ls-files)
    return "$bad"
}

# docs/COMPLIANCE.md is what the tags of the checks say, and each section that applies has one.
step_compliance() { scripts/compliance.py --check; }

step_shell() { shellcheck scripts/*.sh scripts/vm/guest-init .ci/run; }

step_gcc() { CC=gcc build_tree "$check/gcc"; }

step_unit() { meson_tests "$check/gcc" unit fuzz; }

# As the README installs it and as it is measured: other optimisations find other mistakes. Into an empty place, to see that all of it goes there.
step_release() {
    TARGETS='^(src/|tests/(bench|e2e/hostile)/|tests/unit/init/sandbox_run$)' CC=gcc build_tree "$check/release" --buildtype=release
    rm -rf "$check/installed"
    DESTDIR=$check/installed meson install -C "$check/release" --no-rebuild --quiet
    find "$check/installed" -type f | sort
    "$check"/installed/usr/local/bin/joblet version
    rm -rf "$check/installed"
}

step_tidy() {
    local bound=()
    # So many steps of the analyser in each function: a third of the time, and all but the largest functions are done to the end.
    [ "${FULL:-}" = 1 ] || bound=(--extra-arg={-Xclang,-analyzer-config,-Xclang,max-nodes=20000})
    step_instruments # for what it generates, and clang's compilation database
    # One process for each core.
    git ls-files 'src/*.c' | xargs -P "$(nproc)" -n 4 clang-tidy --quiet -p "$check/sanitize" "${bound[@]}" 2>/dev/null
}

step_cppcheck() {
    cppcheck -q --enable=warning,performance,portability --inline-suppr --suppressions-list=.cppcheck --error-exitcode=1 \
        --std=c11 -j "$(nproc)" -I src -D_GNU_SOURCE -D__x86_64__ src
}

# Ahead of the tests, which wait for it.
step_instruments() { CC=clang build_tree "$check/sanitize" -Db_sanitize=address,undefined -Db_lundef=false; }

# Leaks count too; what the dynamic loader of a sandboxed process cannot do does not matter here, only unit tests run.
# shows: NIST 4.4.1
step_sanitize() {
    local status=0
    step_instruments
    export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
    ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1 meson_tests "$check/sanitize" unit fuzz || status=1
    # The filter of joblet-api does not let LeakSanitizer trace.
    ASAN_OPTIONS=detect_leaks=0 meson_tests "$check/sanitize" api || status=1
    return "$status"
}

# joblet-api, rnx and the gRPC layer alone, with stand-ins and clients that are not ours.
step_api() { meson_tests "$check/gcc" api; }

# joblet-init and its network alone, as root: the sandbox, each two of its steps swapped, each left out.
step_sandbox() { meson_tests "$check/gcc" sandbox; }

# joblet and setup alone, as root.
step_root() { meson_tests "$check/gcc" root; }

# Limits are for what hangs: the lane may have the processor seldom.
fuzz_one() {
    local target=$1 name=${1##*/fuzz_}
    mkdir -p "$check/fuzz/found/$name" "$ROOT/tests/fuzz/corpus/$name"
    timeout 900 "$target" -max_total_time="${FUZZ_SECONDS:-2}" -rss_limit_mb=2048 -timeout=100 -print_final_stats=1 \
        -artifact_prefix="$check/fuzz/found/$name." "$check/fuzz/found/$name" "tests/fuzz/corpus/$name" \
        >"$logs/fuzz-$name.log" 2>&1 && return
    tail -n 40 "$logs/fuzz-$name.log"
    echo "fuzz target $name failed" | tee -a "$failed"
    return 1
}

# shows: NIST 4.4.1
step_fuzz() {
    local target running=0 good=0 bad=0
    TARGETS='^tests/fuzz/.*/fuzz_[^.]*$' CC=clang build_tree "$check/fuzz" -Dfuzzer=true -Db_sanitize=address,undefined -Db_lundef=false
    while read -r target; do
        if [ "$running" = "$(nproc)" ]; then
            if wait -n; then good=$((good + 1)); else bad=$((bad + 1)); fi
            running=$((running - 1))
        fi
        fuzz_one "$target" &
        running=$((running + 1))
    done < <(find "$check/fuzz/tests/fuzz" -type f -name 'fuzz_*' -executable | sort)
    for (( ; running > 0; running--)); do
        if wait -n; then good=$((good + 1)); else bad=$((bad + 1)); fi
    done
    echo "$good $bad 0" >"$counts"
    [ "$good" -gt 0 ] && [ "$bad" = 0 ]
}

pytest=(/usr/bin/python3 -B -m pytest -p no:cacheprovider -q --tb=short)

step_e2e() { pytest_tests "${pytest[@]}" --durations=60 --ignore=tests/e2e/test_power.py tests/e2e; }

# The test of it that needs no server on this host, but a machine of its own.
step_power() { pytest_tests "${pytest[@]}" tests/e2e/test_power.py; }

# Before anything looks at the host's package manager, which it asks.
step_image() { scripts/vm-image.sh; }

step_vm() { pytest_tests scripts/vm-leg.sh; }

# The first command of the README.
step_demo() { JOBLET_BUILD=$check/gcc scripts/demo.sh; }

step_host() {
    /usr/bin/python3 -B tests/e2e/host_snapshot.py compare "$check/host.json" 60
}

# --- lanes

# NAME|LANE|TEXT. The lanes: first, alone; then front, beside and idle at the same time; at the end last.
steps=(
    'format|first|one format, by clang-format'
    'includes|first|folders include only what they may'
    'words|first|no path of a machine, nothing left undone'
    'compliance|first|each section of a standard that applies has a check'
    'shell|first|scripts, by shellcheck'
    'gcc|first|build with gcc, warnings are errors'
    'image|first|kernel and root of the virtual machine'
    'unit|beside|unit tests, corpora of the fuzz targets'
    'api|beside|joblet-api, rnx and gRPC with stand-ins, driven by grpcio'
    'root|front|the privileged side alone'
    'e2e|front|end to end on this host'
    'demo|front|the demo'
    'sandbox|beside|the sandbox and its network alone'
    'vm|beside|end to end on kernel 6.1 with control groups version 2, in a virtual machine'
    'power|beside|told ends of jobs survive a loss of power, in a virtual machine'
    'sanitize|beside|tests with address and undefined behaviour sanitizers'
    'instruments|idle|build with clang and its sanitizers, warnings are errors'
    'release|idle|build for release, install into an empty place'
    'tidy|idle|clang-tidy'
    'cppcheck|idle|cppcheck'
    'fuzz|idle|fuzzing, briefly'
    'host|last|the host is as it was before'
)

is_chosen() { [[ "$chosen" == "  " || "$chosen" == *" $1 "* ]]; }

# What a lane leaves to the others of the processor. What is in the idle lane has no clock.
yield_to_others() {
    case $1 in
    beside) renice -n 5 -p "$BASHPID" ;;
    idle)
        renice -n 19 -p "$BASHPID"
        chrt -i -p 0 "$BASHPID"
        ionice -c 3 -p "$BASHPID"
        ;;
    esac >/dev/null 2>&1
    [ "$1" = front ] || export TMPDIR=$beside
}

run_lane() {
    local step name lane text
    trap - INT TERM EXIT
    set +m
    yield_to_others "$1"
    for step in "${steps[@]}"; do
        IFS='|' read -r name lane text <<<"$step"
        if [ "$lane" = "$1" ] && is_chosen "$name"; then run_step "$name" "$text"; fi
    done
}

lanes=()
# At the same time, each in a process group of its own.
run_lanes() {
    local lane
    set -m
    for lane in "$@"; do
        run_lane "$lane" &
        lanes+=($!)
    done
    set +m
    wait "${lanes[@]}"
    lanes=()
}

# TERM for all of a lane; the tests take their servers with them, which takes a while.
end_lanes() {
    local lane tries=600
    trap '' INT TERM
    for lane in "${lanes[@]}"; do kill -TERM -- "-$lane" 2>/dev/null; done
    for lane in "${lanes[@]}"; do
        while [ "$tries" -gt 0 ] && kill -0 -- "-$lane" 2>/dev/null; do
            sleep 0.2
            tries=$((tries - 1))
        done
        kill -KILL -- "-$lane" 2>/dev/null
    done
    echo "interrupted" >&2
    exit 130 # and the trap of EXIT
}
trap end_lanes INT TERM

# --- all of it

sum_up() {
    local step name lane text p f s passed=0 failed=0 skipped=0
    for step in "${steps[@]}"; do
        IFS='|' read -r name lane text <<<"$step"
        is_chosen "$name" || continue
        if ! read -r p f s 2>/dev/null <"$logs/$name.result"; then
            p=0 f=1 s=0
            echo "did not end" >"$logs/$name.failed"
        fi
        passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
        [ "$f" = 0 ] || sed "s/^/${RED}failed:${PLAIN} $name: /" "$logs/$name.failed"
    done
    [ "$failed" = 0 ] || echo "logs are in $logs"
    echo "after $SECONDS s:"
    echo "$passed passed, $failed failed$([ "$skipped" = 0 ] || echo ", $skipped skipped")"
    [ "$failed" = 0 ]
}

scripts/deps.sh --tests || die "the packages that the check needs could not be installed"
rm -f "$logs"/*.result "$logs"/*.failed
/usr/bin/python3 -B tests/e2e/host_snapshot.py take "$check/host.json" || die "cannot look at the host"
run_lanes first
run_lanes front beside idle
run_lanes last
sum_up
