"""Scheduling priority of a measurement."""

from __future__ import annotations

import contextlib
import os

_PRIORITY = 2
"""Real-time priority (sched(7)): above that of ordinary work and of the reference's speaker."""


def real_time() -> None:
    """Have this thread scheduled before ordinary work, if it may: a sample that waits for its turn is noise."""
    with contextlib.suppress(PermissionError):  # the task `jitter` shows what that costs
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(_PRIORITY))
