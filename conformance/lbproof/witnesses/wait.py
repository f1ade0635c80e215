"""Two ways to wait, as in Gomega: `eventually` (becomes true in time) and `consistently` (stays true for a time).

Both keep every distinct value that was observed, with its time, so that a failure says what happened and not only that
time ran out.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from lbproof.spec import BUDGETS, Budget, UnknownName

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lbproof.witnesses.journal import Journal

T = TypeVar("T")

EVERY = 0.02
"""Seconds between two looks."""
_SHOWN = 12
"""Distinct values that a message shows at the most."""


class WaitFailed(AssertionError):  # noqa: N818 - a verdict, as pytest's own failures are
    """Something did not become true, or did not stay so: the verdict is the implementation's."""

    def __init__(self, what: str, how: str, observed: list[tuple[float, str]]) -> None:
        """`what` was waited for, `how` it failed, and what was seen with the seconds since the wait began."""
        self.what, self.how, self.observed = what, how, observed
        seen = [f"+{t:.2f} s {value}" for t, value in observed]
        if len(seen) > _SHOWN:
            seen[3 : 3 - _SHOWN] = [f"… {len(seen) - _SHOWN} more …"]
        self.seen = ", ".join(seen)
        super().__init__(f"{what}: {how}; observed {self.seen}")


class EventuallyFailed(WaitFailed):
    """It did not become true in time."""


class ConsistentlyFailed(WaitFailed):
    """It was true no longer."""


@dataclass(frozen=True, kw_only=True)
class Waited(Generic[T]):
    """How a wait went that succeeded."""

    value: T
    took: float
    observed: list[tuple[float, str]]


class _Testimony:
    def __init__(self, clock: Callable[[], float], since: float | None = None) -> None:
        self.clock, self.began = clock, clock() if since is None else since
        self.observed: list[tuple[float, str]] = []

    def elapsed(self) -> float:
        return self.clock() - self.began

    def add(self, text: str) -> None:
        if not self.observed or self.observed[-1][1] != text:
            self.observed.append((round(self.elapsed(), 3), text))


def _pause(seconds: float) -> None:
    threading.Event().wait(seconds)


def eventually(
    look: Callable[[], T],
    good: Callable[[T], object],
    *,
    what: str,
    within: float,
    in_a_row: int = 1,
    every: float = EVERY,
    ignore: tuple[type[Exception], ...] = (),
    show: Callable[[T], str] = str,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = _pause,
) -> Waited[T]:
    """Look until what is seen is good so many times in a row; any bad look resets the count.

    Exceptions in `ignore` count as a bad look. Raises `EventuallyFailed` after `within` seconds; it looks at least
    once.
    """
    seen, row = _Testimony(clock), 0
    while True:
        try:
            value = look()
        except ignore as error:
            row = 0
            seen.add(f"{error}")
        else:
            seen.add(show(value))
            row = row + 1 if good(value) else 0
            if row >= in_a_row:
                return Waited(value=value, took=seen.elapsed(), observed=seen.observed)
        if seen.elapsed() >= within:
            raise EventuallyFailed(what, f"not within {within:g} s", seen.observed)
        pause(min(every, max(0.0, within - seen.elapsed())))


def consistently(
    look: Callable[[], T],
    good: Callable[[T], object],
    *,
    what: str,
    during: float,
    since: float | None = None,
    every: float = EVERY * 2,
    show: Callable[[T], str] = str,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = _pause,
) -> Waited[T]:
    """Look for so long, and let every look be good. Raises `ConsistentlyFailed` at the first that is not.

    `since` is the clock's time from which on it is known to hold, where that was before now.
    """
    seen = _Testimony(clock, since)
    while True:
        value = look()
        seen.add(show(value))
        if not good(value):
            raise ConsistentlyFailed(what, f"no longer after {seen.elapsed():.2f} s of {during:g} s", seen.observed)
        if seen.elapsed() >= during:
            return Waited(value=value, took=seen.elapsed(), observed=seen.observed)
        pause(min(every, max(0.0, during - seen.elapsed())))


class Waiter:
    """Waits by the names of budgets, and writes each wait into the events of the run."""

    def __init__(self, journal: Journal, budgets: Mapping[str, float]) -> None:
        """`budgets`: name → seconds in force, where they differ from the default."""
        for name in budgets:
            _budget(name)
        self.journal, self._budgets = journal, budgets

    def budget(self, name: str) -> float:
        """Seconds in force for a named wait. Raises `UnknownName`."""
        return self._budgets.get(name, _budget(name).default)

    def eventually(
        self,
        look: Callable[[], T],
        good: Callable[[T], object],
        *,
        what: str,
        budget: str,
        in_a_row: int = 1,
        every: float = EVERY,
        ignore: tuple[type[Exception], ...] = (),
        show: Callable[[T], str] = str,
    ) -> T:
        """`eventually` within a named budget; gives the value that was good last."""
        within = self.budget(budget)
        try:
            done = eventually(
                look, good, what=what, within=within, in_a_row=in_a_row, every=every, ignore=ignore, show=show
            )
        except EventuallyFailed as error:
            self._write("settles", budget, what, ok=False, took=within, observed=error.observed)
            raise
        self._write("settles", budget, what, ok=True, took=done.took, observed=done.observed)
        return done.value

    def consistently(
        self,
        look: Callable[[], T],
        good: Callable[[T], object],
        *,
        what: str,
        budget: str,
        since: float | None = None,
        every: float = EVERY * 2,
        show: Callable[[T], str] = str,
    ) -> T:
        """`consistently` for a named budget; gives the last value."""
        during = self.budget(budget)
        try:
            done = consistently(look, good, what=what, during=during, since=since, every=every, show=show)
        except ConsistentlyFailed as error:
            self._write("holds", budget, what, ok=False, took=error.observed[-1][0], observed=error.observed)
            raise
        self._write("holds", budget, what, ok=True, took=done.took, observed=done.observed)
        return done.value

    def _write(self, mode: str, budget: str, what: str, *, ok: bool, took: float, observed: object) -> None:
        self.journal.write(
            "waited",
            mode=mode,
            budget=budget,
            what=what,
            ok=ok,
            took=round(took, 4),
            within=self.budget(budget),
            ceiling=_budget(budget).ceiling,
            observed=observed,
        )


def _budget(name: str) -> Budget:
    if name not in BUDGETS:
        raise UnknownName("budget", name, "a wait", BUDGETS, "lbproof list --budgets")
    return BUDGETS[name]
