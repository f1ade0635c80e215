"""Waiting as in Gomega: `eventually` (becomes true in time) and `consistently` (stays true for a time).

Both record every distinct observed value with its time, so that a failure reports what happened and not only a timeout.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from lbproof.spec import BUDGETS, Budget, UnknownName
from lbproof.text import words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from lbproof.witnesses.journal import Journal

T = TypeVar("T")

EVERY = 0.02
"""Polling interval in seconds."""
_AT_FIRST = 0.1
"""Seconds below which a value was observed at first."""
_SHOWN = 12
"""Maximum number of distinct values in a message."""


class Violation(AssertionError):  # noqa: N818 - a verdict, as pytest's own failures are
    """Something was observed that a requirement forbids; raised outside the modules of checks, which assert."""


class WaitFailed(Violation):
    """A condition did not become true or did not stay true."""

    def __init__(self, what: str, how: str, observed: list[tuple[float, str]]) -> None:
        """`what`: condition; `how`: failure; `observed`: seconds since the wait began, and values."""
        self.budget = ""
        """Name of the budget; empty for a wait without one."""
        self.what, self.how, self.observed = what, how, observed
        seen = [f"{_when(t)}: {value}" for t, value in observed]
        if len(seen) > _SHOWN:
            seen[3 : 3 - _SHOWN] = [f"… {len(seen) - _SHOWN} more …"]
        self.seen = "; ".join(seen)
        self.reason = f"{what}: {how}"
        super().__init__(f"{self.reason}; observed: {self.seen}")

    @property
    def judges(self) -> bool:
        """Return whether its budget judges the implementation."""
        return self.budget in BUDGETS and BUDGETS[self.budget].judges


class EventuallyFailed(WaitFailed):
    """The condition did not become true in time."""

    def __init__(self, what: str, how: str, observed: list[tuple[float, str]]) -> None:
        """As `WaitFailed`; a single value was observed all the time."""
        super().__init__(what, how, observed)
        if len(observed) == 1:
            self.seen = f"{observed[0][1]} all the time"
            self.args = (f"{self.reason}; observed: {self.seen}",)


class ConsistentlyFailed(WaitFailed):
    """The condition stopped being true."""


@dataclass(frozen=True, kw_only=True)
class Waited(Generic[T]):
    """Result of a successful wait."""

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


def _when(t: float) -> str:
    return f"after {t:.2f} s" if t >= _AT_FIRST else "at first"


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
    show: Callable[[T], str] = words,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = _pause,
) -> Waited[T]:
    """Poll until `good` holds for `in_a_row` consecutive values; any other value resets the count.

    Exceptions in `ignore` reset the count too. A count that began in time is completed after it: how fast somebody
    looks does not decide. `took` is when it began. Raises `EventuallyFailed` after `within` seconds; polls at least
    once.
    """
    seen, row, since = _Testimony(clock), 0, 0.0
    while True:
        try:
            value = look()
        except ignore as error:
            row = 0
            seen.add(f"{error}")
        else:
            seen.add(show(value))
            row = row + 1 if good(value) else 0
            if row == 1:
                since = seen.elapsed()
            if row >= in_a_row:
                return Waited(value=value, took=since, observed=seen.observed)
        left = within - seen.elapsed()
        if left <= 0 and (not row or since > within):
            raise EventuallyFailed(what, f"not within {within:g} s", seen.observed)
        pause(every if row else min(every, max(0.0, left)))


def consistently(
    look: Callable[[], T],
    good: Callable[[T], object],
    *,
    what: str,
    during: float,
    since: float | None = None,
    every: float = EVERY * 2,
    show: Callable[[T], str] = words,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = _pause,
) -> Waited[T]:
    """Poll for a time and verify that `good` always holds. Raises `ConsistentlyFailed` at the first other value.

    `since`: earlier clock time since when the condition is known to hold.
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
    """Waits with named budgets, and writes each wait to the events of the run."""

    def __init__(self, journal: Journal, budgets: Mapping[str, float]) -> None:
        """`budgets`: name → seconds, where they differ from the default."""
        for name in budgets:
            _budget(name)
        self.journal, self._budgets = journal, budgets
        self._slowest: dict[str, float] = {}
        """Name of a budget → the longest of its waits that succeeded, in seconds."""
        self.succeeded = 0
        """Number of waits that succeeded so far."""
        self._tentative = 0

    @contextmanager
    def tentative(self) -> Iterator[None]:
        """Write a wait of the block that fails as an observation: what it waits for need not come about.

        It raises as ever. A failed wait of a passed case would otherwise look like a verdict that was changed.
        """
        self._tentative += 1
        try:
            yield
        finally:
            self._tentative -= 1

    def budget(self, name: str) -> float:
        """Return the budget of a named wait in seconds. Raises `UnknownName`."""
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
        show: Callable[[T], str] = words,
    ) -> T:
        """Run `eventually` with a named budget; return the last value."""
        within = self.budget(budget)
        try:
            done = eventually(
                look, good, what=what, within=within, in_a_row=in_a_row, every=every, ignore=ignore, show=show
            )
        except EventuallyFailed as error:
            error.budget = budget
            self._write("settles", budget, what, ok=False, took=within, observed=error.observed)
            raise
        self._write("settles", budget, what, ok=True, took=done.took, observed=done.observed)
        self._slowest[budget] = max(done.took, self._slowest.get(budget, 0.0))
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
        show: Callable[[T], str] = words,
    ) -> T:
        """Run `consistently` for a named budget, or longer (`Budget.follows`); return the last value."""
        slowest = max((self._slowest.get(wait, 0.0) for wait in _budget(budget).follows), default=0.0)
        during = max(self.budget(budget), min(slowest, _budget(budget).ceiling))
        try:
            done = consistently(look, good, what=what, during=during, since=since, every=every, show=show)
        except ConsistentlyFailed as error:
            error.budget = budget
            self._write("holds", budget, what, ok=False, took=error.observed[-1][0], observed=error.observed)
            raise
        self._write("holds", budget, what, ok=True, took=done.took, observed=done.observed)
        return done.value

    def _write(
        self, mode: str, budget: str, what: str, *, ok: bool, took: float, observed: list[tuple[float, str]]
    ) -> None:
        self.succeeded += ok
        if self._tentative and not ok:
            self.journal.write("saw", witness="lab", what=f"not so, which need not be: {what}", value=observed[-1][1])
            return
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
