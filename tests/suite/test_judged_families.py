"""Runs of an implementation that claims IPv6: a verdict for each family, as far as the lab has both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.suite.sources import HEAD

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.suite.conftest import Run

SOURCE = (
    HEAD
    + """
@proves("POOL-01")
def test_each(check): assert check.family == 4, f"of {check.family.label}"
@proves("POOL-02")
def test_cases(check, case): assert check.family in {4, 6}
"""
)
BOTH = ("--feature", "core", "--feature", "pool", "--feature", "ipv6")


def found(done: Run) -> dict[str, str]:
    """Name of the verdict → verdict, from the events."""
    return {row["case"]: row["verdict"] for row in done.events("check.finished") if row["node"]}


def test_each_case_is_judged_for_each_family(run: Callable[..., Run]) -> None:
    """And once where the specification says so."""
    done = run(SOURCE, *BOTH, lab="dual")

    assert found(done) == {
        "POOL-01": "passed",
        "POOL-01-IPv6": "failed",
        "POOL-02a": "passed",
        "POOL-02a-IPv6": "passed",
        "POOL-02b": "passed",
        "POOL-02c": "passed",
    }
    assert done.events("check.finished")[-5]["family"] == "IPv6"
    assert "of IPv6" in done.screen
    nodes = {row["case"]: row["node"].partition("::")[2] for row in done.events("check.started")}
    assert nodes["POOL-01"] == "test_each"
    assert nodes["POOL-01-IPv6"] == "test_each[POOL-01-IPv6]"
    assert (nodes["POOL-02a"], nodes["POOL-02a-IPv6"]) == ("test_cases[POOL-02a]", "test_cases[POOL-02a-IPv6]")


def test_without_the_claim_there_is_one_verdict(run: Callable[..., Run]) -> None:
    """It is that of IPv4; nothing is said of another family."""
    done = run(SOURCE, "--feature", "core", "--feature", "pool", lab="dual")

    assert list(found(done)) == ["POOL-01", "POOL-02a", "POOL-02b", "POOL-02c"]
    assert "IPv6" not in done.screen
    assert "deselected" not in done.screen


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["--requirement", "POOL-01-IPv6"], ["POOL-01-IPv6"]),
        (["--requirement", "POOL-01-IPv4"], ["POOL-01"]),
        (["--requirement", "POOL-IPv6"], ["POOL-01-IPv6", "POOL-02a-IPv6"]),
        (["--skip", "POOL-02", "--skip", "POOL-01-IPv4"], ["POOL-01-IPv6"]),
        (["--", "-k", "IPv6"], ["POOL-01-IPv6", "POOL-02a-IPv6"]),
    ],
)
def test_a_family_is_selected(run: Callable[..., Run], arguments: list[str], names: list[str]) -> None:
    """By the options of the command, and by pytest's."""
    assert list(found(run(SOURCE, *BOTH, *arguments, lab="dual"))) == names


def test_a_family_is_judged_again(run: Callable[..., Run]) -> None:
    """`--rerun` takes the verdict that failed, and not that of the other family."""
    first = run(SOURCE, *BOTH, lab="dual")
    again = run(SOURCE, *BOTH, "--rerun", str(first.directory), lab="dual")

    assert list(found(again)) == ["POOL-01-IPv6"]


def test_a_family_that_is_not_claimed_is_unsupported_when_it_is_asked_for(run: Callable[..., Run]) -> None:
    """The reason is told."""
    done = run(SOURCE, "--feature", "core", "--feature", "pool", "--requirement", "POOL-01-IPv6", lab="dual")

    assert "nothing to judge: POOL-01-IPv6 is unsupported: ipv6 not claimed" in done.screen


def test_a_lab_of_one_family_cannot_show_the_other(run: Callable[..., Run]) -> None:
    """It is untestable, which blames nobody."""
    done = run(SOURCE, *BOTH)

    assert found(done)["POOL-01"] == "passed"
    assert found(done)["POOL-01-IPv6"] == "untestable"
    assert "IPv6 wanted, the lab has IPv4 alone" in " ".join(done.screen.split())
