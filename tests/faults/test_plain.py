"""What is installed has no way to be told to do less: no hook of the tests, by symbols and by texts, and no option.

    test_plain.py NM JOBLET JOBLET_API JOBLET_INIT JOBLET_SCRATCH RNX JOBLET_BUILDER JOBLET_FAULTS INIT_FAULTS INIT_HOOKS LYING_INIT BROKEN...

Those after JOBLET_BUILDER are the programs with hooks: there the same look has to find them."""

import subprocess
import sys

NM, JOBLET, *PROGRAMS = sys.argv[1:]
PLAIN, HOOKED = [JOBLET, *PROGRAMS[:5]], PROGRAMS[5:]
# Also what the debugging information calls the parts of struct plan that only test builds have.
TEXTS = [b"JOBLET_TEST_HOOKS", b"swap_first", b"swap_second", b"@DIRECTORY@"]
SYMBOLS = ("__wrap_", "faults_", "broken_", "steps_marker", "lies_about")


def find_hooks(program):
    with open(program, "rb") as file:
        content = file.read()
    found = [text.decode() for text in TEXTS if text in content]
    listed = subprocess.run([NM, program], check=True, capture_output=True, text=True).stdout.split()
    return found + sorted({name for name in listed if name.startswith(SYMBOLS)})


def main():
    bad = []
    for program in PLAIN:
        bad += [f"{program} has {hook}" for hook in find_hooks(program)]
    for program in HOOKED:
        found = find_hooks(program)
        print(f"{program}: {len(found)} marks of hooks")
        if not found:
            bad.append(f"{program} has no hook, so that finding none means nothing")
    for option in ("--init", "--api"):
        refused = subprocess.run([JOBLET, "serve", option, "/bin/true"], capture_output=True, text=True, check=False)
        if refused.returncode != 2 or f"unknown argument '{option}'" not in refused.stderr:
            bad.append(f"joblet serve {option}: {refused.returncode} {refused.stderr}")
    print("\n".join(bad) or f"none in {len(PLAIN)} of {len(PLAIN)} plain programs")
    return 1 if bad else 0


sys.exit(main())
