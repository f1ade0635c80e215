"""The capture beside the sender: who announces, who speaks to whom about it, and when the client turned.

It keeps what an outage is split by and no payload: each record is a moment on the machine's one clock, stamped by the
kernel. What a Linux neighbour takes of an announcement within a second of the entry's last change (`locktime`) is the
kernel's own rule, `arp_is_garp` and `arp_process` in net/ipv4/arp.c: a gratuitous request, or a gratuitous reply whose
target hardware address is its sender's.

`python -m lbproof_perf.outage_probe.capture ADDRESS SOCKET` is given a packet socket by number, and writes records
(`records.py`) until SIGTERM.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import time

from lbproof.witnesses.frames import ETHERTYPE_ARP, Op, decode
from lbproof_perf.outage_probe.records import Kind, Out
from lbproof_perf.outage_probe.sender import hurry
from lbproof_perf.probes.timestamps import clock_offset, stamped

_IPV4, _ARP = b"\x08\x00", ETHERTYPE_ARP.to_bytes(2)
_EXPERIMENTAL = b"\x88\xb5"
"""IEEE 802 Local Experimental EtherType 1, which the reference's heartbeats have."""
_VRRP = b"\x70"
"""IP protocol number 112 (RFC 9568)."""
_SNAP = 64


class Capture:
    """Sorts the frames of one interface."""

    def __init__(self, address: str, out: Out) -> None:
        """For the traffic of one IPv4 address."""
        self._packed, self._out = socket.inet_aton(address), out
        self._towards: bytes | None = None

    def frame(self, data: bytes, at: float, kind: int) -> None:
        """Take in one frame (its first bytes), its moment and its packet type."""
        destination, source, ethertype = data[:6], data[6:12], data[12:14]
        if kind == socket.PACKET_OUTGOING:
            if ethertype == _IPV4 and data[30:34] == self._packed and destination != self._towards:
                self._towards = destination
                self._out.put(Kind.TURNED, at, mac=destination)
        elif ethertype == _ARP:
            frame = decode(data)
            if frame and frame.gratuitous and frame.sender_ip.packed == self._packed:
                taken = frame.op == Op.REQUEST or frame.target_mac == frame.sender_mac
                self._out.put(Kind.ANNOUNCED if taken else Kind.GARP_IGNORED, at, mac=data[22:28])
        elif ethertype == _EXPERIMENTAL or (ethertype == _IPV4 and data[23:24] == _VRRP):
            self._out.put(Kind.SIGNAL, at, mac=source)


def main(address: str, wire: socket.socket) -> None:
    """Capture until SIGTERM."""
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopped.append(number))
    hurry()
    offset = clock_offset()
    with os.fdopen(1, "wb", closefd=False) as file:
        out = Out(file)
        capture = Capture(address, out)
        while not stopped:
            if select.select([wire], [], [], 0.05)[0]:
                capture.frame(*stamped(wire, offset, _SNAP))
            out.flush(time.monotonic())
        out.flush(0, force=True)


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[2])) as inherited:
        main(sys.argv[1], inherited)
