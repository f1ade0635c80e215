"""Encode and decode the frames that say where an address is: ARP for IPv4, neighbour discovery (NDP) for IPv6.

ARP has the layout of RFC 826. Announcements follow RFC 5227 section 2.3 (a request whose sender address is its target
address). For hosts that accept only replies, a reply is sent as well whose target hardware address is the sender's own:
the Linux kernel treats only such a reply as gratuitous (`arp_is_garp` in net/ipv4/arp.c).

NDP is RFC 4861: solicitations (section 4.3) and advertisements (4.4) with link-layer address options (4.6.1) in ICMPv6
(RFC 4443) over IPv6 (RFC 8200). What section 7.1 discards is not decoded.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

ETH_P_ARP = 0x0806
ETH_P_IPV6 = 0x86DD
ETH_P_HEARTBEAT = 0x88B5
"""IEEE 802 Local Experimental EtherType 1."""

BROADCAST = b"\xff" * 6
REQUEST, REPLY = 1, 2

ETHERNET = struct.Struct("!6s6sH")  # destination, source, type
ARP = struct.Struct("!HHBBH6s4s6s4s")  # htype, ptype, hlen, plen, op, sender MAC, sender IP, target MAC, target IP
FRAME_BYTES = ETHERNET.size + ARP.size
_IPV4_OVER_ETHERNET = (1, 0x0800, 6, 4)

SOLICITATION, ADVERTISEMENT = 135, 136
ICMPV6, HOP_LIMIT = 58, 255
"""Next header; a packet with another hop limit was forwarded by a router, perhaps from another link."""
IPV6 = struct.Struct("!IHBB16s16s")  # version, class and flow label, payload length, next header, hop limit, addresses
NDP = struct.Struct("!BBHI16s")  # type, code, checksum, flags (reserved in a solicitation), target
NDP_FRAME_BYTES = ETHERNET.size + IPV6.size + NDP.size
_VERSION_6 = 6 << 28
_SOLICITED, _OVERRIDE = 1 << 30, 1 << 29
_SOURCE_LINK_LAYER, _TARGET_LINK_LAYER = 1, 2  # types of options
_OPTION_BYTES = 8
"""Unit of an option's length; an option with a link-layer address of Ethernet has this length."""
_PSEUDO = struct.Struct("!16s16sI3xB")  # what a checksum covers besides the message: RFC 8200 section 8.1
_UNSPECIFIED = bytes(16)
_ALL_NODES = bytes.fromhex("ff02" + "00" * 13 + "01")
_SOLICITED_NODE = bytes.fromhex("ff02" + "00" * 9 + "01ff")


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


