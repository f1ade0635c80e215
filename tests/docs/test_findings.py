"""The table of the suite's faults names tests, cases and mutants that exist, in each row or with the reason why not."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import pytest
from tests.mutants.catalogue import MUTANTS

TESTS = Path(__file__).parents[1]
TEXT = (TESTS.parent / "docs" / "findings" / "suite.md").read_text()
TABLES, _, LEFT = TEXT.partition("\n## Not yet\n")
ROWS = [line.strip("| ").split(" | ") for line in TABLES.splitlines() if line.startswith("| ")]
FAULTS = [row for row in ROWS if row[0] not in {"fault", "---"}]
TEST = re.compile(r"`(?:([\w/]+\.py)::|…)(test_\w+)`")
CASE = re.compile(r"([A-Z0-9]+-\d\d[a-z]?) \(((?:`[\w-]+`(?:, )?)+)\)")


@functools.cache
def functions(file: str) -> set[str]:
    """Names of the functions of a file of tests; none where there is no such file."""
    path = TESTS / file
    tree = ast.parse(path.read_text() if path.is_file() else "")
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def named(cell: str) -> tuple[list[str], list[str], str]:
    """What a cell names that does not exist, what it names in all, and what is left of it."""
    missing: list[str] = []
    there: list[str] = []
    file = ""
    for given, test in TEST.findall(cell):
        file = given or file
        (there if test in functions(file) else missing).append(f"{file}::{test}")
    for case, mutants in CASE.findall(cell):
        for name in re.findall(r"[\w-]+", mutants):
            catches = name in MUTANTS and case in MUTANTS[name].cases
            (there if catches else missing).append(f"{case}: {name}")
    return missing, there, CASE.sub("", TEST.sub("", cell)).strip(", ")


@pytest.mark.parametrize("row", FAULTS, ids=lambda row: row[0][:60])
def test_each_row_names_what_holds_it(row: list[str]) -> None:
    """A test that exists, a case that catches a mutant, or `none` with the reason; and nothing that is none of them."""
    missing, there, rest = named(row[-1])

    assert len(row) == 4
    assert missing == []
    assert (rest.startswith("none: ") and not there) or (there and not rest)


def test_what_is_left_names_what_exists() -> None:
    """Cases and mutants of the list at the end are those of today."""
    mutants = set(re.findall(r"`([a-z]+(?:-[a-z]+){2,})`", LEFT))

    assert mutants <= MUTANTS.keys()
    assert named(LEFT)[0] == []


def test_a_name_that_does_not_exist_is_found() -> None:
    """Of a test, of a file, of a mutant, and of a case that does not catch it."""
    for wrong in (
        "`suite/test_blame.py::test_no_such`",
        "`suite/test_none.py::test_who_is_late_is_to_blame`",
        "POOL-01 (`no-such-mutant`)",
        "POOL-02a (`assigns-outside-pool`)",
    ):
        assert named(wrong)[0] != []
    assert named("`suite/test_blame.py::test_who_is_late_is_to_blame`, POOL-01 (`assigns-outside-pool`)")[0] == []
