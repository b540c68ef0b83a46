#!/usr/bin/env bash
# The whole check: installs what it needs, then the cheap looks first: format, include law, words, shell scripts; gcc, clang and
# analysers; unit tests, sanitizers, fuzzing; end to end on this host and in a virtual machine with another kernel; the demo;
# at last the host is compared with before. The last line says how many passed and failed.
#
#   check.sh           everything
#   check.sh STEP...   only these steps (the names are in the table at the end)
#
# What it builds is in CHECK_DIR (build-check/ in the checkout otherwise), with the log of each step. FUZZ_SECONDS: for each
# fuzz target, 2 otherwise.
set -uo pipefail
. "$(dirname "$0")/lib.sh"
cd "$ROOT" || exit 1
exec </dev/null
need_root

check=${CHECK_DIR:-$ROOT/build-check}
mkdir -p "$check/log"
export JOBLET_CACHE=${JOBLET_CACHE:-$ROOT/build-cache}
passed=0 failed=0 skipped=0
failures=()

# A step is a function. It fails by its exit status; one that ran tests leaves "PASSED FAILED SKIPPED" in $counts, else it
# counts as one.
run_step() {
    local name=$1 text=$2 start=$SECONDS status=0 p=0 f=0 s=0
    local log=$check/log/$name.log
    counts=$check/log/$name.counts
    rm -f "$counts"
    printf '%-14s %s ... ' "$name" "$text"
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
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    if [ "$f" -gt 0 ]; then
        failures+=("$name")
        printf '%sFAILED%s (%s passed, %s failed, %s s)\n' "$RED" "$PLAIN" "$p" "$f" $((SECONDS - start))
        tail -n 80 "$log" | sed 's/^/    /'
    else
        printf '%sok%s (%s, %s s)\n' "$GREEN" "$PLAIN" "$p$([ "$s" -gt 0 ] && echo ", $s skipped")" $((SECONDS - start))
        grep -h '^SKIPPED' "$log" | sed 's/^/    /'
    fi
}

# meson_tests DIR [suites...]: runs them and counts.
meson_tests() {
    local directory=$1 status=0 suites=()
    shift
    for suite in "$@"; do suites+=(--suite "$suite"); done
    rm -f "$directory/meson-logs/testlog.json"
    meson test -C "$directory" --no-rebuild --print-errorlogs --timeout-multiplier 4 "${suites[@]}" || status=$?
    /usr/bin/python3 - "$directory/meson-logs/testlog.json" >"$counts" <<'PY'
import json, sys
results = [json.loads(line)["result"] for line in open(sys.argv[1], encoding="utf-8")]
good, skipped = results.count("OK") + results.count("EXPECTEDFAIL"), results.count("SKIP")
print(good, len(results) - good - skipped, skipped)
PY
    return "$status"
}

