"""ARP over Ethernet: fields in wire order (RFC 826), packed and unpacked with `struct`."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from enum import IntEnum

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
    """ARP packet with its Ethernet addresses. MACs in lower case with colons, IPs dotted."""

    ether_dst: str
    ether_src: str
    op: int
    sender_mac: str
    sender_ip: str
    target_mac: str
    target_ip: str
    t: float = 0.0
    """Time of reception (`time.monotonic()`)."""

    @property
    def gratuitous(self) -> bool:
        """Whether sender and target are the same address: an announcement (RFC 5227 section 2.3)."""
        return self.sender_ip == self.target_ip


def mac_bytes(mac: str) -> bytes:
    """Convert `02:00:c0:a8:ac:97` to six bytes."""
    return bytes.fromhex(mac.replace(":", ""))


def encode(frame: Frame) -> bytes:
    """Encode the frame for sending."""
    return _ETHERNET.pack(mac_bytes(frame.ether_dst), mac_bytes(frame.ether_src), ETHERTYPE_ARP) + _ARP.pack(
        *_FIXED,
        frame.op,
        mac_bytes(frame.sender_mac),
        socket.inet_aton(frame.sender_ip),
        mac_bytes(frame.target_mac),
        socket.inet_aton(frame.target_ip),
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
        sender_ip=socket.inet_ntoa(sender_ip),
        target_mac=target_mac.hex(":"),
        target_ip=socket.inet_ntoa(target_ip),
        t=t,
    )


def request(*, mac: str, address: str, target: str) -> Frame:
    """Build an ARP request for `target`, with sender `address` at `mac`."""
    return Frame(
        ether_dst=BROADCAST,
        ether_src=mac,
        op=Op.REQUEST,
        sender_mac=mac,
        sender_ip=address,
        target_mac=NOBODY,
        target_ip=target,
    )
