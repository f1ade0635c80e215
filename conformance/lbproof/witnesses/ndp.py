"""Neighbor Solicitation and Advertisement over Ethernet (RFC 4861 sections 4.3 and 4.4), packed and unpacked."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv6Address

from lbproof.witnesses.frames import NOBODY, mac_bytes

ETHERTYPE_IPV6 = 0x86DD
ALL_NODES = IPv6Address("ff02::1")
UNSPECIFIED = IPv6Address("::")
ICMPV6 = 58
HOP_LIMIT = 255
"""A packet with another one came from beyond the link, and is discarded (section 7.1)."""

_ETHERNET = struct.Struct("!6s6sH")
"""Destination, source, type."""
_IPV6 = struct.Struct("!IHBB16s16s")
"""Version, traffic class and flow label; payload length, next header, hop limit, source, destination (RFC 8200)."""
_MESSAGE = struct.Struct("!BBHI16s")
"""Type, code, checksum, flags or reserved, target."""
_LINK_LAYER = struct.Struct("!BB6s")
"""Option: type, length in units of 8 bytes, hardware address (section 4.6.1)."""
_NONCE = 14
_ROUTER, _SOLICITED, _OVERRIDE = 1 << 31, 1 << 30, 1 << 29

FILTER = (
    (0x30, 0, 0, 20),  # ldb [20]: the next header
    (0x15, 0, 4, ICMPV6),
    (0x30, 0, 0, 54),  # ldb [54]: the ICMPv6 type
    (0x15, 1, 0, 135),
    (0x15, 0, 1, 136),
    (0x06, 0, 0, 0xFFFF),
    (0x06, 0, 0, 0),
)
"""Classic BPF: solicitations and advertisements, on a socket for IPv6."""


class Type(IntEnum):
    """ICMPv6 type of a message."""

    SOLICITATION = 135
    ADVERTISEMENT = 136


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Solicitation or advertisement, with its Ethernet and IPv6 addresses. MACs in lower case with colons."""

    ether_dst: str
    ether_src: str
    source: IPv6Address
    destination: IPv6Address
    type: Type
    target: IPv6Address
    link_layer: str = ""
    """Source (solicitation) or target (advertisement) link-layer address option; empty without one."""
    nonce: bytes = b""
    """Nonce of a solicitation (RFC 3971 section 5.3.2), 6 bytes as RFC 7527 section 4 has them; empty without one."""
    router: bool = False
    solicited: bool = False
    override: bool = False
    t: float = 0.0
    """Time of reception (`time.monotonic()`)."""

    @property
    def is_reply(self) -> bool:
        """Whether it says where an address is: an advertisement, asked for or not."""
        return self.type is Type.ADVERTISEMENT

    @property
    def gratuitous(self) -> bool:
        """Whether it is an unsolicited advertisement (section 7.2.6)."""
        return self.is_reply and not self.solicited

    @property
    def sender_ip(self) -> IPv6Address:
        """Address that the sender claims: the target of an advertisement, the source of a solicitation."""
        return self.target if self.is_reply else self.source

    @property
    def sender_mac(self) -> str:
        """Hardware address at which the sender claims it; that of the frame without the option."""
        return self.link_layer or self.ether_src

    @property
    def target_ip(self) -> IPv6Address:
        """Address that a solicitation asks for; the destination of an advertisement."""
        return self.destination if self.is_reply else self.target

    @property
    def target_mac(self) -> str:
        """Hardware address that it goes to; the unknown one for a solicitation by multicast, as in ARP."""
        return NOBODY if self.destination.is_multicast and not self.is_reply else self.ether_dst

    @property
    def announcement_fault(self) -> str:
        """Reason why a neighbour may ignore this announcement; empty when there is none."""
        if (self.destination, self.ether_dst) != (ALL_NODES, multicast_mac(ALL_NODES)):
            return f"went to {self.destination} at {self.ether_dst}, expected {ALL_NODES}"
        if not self.override:
            return "has no Override flag: it does not replace an entry"
        return "" if self.link_layer else "has no target link-layer address"


def multicast_mac(group: IPv6Address) -> str:
    """Return the Ethernet address of a multicast group (RFC 2464 section 7)."""
    return (b"\x33\x33" + group.packed[12:]).hex(":")


def solicited_node(address: IPv6Address) -> IPv6Address:
    """Return the solicited-node multicast address of an address (RFC 4291 section 2.7.1)."""
    return IPv6Address(IPv6Address("ff02::1:ff00:0").packed[:13] + address.packed[13:])


def link_local(mac: str) -> IPv6Address:
    """Return the link-local address that a host makes of its hardware address (RFC 4291 appendix A, RFC 4862 5.3)."""
    own = mac_bytes(mac)
    return IPv6Address(b"\xfe\x80" + bytes(6) + bytes([own[0] ^ 2]) + own[1:3] + b"\xff\xfe" + own[3:])


