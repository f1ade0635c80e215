"""A stage of `make test` says which test failed when it fails, not when the last test has ended."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_failure_is_named_before_the_last_test_has_ended(tmp_path: Path) -> None:
    """Also when the tests run in several processes."""
    tests = tmp_path / "test_two.py"
    tests.write_text("def test_a(): assert False\n\ndef test_b(): pass\n")
    command = [sys.executable, "-m", "pytest", "-c", "/dev/null", "--rootdir", str(tmp_path), "-p", "tests.conftest"]
    for more in ([], ["-n", "1"]):
        done = subprocess.run([*command, *more, str(tests)], cwd=ROOT, capture_output=True, text=True, check=False)

        before = done.stdout.partition("= FAILURES =")[0]
        assert "failed: test_two.py::test_a (call)" in before.splitlines(), done.stdout + done.stderr
