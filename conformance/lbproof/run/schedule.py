"""Schedule of checks over labs: longest first, disruptive checks in a separate lab; or in a random order.

Checks of one group stay together, in the order of the specification: those of a package folder, which may share a
fixture such as the article's, which goes from claim to claim, and the cases of a check that is marked `together`. Any
other check is a unit by itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

from lbproof.spec.requirements import case_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

DISRUPTIVE_LAB = 0
"""Number of the lab for disruptive checks and background activities, as long as there are any."""
_MOST_BY_DEFAULT = 4
_LEAST_CHECKS_A_LAB = 4
"""Minimum number of checks for each additional lab, since a lab takes seconds to boot."""
_SECONDS = {
    "ARTICLE": 23.0,
    "L2-01": 10.5,
    "FAIL": 8.0,
    "RECL-01b": 5.6,
    "CLASS-01": 5.0,
    "UPGR-02": 6.0,
    "L2-07": 5.0,
    "EVT-02b": 4.0,
    "EVT-02c": 6.0,
    "EVT-07a": 26.0,
    "UPGR-01": 3.0,
    "RECL-03": 3.7,
    "TIER-05": 2.5,
    "TIER-06": 2.5,
    "TIER-07c": 6.0,
    "TIER-09b": 9.0,
    "TIER-10": 5.0,
    "TIER-11": 7.0,
    "TIER-12": 12.0,
    "RECL-04": 4.0,
    "ETP": 5.0,
    "SHARE": 4.0,
    "L2-10": 6.0,
    "REQ": 2.5,
    "PERF-04": 13.0,
    "PERF": 7.0,
}
"""Seconds of the long cases on the reference, by case, requirement or area; used for the order alone."""
_SHORT = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """Collected check, by its index in the list of items."""

    index: int
    case: str
    """Name of its verdict."""
    group: str
    """Name of the checks that stay together; empty for an independent check."""
    disruptive: bool
    begins: bool
    """Whether its module starts a background activity: it then runs last, in the lab of that activity."""


@dataclass(slots=True, kw_only=True)
class Schedule:
    """Assigns each check to one lab."""

    _quiet: list[list[Check]] = field(default_factory=list)
    _disruptive: list[list[Check]] = field(default_factory=list)
    _last: list[list[Check]] = field(default_factory=list)
    _random: Random | None = None
    """What a random order is drawn from; None has the longest units first."""

    @classmethod
    def of(cls, checks: Sequence[Check], random: Random | None = None) -> Schedule:
        """Group checks into units and sort them, longest first or, with `random`, in a random order."""
        units: dict[str, list[Check]] = {}
        for check in checks:
            units.setdefault(check.group or check.case, []).append(check)
        ordered = sorted(units.values(), key=seconds, reverse=True)
        if random:
            random.shuffle(ordered)
        made = cls(_random=random)
        for unit in ordered:
            if any(check.begins for check in unit):
                made._last.append(unit)
            elif any(check.disruptive for check in unit):
                made._disruptive.append(unit)
            else:
                made._quiet.append(unit)
        return made

    def take(self, lab: int) -> list[Check]:
        """Return the next unit for a lab; empty when there is none for it."""
        own = lab == DISRUPTIVE_LAB
        kinds = [self._quiet, self._disruptive]
        if own and not self._draws_quiet():
            kinds.reverse()
        for units in kinds:
            if units:
                return units.pop(0)
        return self._last.pop(0) if own and self._last else []

    def in_one_lab(self) -> list[Check]:
        """Return all checks in the order in which a single lab takes them; nothing is left to take."""
        return list(chain.from_iterable(iter(lambda: self.take(DISRUPTIVE_LAB), [])))

    def _draws_quiet(self) -> bool:
        """Return whether a random order has a quiet unit next, where both kinds can be taken."""
        units = [*self._quiet, *self._disruptive]
        return bool(self._random and units and self._random.randrange(len(units)) < len(self._quiet))

    def put_back(self, unit: list[Check]) -> None:
        """Requeue checks that a lab could not run; they run next."""
        if unit:
            (self._last if any(check.begins for check in unit) else self._quiet).insert(0, unit)


def seconds(unit: Sequence[Check]) -> float:
    """Return the expected duration of a unit in seconds."""

    def one(name: str) -> float:
        case, area = case_of(name), name.partition("-")[0]
        requirement = case.rstrip("abcdefghijklmnopqrstuvwxyz")
        return next((_SECONDS[key] for key in (case, requirement, area) if key in _SECONDS), _SHORT)

    if unit[0].case.startswith("ARTICLE"):
        return _SECONDS["ARTICLE"]
    return sum(one(check.case) for check in unit)


def labs_that_pay(checks: int, capacity: int) -> int:
    """Return the number of labs to boot for a number of checks on a machine that carries up to `capacity` labs."""
    return max(1, min(_MOST_BY_DEFAULT, capacity, checks // _LEAST_CHECKS_A_LAB))
