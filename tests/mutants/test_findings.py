"""The table of the reference's faults names tests and mutants that exist, and every mutant of its modules."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.mutants import authority, heartbeats, leaks, links, objects, takeovers
from tests.mutants.catalogue import CAUGHT, MUTANTS, UNCAUGHT

from lbproof.adapters.installed import load

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "findings" / "reference.md").read_text()
ROWS = [line.strip("| ").split(" | ") for line in TEXT.splitlines() if line.startswith("| ")]


def test_each_test_that_it_names_exists() -> None:
    """A test that is renamed is renamed in the table too."""
    named = set(re.findall(r"(?:::|…)(test_\w+)", TEXT))
    tests = {
        name for file in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"def (test_\w+)", file.read_text())
    }

    assert len(named) > 50
    assert named <= tests


def test_each_mutant_of_these_modules_has_a_row() -> None:
    """A mutant that is the reference as it was is in the table, and nothing else is."""
    named = {name for row in ROWS if len(row) == 5 for name in re.findall(r"`([\w-]+)`", row[4])}
    modules = {module.__name__ for module in (authority, heartbeats, leaks, links, objects, takeovers)}

    assert named <= MUTANTS.keys()
    assert {name for name, one in UNCAUGHT.items() if one.apply.__module__ in modules} == named


@pytest.mark.parametrize("name", CAUGHT)
def test_the_adapter_of_each_mutant_is_accepted(name: str) -> None:
    """Features that its cases need are claimed too, as a frozenset: nothing could be run otherwise."""
    assert load(f"tests.mutants.adapter:{name.replace('-', '_')}", "a test").name == f"mutant-{name}"
