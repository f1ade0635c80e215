"""Failures and errors of a run, grouped by cause: cases whose reasons differ in names, addresses and numbers alone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lbproof.spec import Level, Verdict
from lbproof.spec.requirements import of_case

if TYPE_CHECKING:
    from lbproof.report.model import Case, Run

_TROUBLE = (Verdict.FAILED, Verdict.ERROR)
_LEVELS = list(Level)
_PARTICULAR = re.compile(
    r"""[0-9a-f]{2}(:[0-9a-f]{2}){5}           # hardware address
    |[0-9a-f]*:[0-9a-f:]*:[0-9a-f:]*(/\d+)?    # IPv6 address or network
    |\S*/\S+                                   # namespace/name, path, CIDR
    |"[^"]*"|'[^']*'                           # quotation
    |\d[\d.]*                                  # number, also in the name of a node; IPv4 address
    """,
    re.VERBOSE,
)
"""Parts of a reason in which two cases of one cause differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureGroup:
    """Cases that did not hold for the same reason."""

    cases: tuple[Case, ...]
    """In the order of level and specification."""

    @property
    def reason(self) -> str:
        """Reason of the first case."""
        return self.cases[0].reason

    @property
    def verdict(self) -> Verdict:
        """Verdict of all its cases."""
        return self.cases[0].verdict


def level(case: Case) -> Level:
    """Return the level of a case's requirement."""
    return of_case(case.id).level


def group_failures(run: Run) -> list[FailureGroup]:
    """Group failures and errors: failures first, then by level, MUST first, then by the number of cases."""
    groups: dict[tuple[Verdict, str], list[Case]] = {}
    for case in run.cases:
        if case.verdict in _TROUBLE:
            groups.setdefault((case.verdict, _PARTICULAR.sub("*", case.reason)), []).append(case)
    made = [
        FailureGroup(cases=tuple(sorted(cases, key=lambda case: _LEVELS.index(level(case)))))
        for cases in groups.values()
    ]
    return sorted(
        made,
        key=lambda group: (
            _TROUBLE.index(group.verdict),
            _LEVELS.index(level(group.cases[0])),
            -len(group.cases),
        ),
    )
