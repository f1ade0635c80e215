"""The jitter log: when the machine itself stood still, seen by a process that wants nothing but to wake on time.

A run in which it did is marked, never dropped: the reader judges. The logger has no priority above others, so it is
as late as an ordinary process would be.

`python -m lbproof_perf.outage_probe.jitter` prints `ready`, then `at seconds` for each wake-up that came later
than `LATE`.
"""

from __future__ import annotations

import threading
import time
from typing import IO, Self

from lbproof_perf.probes.prober import Prober

PERIOD = 0.01
LATE = 0.002
"""Seconds; what an idle machine shows now and then (99 of 100 wake-ups come within 0.2 ms)."""


class JitterLog:
    """Context manager that logs the stalls of the machine."""

    def __init__(self) -> None:
        """Nothing is logged yet."""
        self._rows: list[tuple[float, float]] = []
        self._at_work = threading.Event()
        self.prober = Prober(__name__, [], self._read)

    def __enter__(self) -> Self:
        """Log from now on; returns when the logger is at work."""
        self.prober.__enter__()
        self._at_work.wait()
        return self

    def _read(self, out: IO[bytes]) -> None:
        out.readline()  # `ready`; its end, where it could not start
        self._at_work.set()
        for line in out:
            at, seconds = line.split()
            self._rows.append((float(at), float(seconds)))

    def between(self, begin: float, end: float) -> list[tuple[float, float]]:
        """`(at, seconds)` of each stall that began in a span of `time.monotonic()`."""
        return [row for row in self._rows if begin <= row[0] <= end]

    def __exit__(self, *_: object) -> None:
        """Log no more; what was logged stays."""
        self.prober.__exit__()


def main() -> None:
    """Log for ever: one that is late begins anew, so a stall is told once."""
    due = time.monotonic() + PERIOD
    print("ready", flush=True)  # noqa: T201 - read by whoever started it
    waiting = threading.Event()
    while True:
        waiting.wait(max(0.0, due - time.monotonic()))
        now = time.monotonic()
        if now - due > LATE:
            print(f"{due:.6f} {now - due:.6f}", flush=True)  # noqa: T201 - its only output
            due = now
        due += PERIOD


if __name__ == "__main__":
    main()
