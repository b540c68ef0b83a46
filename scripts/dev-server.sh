#!/usr/bin/env bash
# A complete throw-away server under DIR: its own prefix, port on loopback, certificates of all four roles, rnx
# configuration. `start DIR` writes DIR/env (RNX, RNX_CONFIG, JOBLET, JOBLET_PREFIX, JOBLET_ADDRESS); `stop DIR` ends the
# server and its jobs and removes the prefix. The service's log is DIR/joblet.log.
#
# JOBLET_BUILD names the build directory (build/ otherwise); it is built when it is not there.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

usage="usage: dev-server.sh start DIR | stop DIR"
[ $# -eq 2 ] || die "$usage"
need_root

free_port() {
    /usr/bin/python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])' 2>/dev/null ||
        echo $((20000 + RANDOM % 20000))
}

is_alive() {
    [ -n "$1" ] && kill -0 "$1" 2>/dev/null
}

# Where the machine's manager wants it, the service gets a delegated cgroup of its own.
launch() {
    if [ -d /run/systemd/system ] && command -v systemd-run >/dev/null; then
        exec systemd-run --quiet --scope -p Delegate=yes "$@"
    fi
    exec "$@"
}

start() {
    local dir=$1 prefix port pid
    [ -e "$dir/env" ] && die "$dir has a server already; stop it first"
    [ -x "$BUILD/src/joblet/joblet" ] || build_tree "$BUILD"
    mkdir -p "$dir"
    dir=$(cd "$dir" && pwd)
    prefix=$dir/prefix
    port=$(free_port)
    "$BUILD/src/joblet/joblet" --prefix "$prefix" setup --address "127.0.0.1:$port" --listen 127.0.0.1 --port "$port" \
        >"$dir/setup.log" 2>&1 || { cat "$dir/setup.log" >&2; die "setup failed"; }
    cat >"$dir/env" <<END
RNX=$BUILD/src/rnx/rnx
RNX_CONFIG=$prefix/config/rnx-config.yml
JOBLET=$BUILD/src/joblet/joblet
JOBLET_PREFIX=$prefix
JOBLET_ADDRESS=127.0.0.1:$port
export RNX RNX_CONFIG JOBLET JOBLET_PREFIX JOBLET_ADDRESS
END
    (launch "$BUILD/src/joblet/joblet" --prefix "$prefix" serve </dev/null >>"$dir/joblet.log" 2>&1) &
    for _ in $(seq 200); do
        pid=$(cat "$prefix/run/joblet.pid" 2>/dev/null || true)
        if is_alive "$pid" && RNX_CONFIG=$prefix/config/rnx-config.yml timeout 2 "$BUILD/src/rnx/rnx" job list >/dev/null 2>&1; then
            return 0
        fi
        sleep 0.05
    done
    tail -n 20 "$dir/joblet.log" >&2
    stop "$dir" >/dev/null 2>&1 || true
    die "the server did not answer within ten seconds"
}

stop() {
    local dir=$1 prefix pid
    prefix=$dir/prefix
    [ -f "$dir/env" ] || die "$dir has no server"
    pid=$(cat "$prefix/run/joblet.pid" 2>/dev/null || true)
    if is_alive "$pid"; then
        # Jobs outlive a service; a throw-away server takes its jobs with it.
        RNX_CONFIG=$prefix/config/rnx-config.yml "$BUILD/src/rnx/rnx" job list 2>/dev/null |
            awk '/^[0-9a-f]{8}-/ && ($3 == "RUNNING" || $3 == "INITIALIZING") {print $1}' |
            while read -r id; do
                RNX_CONFIG=$prefix/config/rnx-config.yml "$BUILD/src/rnx/rnx" job stop "$id" >/dev/null 2>&1 || true
            done
        kill -TERM "$pid" 2>/dev/null || true
        for _ in $(seq 200); do
            is_alive "$pid" || break
            sleep 0.05
        done
        is_alive "$pid" && kill -KILL "$pid"
    fi
    rm -rf "$prefix"
    rm -f "$dir/env" "$dir/setup.log"
}

case $1 in
start) start "$2" ;;
stop) stop "$2" ;;
*) die "$usage" ;;
esac
