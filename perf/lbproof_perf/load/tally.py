"""What a load came to, in a form that processes can add up: histograms in microseconds, and counts.

Locust's own statistics round to whole milliseconds, which is longer than a LoadBalancer takes. These are HDR histograms
(hdrhistogram.org): three significant digits from one microsecond to two minutes, so adding up loses nothing.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from hdrh.histogram import HdrHistogram  # type: ignore[import-untyped] # it ships no types

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_LOWEST, _HIGHEST, _DIGITS = 1, 120_000_000, 3
_MICRO = 1e6


class Times:
    """A histogram of times; what is longer than two minutes is kept as two minutes."""

    def __init__(self) -> None:
        """Nothing was seen yet."""
        self._seen = HdrHistogram(_LOWEST, _HIGHEST, _DIGITS)

    def add(self, seconds: Iterable[float]) -> None:
        """Count times, in seconds. Counted first and recorded then: equal ones cost one record."""
        record = self._seen.record_value
        for value, count in Counter([int(took * _MICRO) for took in seconds]).items():
            record(min(max(value, _LOWEST), _HIGHEST), count)

    def merge(self, other: Times) -> None:
        """Add what another histogram counted."""
        if other.count:  # of an empty one hdrhistogram takes over its sentinel of a minimum
            self._seen.add(other._seen)

    @property
    def count(self) -> int:
        """How many were seen."""
        return int(self._seen.get_total_count())

    def quantile(self, q: float, *, lost: int = 0) -> float | None:
        """Seconds that a share `q` did not exceed. `lost` others took longer than any; None where `q` is among them."""
        rank = math.ceil(q * (self.count + lost) - 1e-9)
        if not self.count or rank > self.count:
            return None
        # the class takes a percentage and rounds it to a rank: half a rank less than the next cannot be rounded away
        return float(self._seen.get_value_at_percentile(100 * max(rank - 0.25, 0.25) / self.count)) / _MICRO

    def bars(self) -> tuple[list[float], list[int]]:
        """The histogram's bars that are not empty: their upper bounds in seconds, and their counts."""
        bars = [
            (float(bar.value_iterated_to) / _MICRO, int(bar.count_added_in_this_iter_step))
            for bar in self._seen.get_recorded_iterator()
        ]
        return [bound for bound, _ in bars], [count for _, count in bars]

    def encoded(self) -> str:
        """HdrHistogram's own text form (V2, compressed, base64); empty for an empty one."""
        text: bytes = self._seen.encode() if self.count else b""
        return text.decode("ascii")

    @classmethod
    def decoded(cls, text: str) -> Self:
        """A histogram from its text form. Raises an exception of hdrhistogram's for anything else."""
        made = cls()
        if text:
            made._seen.decode_and_add(text.encode("ascii"))
        return made


@dataclass(slots=True)
class Tally:
    """What a load came to so far."""

    latency: Times = field(default_factory=Times)
    """Of the answered: from the moment that it was meant to leave (schedule), or from sending (stock users)."""
    lag: Times = field(default_factory=Times)
    """How much later than meant a request left; of users with a schedule alone."""
    failures: Counter[str] = field(default_factory=Counter)
    """What went wrong → how often."""
    unsent: int = 0
    """Requests that were due and had not left when the load ended."""
    in_flight: int = 0
    """Requests that had left, were not answered when the load ended, and had not timed out either."""
    began: float = math.inf
    """`time.monotonic()` at which the first request was due."""
    ended: float = -math.inf
    """`time.monotonic()` of the last answer or failure."""

    @property
    def answered(self) -> int:
        """Requests that were answered well."""
        return self.latency.count

    @property
    def failed(self) -> int:
        """Requests that were not."""
        return self.failures.total()

    @property
    def seconds(self) -> float:
        """From the first to the last; 0 when there was none."""
        return max(0.0, self.ended - self.began)

    def lasts(self, began: float, ended: float) -> None:
        """Something happened in this time."""
        self.began, self.ended = min(self.began, began), max(self.ended, ended)

    def merge(self, other: Tally) -> None:
        """Add what another process, or another stretch of time, came to."""
        self.latency.merge(other.latency)
        self.lag.merge(other.lag)
        self.failures.update(other.failures)
        self.unsent += other.unsent
        self.in_flight += other.in_flight
        self.lasts(other.began, other.ended)

    def to_json(self) -> dict[str, Any]:
        """As JSON and msgpack can carry it; the times are null when nothing happened."""
        happened = math.isfinite(self.began)
        return {
            "latency": self.latency.encoded(),
            "lag": self.lag.encoded(),
            "failures": dict(self.failures),
            "unsent": self.unsent,
            "in_flight": self.in_flight,
            "began": self.began if happened else None,
            "ended": self.ended if happened else None,
        }

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Self:
        """What `to_json` gave. Raises KeyError for a row that is none."""
        latency, lag = Times.decoded(row["latency"]), Times.decoded(row["lag"])
        made = cls(latency, lag, Counter(row["failures"]), row["unsent"], row["in_flight"])
        if row["began"] is not None:
            made.lasts(row["began"], row["ended"])
        return made
