#!/usr/bin/env bash
# stubs.sh DIR: the Python client of the API, generated from proto/ into DIR. Only tests use it: a client that is not ours.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
[ $# -eq 1 ] || die "usage: stubs.sh DIR"
mkdir -p "$1"
/usr/bin/python3 -m grpc_tools.protoc "-I$ROOT/proto" "--python_out=$1" "--grpc_python_out=$1" "$ROOT"/proto/*.proto
