"""What a fingerprint covers: the function, what it uses of its package, and what it replaces; no prose."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import count
from typing import TYPE_CHECKING

import pytest
from tests.mutants.catalogue import CAUGHT
from tests.mutants.fingerprints import of_check, of_fault, of_function

from lbproof.spec import REQUIREMENTS

if TYPE_CHECKING:
    from pathlib import Path

_NUMBERS = count()
CHECK = '''"""Module."""
from made.helper import more, other
from made.whole import inner
from pathlib import Path

MOST = 4

@proves("POOL-01")
def test_it(check, given):
    """A check."""
    # a comment
    assert more(check) < MOST

def beside(check):
    assert other(Path())
'''
HELPER = """
from made.deep import deeper

def more(check):
    return deeper()

def other(path):
    return 1
"""
REFERENCE = """
def real():
    return 1

def far():
    return real()

class T:
    def real(self):
        return 5
"""
FAULT = """
from importlib import import_module

reference = import_module("..reference", __package__)

def fault(case):
    return lambda function: function

@fault("POOL-01")
def breaks():
    for one in (reference, reference.T):
        patch(one, "real", lambda: 0)
"""
FILES = {
    "__init__.py": "",
    "test_check.py": CHECK,
    "helper.py": HELPER,
    "deep.py": "def deeper():\n    return 3\n",
    "whole/__init__.py": "",
    "whole/inner.py": "X = 1\n",
    "conftest.py": "def given():\n    return 1\n\ndef unused():\n    return 2\n",
    "reference.py": REFERENCE,
    "faults/__init__.py": "",
    "faults/breaks.py": FAULT,
}


def fingerprint(folder: Path, function: str, file: str = "", old: str = "", new: str = "") -> str:
    """Fingerprint of a function of `FILES`, after an edit of one of them."""
    package = f"made{next(_NUMBERS)}"  # modules are read once
    for name, text in FILES.items():
        path = folder / package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        assert name != file or old in text
        path.write_text((text.replace(old, new) if name == file else text).replace("made", package))
    module, _, name = function.rpartition(".")
    sys.path.insert(0, str(folder))
    try:
        return of_function((f"{package}.{module}", name), f"{package}.faults" if "faults" in module else package)
    finally:
        sys.path.remove(str(folder))
        for loaded in [one for one in sys.modules if one.partition(".")[0] == package]:
            del sys.modules[loaded]


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("test_check.py", "MOST = 4", "MOST = 5"),
        ("test_check.py", "< MOST", "<= MOST"),
        ("test_check.py", "(check, given)", "(check, given=1)"),
        ("helper.py", "return deeper()", "return deeper() + 1"),
        ("deep.py", "return 3", "return 4"),
        ("conftest.py", "return 1", "return 7"),
    ],
)
def test_a_check_changes_with_what_it_uses(tmp_path: Path, file: str, old: str, new: str) -> None:
    """Its own code, constants, helpers in other modules at any depth, and fixtures."""
    name = "test_check.test_it"

    assert fingerprint(tmp_path, name) != fingerprint(tmp_path, name, file, old, new)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("test_check.py", '"""A check."""\n    # a comment', '"""A check that says more."""\n\n    # other words'),
        ("test_check.py", "more(check) < MOST", "(\n        more(check) < MOST\n    )"),
        ("test_check.py", 'proves("POOL-01")', 'proves("POOL-01", "a")'),
        ("test_check.py", "other(Path())", "not other(Path())"),
        ("test_check.py", "import more, other", "import other, more"),
        ("helper.py", "return 1", "return 2"),
        ("conftest.py", "return 2", "return 3"),
    ],
)
def test_a_check_does_not_change_with_prose_and_neighbours(tmp_path: Path, file: str, old: str, new: str) -> None:
    """Docstrings, comments, line breaks, cases of the decorator, and what other checks use."""
    name = "test_check.test_it"

    assert fingerprint(tmp_path, name) == fingerprint(tmp_path, name, file, old, new)


@pytest.mark.parametrize(("old", "new"), [("return 1", "return 2"), ("return 5", "return 6")])
def test_a_fault_changes_with_what_it_replaces(tmp_path: Path, old: str, new: str) -> None:
    """Functions of modules and of classes, also those of a loop over several."""
    name = "faults.breaks.breaks"

    assert fingerprint(tmp_path, name) != fingerprint(tmp_path, name, "reference.py", old, new)


def test_a_fault_does_not_change_with_the_rest_of_what_it_breaks(tmp_path: Path) -> None:
    """Where the function that it replaces is called from may change."""
    name, other = "faults.breaks.breaks", ("reference.py", "return real()", "return real() + 1")

    assert fingerprint(tmp_path, name) == fingerprint(tmp_path, name, *other)


def test_fingerprints_are_the_same_in_every_process() -> None:
    """A set is written in another order by each: the seed of hashes is drawn when a process starts."""
    code = "from tests.mutants.catalogue import CAUGHT; from tests.mutants.fingerprints import of_fault as of; "
    code += "print({name: of(mutant.apply) for name, mutant in sorted(CAUGHT.items())})"
    made = [
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in "12"
    ]

    assert made[0] == made[1]


def test_every_mutant_and_case_has_a_fingerprint() -> None:
    """No two mutants have the same; each case has a check."""
    faults = {of_fault(mutant.apply) for mutant in CAUGHT.values()}

    assert len(faults) == len(CAUGHT)
    assert all(of_check(case) for one in REQUIREMENTS.values() for case in one.case_ids)
