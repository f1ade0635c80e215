"""Which mutants are run, by the matrix of what they were seen to fail (`tests.mutants.matrix`)."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.mutants import matrix
from tests.mutants.catalogue import CAUGHT
from tests.mutants.runs import NOT_DRAWN, REPORTED

ROOT = Path(__file__).parents[2]
CHOSEN = pytest.StashKey[list[str]]()
"""Lines for the terminal: mutants that were chosen, and by what."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("mutants", "mutants of the reference")
    group.addoption(
        "--due",
        action="store_true",
        help="run the mutants whose rows of the matrix are missing or out of date, and a few others, within a bound",
    )
    group.addoption("--write-matrix", action="store_true", help="write what the mutants that are run fail")
    group.addoption("--mutant-seed", default="", help="draw the few others from this text (default: the commit)")
    group.addoption("--mutant-labs", type=int, default=0, help="labs at a time (default: by cores and memory)")


def pytest_configure(config: pytest.Config) -> None:
    """Begin without anything to report or to leave out."""
    config.stash[REPORTED], config.stash[NOT_DRAWN] = [], []


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With `--due`, leave out the other mutants, whole runs of mutants, and most verdicts for a further family."""
    if not config.getoption("--due", default=False):  # unknown where pytest was not given this folder
        return
    seed = config.getoption("--mutant-seed") or _commit()
    chosen = matrix.choose(matrix.read(), seed)
    config.stash[NOT_DRAWN] = matrix.not_drawn(seed)
    config.stash[CHOSEN] = [
        f"due: {', '.join(chosen.due) or 'none'}",
        f"drawn by --mutant-seed {seed}: {', '.join(chosen.drawn) or 'none'}",
    ]
    wanted = {*chosen.due, *chosen.drawn}
    left = [
        item
        for item in items
        if item.path.stem == "test_whole_runs" or ((name := _mutant(item)) and name not in wanted)
    ]
    config.hook.pytest_deselected(items=left)
    items[:] = [item for item in items if item not in left]


def _mutant(item: pytest.Item) -> str:
    """Return the name of the mutant that a test is for; the empty string for another test."""
    return item.name.partition("[")[2].removesuffix("]") if item.path.stem == "test_mutants" else ""


def _commit() -> str:
    """Return the commit of the checkout; outside of one, the names of all mutants."""
    done = subprocess.run(
        ["git", "-c", "safe.directory=*", "-C", str(ROOT), "rev-parse", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or " ".join(sorted(CAUGHT))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say which mutants were chosen, and which cases failed at another line than the matrix says."""
    lines = [*config.stash[REPORTED], *config.stash.get(CHOSEN, [])]
    if lines:
        terminalreporter.section("mutants")
        for line in lines:
            terminalreporter.write_line(line)
