#!/bin/bash
# In the virtual machine of tests/e2e/test_power.py, with a server set up in DIR: runs jobs, and says on the console which ends it
# was told; after the next boot says what is there.
dir=$1
. ./scripts/lib.sh
"$ROOT/scripts/dev-server.sh" launch "$dir" || exit 1
set -a
# shellcheck disable=SC1091 # written by test_power.py
. "$dir/env"
set +a
field() { sed -n "s/.*\"$1\": *\"\{0,1\}\([^\",]*\).*/\1/p" | head -n 1; }
say_end() {
    local status
    status=$("$RNX" job status --json "$2")
    echo "$1 $2 $(field status <<<"$status") $(field exitCode <<<"$status") $3"
}
# Small and large logs; one job in the second place has nothing to say.
work() {
    local number=$1 id sum
    while :; do
        id=$("$RNX" job run --json -- sh -c "seq 1 $((number * 40)); exit $((number % 5))" | field job_uuid)
        sum=$("$RNX" job log "$id" | sha256sum)
        say_end "TOLD $number" "$id" "${sum%% *}"
        number=$((number + 2))
    done
}
look() {
    local id
    for id in $("$RNX" job list --json | grep -oE '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}' | sort -u); do
        [ -d "$JOBLET_PREFIX/state/jobs/$id" ] || continue
        sum=$("$RNX" job log "$id" | sha256sum)
        say_end SEEN "$id" "${sum%% *}"
    done
    echo "ALIVE $("$RNX" job run --follow echo still here)"
}
if [ -e "$dir/began" ]; then
    look
    exit
fi
: >"$dir/began"
sync
"$RNX" job run sh -c 'while :; do echo going on; sleep 0.1; done' >/dev/null
work 2 &
work 3
