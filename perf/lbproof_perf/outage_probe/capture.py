"""The capture beside the probe: who announces, who speaks to whom about it, and when the client turned.

It keeps what an outage is split by and no payload: each record is a moment on the machine's one clock, stamped by the
kernel. What a Linux neighbour takes of an announcement within a second of the entry's last change (`locktime`) is the
kernel's own rule, `arp_is_garp` and `arp_process` in net/ipv4/arp.c: a gratuitous request, or a gratuitous reply whose
target hardware address is its sender's.

`python -m lbproof_perf.outage_probe.capture ADDRESS …` writes records (`records.py`) until SIGTERM.
"""

from __future__ import annotations

import argparse
import os
import select
import signal
import socket
import time

from lbproof.witnesses.frames import ETHERTYPE_ARP, Op, decode
from lbproof_perf.outage_probe.records import Kind
from lbproof_perf.outage_probe.sender import Numbers, Out, hurry, packet_socket, stamped
from lbproof_perf.probes.timestamps import clock_offset

_ALL = 0x0003
_IPV4 = b"\x08\x00"
_ARP = ETHERTYPE_ARP.to_bytes(2)
_EXPERIMENTAL = b"\x88\xb5"
"""IEEE 802 Local Experimental EtherType 1, which the reference's heartbeats have."""
_VRRP = 112
"""IP protocol number (RFC 9568)."""
_OUTGOING = 4
"""PACKET_OUTGOING of linux/if_packet.h."""
_SNAP = 64


class Capture:
    """Sorts the frames of one interface."""

    def __init__(self, address: str, out: Out) -> None:
        """For the traffic of one IPv4 address."""
        self._address, self._packed, self._out = address, socket.inet_aton(address), out
        self._numbers = Numbers(out)
        self._towards: bytes | None = None

    def frame(self, data: bytes, at: float, kind: int) -> None:
        """Take in one frame (its first bytes), its moment and its packet type."""
        ethertype = data[12:14]
        if kind == _OUTGOING:
            if ethertype == _IPV4 and data[30:34] == self._packed and data[:6] != self._towards:
                self._towards = data[:6]
                self._out.put(Kind.TURNED, 0, at, who=self._numbers.of(data[:6]))
        elif ethertype == _ARP:
            self._arp(data, at)
        elif ethertype == _EXPERIMENTAL or (ethertype == _IPV4 and data[23:24] == bytes([_VRRP])):
            self._out.put(Kind.SIGNAL, 0, at, who=self._numbers.of(data[6:12]))

    def _arp(self, data: bytes, at: float) -> None:
        frame = decode(data)
        if frame and frame.gratuitous and frame.sender_ip == self._address:
            taken = frame.op == Op.REQUEST or frame.target_mac == frame.sender_mac
            mac = bytes.fromhex(frame.sender_mac.replace(":", ""))
            self._out.put(Kind.ANNOUNCED if taken else Kind.GARP_IGNORED, 0, at, who=self._numbers.of(mac))


def main() -> None:
    """Capture until SIGTERM."""
    parser = argparse.ArgumentParser(description="Say who announces an address, and when the client turned.")
    parser.add_argument("address")
    parser.add_argument("--interface", default="eth0")
    asked = parser.parse_args()
    stopped = False

    def stop(*_: object) -> None:
        nonlocal stopped
        stopped = True

    signal.signal(signal.SIGTERM, stop)
    hurry()
    offset = clock_offset()
    with os.fdopen(1, "wb", closefd=False) as file, packet_socket(asked.interface, _ALL) as wire:
        out = Out(file)
        capture = Capture(asked.address, out)
        while not stopped:
            if select.select([wire], [], [], 0.05)[0]:
                capture.frame(*stamped(wire, offset, _SNAP))
            out.flush(time.monotonic())
        out.flush(0, force=True)


if __name__ == "__main__":
    main()
