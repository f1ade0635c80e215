"""Rows of numbers in a record: a kind, a hardware address and up to three moments, packed in 40 bytes.

A record is the base64 of some rows, in the order in which their samples ended. For tasks that record a thousand samples
a second: a row takes a tenth of the time of a JSON list.
"""

from __future__ import annotations

import math
import struct
import time
from enum import IntEnum
from typing import TYPE_CHECKING

from lbproof.probe.protocol import text_of

if TYPE_CHECKING:
    from lbproof.probe.task import Task

ROW = struct.Struct("<B7xQddd")
"""Kind, hardware address as a number (0: none), and three moments, NaN for what did not happen."""
_FLUSH = 0.02
"""Seconds that a row waits for others."""
_NEVER = (math.nan, math.nan, math.nan)


class Kind(IntEnum):
    """Kind of a row, and what its moments are."""

    UDP = 1
    """UDP probe: due, sent, answered."""
    TCP = 2
    """TCP request: due, connected, answered (the first bytes of an HTTP 200)."""
    ASK = 3
    """Neighbour request of the census: due, sent."""
    ANSWER = 4
    """Reply to the census: arrived; with the node's hardware address."""
    ANNOUNCED = 5
    """Announcement that a Linux neighbour takes: arrived; with the hardware address."""
    GARP_IGNORED = 6
    """Announcement that it may ignore: likewise."""
    SIGNAL = 7
    """Frame of a protocol between announcers that others receive too (VRRP, the reference's heartbeat): likewise."""
    TURNED = 8
    """First frame of the vantage for the address to another node than before: left; to which hardware address."""


class Rows:
    """Rows on their way to the records of a task."""

    def __init__(self, task: Task) -> None:
        """Empty."""
        self._task = task
        self._buffer = bytearray()
        self._flushed = 0.0

    def put(self, kind: int, *moments: float, mac: bytes = b"") -> None:
        """Add one, with up to three moments."""
        self._buffer += ROW.pack(kind, int.from_bytes(mac), *moments, *_NEVER[len(moments) :])

    def flush(self, *, force: bool = False) -> None:
        """Send the rows when they have waited long enough, with `force` in any case."""
        now = time.monotonic()
        if self._buffer and (force or now - self._flushed >= _FLUSH):
            self._task.emit(text_of(bytes(self._buffer)))
            self._task.flush()
            self._buffer.clear()
            self._flushed = now
