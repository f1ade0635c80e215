"""The two ways to wait: what they see, when they give up, and what they say then. A clock of the test's own runs."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import pytest

from lbproof.spec import BUDGETS, UnknownName
from lbproof.witnesses.journal import Journal
from lbproof.witnesses.wait import ConsistentlyFailed, EventuallyFailed, Waiter, consistently, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Time:
    """A clock that passes only in pauses."""

    def __init__(self) -> None:
        """It begins at zero."""
        self.now = 0.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now

    def pause(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


@pytest.fixture
def time() -> Time:
    """The clock."""
    return Time()


@pytest.fixture
def kw(time: Time) -> dict[str, Any]:
    """How to wait by that clock."""
    return {"clock": time, "pause": time.pause}


def at(time: Time, *changes: tuple[float, object]) -> Callable[[], object]:
    """A world whose value changes at the given times; one that is an exception is raised."""

    def look() -> object:
        value = next(value for since, value in reversed(changes) if time.now >= since - 1e-9)
        if isinstance(value, Exception):
            raise value
        return value

    return look


def one_after_another(values: Sequence[object]) -> Callable[[], object]:
    """A world with another value at each look."""
    left = iter(values)
    return lambda: next(left)


def test_what_becomes_true_is_given_with_its_time(time: Time, kw: dict[str, Any]) -> None:
    """The value that was good, when, and every distinct value on the way."""
    found = eventually(at(time, (0, "pending"), (0.6, "10.0.0.7")), "10.0.0.7".__eq__, what="web", within=1, **kw)

    assert found.value == "10.0.0.7"
    assert found.took == pytest.approx(0.6)
    assert found.observed == [(0.0, "pending"), (0.6, "10.0.0.7")]


def test_what_does_not_become_true_says_what_was_seen(time: Time, kw: dict[str, Any]) -> None:
    """The failure is a sentence with the budget and each distinct value beside its time."""
    world = at(time, (0, "pending"), (0.6, "10.0.0.9"))

    with pytest.raises(EventuallyFailed) as failed:
        eventually(world, "10.0.0.7".__eq__, what="svc/web gets 10.0.0.7", within=1, **kw)

    assert str(failed.value) == (
        "svc/web gets 10.0.0.7: not within 1 s; observed: at first: pending; after 0.60 s: 10.0.0.9"
    )
    assert time.now == pytest.approx(1)


def test_a_bad_look_begins_the_row_again(kw: dict[str, Any]) -> None:
    """So many good looks in a row are so many with no bad one between them."""
    looks = one_after_another([1, 1, 0, 1, 1, 1])
    found = eventually(looks, bool, what="it", within=1, in_a_row=3, every=0.1, **kw)

    assert found.took == pytest.approx(0.3)


def test_a_row_that_began_in_time_is_completed(time: Time, kw: dict[str, Any]) -> None:
    """What became true in time is no failure of a slow machine that had not looked often enough."""
    found = eventually(at(time, (0, 0), (0.9, 1)), bool, what="it", within=1, in_a_row=10, every=0.3, **kw)

    assert found.took == pytest.approx(0.9)
    assert time.now > 1


def test_a_row_that_is_broken_after_the_time_fails(time: Time, kw: dict[str, Any]) -> None:
    """No row begins after the time is up."""
    with pytest.raises(EventuallyFailed):
        eventually(at(time, (0, 0), (0.9, 1), (2, 0), (2.3, 1)), bool, what="it", within=1, in_a_row=9, every=0.3, **kw)


def test_an_expected_error_is_a_bad_look(time: Time, kw: dict[str, Any]) -> None:
    """Its text is what was observed; it ends a row as well."""
    world = at(time, (0, OSError("refused")), (0.2, "up"))
    found = eventually(world, bool, what="it", within=1, ignore=(OSError,), **kw)

    assert found.observed == [(0.0, "refused"), (0.2, "up")]


def test_an_unexpected_error_is_not_waited_out(time: Time, kw: dict[str, Any]) -> None:
    """What nobody expected comes through at once."""
    with pytest.raises(ZeroDivisionError):
        eventually(at(time, (0, ZeroDivisionError())), bool, what="it", within=1, **kw)

    assert time.now == 0


def test_there_is_always_a_look(kw: dict[str, Any]) -> None:
    """With no time at all, what is true already eventually."""
    assert eventually(lambda: True, bool, what="it", within=0, **kw).took == 0


def test_what_becomes_true_at_the_last_moment_settles(time: Time, kw: dict[str, Any]) -> None:
    """The last look is at the end of the time, wherever the looks before it fell."""
    found = eventually(at(time, (0, False), (1, True)), bool, what="it", within=1, every=0.3, **kw)

    assert found.took == pytest.approx(1)


def test_a_long_story_is_cut_in_the_middle_and_says_so(time: Time, kw: dict[str, Any]) -> None:
    """A value that changes all the time shows its first and last ones, and how many were left out."""
    with pytest.raises(EventuallyFailed) as failed:
        eventually(lambda: f"{time.now:.1f}", lambda _: False, what="it", within=2, every=0.1, **kw)

    assert "after 0.20 s: 0.2; … 9 more …; after 1.20 s: 1.2" in str(failed.value)
    assert len(failed.value.observed) == 21


def test_what_stays_true_holds_for_the_whole_time(time: Time, kw: dict[str, Any]) -> None:
    """It is looked at to the very end."""
    held = consistently(at(time, (0, "none")), "none".__eq__, what="it", during=2, **kw)

    assert held.took == pytest.approx(2)
    assert held.observed == [(0.0, "none")]


def test_the_first_lapse_ends_it(time: Time, kw: dict[str, Any]) -> None:
    """What is true again later did not hold."""
    world = at(time, (0, "none"), (0.4, "w01"), (0.5, "none"))

    with pytest.raises(ConsistentlyFailed) as failed:
        consistently(world, "none".__eq__, what="nobody answers", during=2, every=0.1, **kw)

    assert str(failed.value) == (
        "nobody answers: no longer after 0.40 s of 2 s; observed: at first: none; after 0.40 s: w01"
    )


@pytest.fixture
def heard() -> tuple[Waiter, list[dict[str, Any]]]:
    """A waiter whose budgets are short, and the events that it writes."""
    journal = Journal(None)
    rows: list[dict[str, Any]] = []
    journal.listeners.append(rows.append)
    journal.case = "POOL-01"
    return Waiter(journal, {"address_assigned": 0.05, "stays_pending": 0.05}), rows


def test_a_named_wait_is_written_down(heard: tuple[Waiter, list[dict[str, Any]]]) -> None:
    """The event says what, of which case, how long, how long it might have been, and what was seen."""
    waiter, rows = heard
    value = waiter.eventually(lambda: "10.0.0.7", bool, what="web is given an address", budget="address_assigned")
    del rows[0]["t"], rows[0]["at"], rows[0]["took"]

    assert value == "10.0.0.7"
    assert rows == [
        {
            "event": "waited",
            "case": "POOL-01",
            "mode": "settles",
            "budget": "address_assigned",
            "what": "web is given an address",
            "ok": True,
            "within": 0.05,
            "ceiling": BUDGETS["address_assigned"].ceiling,
            "observed": [(0.0, "10.0.0.7")],
        }
    ]


def test_a_named_wait_that_fails_is_written_down_too(heard: tuple[Waiter, list[dict[str, Any]]]) -> None:
    """Both ways to wait leave their event before they fail."""
    waiter, rows = heard
    with pytest.raises(EventuallyFailed, match=r"not within 0\.05 s"):
        waiter.eventually(lambda: "", bool, what="it", budget="address_assigned")
    with pytest.raises(ConsistentlyFailed):
        waiter.consistently(lambda: "10.0.0.7", lambda seen: not seen, what="it", budget="stays_pending")

    assert [(row["mode"], row["ok"]) for row in rows] == [("settles", False), ("holds", False)]


def test_a_tentative_wait_that_fails_is_an_observation(heard: tuple[Waiter, list[dict[str, Any]]]) -> None:
    """It raises as ever, but no row says that a wait of the case failed; one that succeeds is written as ever."""
    waiter, rows = heard
    with waiter.tentative():
        with pytest.raises(EventuallyFailed):
            waiter.eventually(lambda: "held", lambda seen: seen == "gone", what="it goes", budget="address_assigned")
        waiter.eventually(lambda: "held", bool, what="it is", budget="address_assigned")
    with pytest.raises(EventuallyFailed):
        waiter.eventually(lambda: "held", lambda seen: seen == "gone", what="it goes", budget="address_assigned")

    assert [(row["event"], row["what"], row.get("ok")) for row in rows] == [
        ("saw", "not so, which need not be: it goes", None),
        ("waited", "it is", True),
        ("waited", "it goes", False),
    ]
    assert rows[0]["value"] == "held"


def test_nothing_is_watched_for_at_least_as_long_as_something_took(heard: tuple[Waiter, list[dict[str, Any]]]) -> None:
    """A slow implementation would do what it must not as late as it did what it must; the row keeps the budget."""
    waiter, rows = heard
    stays = dict.fromkeys(("stays_pending", "stays_silent", "stays_unserved"), 0.05)
    slow = Waiter(waiter.journal, {"address_assigned": 5, "announced": 5, "serves": 5, **stays})
    took = 0.0
    for budget in ("address_assigned", "serves"):
        answers = iter([*[""] * 8, "10.0.0.7"])
        slow.eventually(answers.__next__, bool, what="slow", budget=budget)
        took = took or rows[-1]["took"]
    slow.consistently(lambda: "", lambda seen: not seen, what="it", budget="stays_pending")
    slow.consistently(lambda: "", lambda seen: not seen, what="it", budget="stays_silent")
    slow.consistently(lambda: "", lambda seen: not seen, what="it", budget="stays_unserved")

    served, (pending, silent, other) = rows[-4]["took"], rows[-3:]
    assert pending["took"] >= took > 0.1
    assert other["took"] >= served > 0.1
    assert silent["took"] < took
    assert (pending["within"], pending["ok"]) == (0.05, True)


@pytest.mark.parametrize("positive", ["address_assigned", "pool_applied", "reclaimed"])
@pytest.mark.parametrize("watch", ["stays_pending", "stays_assigned"])
def test_an_address_is_watched_for_as_long_as_any_was_waited_for(
    heard: tuple[Waiter, list[dict[str, Any]]], positive: str, watch: str
) -> None:
    """Also by a wait after a change of a pool or after a deletion."""
    waiter, rows = heard
    slow = Waiter(waiter.journal, {positive: 5, watch: 0.01})
    answers = iter([*[""] * 8, "10.0.0.7"])
    slow.eventually(answers.__next__, bool, what="slow", budget=positive)
    slow.consistently(lambda: "", lambda seen: not seen, what="it", budget=watch)

    assert rows[-1]["took"] >= rows[-2]["took"] > 0.1


def test_every_watch_can_last_as_long_as_what_it_follows() -> None:
    """Its ceiling is no less than theirs, and one that follows nothing has a time of its own."""
    watches = {name: budget for name, budget in BUDGETS.items() if name.startswith("stays_")}

    assert {name for name, budget in watches.items() if not budget.follows} == {
        "stays_untouched",
        "stays_quiet",
        "stays_unwritten",
    }
    for watch in watches.values():
        assert all(watch.ceiling >= BUDGETS[wait].ceiling for wait in watch.follows)


def test_a_budget_that_is_not_overridden_has_its_default(heard: tuple[Waiter, list[dict[str, Any]]]) -> None:
    """What the operator does not say is as the specification has it."""
    waiter, _ = heard

    assert waiter.budget("silent") == BUDGETS["silent"].default


def test_a_budget_that_there_is_not_is_named_with_the_nearest(heard: tuple[Waiter, list[dict[str, Any]]]) -> None:
    """In a check and in an override alike."""
    waiter, _ = heard
    with pytest.raises(UnknownName, match="address_assigned"):
        waiter.eventually(lambda: True, bool, what="it", budget="adress_assigned")
    with pytest.raises(UnknownName, match="stays_pending"):
        Waiter(Journal(None), {"stay_pending": 1})


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ([], "nothing"),
        (None, "nothing"),
        ("", "nothing"),
        (["w01", "w02"], "w01, w02"),
        ({"w02", "w01"}, "w01, w02"),
        ({ip_address("10.0.0.7"): ["w01"]}, "10.0.0.7: w01"),
        ((True, None), "yes, nothing"),
        ({"a": {"b": 1, "c": []}}, "a: (b: 1, c: nothing)"),
    ],
)
def test_what_was_observed_is_told_in_words(value: object, says: str, kw: dict[str, Any]) -> None:
    """Nobody needs to know Python to read a verdict."""
    with pytest.raises(EventuallyFailed) as failed:
        eventually(lambda: value, lambda _: False, what="it", within=0.5, **kw)

    assert failed.value.seen == f"{says} all the time"
    assert str(failed.value) == f"it: not within 0.5 s; observed: {says} all the time"
    assert failed.value.reason == "it: not within 0.5 s"
