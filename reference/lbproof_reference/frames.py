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
class ArpRequest:
    """ARP request: the sender's MAC and IPv4 address (packed) and the IPv4 address that it asks for."""

    mac: bytes
    sender: bytes
    target: bytes


def arp(*, to: bytes, op: int, mac: bytes, sender: bytes, target_mac: bytes, target: bytes) -> bytes:
    """Encode one ARP frame whose Ethernet source is the sender's hardware address."""
    return ETHERNET.pack(to, mac, ETH_P_ARP) + ARP.pack(*_IPV4_OVER_ETHERNET, op, mac, sender, target_mac, target)


def read_request(frame: bytes) -> ArpRequest | None:
    """Decode a frame; None if it is not a request that needs a reply.

    Replies, malformed frames, group senders and gratuitous requests need none. A probe (sender 0.0.0.0) does, and
    the reply defends the address (RFC 5227 section 2.1.1).
    """
    if len(frame) < FRAME_BYTES:
        return None
    _, _, ethertype = ETHERNET.unpack_from(frame)
    *kind, op, mac, sender, _, target = ARP.unpack_from(frame, ETHERNET.size)
    if ethertype != ETH_P_ARP or tuple(kind) != _IPV4_OVER_ETHERNET or op != REQUEST:
        return None
    if mac[0] & 1 or mac == bytes(6) or sender == target:
        return None
    return ArpRequest(mac=mac, sender=sender, target=target)


def arp_reply(request: ArpRequest, mac: bytes) -> bytes:
    """Encode the unicast reply to a request."""
    return arp(to=request.mac, op=REPLY, mac=mac, sender=request.target, target_mac=request.mac, target=request.sender)


def announcements(address: bytes, mac: bytes) -> tuple[bytes, bytes]:
    """Encode the gratuitous request and reply that update `address` to `mac` in neighbour caches."""
    return (
        arp(to=BROADCAST, op=REQUEST, mac=mac, sender=address, target_mac=bytes(6), target=address),
        arp(to=BROADCAST, op=REPLY, mac=mac, sender=address, target_mac=mac, target=address),
    )
