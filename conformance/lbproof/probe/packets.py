"""Packet sockets (packet(7)): exactly one interface, an optional filter, time of arrival and losses from the kernel."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import math
import socket
import struct
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

LARGEST = 1 << 16
"""Size of the largest frame in bytes, including segments that the kernel has not split yet."""
ROOM = 8 << 20
"""Receive buffer in bytes; the kernel's default overflows after some 300 frames."""
# <asm-generic/socket.h>, <linux/if_packet.h>; Python has no names for them
_SO_ATTACH_FILTER, _SO_RCVBUFFORCE = 26, 33
SO_TIMESTAMPNS = 35
_SOL_PACKET, _PACKET_ADD_MEMBERSHIP, _PACKET_STATISTICS, _PACKET_MR_ALLMULTI = 263, 1, 6, 2
_TIMESPEC = struct.Struct("@qq")
_STATISTICS = struct.Struct("@II")
"""Frames that passed the filter, frames of these that were dropped."""
ANCILLARY = 64
"""Bytes of ancillary data that a time stamp takes."""
_BEGINNING = 128
"""Bytes of a frame that are read where its headers suffice."""
_REFRESH = 0.1
"""Seconds between two readings of the offset of CLOCK_REALTIME."""


class PacketSocket:
    """Non-blocking packet socket; a context manager."""

    _created_for = 0
    """EtherType for which the socket receives before it is bound."""

    def __init__(self, interface: str, protocol: int, program: Sequence[Sequence[int]] = ()) -> None:
        """Open it for one EtherType or ETH_P_ALL (3). `program`: classic BPF as `(code, jt, jf, k)`.

        It is created with protocol 0, so that it receives nothing, in particular from other interfaces, before it is
        bound. It also receives multicast frames of groups that the host has not joined. Raises `OSError`.
        """
        self.dropped = 0
        """Number of frames that the kernel dropped so far, as of the last `count_dropped`."""
        self._offset, self._offset_read = 0.0, -math.inf
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(self._created_for))
        try:
            self._make_room()
            self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            if program:
                self._attach(program)
            self.socket.setblocking(False)
            self._bind(interface, protocol)
        except OSError as error:
            self.socket.close()
            raise OSError(error.errno, f"{interface}: {error.strerror}") from error

    def _bind(self, interface: str, protocol: int) -> None:
        self.socket.bind((interface, protocol))
        everything = struct.pack("@iHH8x", socket.if_nametoindex(interface), _PACKET_MR_ALLMULTI, 0)
        self.socket.setsockopt(_SOL_PACKET, _PACKET_ADD_MEMBERSHIP, everything)

    def _make_room(self) -> None:
        """Enlarge the receive buffer; without CAP_NET_ADMIN as far as net.core.rmem_max allows. Losses are counted."""
        try:
            self.socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, ROOM)
        except PermissionError:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ROOM)

    def _attach(self, program: Sequence[Sequence[int]]) -> None:
        code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in program))
        pointer = struct.pack("@HL", len(program), ctypes.addressof(code))
        self.socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, pointer)

    def fileno(self) -> int:
        """Return the file descriptor."""
        return self.socket.fileno()

    def send(self, frame: bytes) -> None:
        """Send a frame with its Ethernet header. Raises `OSError`, for example ENETDOWN."""
        self.socket.send(frame)

    def receive(self, size: int = LARGEST) -> tuple[float, int, bytes]:
        """Return a frame: time of arrival (`time.monotonic()`), packet type (PACKET_HOST, ...), its first `size` bytes.

        Raises `BlockingIOError` when there is none, and other `OSError` once after the interface went down.
        """
        data, ancillary, _, address = self.socket.recvmsg(size, ANCILLARY)
        return arrival(ancillary) / 1e9 - self._realtime_offset(), address[2], data

    def arrived(self, size: int = LARGEST) -> Iterator[tuple[float, int, bytes]]:
        """Yield the frames that have arrived before the call, as `receive` returns them, and at most one later one.

        An interface that goes down ends nothing: the socket continues when it is up again. Raises `OSError`.
        """
        called = time.monotonic()
        t = -math.inf
        while t <= called:
            try:
                t, kind, frame = self.receive(size)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENETDOWN:
                    raise
            else:
                yield t, kind, frame

    def _realtime_offset(self) -> float:
        now = time.monotonic()
        if now - self._offset_read >= _REFRESH:
            self._offset, self._offset_read = realtime_offset(), now
        return self._offset

    def count_dropped(self) -> int:
        """Return the number of frames that the kernel has dropped since the socket was opened."""
        self.count()
        return self.dropped

    def count(self) -> int:
        """Return the number of frames that have passed the filter since the last count, read, dropped or neither."""
        raw = self.socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, _STATISTICS.size)
        passed, dropped = _STATISTICS.unpack(raw)  # reading resets them
        self.dropped += dropped
        return int(passed)

    def __enter__(self) -> Self:
        """Return the socket."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.socket.close()


class AllInterfaces(PacketSocket):
    """Packet socket for all frames of all interfaces of a network namespace, also of those that are added later."""

    _created_for = 0x0003  # ETH_P_ALL of <linux/if_ether.h>

    def __init__(self, program: Sequence[Sequence[int]]) -> None:
        """`program`: classic BPF as `(code, jt, jf, k)`. Raises `OSError`."""
        super().__init__("all interfaces", self._created_for, program)

    def _bind(self, _interface: str, _protocol: int) -> None:
        """Receive from now on: what arrived before the filter was there is dropped."""
        with contextlib.suppress(BlockingIOError):
            while self.socket.recv(1):
                pass

    def arrived_at(self) -> Iterator[tuple[float, str, bytes]]:
        """Yield the frames that have arrived: time (`time.monotonic()`), name of the interface, its first bytes."""
        while True:
            try:
                data, ancillary, _, address = self.socket.recvmsg(_BEGINNING, ANCILLARY)
            except BlockingIOError:
                return
            except OSError as error:  # an interface went down
                if error.errno != errno.ENETDOWN:
                    raise
                continue
            yield arrival(ancillary) / 1e9 - self._realtime_offset(), address[0], data


def arrival(ancillary: Iterable[tuple[int, int, bytes]]) -> int:
    """Return the kernel's time of arrival, in nanoseconds of CLOCK_REALTIME, from what came with a frame."""
    stamp = next(value for level, kind, value in ancillary if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS))
    seconds, nanoseconds = _TIMESPEC.unpack_from(stamp)
    return int(seconds * 1_000_000_000 + nanoseconds)


def realtime_offset() -> float:
    """Return by how many seconds CLOCK_REALTIME, the clock of the stamps, is ahead of CLOCK_MONOTONIC, to some µs."""
    best, found = math.inf, 0.0
    for _ in range(10):
        before = time.monotonic()
        real = time.time()
        after = time.monotonic()
        if after - before < best:
            best, found = after - before, real - (before + after) / 2
    return found
