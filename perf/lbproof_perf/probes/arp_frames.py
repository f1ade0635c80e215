"""What the ARP asker says and hears, byte by byte: questions from a template, and the sockets for their answers.

Both addresses of the asker are its own, so that no neighbour entry of the vantage's kernel is touched. Its sockets hear
nothing but replies to it: the kernel drops the rest. One of them is never read: the kernel counts what passes its
filter, so that answers can be counted that come faster than they could be read.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from typing import TYPE_CHECKING

import numpy as np

from lbproof.witnesses import packets
from lbproof.witnesses.frames import ETHERTYPE_ARP, Op, encode, mac_bytes, request
from lbproof_perf.probes.timestamps import stamp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lbproof.witnesses.vantage import Vantage

FRAME_BYTES = 42
SENDER, TARGET = slice(28, 32), slice(38, 42)
"""Where the sender's and the target's IPv4 addresses lie in a frame (RFC 826 over Ethernet)."""

_SO_ATTACH_FILTER = 26  # asm-generic/socket.h
_SOL_PACKET, _PACKET_STATISTICS = 263, 6  # linux/socket.h, linux/if_packet.h
_COUNTS = struct.Struct("=II")
_TIMEVAL = struct.Struct("@ll")
_MESSAGE_WORDS = 8
"""`struct mmsghdr` of a 64-bit machine in words: the third is the place of its vector, the fourth how many it has."""
_MOST_AT_ONCE = 1024
"""Messages that sendmmsg(2) takes in one call (UIO_MAXIOV)."""

_libc = ctypes.CDLL(None, use_errno=True)


def question(mac: str, address: str, target: str) -> bytearray:
    """A request that asks for `target` from `mac` and `address`."""
    return bytearray(encode(request(mac=mac, address=address, target=target)))


def _replies_to(mac: bytes) -> list[tuple[int, int, int, int]]:
    """Classic BPF: ARP replies whose Ethernet destination is `mac`."""
    high, low = struct.unpack("!IH", mac)
    return [
        (0x20, 0, 0, 0),  # ld [0]
        (0x15, 0, 7, high),
        (0x28, 0, 0, 4),  # ldh [4]
        (0x15, 0, 5, low),
        (0x28, 0, 0, 12),  # ldh [12]: the EtherType
        (0x15, 0, 3, ETHERTYPE_ARP),
        (0x28, 0, 0, 20),  # ldh [20]: the operation
        (0x15, 0, 1, Op.REPLY),
        (0x06, 0, 0, 0xFFFF),
        (0x06, 0, 0, 0),
    ]


def opened(vantage: Vantage, mac: str) -> socket.socket:
    """A packet socket at a vantage's interface that hears ARP replies to `mac` alone; the caller closes it."""

    def prepare(made: socket.socket) -> None:
        program = _replies_to(mac_bytes(mac))
        code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in program))
        made.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HL", len(program), ctypes.addressof(code)))
        stamp(made)

    return packets.opened(vantage, ETHERTYPE_ARP, prepare)


def patience(sock: socket.socket, seconds: float) -> None:
    """Let a blocking read end with BlockingIOError after so long: without the poll(2) that Python's timeout costs."""
    whole = int(seconds)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TIMEVAL.pack(whole, int((seconds - whole) * 1e6)))


def counted(sock: socket.socket) -> int:
    """Frames that passed the socket's filter since this was last asked, read or not (packet(7), PACKET_STATISTICS)."""
    packets, _ = _COUNTS.unpack(sock.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, _COUNTS.size))
    return int(packets)


class Volley:
    """Frames laid out in memory, to be sent many with one call (sendmmsg(2))."""

    def __init__(self, sock: socket.socket, frames: Sequence[bytes]) -> None:
        """All of one length."""
        self._fd, self._count, self._next = sock.fileno(), len(frames), 0
        size = len(frames[0])
        self._bytes = np.frombuffer(b"".join(frames), dtype=np.uint8).copy()
        at = np.arange(len(frames), dtype=np.uint64)
        self._vectors = np.empty((len(frames), 2), dtype=np.uint64)
        self._vectors[:, 0] = self._bytes.ctypes.data + at * size
        self._vectors[:, 1] = size
        self._messages = np.zeros((len(frames), _MESSAGE_WORDS), dtype=np.uint64)
        self._messages[:, 2] = self._vectors.ctypes.data + at * 16
        self._messages[:, 3] = 1

    def send(self, count: int) -> int:
        """Send the next `count` frames, or as many as lie in a row; gives how many. `OSError` when none can be."""
        number = min(count, self._count - self._next, _MOST_AT_ONCE)
        place = self._messages.ctypes.data + self._next * self._messages.itemsize * _MESSAGE_WORDS
        sent = int(_libc.sendmmsg(self._fd, ctypes.c_void_p(place), number, 0))
        if sent < 0:
            code = ctypes.get_errno()
            raise OSError(code, f"sendmmsg of {number} frames: {os.strerror(code)}")
        self._next = (self._next + sent) % self._count
        return sent
