"""What the ARP probers share: the layout of a request and its answer, and the socket that hears the answers.

Both addresses of a prober are its own, so that no neighbour entry of the vantage's kernel is touched. Its socket hears
nothing but replies to it, with the kernel's time of arrival: the kernel drops the rest.
"""

from __future__ import annotations

import ctypes
import socket
import struct
from typing import TYPE_CHECKING

from lbproof.witnesses import packets
from lbproof.witnesses.frames import ETHERTYPE_ARP, Op, mac_bytes
from lbproof_perf.probes.timestamps import stamp

if TYPE_CHECKING:
    from lbproof.witnesses.vantage import Vantage

FRAME_BYTES = 42
SENDER_MAC, SENDER, TARGET = slice(22, 28), slice(28, 32), slice(38, 42)
"""Where the sender's addresses and the target's IPv4 address lie in a frame (RFC 826 over Ethernet)."""
_SO_ATTACH_FILTER = 26
"""<asm-generic/socket.h>; Python has no name for it."""


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