def announcements(address: bytes, mac: bytes) -> tuple[bytes, ...]:
    """Encode the frames that nobody asked for and that update `address` to `mac` in neighbour caches.

    ARP: a gratuitous request and reply. NDP: an advertisement (RFC 4861 section 7.2.6), which overrides.
    """
    if len(address) == len(_UNSPECIFIED):
        to = _multicast_mac(_ALL_NODES)
        return (_advertisement(to=to, mac=mac, destination=_ALL_NODES, flags=0, target=address),)
    return (
        arp(to=BROADCAST, op=REQUEST, mac=mac, sender=address, target_mac=bytes(6), target=address),
        arp(to=BROADCAST, op=REPLY, mac=mac, sender=address, target_mac=mac, target=address),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class NdpFrame:
    """Valid solicitation or advertisement: its type, its source and target (packed)."""

    kind: int
    mac: bytes
    """Link-layer address in its option; the Ethernet source of a message without one."""
    source: bytes
    target: bytes

    @property
    def needs_reply(self) -> bool:
        """Whether it is a solicitation of one host, maybe of one that has no address yet (RFC 4862 section 5.4.3)."""
        return self.kind == SOLICITATION and self.source != self.target and not self.mac[0] & 1 and self.mac != bytes(6)

    @property
    def sender(self) -> bytes:
        """Address that is at `mac` as it says: the target of an advertisement, the source of a solicitation."""
        return self.target if self.kind == ADVERTISEMENT else self.source


def read_ndp(frame: bytes) -> NdpFrame | None:
    """Decode a frame; None if it is neither message, or one that sections 7.1.1 and 7.1.2 discard."""
    if len(frame) < NDP_FRAME_BYTES:
        return None
    _, ether_source, ethertype = ETHERNET.unpack_from(frame)
    version, length, header, hops, source, destination = IPV6.unpack_from(frame, ETHERNET.size)
    message = frame[ETHERNET.size + IPV6.size :][:length]
    if (ethertype, version >> 28, header, hops) != (ETH_P_IPV6, 6, ICMPV6, HOP_LIMIT):
        return None
    if not NDP.size <= len(message) == length or _checksum(source, destination, message):
        return None
    kind, code, _, flags, target = NDP.unpack_from(message)
    options = _options(message[NDP.size :])
    if kind not in {SOLICITATION, ADVERTISEMENT} or code or options is None:
        return None
    if _is_multicast(source) or _is_multicast(target):
        return None
    link_layer = options.get(_SOURCE_LINK_LAYER if kind == SOLICITATION else _TARGET_LINK_LAYER)
    if kind == ADVERTISEMENT:
        is_valid = not (_is_multicast(destination) and flags & _SOLICITED)
    else:
        is_valid = source != _UNSPECIFIED or (destination.startswith(_SOLICITED_NODE) and link_layer is None)
    return NdpFrame(kind=kind, mac=link_layer or ether_source, source=source, target=target) if is_valid else None


def ndp_reply(asked: NdpFrame, mac: bytes) -> bytes:
    """Encode the advertisement that answers a solicitation (section 7.2.4).

    It goes to the asker alone, with S; to all nodes and without S, if the asker has no address yet.
    """
    if asked.source == _UNSPECIFIED:
        return announcements(asked.target, mac)[0]
    return _advertisement(to=asked.mac, mac=mac, destination=asked.source, flags=_SOLICITED, target=asked.target)


def solicited_node(address: bytes) -> bytes:
    """Return the multicast group to which solicitations for an IPv6 address are sent (RFC 4291 section 2.7.1)."""
    return _SOLICITED_NODE + address[-3:]


def _advertisement(*, to: bytes, mac: bytes, destination: bytes, flags: int, target: bytes) -> bytes:
    """Encode an advertisement with O and the target's link-layer address, from the target's own address."""
    option = bytes([_TARGET_LINK_LAYER, 1]) + mac
    message = NDP.pack(ADVERTISEMENT, 0, 0, flags | _OVERRIDE, target) + option
    checksum = _checksum(target, destination, message).to_bytes(2)
    header = IPV6.pack(_VERSION_6, len(message), ICMPV6, HOP_LIMIT, target, destination)
    return ETHERNET.pack(to, mac, ETH_P_IPV6) + header + message[:2] + checksum + message[4:]


def _checksum(source: bytes, destination: bytes, message: bytes) -> int:
    """Return the ICMPv6 checksum of a message without one; 0 for a message that has the right one (RFC 1071)."""
    data = _PSEUDO.pack(source, destination, len(message), ICMPV6) + message + bytes(len(message) % 2)
    words: tuple[int, ...] = struct.unpack(f"!{len(data) // 2}H", data)
    return -sum(words) % 0xFFFF


def _options(data: bytes) -> dict[int, bytes] | None:
    """Return the link-layer addresses in the options by type; None if an option is malformed (section 4.6)."""
    found: dict[int, bytes] = {}
    while data:
        size = data[1] * _OPTION_BYTES if data[1:] else 0
        if not 0 < size <= len(data):
            return None
        if size == _OPTION_BYTES:
            found[data[0]] = data[2:size]
        data = data[size:]
    return found


def _is_multicast(address: bytes) -> bool:
    return address[0] == 0xFF  # noqa: PLR2004 - RFC 4291 section 2.7


def _multicast_mac(group: bytes) -> bytes:
    """Return the Ethernet address of a group (RFC 2464 section 7)."""
    return b"\x33\x33" + group[-4:]
