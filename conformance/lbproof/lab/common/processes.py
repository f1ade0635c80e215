"""Ending a process of this machine."""

from __future__ import annotations

import os
import select
import signal

from lbproof.lab.base import LabError

_GONE_WITHIN = 20
"""Seconds that the kernel may take to end a process and those of its PID namespace."""


def end(pid: int) -> None:
    """Send SIGKILL, and wait until the process and everything in the PID namespace that it is the init of has ended.

    Raises `LabError` when it has not ended in time.
    """
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        signal.pidfd_send_signal(process, signal.SIGKILL)
        if not select.select([process], [], [], _GONE_WITHIN)[0]:
            raise LabError(f"process {pid} has not ended within {_GONE_WITHIN} s of its SIGKILL")
    except ProcessLookupError:
        return
    finally:
        os.close(process)
