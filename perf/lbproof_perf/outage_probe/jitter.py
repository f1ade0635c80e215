"""The jitter log: when the machine itself stood still, seen by a process that wants nothing but to wake on time.

A run in which it did is marked, never dropped: the reader judges. The logger has no priority above others, so it is
as late as an ordinary process would be.

`python -m lbproof_perf.outage_probe.jitter` prints `ready`, then `at seconds` for each wake-up that came later
than `LATE`.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from typing import Self

from lbproof.lab.common.commands import killed_with_parent

PERIOD = 0.01
LATE = 0.002
"""Seconds; what an idle machine shows now and then (99 of 100 wake-ups come within 0.2 ms)."""


class JitterLog:
    """Logs while it is entered."""

    def __init__(self) -> None:
        """Nothing is logged yet."""
        self._rows: list[tuple[float, float]] = []

    def __enter__(self) -> Self:
        """Log from now on; returns when the logger is at work."""
        self._process = subprocess.Popen(
            killed_with_parent([sys.executable, "-m", __name__]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None  # noqa: S101 - it was asked for
        self._process.stdout.readline()
        self._reader = threading.Thread(target=self._read, name="stalls", daemon=True)
        self._reader.start()
        return self

    def _read(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - it was asked for
        for line in self._process.stdout:
            at, seconds = line.split()
            self._rows.append((float(at), float(seconds)))

    def between(self, begin: float, end: float) -> list[tuple[float, float]]:
        """`(at, seconds)` of each stall that began in a span of `time.monotonic()`."""
        return [row for row in self._rows if begin <= row[0] <= end]

    def __exit__(self, *_: object) -> None:
        """Log no more; what was logged stays."""
        self._process.terminate()
        self._process.wait()
        self._reader.join()
        if self._process.stdout:
            self._process.stdout.close()


def main() -> None:
    """Log for ever: one that is late begins anew, so a stall is told once."""
    print("ready", flush=True)  # noqa: T201 - read by whoever started it
    due = time.monotonic() + PERIOD
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
