"""The jitter log: when the machine of a vantage stood still, by the task `jitter` of a probe of its own.

A trial in which it did is marked, never dropped: the reader judges.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from lbproof.witnesses.vantage import Vantage

PERIOD = 0.01
LATE = 0.002
"""Seconds; what an idle machine shows now and then (99 of 100 wake-ups come within 0.2 ms)."""


class JitterLog:
    """Context manager that logs the stalls of a machine."""

    def __init__(self, vantage: Vantage) -> None:
        """Nothing is logged yet."""
        self._vantage = vantage
        self._rows: list[tuple[float, float]] = []

    def __enter__(self) -> Self:
        """Log from now on. Raises `ProbeError` when the probe cannot be started."""
        self.probe = self._vantage.start_probe()
        try:
            self._stream = self.probe.request("jitter", each=self._take, period=PERIOD, late=LATE)
            self._stream.wait_ready()
        except BaseException:
            self.probe.close()
            raise
        return self

    def _take(self, row: list[float]) -> None:
        due, late = row
        self._rows.append((self.probe.clock.local(due), late))

    def between(self, begin: float, end: float) -> list[tuple[float, float]]:
        """Return `(at, seconds)` of each stall that began in a span of `time.monotonic()`.

        Raises `ProbeError` when the log has ended: what it did not see is no quiet machine.
        """
        self._stream.require_running()
        return [row for row in self._rows if begin <= row[0] <= end]

    def __exit__(self, *_: object) -> None:
        """Log no more; what was logged stays."""
        self.probe.close()
