#!/usr/bin/env bash
# Counts the includes that break the folder law of docs/ARCHITECTURE.md: its table says what each folder may include.
# Prints each exception and their number; fails unless it is 0.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
cd "$ROOT"
/usr/bin/python3 - <<'END'
import pathlib
import re
import sys

law = {}
for line in pathlib.Path("docs/ARCHITECTURE.md").read_text().splitlines():
    row = re.match(r"\| `(?:src/)?(\w+)` \| .* \|\s*([^|]*?)\s*\|$", line)
    if row:
        law[row[1]] = set(re.findall(r"\b[a-z]+\b", re.sub(r"\([^)]*\)", "", row[2])))
folders = {path.name for path in pathlib.Path("src").iterdir() if path.is_dir()}
broken = [f"src/{name}: not in the table" for name in sorted(folders - set(law))]
for source in sorted(pathlib.Path("src").rglob("*.[ch]")):
    folder = source.parts[1]
    for number, line in enumerate(source.read_text().splitlines(), 1):
        include = re.match(r'\s*#\s*include\s+"(?:([\w]+)/)?([\w.-]+)"', line)
        if not include:
            continue
        used = include[1] or ("proto" if include[2].endswith(".pb-c.h") else None)
        if used and used in folders | {"proto"} and used != folder and used not in law.get(folder, set()):
            broken.append(f"{source}:{number}: {folder} may not include {used}")
# No cycles: the table itself must be one direction.
seen, path = set(), []
def walk(folder):
    if folder in path:
        broken.append("cycle: " + " -> ".join(path[path.index(folder):] + [folder]))
        return
    if folder in seen:
        return
    path.append(folder)
    for used in sorted(law.get(folder, ())):
        walk(used)
    path.pop()
    seen.add(folder)
for folder in sorted(law):
    walk(folder)
print("\n".join(broken + [str(len(broken))]))
sys.exit(1 if broken else 0)
END
