"""Which lab judges which checks, and in which order: longest first, disruptive checks in a lab of their own.

Checks of one package folder stay together, in the order of the specification: they may share what a package-scoped
fixture creates. Any other check is a unit by itself.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

DISRUPTIVE_LAB = 0
"""Number of the lab that judges disruptive checks, and what must go on beside them, while there are any."""
_MOST_BY_DEFAULT = 4
_BYTES_A_LAB = 2 * 1024**3
_LEAST_CHECKS_A_LAB = 4
"""A lab takes seconds to boot: for fewer checks than this another one does not pay."""
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
    "UPGR-01": 3.0,
    "RECL-03": 3.7,
    "TIER-05": 2.5,
    "TIER-06": 2.5,
    "REQ": 2.5,
}
"""Seconds of the long cases on the reference, by case, requirement or area. Nothing but the order depends on them."""
_SHORT = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One collected check, by its place in the list of items."""

    index: int
    case: str
    package: str
    """Folder whose checks stay together; empty when it stands alone."""
    disruptive: bool
    begins: bool
    """Whether its module starts something before the first check: it is judged last, in the lab where that was done."""


@dataclass(slots=True, kw_only=True)
class Schedule:
    """Hands out checks to labs; each check once."""

    _quiet: list[list[Check]] = field(default_factory=list)
    _disruptive: list[list[Check]] = field(default_factory=list)
    _last: list[list[Check]] = field(default_factory=list)

    @classmethod
    def of(cls, checks: Sequence[Check]) -> Schedule:
        """Group checks into units and sort them, longest first."""
        units: dict[str, list[Check]] = {}
        for check in checks:
            units.setdefault(check.package or check.case, []).append(check)
        made = cls()
        for unit in sorted(units.values(), key=seconds, reverse=True):
            if any(check.begins for check in unit):
                made._last.append(unit)
            elif any(check.disruptive for check in unit):
                made._disruptive.append(unit)
            else:
                made._quiet.append(unit)
        return made

    def take(self, lab: int) -> list[Check]:
        """The next unit for a lab; empty when there is none for it."""
        own = lab == DISRUPTIVE_LAB
        for units in (self._disruptive, self._quiet) if own else (self._quiet, self._disruptive):
            if units:
                return units.pop(0)
        return self._last.pop(0) if own and self._last else []

    def put_back(self, unit: list[Check]) -> None:
        """Return checks that a lab could not judge, to be judged next."""
        if unit:
            (self._last if any(check.begins for check in unit) else self._quiet).insert(0, unit)


def seconds(unit: Sequence[Check]) -> float:
    """Seconds that a unit is expected to take."""

    def one(case: str) -> float:
        area = case.partition("-")[0]
        requirement = case.rstrip("abcdefghijklmnopqrstuvwxyz")
        return next((_SECONDS[key] for key in (case, requirement, area) if key in _SECONDS), _SHORT)

    if unit[0].case.startswith("ARTICLE"):
        return _SECONDS["ARTICLE"]
    return sum(one(check.case) for check in unit)


def labs_that_pay(checks: int, *, cores: int | None = None, available: int | None = None) -> int:
    """The number of labs to boot for so many checks, by this machine's cores and available memory in bytes.

    Checks mostly wait, so a core carries more than one lab.
    """
    cores = cores or len(os.sched_getaffinity(0))
    available = _available() if available is None else available
    return max(1, min(_MOST_BY_DEFAULT, cores + 1, available // _BYTES_A_LAB, checks // _LEAST_CHECKS_A_LAB))


def _available() -> int:
    with open("/proc/meminfo", encoding="ascii") as lines:  # noqa: PTH123 - a file of the kernel's
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
