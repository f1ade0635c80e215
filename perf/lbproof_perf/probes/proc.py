"""One line of /proc/PID/stat, which three benchmarks look at for different reasons."""

from __future__ import annotations

import os
from dataclasses import dataclass

TICK = os.sysconf("SC_CLK_TCK")
"""Of the kernel's accounting, a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stat:
    """What proc(5) calls fields 6, 14 to 17, 22 and 39."""

    session: int
    """Process ID of whoever leads it."""
    cpu_seconds: float
    """Of the process and of its children that have ended."""
    started: int
    """Ticks since the boot."""
    core: int
    """The processor that it ran on last."""


def stat(text: str) -> Stat:
    """Read it, whatever the process calls itself."""
    fields = text.rpartition(")")[2].split()  # from field 3 on
    return Stat(
        session=int(fields[3]),
        cpu_seconds=sum(map(int, fields[11:15])) / TICK,
        started=int(fields[19]),
        core=int(fields[36]),
    )
