"""Violation of a standing promise, as a judge finds it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lbproof.spec.promises import Row


@dataclass(slots=True, kw_only=True)
class Finding:
    """Violation of a standing promise; moments are of `time.monotonic()`, also the field `t` of each row."""

    promise: str
    requirement: str
    subject: str
    """Address or Service that it is about."""
    what: str
    """What was observed, in one line."""
    begin: float
    end: float
    observed: list[Row] = field(default_factory=list)
