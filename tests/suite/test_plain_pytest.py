"""Habits of those who call pytest itself: none gives a verdict that was not judged, or another than `lbproof run`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from tests.suite.sources import HEAD

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.suite.conftest import Run

MIXED = (
    HEAD
    + """
@proves("POOL-01")
def test_passes(check): pass
@proves("POOL-02", "abc")
def test_of_cases(check, case): assert case != "b", "two have one address"
@proves("L2-01")
def test_cannot(check): raise CannotShow(Untestable.PROXY_MODE, "ip_vs")
@proves("TIER-01")
def test_breaks(check): {}["x"]
@proves("FAIL-01")
def test_fails(check): assert 1 == 2, "nobody answers"
"""
)
ALL = {
    "POOL-01": "passed",
    "POOL-02a": "passed",
    "POOL-02b": "failed",
    "POOL-02c": "passed",
    "L2-01": "untestable",
    "FAIL-01": "failed",
    "TIER-01": "error",
}
INI = "[pytest]\naddopts = --import-mode=importlib\n"


@pytest.fixture
def plain(run: Callable[..., Run], tmp_path: Path) -> Callable[..., Run]:
    """Run pytest itself on the checks, in a folder where it may keep its cache."""

    def go(*words: str, source: str = MIXED, addopts: str = "", plugins: str = "") -> Run:
        own = ["-c", "checks/pytest.ini", "-p", "fake_pytest", f"--lb-results={tmp_path / 'runs'}", "checks"]
        command = [sys.executable, "-m", "pytest", *own, *words]
        env = {"PYTEST_ADDOPTS": addopts, "PYTEST_PLUGINS": plugins}
        return run(
            source, command=command, cwd=tmp_path, ini=INI, env={name: text for name, text in env.items() if text}
        )

    return go


def reached(done: Run) -> dict[str, str]:
    """Cases that were judged, and their verdicts; the others of the report were not reached, or are not claimed."""
    cases = [case for r in done.report["requirements"] for case in r["cases"]]
    left = {case["id"] for case in cases if case.get("reason", "").startswith("not reached: ")}
    assert all(case["verdict"] == "error" for case in cases if case["id"] in left)
    return {
        case["id"]: case["verdict"] for case in cases if case["id"] not in left and case["verdict"] != "unsupported"
    }


def test_all_of_it_is_what_the_command_says(plain: Callable[..., Run], run: Callable[..., Run]) -> None:
    """The same verdicts, and pytest's own exit code."""
    done = plain()
    assert (done.exit, reached(done)) == (1, ALL), done.screen

    assert run(MIXED).verdicts() == ALL


