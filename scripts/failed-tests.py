#!/usr/bin/python3
"""Reads what a run of tests left, for scripts/check.sh.

    failed-tests.py meson TESTLOG FAILED    prints "PASSED FAILED SKIPPED"; one line for each failed test goes to the file
                                            FAILED, and the end of what it printed to standard error
    failed-tests.py pytest LOG FAILED       the lines of its summary go to FAILED, cut to a readable length"""

import json
import re
import sys

LAST = 40  # lines of a failed test's output
WIDTH = 300


def parts_of(text):
    """The tests within a test: what unittest or cmocka says of those that failed, with the reason where there is one."""
    found = re.findall(r"^\[  FAILED  \] (?!\d+ test)(\S+)$", text, re.M)
    for kind, name, report in re.findall(r"^(FAIL|ERROR): (.+)\n((?:(?!^={20}|^Ran \d).*\n)*)", text, re.M):
        said = re.findall(r"^[\w.]*(?:Error|Exception|Expired|Interrupt|Exit)\b.*", report, re.M)
        found.append(f"{kind}: {name} - {said[-1] if said else '?'}")
    return list(dict.fromkeys(found))


def meson(log, failed):
    with open(log, encoding="utf-8") as file:
        tests = [json.loads(line) for line in file]
    count = {"passed": 0, "failed": 0, "skipped": 0}
    with open(failed, "w", encoding="utf-8") as names:
        for test in tests:
            result = test["result"]
            kind = {"OK": "passed", "EXPECTEDFAIL": "passed", "SKIP": "skipped"}.get(result, "failed")
            count[kind] += 1
            if kind != "failed":
                continue
            text = test.get("stdout", "") + test.get("stderr", "")
            inner = parts_of(text)
            names.write(f"{test['name']}: {result} after {test['duration']:.0f} s{''.join('; ' + part for part in inner)}"[:WIDTH * 3] + "\n")
            print(f"--- the end of {test['name']} ({result}):", *text.splitlines()[-LAST:], sep="\n", file=sys.stderr)
    print(count["passed"], count["failed"], count["skipped"])


def pytest(log, failed):
    with open(log, encoding="utf-8", errors="replace") as file:
        # Words of a kernel may stand before it on the line.
        lines = re.findall(r"\b(?:FAILED|ERROR) tests/\S.*$", file.read(), re.M)
    with open(failed, "w", encoding="utf-8") as names:
        names.writelines(line[:WIDTH] + "\n" for line in dict.fromkeys(lines))


if __name__ == "__main__":
    {"meson": meson, "pytest": pytest}[sys.argv[1]](*sys.argv[2:])
