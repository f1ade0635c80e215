"""Encode and decode ARP frames: requests, replies and gratuitous announcements.

Layout by RFC 826. Announcements follow RFC 5227 section 2.3 (a request whose sender address is its target address). For
hosts that accept only replies, a reply is sent as well whose target hardware address is the sender's own: the Linux
kernel treats only such a reply as gratuitous (`arp_is_garp` in net/ipv4/arp.c).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

ETH_P_ARP = 0x0806
ETH_P_HEARTBEAT = 0x88B5
"""IEEE 802 Local Experimental EtherType 1."""

BROADCAST = b"\xff" * 6
REQUEST, REPLY = 1, 2

ETHERNET = struct.Struct("!6s6sH")  # destination, source, type
ARP = struct.Struct("!HHBBH6s4s6s4s")  # htype, ptype, hlen, plen, op, sender MAC, sender IP, target MAC, target IP
FRAME_BYTES = ETHERNET.size + ARP.size
_IPV4_OVER_ETHERNET = (1, 0x0800, 6, 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArpFrame:
    """ARP frame: the operation, the sender's MAC and IPv4 address (packed), and the target's IPv4 address."""

    op: int
    mac: bytes
    sender: bytes
    target: bytes

    @property
    def needs_reply(self) -> bool:
        """Whether it is a request of one host that is not gratuitous.

        A probe (sender 0.0.0.0) needs a reply, which defends the address (RFC 5227 section 2.1.1).
        """
        return self.op == REQUEST and self.sender != self.target and not self.mac[0] & 1 and self.mac != bytes(6)


def arp(*, to: bytes, op: int, mac: bytes, sender: bytes, target_mac: bytes, target: bytes) -> bytes:
    """Encode one ARP frame whose Ethernet source is the sender's hardware address."""
    return ETHERNET.pack(to, mac, ETH_P_ARP) + ARP.pack(*_IPV4_OVER_ETHERNET, op, mac, sender, target_mac, target)


def read_arp(frame: bytes) -> ArpFrame | None:
    """Decode a frame; None if it is malformed or not ARP for IPv4 over Ethernet."""
    if len(frame) < FRAME_BYTES:
        return None
    _, _, ethertype = ETHERNET.unpack_from(frame)
    *kind, op, mac, sender, _, target = ARP.unpack_from(frame, ETHERNET.size)
    if ethertype != ETH_P_ARP or tuple(kind) != _IPV4_OVER_ETHERNET:
        return None
    return ArpFrame(op=op, mac=mac, sender=sender, target=target)


def arp_reply(request: ArpFrame, mac: bytes) -> bytes:
    """Encode the unicast reply to a request."""
    return arp(to=request.mac, op=REPLY, mac=mac, sender=request.target, target_mac=request.mac, target=request.sender)


def announcements(address: bytes, mac: bytes) -> tuple[bytes, bytes]:
    """Encode the gratuitous request and reply that update `address` to `mac` in neighbour caches."""
    return (
        arp(to=BROADCAST, op=REQUEST, mac=mac, sender=address, target_mac=bytes(6), target=address),
        arp(to=BROADCAST, op=REPLY, mac=mac, sender=address, target_mac=mac, target=address),
    )