def solicitation(*, mac: str, address: IPv6Address, target: IPv6Address) -> Message:
    """Build a solicitation for `target` from `address` at `mac`."""
    group = solicited_node(target)
    return Message(
        ether_dst=multicast_mac(group),
        ether_src=mac,
        source=address,
        destination=group,
        type=Type.SOLICITATION,
        target=target,
        link_layer="" if address == UNSPECIFIED else mac,
    )


def dad_probe(*, mac: str, target: IPv6Address) -> Message:
    """Build the solicitation of a host that is about to take `target` (RFC 4862 section 5.4.2): from `::`."""
    return solicitation(mac=mac, address=UNSPECIFIED, target=target)


def announcement(*, mac: str, address: IPv6Address) -> Message:
    """Build an unsolicited advertisement: `address` is at `mac`, from now on."""
    return Message(
        ether_dst=multicast_mac(ALL_NODES),
        ether_src=mac,
        source=address,
        destination=ALL_NODES,
        type=Type.ADVERTISEMENT,
        target=address,
        link_layer=mac,
        override=True,
    )


def encode(message: Message) -> bytes:
    """Encode the frame for sending."""
    flags = _ROUTER * message.router | _SOLICITED * message.solicited | _OVERRIDE * message.override
    kind = 2 if message.is_reply else 1
    option = _LINK_LAYER.pack(kind, 1, mac_bytes(message.link_layer)) if message.link_layer else b""
    option += _LINK_LAYER.pack(_NONCE, 1, message.nonce) if message.nonce else b""
    source, destination = message.source.packed, message.destination.packed
    body = _MESSAGE.pack(message.type, 0, 0, flags, message.target.packed) + option
    total = checksum(source, destination, body)
    return (
        _ETHERNET.pack(mac_bytes(message.ether_dst), mac_bytes(message.ether_src), ETHERTYPE_IPV6)
        + _IPV6.pack(6 << 28, len(body), ICMPV6, HOP_LIMIT, source, destination)
        + body[:2]
        + total.to_bytes(2)
        + body[4:]
    )


def checksum(source: bytes, destination: bytes, body: bytes) -> int:
    """Return the ICMPv6 checksum of a message, or 0 for one that has a right checksum in it (RFC 4443 section 2.3)."""
    data = source + destination + struct.pack("!I3xB", len(body), ICMPV6) + body + bytes(len(body) % 2)
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xFFFF:  # noqa: PLR2004 - 16 bits
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def decode(data: bytes, t: float = 0.0) -> Message | None:
    """Decode a received frame; None for any other one, and for what receivers discard (RFC 4861 section 7.1)."""
    start = _ETHERNET.size + _IPV6.size
    if len(data) < start + _MESSAGE.size:
        return None
    ether_dst, ether_src, kind = _ETHERNET.unpack_from(data)
    first, length, header, hop_limit, source, destination = _IPV6.unpack_from(data, _ETHERNET.size)
    body = data[start : start + length]
    if (kind, first >> 28, header, hop_limit, len(body)) != (ETHERTYPE_IPV6, 6, ICMPV6, HOP_LIMIT, length):
        return None
    if len(body) < _MESSAGE.size or body[0] not in set(Type) or checksum(source, destination, body):
        return None
    number, code, _, flags, target = _MESSAGE.unpack_from(body)
    options = body[_MESSAGE.size :]
    link_layer = _option(options, 2 if number == Type.ADVERTISEMENT else 1)
    if code or link_layer is None:
        return None
    found = Message(
        ether_dst=ether_dst.hex(":"),
        ether_src=ether_src.hex(":"),
        source=IPv6Address(source),
        destination=IPv6Address(destination),
        type=Type(number),
        target=IPv6Address(target),
        link_layer=link_layer.hex(":"),
        nonce=_option(options, _NONCE) or b"",
        router=bool(flags & _ROUTER),
        solicited=bool(flags & _SOLICITED),
        override=bool(flags & _OVERRIDE),
        t=t,
    )
    return None if _is_discarded(found) else found


def _option(options: bytes, wanted: int) -> bytes | None:
    """Return the 6 bytes of an option of a type; empty without one, None when an option is malformed."""
    found = b""
    while options:
        size = options[1] * 8 if len(options) > 1 else 0
        if not size or size > len(options):
            return None
        if options[0] == wanted and size == _LINK_LAYER.size:
            found = options[2:8]
        options = options[size:]
    return found


def _is_discarded(message: Message) -> bool:
    """Return whether receivers discard a message for its addresses."""
    if message.target.is_multicast:
        return True
    if message.is_reply:
        return message.destination.is_multicast and message.solicited
    wrong_group = message.destination != solicited_node(message.target)
    return message.source == UNSPECIFIED and (wrong_group or bool(message.link_layer))
