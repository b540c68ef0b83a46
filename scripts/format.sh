#!/usr/bin/env bash
# Formats all C files with the one configuration; --check only says which differ, and fails when one does.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
cd "$ROOT"
mapfile -t files < <(git ls-files --cached --others --exclude-standard '*.c' '*.h')
if [ "${1:-}" = --check ]; then
    clang-format --dry-run -Werror "${files[@]}"
else
    clang-format -i "${files[@]}"
fi
