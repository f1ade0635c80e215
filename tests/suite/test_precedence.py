"""A violation that was observed decides a check, whatever else ends it: a limit of the lab, an error, a watch."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, cast

import pytest
from tests.suite.sources import HEAD, PASSES
from tests.suite.test_service_watch import EXPIRED, WEB
from tests.suite.test_service_watch import Cluster as Watched
from tests.suite.test_unchanged import EMPTY, HELD, Cluster

from lbproof.context import CannotShow
from lbproof.context.precedence import judging
from lbproof.context.service_watch import ServiceWatch, WatchBroke
from lbproof.context.unchanged import addresses_of, unchanged
from lbproof.spec import Untestable
from lbproof.witnesses.kube import ApiError, ApiUnreachable
from lbproof.witnesses.wait import EventuallyFailed, Violation

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.suite.conftest import Run

    from lbproof.witnesses.kube import Kube


def late(budget: str) -> EventuallyFailed:
    """A wait that failed by a budget."""
    error = EventuallyFailed("it", "not within 5 s", [(0.0, "nothing")])
    error.budget = budget
    return error


LESSER = [
    CannotShow(Untestable.NOT_PROVOKED, "the control has no address"),
    ApiUnreachable("GET /: connection refused"),
    ApiError("GET /", 500, "Internal", "etcd"),
    late("restarted"),
    late(""),
    ZeroDivisionError("of the suite"),
]
GREATER = [Violation("another"), late("announced"), AssertionError("of the check"), KeyboardInterrupt(), SystemExit(1)]


def named(error: BaseException) -> str:
    """Name of a parameter."""
    return f"{type(error).__name__} {getattr(error, 'budget', '')}".strip()


@pytest.mark.parametrize("error", LESSER, ids=named)
def test_a_change_that_was_seen_outranks_what_ends_the_block(error: Exception) -> None:
    """Untestable and error say nothing of the implementation; the change that the watch has recorded does."""
    cluster = Cluster(HELD, events=(("MODIFIED", EMPTY),))

    with pytest.raises(Violation, match="changed though nobody asked") as seen:
        ended(error, cluster)
    assert seen.value.__cause__ is error


@pytest.mark.parametrize("error", [*LESSER, *GREATER], ids=named)
def test_what_ends_the_block_is_raised_where_nothing_changed(error: BaseException) -> None:
    """A watch that saw nothing has no say."""
    with pytest.raises(type(error)) as seen:
        ended(error, Cluster(HELD))
    assert seen.value is error


@pytest.mark.parametrize("error", GREATER, ids=named)
def test_another_violation_and_an_interrupt_stay_what_they_are(error: BaseException) -> None:
    """The verdict is the same, or there is none since the run was stopped."""
    with pytest.raises(type(error)) as seen:
        ended(error, Cluster(HELD, events=(("MODIFIED", EMPTY),)))
    assert seen.value is error


def ended(error: BaseException, cluster: Cluster) -> None:
    """Have a block, in which a Service must not change, end by an exception."""
    with unchanged(cast("Kube", cluster), cluster.known(HELD), addresses_of):
        raise error


class Interrupted(Cluster):
    """An API server that is gone at the end of a watch."""

    def create(self, path: str, made: dict[str, object]) -> None:
        super().create(path, made)
        raise ApiUnreachable("POST /: connection refused")


def test_a_change_outranks_a_watch_that_broke_later() -> None:
    """What was seen before the API server went away was seen."""
    cluster = Interrupted(EMPTY)
    with (
        pytest.raises(Violation, match="changed though nobody asked"),
        unchanged(cast("Kube", cluster), cluster.known(HELD), addresses_of),
    ):
        pass


def test_a_change_outranks_versions_that_are_missing() -> None:
    """Other changes may have been missed; that one was not."""
    seen: list[str] = []

    def changed(_kind: str, made: dict[str, dict[str, str]]) -> None:
        seen.append(made["metadata"]["name"])
        raise AssertionError("web was changed")

    with (
        pytest.raises(AssertionError, match="web was changed"),
        ServiceWatch(cast("Kube", Watched([WEB, EXPIRED])), "ns", changed),
    ):
        pass
    assert seen == ["web"]


@pytest.mark.parametrize("error", LESSER, ids=named)
def test_an_assertion_of_the_watched_outranks_what_ends_the_block(error: Exception) -> None:
    """The function that is called for each change may assert."""

    def changed(_kind: str, _made: object) -> None:
        raise AssertionError("web was changed")

    with (
        pytest.raises(AssertionError, match="web was changed"),
        ServiceWatch(cast("Kube", Watched([WEB])), "ns", changed),
    ):
        raise error


@pytest.mark.parametrize("error", LESSER, ids=named)
def test_a_judgement_comes_before_what_ended_the_block(error: Exception) -> None:
    """What a check has collected is judged also when the check cannot go on."""

    def judge() -> None:
        raise AssertionError("two have one address")

    with pytest.raises(AssertionError, match="two have one address"), judging(judge):
        raise error


def test_a_judgement_that_cannot_be_made_hides_nothing() -> None:
    """The API server may be what ended the block."""

    def judge() -> None:
        raise ApiUnreachable("GET /: connection refused")

    first = CannotShow(Untestable.NOT_PROVOKED, "no address")
    with pytest.raises(CannotShow) as seen, judging(judge):
        raise first
    assert seen.value is first
    with pytest.raises(ApiUnreachable), judging(judge):
        pass


@pytest.mark.parametrize("error", GREATER, ids=named)
def test_nothing_is_judged_after_a_violation(error: BaseException) -> None:
    """It would cost time and replace the first reason."""
    judged: list[str] = []
    with contextlib.suppress(type(error)), judging(lambda: judged.append("judged")):
        raise error
    assert not judged


def test_a_watch_that_broke_is_told_where_nothing_changed() -> None:
    """As before."""
    with pytest.raises(WatchBroke), ServiceWatch(cast("Kube", Watched([EXPIRED])), "ns", lambda *_: None):
        pass


TWICE = (
    HEAD
    + """
