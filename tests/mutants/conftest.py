"""Option that selects a mutant for each case, in place of all mutants."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.mutants.catalogue import covering

if TYPE_CHECKING:
    import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    parser.addoption(
        "--one-a-case",
        action="store_true",
        help="run only as many mutants that cases catch as it takes for each case to catch one",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the mutants whose cases catch another one, and whole runs of mutants."""
    if not config.getoption("--one-a-case", default=False):  # unknown where pytest was not given this folder
        return
    needed = covering()
    left = [
        item
        for item in items
        if item.path.stem == "test_whole_runs" or ((name := _mutant(item)) and name not in needed)
    ]
    config.hook.pytest_deselected(items=left)
    items[:] = [item for item in items if item not in left]


def _mutant(item: pytest.Item) -> str:
    """Return the name of the mutant that a test is for; the empty string for another test."""
    return item.name.partition("[")[2].removesuffix("]") if item.path.stem == "test_mutants" else ""
