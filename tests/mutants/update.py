"""Run some mutants and write their rows of the matrix: `python -m tests.mutants --update`."""

from __future__ import annotations

import os
import sys

from tests.mutants import matrix
from tests.mutants.catalogue import CAUGHT

_TEST = "tests/mutants/test_mutants.py::test_each_case_that_is_named_for_it_catches_it"


def update(arguments: list[str]) -> None:
    """Run the named mutants, or those that are due, with further options of pytest; become that process."""
    names = [word for word in arguments if word in CAUGHT]
    others = [word for word in arguments if word not in CAUGHT]
    rows = matrix.read()
    names = names or [name for name, mutant in CAUGHT.items() if matrix.is_due(mutant, rows)]
    if names:
        tests = [f"{_TEST}[{name}]" for name in names]
        os.execv(sys.executable, [sys.executable, "-m", "pytest", *tests, "--write-matrix", *others])  # noqa: S606
    print("every row of the matrix is up to date")  # noqa: T201 - the output
