"""Task `jitter`: when did the machine stand still, seen by a thread that wants nothing but to wake on time.

It has no priority above others, so it is as late as an ordinary process would be. Arguments: `period`, seconds between
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
    """Wake up again and again; one that is late begins anew, so a stall is reported once."""
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
