#!/usr/bin/python3
"""scripts/compliance.py on small trees: each kind of tag is read, and each thing that cannot stand is told."""

import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

SCRIPT = pathlib.Path(__file__).resolve().parents[3] / "scripts/compliance.py"
FILES = {
    "scripts/compliance.toml": '[[standard]]\nid = "S"\nname = "A standard"\nrows = """\n1 | one\n2 | two\n3 | three\n4 | four\n5 | five\n6 | six\n'
                               '9 | nine | there is none\n"""\n',
    "tests/e2e/test_x.py": 'import pytest\n\n\n@pytest.mark.shows("S 1", "S 2")\ndef test_one():\n    pass\n',
    "tests/api/test_y.py": "class Case:\n    # shows: S 3\n    def test_two(self):\n        pass\n",
    "tests/unit/f/test_z.c": "/* shows: S 4 */\nstatic void test_three(void **state)\n{\n}\n\nint main(void)\n{\n"
                             "    cmocka_unit_test(test_three),\n}\n",
    "docs/ESCAPES.md": "| A01 | climb | by stairs | refused |\n\n<!-- shows: A01: S 1, S 4 -->\n",
    "src/doctor/table.c": '{"area", "a row", NEED_CIS, false, try_x, 0, NULL, "mend it", "ROW-1",\n        "S 5, "\n        "S 1"},\n',
    "scripts/check.sh": "# shows: S 6\nstep_dig() { true; }\n\nsteps=(\n    'dig|idle|digging'\n)\n",
}


class Compliance(unittest.TestCase):
    def setUp(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="joblet-compliance-"))
        self.addCleanup(shutil.rmtree, self.root)
        for name, text in FILES.items():
            self.write(name, text)

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def run_it(self, *arguments):
        return subprocess.run([sys.executable, "-B", SCRIPT, *arguments, "--root", self.root], capture_output=True, text=True,
                              check=False)

    def test_written_and_then_held(self):
        self.assertEqual(self.run_it("--check").returncode, 1)
        result = self.run_it()
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        text = (self.root / "docs/COMPLIANCE.md").read_text()
        for line in ("| 1 | one | `test_x.py` `test_one`; attempt A01 (climb); `doctor --cis` ROW-1 (a row) |",
                     "| 2 | two | `test_x.py` `test_one` |", "| 3 | three | `test_y.py` `test_two` |",
                     "| 4 | four | `f/test_z` `test_three`; attempt A01 (climb) |",
                     "| 5 | five | `doctor --cis` ROW-1 (a row) |", "| 6 | six | `check.sh dig` (digging) |",
                     "| 9 | nine | does not apply: there is none |"):
            self.assertIn(line + "\n", text)
        self.assertEqual(self.run_it("--check").returncode, 0)
        self.write("docs/COMPLIANCE.md", text.replace("one", "won"))
        self.assertEqual(self.run_it("--check").returncode, 1)

    def test_what_cannot_stand(self):
        for name, old, new, error in (
                ("scripts/compliance.toml", "9 | nine", "7 | seven\n9 | nine", "S 7 (seven) applies and no check shows it"),
                ("scripts/compliance.toml", "2 | two", "2 | two | no", "'S 2' does not apply"),
                ("scripts/compliance.toml", "2 | two", "1 | two", "malformed or stands twice"),
                ("scripts/compliance.toml", "2 | two", "2", "malformed"),
                ("tests/e2e/test_x.py", "S 2", "S 7", "no section 'S 7'"),
                ("tests/e2e/test_x.py", "def test_one", "def helper", "'helper' is no test"),
                ("tests/api/test_y.py", "def test_two", "def two", "not above a test"),
                ("tests/unit/f/test_z.c", "cmocka_unit_test(test_three)", "", "not above a test that is run"),
                ("tests/unit/f/test_z.c", "static void test_three(void **state)", "int x;", "not above a test that is run"),
                ("docs/ESCAPES.md", "shows: A01", "shows: A02", "no attempt A02"),
                ("src/doctor/table.c", '"mend it", ', 'MEND("{"), ', "0 stand in a row"),
                ("scripts/check.sh", "step_dig", "dig", "not above a step that is run"),
                ("scripts/check.sh", "'dig|", "'dug|", "not above a step that is run")):
            with self.subTest(error=error, new=new):
                self.assertIn(old, FILES[name])
                self.write(name, FILES[name].replace(old, new, 1))
                for arguments in ((), ("--check",)):
                    result = self.run_it(*arguments)
                    self.assertEqual(result.returncode, 1)
                    self.assertIn(error, result.stderr)
                self.assertFalse((self.root / "docs/COMPLIANCE.md").exists())
                self.write(name, FILES[name])

    def test_usage(self):
        self.assertEqual(subprocess.run([sys.executable, "-B", SCRIPT, "--wrong"], capture_output=True, check=False).returncode, 2)


if __name__ == "__main__":
    unittest.main()
