"""Each mutant that no case catches yet is a fault: the test of the reference that it names fails with it."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from tests.mutants.catalogue import MUTANTS, UNCAUGHT, Mutant
from tests.mutants.mutant import fault

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    Runs: TypeAlias = dict[str, Future[tuple[int, list[str]]]]

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys
import pytest
from tests.mutants.catalogue import MUTANTS
MUTANTS[sys.argv[1]].apply()
sys.exit(pytest.main(sys.argv[2:]))
"""
"""Applies a mutant before the modules of tests are imported, and runs one test."""
AT_ONCE = 4
"""Tests at a time: with some mutants the test waits until a timeout of 20 s."""


PLUGINS = ("no:cacheprovider", "pytest_timeout", "xdist.plugin")
"""Those that the options and markers of this project need: to load all takes longer than a test."""
BROKEN = ("AttributeError", "NameError", "TypeError", "Failed: Timeout (>")
"""Errors that show a mistake of the mutant, and not the fault: a test that never ends judges nothing."""


def run(mutant: Mutant, results: Path) -> tuple[int, list[str]]:
    """Run the test that a mutant names until its first failure; return exit code and the message of the failure."""
    done = subprocess.run(
        [
            *(sys.executable, "-c", PROGRAM, mutant.name, f"tests/reference/{mutant.test}"),
            *("--exitfirst", f"--junit-xml={results}", "-o", "filterwarnings="),
            *(word for plugin in PLUGINS for word in ("-p", plugin)),
        ],
        cwd=ROOT,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert results.exists(), done.stdout + done.stderr
    failures = ET.parse(results).iter("failure")  # noqa: S314 - written by the test itself
    return done.returncode, [failure.attrib["message"] for failure in failures]


@pytest.fixture(scope="module")
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """Runs of the selected mutants, by name."""
    folder = tmp_path_factory.mktemp("uncaught")
    selected: list[Any] = [
        item.callspec.params["name"]
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.module is request.module and hasattr(item, "callspec")
    ]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {name: pool.submit(run, UNCAUGHT[name], folder / f"{name}.xml") for name in selected}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", UNCAUGHT)
def test_the_test_that_it_names_fails(name: str, runs: Runs) -> None:
    """The test runs and fails; without the mutant it passes, as it is one of the reference's."""
    code, failures = runs[name].result()

    assert code == 1
    assert len(failures) == 1
    assert not failures[0].startswith(BROKEN)


def test_a_fault_has_either_cases_or_a_reason_and_a_test() -> None:
    """A mutant that neither a case nor a test detects may change nothing."""
    for cases, reason, test in (((), "", ""), (("L2-01",), "none", "x::y"), ((), "none", ""), (("L2-01",), "", "x::y")):
        with pytest.raises(ValueError, match="either cases"):
            fault(*cases, uncaught=reason, test=test)
    assert all(bool(mutant.cases) != bool(mutant.uncaught) for mutant in MUTANTS.values())
