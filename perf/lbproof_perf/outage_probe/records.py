"""Records that the processes of the outage probe write to their standard output: of one size, in order of their end.

All moments are seconds of `CLOCK_MONOTONIC`, which every process of the machine shares; NaN where something never
came. Standard library alone, so that a probe starts in some hundredths of a second.
"""

from __future__ import annotations

import math
import struct
from enum import IntEnum
from typing import IO

RECORD = struct.Struct("<B7xQddd")
"""Kind, hardware address as a number (0: none), and three moments; 40 bytes."""
DTYPE = (("kind", "<u8"), ("mac", "<u8"), ("a", "<f8"), ("b", "<f8"), ("c", "<f8"))
"""The same for numpy."""
_FLUSH = 0.02
"""Seconds that a record waits for others."""
_NEVER = (math.nan, math.nan, math.nan)


class Kind(IntEnum):
    """Of a record, and what its moments are."""

    UDP = 1
    """A UDP probe: due, sent, answered."""
    TCP = 2
    """A TCP request: due, connected, answered (the first bytes of an HTTP 200)."""
    ASK = 3
    """An ARP request of the census: due, sent."""
    ANSWER = 4
    """An answer to the census: heard; with the node's hardware address."""
    ANNOUNCED = 5
    """A gratuitous frame that a Linux neighbour takes: heard; with the hardware address."""
    GARP_IGNORED = 6
    """One that it ignores within a second of the entry's last change (a reply to broadcast): heard; likewise."""
    SIGNAL = 7
    """Frame of a protocol between announcers that others hear too (VRRP, the reference's heartbeat): likewise."""
    TURNED = 8
    """The client's first frame for the address to another node than before: left; to which hardware address."""


class Out:
    """Records on their way to the standard output, a batch at a time."""

    def __init__(self, file: IO[bytes]) -> None:
        """Nothing is written yet."""
        self._file = file
        self._buffer = bytearray()
        self._flushed = 0.0

    def put(self, kind: Kind, *moments: float, mac: bytes = b"") -> None:
        """Add one, with up to three moments."""
        self._buffer += RECORD.pack(kind, int.from_bytes(mac), *moments, *_NEVER[len(moments) :])

    def flush(self, now: float, *, force: bool = False) -> None:
        """Write what has waited long enough."""
        if self._buffer and (force or now - self._flushed >= _FLUSH):
            self._file.write(self._buffer)
            self._file.flush()
            self._buffer.clear()
            self._flushed = now
