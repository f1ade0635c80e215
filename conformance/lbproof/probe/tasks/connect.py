"""Task `connect`: try to open a TCP connection.

Arguments: `host` (address), `port`, `timeout` (seconds). Record: `{"kind": "open", "seconds": ...}`, or a kind of
`lbproof.probe.connection`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from lbproof.probe.connection import connect, kind_of

if TYPE_CHECKING:
    from lbproof.probe.task import Task


def run(task: Task) -> None:
    """Connect, and emit one record."""
    asked = task.arguments
    began = time.monotonic()
    try:
        connect(asked["host"], asked["port"], asked["timeout"]).close()
        kind = "open"
    except OSError as error:
        kind = kind_of(error)
    task.emit({"kind": kind, "seconds": time.monotonic() - began})
