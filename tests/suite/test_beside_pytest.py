"""`lbproof run` and pytest: nothing of the user's own pytest changes a run, and no run is distributed by it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from tests.suite.sources import PASSES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.suite.conftest import Run


@pytest.mark.parametrize(
    "env",
    [
        *({"PYTEST_ADDOPTS": text} for text in ("--color=yes", "-q", "-v", "-ra", "--tb=short", "-W error")),
        {"PYTEST_PLUGINS": "no_such_plugin"},
        {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        {"PYTHONWARNINGS": "error"},
    ],
    ids=lambda env: "=".join(next(iter(env.items()))),
)
def test_a_run_takes_nothing_from_pytest_s_environment(run: Callable[..., Run], env: dict[str, str]) -> None:
    """Variables that the user's own tests are run with change nothing."""
    done = run(PASSES, env=env)

    assert done.exit == 0, done.screen
    assert done.verdicts() == {"POOL-01": "passed"}


def test_a_run_takes_nothing_from_the_folder_it_is_called_in(run: Callable[..., Run], tmp_path: Path) -> None:
    """Pytest's configuration files of the user's own project change nothing."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
    (project / "conftest.py").write_text("raise RuntimeError('of another project')\n")

    done = run(PASSES, cwd=project)

    assert done.exit == 0, done.screen


@pytest.mark.parametrize(
    "words",
    [
        ["-n", "2"],
        ["-n2"],
        ["--numprocesses=2"],
        ["--numprocesses", "2"],
        ["--dist", "load"],
        ["--dist=each"],
        ["-d"],
        ["--tx", "2*popen"],
    ],
    ids=" ".join,
)
def test_checks_that_would_run_at_the_same_time_are_refused(run: Callable[..., Run], words: list[str]) -> None:
    """They share one lab and would fail by each other's doing; pytest-xdist is not loaded by a run."""
    done = run(PASSES, "--", *words)

    assert done.exit == 64, done.screen
    assert done.screen == (
        f"lbproof: {words[0]} after --: the checks of a run share a lab and cannot be distributed by pytest; "
        "use --labs N\n"
    )
    assert not done.directory.exists()


@pytest.mark.parametrize("words", [["-n", "2"], ["--dist=load", "--tx=2*popen"], ["-d", "--tx=2*popen"]], ids=" ".join)
@pytest.mark.parametrize("target", [["--pyargs", "lbproof.checks"], ["checks"]], ids=" ".join)
def test_plain_pytest_refuses_them_too(
    run: Callable[..., Run], tmp_path: Path, target: list[str], words: list[str]
) -> None:
    """One line before a lab is booted, for our checks by their name and for a vendor's as a worker collects them."""
    results = f"--lb-results={tmp_path / 'runs'}"
    command = [sys.executable, "-m", "pytest", "-c", "checks/pytest.ini", results, *target, *words]

    done = run(PASSES, command=command, cwd=tmp_path)

    assert done.exit == 4, done.screen
    says = "pytest cannot distribute the checks of a run, which share a lab; run it without -n, --dist and -d"
    assert [line for line in done.screen.splitlines() if says in line] == [f"ERROR: {says}"]
    assert not done.directory.exists()


def test_tests_of_others_may_be_distributed(run: Callable[..., Run], tmp_path: Path) -> None:
    """Where lbproof is merely installed, it is in nobody's way."""
    (tmp_path / "test_other.py").write_text("def test_other(): pass\n")
    command = [sys.executable, "-m", "pytest", "-c", "checks/pytest.ini", "test_other.py", "-n", "2"]

    assert run(PASSES, command=command, cwd=tmp_path).exit == 0


@pytest.mark.parametrize("option", ["--setup-plan", "--setup-only"])
def test_what_is_not_executed_has_not_passed(run: Callable[..., Run], option: str) -> None:
    """Pytest reports a check as passed whose call it left out."""
    done = run(PASSES, "--requirement", "POOL-01", "--", option)

    assert (done.exit, done.verdicts()) == (2, {"POOL-01": "error"}), done.screen


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--collect-only"], "test_passes"),
        (["--co", "-q"], "test_fake.py::test_passes"),
        (["--help"], "usage: "),
        (["--version"], "pytest "),
        (["--markers"], "@pytest.mark."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_question_to_pytest_is_no_bug(run: Callable[..., Run], words: list[str], says: str) -> None:
    """Pytest answers it, and there is no run."""
    done = run(PASSES, "--", *words)

    assert done.exit == 0, done.screen
    assert says in done.screen
    assert "bug" not in done.screen.splitlines()[-1]
    assert not done.directory.exists()


def test_plugins_of_other_distributions_are_not_loaded(run: Callable[..., Run]) -> None:
    """One that is installed for the user's own tests could end a run, or change its verdicts."""
    source = PASSES + "def pytest_generate_tests(metafunc): pass\n"
    listed = run(source, "--", "--trace-config", "--collect-only").screen

    assert "lbproof.run.plugin" in listed
    assert "hypothesis" not in listed
