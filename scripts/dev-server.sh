#!/usr/bin/env bash
# A complete throw-away server under DIR: its own prefix, port on loopback, certificates of all four roles, rnx
# configuration.
#
#   start DIR    sets it up, starts it, writes DIR/env (RNX, RNX_CONFIG, JOBLET, JOBLET_PREFIX, JOBLET_ADDRESS)
#   launch DIR   starts the service of DIR again after it has ended or was killed
#   stop DIR     ends the service and its jobs, removes all of it
#
# The service's own log is DIR/joblet.log. JOBLET_BUILD names the build directory (build/ otherwise); it is built when it is
# not there. JOBLET_PROGRAM: the joblet to start instead of the build's, with the programs beside it.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

[ $# -eq 2 ] || die "usage: dev-server.sh start|launch|stop DIR"
need_root
# Of 50 ms each: an end for what hangs.
tries=${JOBLET_IN_VM:+12000}

free_port() {
    /usr/bin/python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])' 2>/dev/null ||
        echo $((20000 + RANDOM % 20000))
}

service_pid() {
    cat "$prefix/run/joblet.pid" 2>/dev/null || true
}

is_alive() {
    [ -n "$1" ] && [ "$(cat "/proc/$1/comm" 2>/dev/null)" = joblet ]
}

rnx() {
    timeout 60 "$BUILD/src/rnx/rnx" --config "$prefix/config/rnx-config.yml" "$@"
}

# A service that distributes control groups needs one of its own to start from. Where systemd runs the machine it gives one;
# else, on a host with version 2 alone, we make one beside us.
launch() {
    local pid delegate=()
    if [ -d /run/systemd/system ] && command -v systemd-run >/dev/null; then
        delegate=(systemd-run --quiet --scope -p Delegate=yes)
    fi
    # A session of its own: the terminal's signals are not meant for it. No descriptor of ours goes along.
    (
        for fd in /proc/self/fd/*; do
            fd=${fd##*/}
            [ "$fd" -le 2 ] || eval "exec $fd>&-"
        done
        exec setsid "${delegate[@]}" "$program" --prefix "$prefix" serve </dev/null >>"$dir/joblet.log" 2>&1
    ) &
    for _ in $(seq "${tries:-2400}"); do
        pid=$(service_pid)
        if is_alive "$pid" && timeout 60 "$BUILD/src/rnx/rnx" --config "$prefix/config/rnx-config.yml" job list >/dev/null 2>&1; then
            return 0
        fi
        sleep 0.05
    done
    tail -n 20 "$dir/joblet.log" >&2
    return 1
}

start() {
    local port
    [ -e "$dir/env" ] && die "$dir has a server already; stop it first"
    [ -x "$BUILD/src/joblet/joblet" ] || build_tree "$BUILD"
    # joblet-api, without any right, has to come by on its way to its database.
    chmod a+x "$dir"
    port=$(free_port)
    "$BUILD/src/joblet/joblet" --prefix "$prefix" setup --address "127.0.0.1:$port" --listen 127.0.0.1 >"$dir/setup.log" 2>&1 ||
        { cat "$dir/setup.log" >&2; rm -rf "$prefix"; die "setup failed"; }
    # A client on a busy or emulated machine is slow to answer a ping.
    sed -i 's/^\( *keepAliveTimeout:\).*/\1 60s/' "$prefix/config/joblet-config.yml"
    cat >"$dir/env" <<END_ENV
RNX=$BUILD/src/rnx/rnx
RNX_CONFIG=$prefix/config/rnx-config.yml
JOBLET=$BUILD/src/joblet/joblet
JOBLET_PREFIX=$prefix
JOBLET_ADDRESS=127.0.0.1:$port
export RNX RNX_CONFIG JOBLET JOBLET_PREFIX JOBLET_ADDRESS
END_ENV
    if ! launch; then
        stop
        die "the server did not answer"
    fi
}

# What a killed service can leave: processes 1 of its jobs.
leftover_inits() {
    local process id
    for process in /proc/[0-9]*; do
        [ "$(cat "$process/comm" 2>/dev/null)" = joblet-init ] || continue
        id=$(tr '\0' '\n' 2>/dev/null <"$process/environ" | sed -n 's/^JOB_ID=//p') || continue
        [ -n "$id" ] && [ -d "$prefix/state/jobs/$id" ] && echo "${process#/proc/}"
    done
    return 0
}

wait_until_gone() {
    local count=${tries:-2400}
    while [ "$count" -gt 0 ] && is_alive "$1"; do
        sleep 0.05
        count=$((count - 1))
    done
    ! is_alive "$1"
}

# A job outlives the service; a throw-away server takes its jobs with it.
stop() {
    local pid listed id
    pid=$(service_pid)
    # The next service ends them, and takes what an earlier one left of the network of builds off the host.
    if ! is_alive "$pid" && { [ -n "$(leftover_inits)" ] || [ -e "$prefix/run/network" ]; }; then
        launch >/dev/null 2>&1 || true
        pid=$(service_pid)
    fi
    if is_alive "$pid"; then
        if listed=$(rnx job list 2>/dev/null); then
            awk '/^[0-9a-f]+-/ && ($3 == "RUNNING" || $3 == "INITIALIZING") {print $1}' <<<"$listed" | while read -r id; do
                rnx job stop "$id" >/dev/null 2>&1 || true
            done
            rnx job delete-all >/dev/null 2>&1 || true
        fi
        kill -TERM "$pid" 2>/dev/null || true
        wait_until_gone "$pid" || kill -KILL "$pid" 2>/dev/null || true
    fi
    for pid in $(leftover_inits); do
        kill -KILL "$pid" 2>/dev/null || true
    done
    rm -rf "$prefix"
    rm -f "$dir/env" "$dir/setup.log"
}

mkdir -p "$2"
dir=$(cd "$2" && pwd)
prefix=$dir/prefix
program=${JOBLET_PROGRAM:-$BUILD/src/joblet/joblet}
case $1 in
start) start ;;
launch | stop)
    [ -f "$dir/env" ] || die "$dir has no server"
    "$1" || die "the server did not answer"
    ;;
*) die "usage: dev-server.sh start|launch|stop DIR" ;;
esac
