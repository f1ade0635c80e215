"""The kernel's own moment of a frame's arrival, which does not wait until a process is woken (SO_TIMESTAMPNS).

Standard library alone, for the probes, which start in some hundredths of a second.
"""

from __future__ import annotations

import math
import socket
import struct
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOM = 64
"""Bytes of ancillary data that a stamp takes."""
_SO_TIMESTAMPNS = 35
"""<asm-generic/socket.h>; Python has no name for it."""
_TIMESPEC = struct.Struct("@qq")


def stamp(sock: socket.socket) -> None:
    """Have the kernel stamp what arrives at a socket from now on."""
    sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)


def arrived(ancillary: Sequence[tuple[int, int, bytes]]) -> int:
    """Nanoseconds of CLOCK_REALTIME at which the kernel took in the frame that came with these messages.

    Raises ValueError without a stamp: a moment of our own would be another figure under the same name.
    """
    for level, kind, value in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS):
            seconds, nanoseconds = _TIMESPEC.unpack_from(value)
            return int(seconds * 1_000_000_000 + nanoseconds)
    raise ValueError("a frame without the kernel's time stamp")


def stamped(sock: socket.socket, offset: float, size: int = 2048) -> tuple[bytes, float, int]:
    """One frame of a packet socket that stamps: its bytes, the monotonic moment of arrival, its packet type.

    `offset` is that of `clock_offset`.
    """
    data, ancillary, _, address = sock.recvmsg(size, ROOM)
    return data, arrived(ancillary) / 1e9 - offset, address[2]


def clock_offset() -> float:
    """Seconds by which CLOCK_REALTIME, which the kernel stamps with, is ahead of CLOCK_MONOTONIC; to a microsecond."""
    best, found = math.inf, 0.0
    for _ in range(20):
        before = time.monotonic()
        real = time.time()
        after = time.monotonic()
        if after - before < best:
            best, found = after - before, real - (before + after) / 2
    return found
