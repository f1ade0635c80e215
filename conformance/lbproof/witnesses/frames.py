"""ARP over Ethernet: fields in wire order (RFC 826), packed and unpacked with `struct`."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lbproof.spec.families import IPAddress

ETHERTYPE_ARP = 0x0806
BROADCAST = "ff:ff:ff:ff:ff:ff"
NOBODY = "00:00:00:00:00:00"

_ETHERNET = struct.Struct("!6s6sH")
"""Destination, source, type."""
_ARP = struct.Struct("!HHBBH6s4s6s4s")
"""Hardware type (1: Ethernet), protocol type (0x0800: IPv4), lengths of both (6, 4), operation, sender, target."""
_FIXED = (1, 0x0800, 6, 4)


class Op(IntEnum):
    """Operation of an ARP packet (RFC 826)."""

    REQUEST = 1
    REPLY = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """ARP packet with its Ethernet addresses. MACs in lower case with colons."""

    ether_dst: str
    ether_src: str
    op: int
    sender_mac: str
    sender_ip: IPv4Address
    target_mac: str
    target_ip: IPv4Address
    t: float = 0.0
    """Time of reception (`time.monotonic()`)."""

    @property
    def gratuitous(self) -> bool:
        """Whether sender and target are the same address: an announcement (RFC 5227 section 2.3)."""
        return self.sender_ip == self.target_ip

    @property
    def is_reply(self) -> bool:
        """Whether it is an ARP reply, asked for or not."""
        return self.op == Op.REPLY

    @property
    def announcement_fault(self) -> str:
        """Reason why a neighbour may ignore this announcement; empty when there is none."""
        if self.ether_dst != BROADCAST:
            return f"went to {self.ether_dst}, expected {BROADCAST}"
        if self.target_mac not in {NOBODY, BROADCAST, self.sender_mac}:
            return f"has the target hardware address {self.target_mac}"
        return ""


def mac_bytes(mac: str) -> bytes:
    """Convert `02:00:c0:a8:ac:97` to six bytes."""
    return bytes.fromhex(mac.replace(":", ""))


def encode(frame: Frame) -> bytes:
    """Encode the frame for sending."""
    return _ETHERNET.pack(mac_bytes(frame.ether_dst), mac_bytes(frame.ether_src), ETHERTYPE_ARP) + _ARP.pack(
        *_FIXED,
        frame.op,
        mac_bytes(frame.sender_mac),
        frame.sender_ip.packed,
        mac_bytes(frame.target_mac),
        frame.target_ip.packed,
    )


def decode(data: bytes, t: float = 0.0) -> Frame | None:
    """Decode a received frame; None if it is truncated or not ARP for IPv4 over Ethernet."""
    if len(data) < _ETHERNET.size + _ARP.size:
        return None
    destination, source, kind = _ETHERNET.unpack_from(data)
    *fixed, op, sender_mac, sender_ip, target_mac, target_ip = _ARP.unpack_from(data, _ETHERNET.size)
    if kind != ETHERTYPE_ARP or tuple(fixed) != _FIXED:
        return None
    return Frame(
        ether_dst=destination.hex(":"),
        ether_src=source.hex(":"),
        op=op,
        sender_mac=sender_mac.hex(":"),
        sender_ip=IPv4Address(sender_ip),
        target_mac=target_mac.hex(":"),
        target_ip=IPv4Address(target_ip),
        t=t,
    )


def request(*, mac: str, address: IPAddress, target: IPAddress) -> Frame:
    """Build an ARP request for `target`, with sender `address` at `mac`. Raises `TypeError` for IPv6."""
    if not isinstance(address, IPv4Address) or not isinstance(target, IPv4Address):
        raise TypeError(f"ARP has no question from {address} for {target}: both must be IPv4")
    return Frame(
        ether_dst=BROADCAST,
        ether_src=mac,
        op=Op.REQUEST,
        sender_mac=mac,
        sender_ip=address,
        target_mac=NOBODY,
        target_ip=target,
    )