import pytest

@pytest.fixture
def breaks():
    yield
    raise ZeroDivisionError("of the fixture")

@pytest.fixture
def cannot():
    yield
    raise CannotShow(Untestable.PROXY_MODE, "ipvs")

@proves("POOL-01")
def test_untestable_then_error(check, breaks): raise CannotShow(Untestable.NOT_PROVOKED, "no control")
@proves("L2-01")
def test_error_then_untestable(check, cannot): 1 / 0
@proves("L2-02")
def test_violation_then_untestable(check, cannot): assert 1 == 2, "two nodes answer"
@proves("L2-03")
def test_error_then_error(check, breaks): [][1]
"""
)


def test_the_worst_of_a_check_and_its_cleanup_gives_the_reason(run: Callable[..., Run]) -> None:
    """Verdict and reason are of the same exception, and what came later is told beside it."""
    done = run(TWICE)

    cases = {c["id"]: c for r in done.report["requirements"] for c in r["cases"]}
    assert {case: made["verdict"] for case, made in cases.items() if made["verdict"] != "unsupported"} == {
        "POOL-01": "error",
        "L2-01": "error",
        "L2-02": "failed",
        "L2-03": "error",
    }, done.screen
    assert cases["POOL-01"]["reason"].startswith("during cleanup: of the fixture")
    assert cases["L2-01"]["reason"].startswith("division by zero; during cleanup: kube-proxy runs in another mode")
    assert "two nodes answer" in cases["L2-02"]["reason"]
    assert cases["L2-03"]["reason"].startswith("list index out of range; during cleanup: of the fixture")


FIGURE = 'check.run.journal.write("measured", what="pool of a node", value="refused", unit="")'
MEASURES = (
    HEAD
    + """
@proves("REQ-06")
def test_measures(check):
    {first}
    {last}
"""
)


@pytest.mark.parametrize(
    ("last", "verdict", "reason"),
    [
        ("pass", "passed", ""),
        (
            "assert 1 == 2, 'two nodes answer'",
            "untestable",
            "what is to be judged did not come about: two nodes answer",
        ),
        ("1 / 0", "error", "division by zero"),
    ],
)
def test_what_is_measured_is_not_judged(run: Callable[..., Run], last: str, verdict: str, reason: str) -> None:
    """A violation in it shows that nothing could be measured, and no verdict on it changes the conclusion."""
    done = run(PASSES + MEASURES.format(first=FIGURE, last=last).removeprefix(HEAD))

    cases = {c["id"]: c for r in done.report["requirements"] for c in r["cases"]}
    assert (cases["REQ-06"]["verdict"], cases["POOL-01"]["verdict"]) == (verdict, "passed"), done.screen
    assert cases["REQ-06"]["reason"].startswith(reason)
    assert done.report["conclusion"] == "partial"


def test_a_check_that_measures_nothing_is_an_error(run: Callable[..., Run]) -> None:
    """Of the suite."""
    done = run(MEASURES.format(first="", last="pass"))

    (case,) = (c for r in done.report["requirements"] for c in r["cases"] if c["verdict"] != "unsupported")
    assert (case["verdict"], case["reason"]) == ("error", "nothing was measured"), done.screen
