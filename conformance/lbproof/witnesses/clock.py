"""Clock of a vantage, as seen from the suite's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """Offset of a vantage's `time.monotonic()` to the suite's, in seconds."""

    offset: float = 0.0
    uncertainty: float = 0.0
    """Half of the shortest round trip when the offset was measured last; 0 when both are the same clock."""

    def local(self, moment: float) -> float:
        """Convert a moment of the vantage to the suite's clock."""
        return moment - self.offset

    def remote(self, moment: float) -> float:
        """Convert a moment of the suite to the vantage's clock."""
        return moment + self.offset


def measured(exchanges: Iterable[tuple[float, float, float]]) -> Clock:
    """Derive a clock from exchanges: suite's time before, vantage's time in between, suite's time after.

    The exchange with the shortest round trip counts, as in NTP's clock filter (RFC 5905 section 10).
    """
    before, there, after = min(exchanges, key=lambda exchange: exchange[2] - exchange[0])
    return Clock(offset=there - (before + after) / 2, uncertainty=(after - before) / 2)
