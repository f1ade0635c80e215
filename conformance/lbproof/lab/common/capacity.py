"""Number of labs that this machine carries side by side."""

from __future__ import annotations

import os


def capacity(bytes_per_lab: int, *, cores: int | None = None, available: int | None = None) -> int:
    """Return the number of labs for the cores and the available memory in bytes, both those of this machine by default.

    Checks mostly wait, so each core serves a lab, and one lab more than there are cores.
    """
    cores = cores or len(os.sched_getaffinity(0))
    available = _available() if available is None else available
    return max(1, min(cores + 1, available // bytes_per_lab))


def _available() -> int:
    with open("/proc/meminfo", encoding="ascii") as lines:  # noqa: PTH123 - a file of the kernel's
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