@pytest.mark.parametrize(
    ("words", "judged"),
    [
        (["-k", "POOL-02"], {"POOL-02a", "POOL-02b", "POOL-02c"}),
        (["-k", "POOL-02b or FAIL"], {"POOL-02b", "FAIL-01"}),
        (["--deselect", "test_fake.py::test_fails"], {*ALL} - {"FAIL-01"}),
        (["-p", "no:cacheprovider", "-p", "no:terminal", "-s"], {*ALL}),
        (["--runxfail", "--strict-markers", "--disable-warnings"], {*ALL}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_selected_is_judged_as_ever(plain: Callable[..., Run], words: list[str], judged: set[str]) -> None:
    """And nothing is said about the rest, so that the run is partial."""
    done = plain(*words)

    assert reached(done) == {case: ALL[case] for case in judged}, done.screen
    assert done.exit == (1 if {"failed", "error"} & {*reached(done).values()} else 0)
    assert done.report["scope"]["whole"] is False


@pytest.mark.parametrize(
    ("word", "judged"),
    [("-x", ["POOL-01", "POOL-02a", "POOL-02b"]), ("--maxfail=1", ["POOL-01", "POOL-02a", "POOL-02b"])],
)
def test_what_was_not_reached_is_no_verdict(plain: Callable[..., Run], word: str, judged: list[str]) -> None:
    """It is an error, whatever it would have been."""
    done = plain(word)

    assert done.exit == 1, done.screen
    assert reached(done) == {case: ALL[case] for case in judged}
    assert {*done.verdicts()} == {*ALL}


def test_two_failures_are_waited_for(plain: Callable[..., Run]) -> None:
    """`--maxfail=2` ends at the second; one whose verdict is untestable is none."""
    done = plain("--maxfail=2")

    assert list(reached(done).values()).count("failed") + list(reached(done).values()).count("error") == 2, done.screen
    assert len(reached(done)) < len(ALL)


def test_the_last_failures_are_judged_again(plain: Callable[..., Run]) -> None:
    """By pytest's cache; what was mended passes, the run is partial, and no failure is forgotten by being left out."""
    assert reached(plain()) == ALL

    again = plain("--lf")
    assert reached(again) == {case: ALL[case] for case in ("POOL-02b", "FAIL-01", "TIER-01")}, again.screen

    mended = plain(
        "--lf", source=MIXED.replace("1 == 2", "1 == 1").replace('case != "b"', "case").replace('{}["x"]', "pass")
    )
    assert reached(mended) == dict.fromkeys(("POOL-02b", "FAIL-01", "TIER-01"), "passed"), mended.screen
    assert mended.exit == 0
    assert mended.report["conclusion"] == "partial"

    first = plain("--ff")
    assert reached(first) == ALL
    stepwise = plain("--sw")
    assert {*stepwise.verdicts()} == {*ALL}
    assert reached(stepwise).items() <= ALL.items()


def test_junit_of_pytest_agrees_with_the_report(plain: Callable[..., Run], tmp_path: Path) -> None:
    """What did not pass is no success in its file, and what is untestable is skipped."""
    done = plain(f"--junitxml={tmp_path / 'junit.xml'}")

    rows = ET.parse(tmp_path / "junit.xml").iter("testcase")  # noqa: S314 - our own
    told = {str(row.get("name")): sorted({child.tag for child in row} - {"properties"}) for row in rows}
    names = {
        "test_passes": "POOL-01",
        "test_of_cases[POOL-02a]": "POOL-02a",
        "test_of_cases[POOL-02b]": "POOL-02b",
        "test_of_cases[POOL-02c]": "POOL-02c",
        "test_cannot": "L2-01",
        "test_breaks": "TIER-01",
        "test_fails": "FAIL-01",
    }
    tags = {"passed": [], "failed": ["failure"], "error": ["failure"], "untestable": ["skipped"]}
    assert told == {name: tags[reached(done)[case]] for name, case in names.items()}


@pytest.mark.parametrize("words", [["--co", "-q"], ["--collect-only", "-k", "POOL"]], ids=" ".join)
def test_a_list_of_checks_is_no_run(plain: Callable[..., Run], words: list[str]) -> None:
    """Nothing is booted, and there is no folder of a run."""
    done = plain(*words)

    assert done.exit == 0, done.screen
    assert "test_of_cases[POOL-02b]" in done.screen
    assert not done.directory.exists()


@pytest.mark.parametrize(
    ("addopts", "judged"),
    [("-k POOL-02a", ["POOL-02a"]), ("-x", ["POOL-01", "POOL-02a", "POOL-02b"]), ("-q -ra", [*ALL])],
)
def test_options_of_the_environment_are_pytest_s_own(
    plain: Callable[..., Run], addopts: str, judged: list[str]
) -> None:
    """`PYTEST_ADDOPTS` selects under plain pytest as on its command line; `lbproof run` forgets it."""
    done = plain(addopts=addopts)

    assert reached(done) == {case: ALL[case] for case in judged}, done.screen


def test_plugins_of_the_environment_are_loaded(plain: Callable[..., Run], tmp_path: Path) -> None:
    """`PYTEST_PLUGINS` is for plain pytest what it is elsewhere; `lbproof run` forgets it."""
    (tmp_path / "own_plugin.py").write_text(
        "from pathlib import Path\ndef pytest_sessionstart(): Path(__file__).with_name('loaded').touch()\n"
    )
    done = plain("-k", "POOL-02a", plugins="own_plugin")

    assert reached(done) == {"POOL-02a": "passed"}, done.screen
    assert (tmp_path / "loaded").exists()


def test_workers_of_xdist_from_the_environment_are_refused(plain: Callable[..., Run]) -> None:
    """As on the command line."""
    done = plain(addopts="-n 2")

    assert done.exit == 4, done.screen
    assert "pytest cannot distribute the checks of a run" in done.screen
    assert not done.directory.exists()