add_counts() {
    local p f s q g t
    read -r p f s <"$counts"
    read -r q g t <"$1"
    echo $((p + q)) $((f + g)) $((s + t)) >"$counts"
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

# As the README installs it: other optimisations find other mistakes. Into an empty place, to see that all of it goes there.
step_release() {
    CC=gcc build_tree "$check/release" --buildtype=release
    rm -rf "$check/installed"
    DESTDIR=$check/installed meson install -C "$check/release" --no-rebuild --quiet
    find "$check/installed" -type f | sort
    "$check"/installed/usr/local/bin/joblet version
    rm -rf "$check/installed"
}

step_clang() { CC=clang build_tree "$check/clang" -Dbuildtype=debugoptimized; }

step_tidy() {
    # One process for each core; the compilation database is clang's.
    git ls-files 'src/*.c' | xargs -P "$(nproc)" -n 4 clang-tidy --quiet -p "$check/clang" 2>/dev/null
}

step_cppcheck() {
    cppcheck -q --enable=warning,performance,portability --inline-suppr --suppressions-list=.cppcheck --error-exitcode=1 \
        --std=c11 -j "$(nproc)" -I src -D_GNU_SOURCE -D__x86_64__ src
}

# Leaks count too; what the dynamic loader of a sandboxed process cannot do does not matter here, only unit tests run.
step_sanitize() {
    CC=clang build_tree "$check/sanitize" -Db_sanitize=address,undefined -Db_lundef=false
    ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
        meson_tests "$check/sanitize" unit fuzz
    cp "$counts" "$counts.unit"
    # The filter of joblet-api does not let LeakSanitizer trace.
    ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 meson_tests "$check/sanitize" api
    add_counts "$counts.unit"
    rm -f "$counts.unit"
}

# joblet-api, rnx and the gRPC layer alone, with stand-ins and clients that are not ours.
step_api() { meson_tests "$check/gcc" api; }

# joblet, joblet-init and setup alone, as root: the sandbox, each two of its steps swapped, each left out.
step_root() { meson_tests "$check/gcc" root; }

step_fuzz() {
    local target name status=0 good=0 bad=0
    CC=clang build_tree "$check/fuzz" -Dfuzzer=true -Db_sanitize=address,undefined -Db_lundef=false
    while read -r target; do
        name=${target##*/fuzz_}
        mkdir -p "$check/fuzz/found/$name" "$ROOT/tests/fuzz/corpus/$name"
        if timeout 120 "$target" -max_total_time="${FUZZ_SECONDS:-2}" -rss_limit_mb=2048 -timeout=10 -print_final_stats=1 \
            -artifact_prefix="$check/fuzz/found/$name." "$check/fuzz/found/$name" "tests/fuzz/corpus/$name"; then
            good=$((good + 1))
        else
            echo "fuzz target $name failed"
            bad=$((bad + 1)) status=1
        fi
    done < <(find "$check/fuzz/tests/fuzz" -type f -name 'fuzz_*' -executable | sort)
    [ "$good" -gt 0 ] || { echo "no fuzz target"; status=1; }
    echo "$good $bad 0" >"$counts"
    return "$status"
}

step_e2e() {
    JOBLET_BUILD=$check/gcc JOBLET_TEST_COUNTS=$counts /usr/bin/python3 -B -m pytest -p no:cacheprovider -q -rs --tb=short tests/e2e
}

step_vm() { JOBLET_BUILD=$check/gcc JOBLET_TEST_COUNTS=$counts scripts/vm-leg.sh -rs; }

# The first command of the README, twice: the second run finds what the first one left, which is nothing.
step_demo() {
    JOBLET_BUILD=$check/gcc scripts/demo.sh
    JOBLET_BUILD=$check/gcc scripts/demo.sh >/dev/null
}

step_host() {
    /usr/bin/python3 -B tests/e2e/host_snapshot.py compare "$check/host.json" 15
}

steps=(
    'format|one format, by clang-format'
    'includes|folders include only what they may'
    'words|no path of a machine, nothing left undone'
    'compliance|each section of a standard that applies has a check'
    'shell|scripts, by shellcheck'
    'gcc|build with gcc, warnings are errors'
    'unit|unit tests, corpora of the fuzz targets'
    'api|joblet-api, rnx and gRPC with stand-ins, driven by grpcio'
    'root|the sandbox and the privileged side alone'
    'e2e|end to end on this host'
    'release|build for release, install into an empty place'
    'clang|build with clang, warnings are errors'
    'tidy|clang-tidy'
    'cppcheck|cppcheck'
    'sanitize|tests with address and undefined behaviour sanitizers'
    'fuzz|fuzzing, briefly'
    'vm|end to end on kernel 6.1 with control groups version 2, in a virtual machine'
    'demo|the demo, twice'
    'host|the host is as it was before'
)

scripts/deps.sh --tests || die "the packages that the check needs could not be installed"
/usr/bin/python3 -B tests/e2e/host_snapshot.py take "$check/host.json" || die "cannot look at the host"
for step in "${steps[@]}"; do
    name=${step%%|*}
    [ $# -eq 0 ] || [[ " $* " == *" $name "* ]] || continue
    run_step "$name" "${step#*|}"
done
[ ${#failures[@]} -eq 0 ] || printf '%sfailed:%s %s; logs are in %s\n' "$RED" "$PLAIN" "${failures[*]}" "$check/log"
if [ "$skipped" -gt 0 ]; then
    echo "$passed passed, $failed failed, $skipped skipped"
else
    echo "$passed passed, $failed failed"
fi
[ "$failed" -eq 0 ]
