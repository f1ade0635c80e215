"""Who used the processors while a load ran: the generator, the servers, everybody; read from /proc.

The kernel counts in hundredths of a second, and what it does in interrupts (much of forwarding) is counted for whoever
ran at that moment, or for nobody: `busy` holds that too.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from lbproof_perf.probes.proc import TICK, Stat, stat

if TYPE_CHECKING:
    from collections.abc import Iterable

EVERY = 0.2
"""Seconds between two looks."""


@dataclass(frozen=True, slots=True)
class Use:
    """Processors used on average over a time."""

    generator: float
    servers: float
    busy: float
    """All of the machine."""
    steal: float
    """What the hypervisor gave to others."""


def parse_machine(line: str) -> tuple[float, float]:
    """CPU seconds since the boot that were busy, and that were stolen: from the line `cpu` of /proc/stat."""
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, line.split()[1:9])
    return (user + nice + system + irq + softirq) / TICK, steal / TICK


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208 - numbers, no paths


def _stat(process: Path) -> Stat | None:
    try:
        return stat((process / "stat").read_text(encoding="utf-8", errors="replace"))
    except OSError:  # it ended meanwhile
        return None


class GeneratorMeter:
    """Looks every 0.2 s while it is entered; afterwards tells of any stretch of that time."""

    def __init__(self, session: int, servers: Iterable[Path]) -> None:
        """`session`: process ID of the generator, which leads a session of its own. `servers`: folders in a /proc."""
        self._session, self._servers = session, tuple(servers)
        self._rows: list[tuple[float, float, float, float, float]] = []
        self._ended: dict[int, float] = {}
        self._stop = threading.Event()
        self._fault: Exception | None = None
        self._thread = threading.Thread(target=self._look_on, name="meter", daemon=True)

    def _look_on(self) -> None:
        try:
            while not self._stop.wait(EVERY):
                self._look()
        except Exception as error:  # noqa: BLE001 - whatever it is, `__exit__` raises it
            self._fault = error

    def _look(self) -> None:
        for pid in _pids():
            found = _stat(Path(f"/proc/{pid}"))
            if found and found.session == self._session:
                self._ended[pid] = found.cpu_seconds  # the last that was seen stays when it ends
        with Path("/proc/stat").open(encoding="ascii") as file:
            busy, steal = parse_machine(file.readline())
        servers = sum(found.cpu_seconds for process in self._servers if (found := _stat(process)))
        self._rows.append((time.monotonic(), sum(self._ended.values()), servers, busy, steal))

    def __enter__(self) -> Self:
        """Begin."""
        self._look()
        self._thread.start()
        return self

    def __exit__(self, kind: object = None, *_: object) -> None:
        """End, with a last look. Raises what ended the looks before."""
        self._stop.set()
        self._thread.join()
        if self._fault and kind is None:
            raise self._fault
        self._look()

    def use(self, began: float, ended: float) -> Use | None:
        """Processors used from one `time.monotonic()` to another, between the looks in proportion; None if no time."""
        if ended <= began:
            return None
        rows = np.array(self._rows)
        ends = np.array([began, ended])
        used = [float(np.diff(np.interp(ends, rows[:, 0], rows[:, at]))[0]) / (ended - began) for at in range(1, 5)]
        return Use(*used)
