"""Task `jitter`: delays of a thread that sleeps until fixed moments.

It runs with the default priority, so its delay is that of any process. Arguments: `period`, seconds between
two wake-ups; `late`, seconds from which on a wake-up is reported. Record: `[due, seconds late]`. Ready when it has
begun, until it is cancelled.
"""

from __future__ import annotations

import select
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lbproof.probe.task import Task


def run(task: Task) -> None:
    """Wake up every `period`; after a late wake-up the schedule starts anew, so that a stall is reported once."""
    period, late = task.arguments["period"], task.arguments["late"]
    due = time.monotonic() + period
    task.ready()
    while not task.stopping:
        # not by `task.wait`, whose poll(2) counts in milliseconds
        select.select([task], [], [], max(0.0, due - time.monotonic()))
        now = time.monotonic()
        if now - due > late:
            task.emit([due, now - due])
            task.flush()
            due = now
        due += period
