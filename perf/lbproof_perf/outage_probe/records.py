"""What the ruler's processes write to their standard output: records of one size, in the order in which they ended.

All moments are seconds of `CLOCK_MONOTONIC`, which every process of the machine shares; NaN where something never
came. Standard library alone, so that a probe starts in some hundredths of a second.
"""

from __future__ import annotations

import struct
from enum import IntEnum

RECORD = struct.Struct("<BxhIddd")
"""Kind, who, index, and three moments; 32 bytes."""
DTYPE = (("kind", "u1"), ("pad", "u1"), ("who", "<i2"), ("index", "<u4"), ("a", "<f8"), ("b", "<f8"), ("c", "<f8"))
"""The same for numpy."""


class Kind(IntEnum):
    """Of a record, and what its moments are."""

    UDP = 1
    """A UDP probe: due, sent, answered."""
    TCP = 2
    """A TCP request: due, connected, answered (the first bytes of an HTTP 200)."""
    ASK = 3
    """An ARP request of the census: due, sent."""
    ANSWER = 4
    """An answer to the census: heard; `who` is the node's number."""
    ANNOUNCED = 5
    """A gratuitous frame that a Linux neighbour takes: heard; `who`."""
    GARP_IGNORED = 6
    """One that it ignores within a second of the entry's last change (a reply to broadcast): heard; `who`."""
    SIGNAL = 7
    """A frame of a protocol between announcers that others hear too (VRRP, the reference's heartbeat): heard; `who`."""
    TURNED = 8
    """The client's first frame for the address to another node than before: left; `who`."""
    NEW = 9
    """A hardware address that was met for the first time: `who` is its number, `index` its first four bytes, and the
    first moment the last two as a number."""
