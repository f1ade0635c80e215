"""Neighbour requests and where their replies have what they say, as data for the tasks of the probe.

ARP for an IPv4 address, NDP for an IPv6 one. The requester's hardware and protocol address are nobody's, so that no
neighbour entry of the vantage's kernel is touched, and its socket receives nothing but replies to it.
"""

from __future__ import annotations

import struct
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Any

from lbproof.spec.families import Family
from lbproof.witnesses import frames, ndp
from lbproof.witnesses.frames import mac_bytes

if TYPE_CHECKING:
    from lbproof.spec.families import IPAddress

LINK_LAYER = 80
"""Offset of the hardware address in an advertisement whose first option has it (RFC 4861 section 4.6.1)."""
ADVERTISED = 62
"""Offset of the target in an advertisement."""
SENDER_MAC, SENDER, TARGET_MAC, TARGET = 22, 28, 32, 38
"""Offsets of the addresses in an ARP packet (RFC 826 over Ethernet)."""


def request(*, mac: str, address: IPAddress, target: IPAddress) -> bytes:
    """Encode the request for an address, from `address` at `mac`. Raises `TypeError` for addresses of two families."""
    if isinstance(address, IPv6Address) and isinstance(target, IPv6Address):
        return ndp.encode(ndp.solicitation(mac=mac, address=address, target=target))
    return frames.encode(frames.request(mac=mac, address=address, target=target))


def replies(interface: str, mac: str, family: Family) -> dict[str, Any]:
    """Return the object of `lbproof.probe.replies` for requests from `mac`."""
    if family is Family.IPV4:
        found: dict[str, Any] = {"protocol": frames.ETHERTYPE_ARP, "target": [SENDER, 4], "mac": SENDER_MAC}
        checks = [(0x28, 20, int(frames.Op.REPLY))]
    else:
        found = {"protocol": ndp.ETHERTYPE_IPV6, "target": [ADVERTISED, 16], "mac": LINK_LAYER}
        icmp, link_layer_option = 58, 0x0201
        checks = [(0x30, 20, icmp), (0x30, 54, int(ndp.Type.ADVERTISEMENT)), (0x28, LINK_LAYER - 2, link_layer_option)]
    high, low = struct.unpack("!IH", mac_bytes(mac))
    checks = [(0x20, 0, high), (0x28, 4, low), *checks]
    return {**found, "interface": interface, "filter": _all(checks)}


def _all(checks: list[tuple[int, int, int]]) -> list[tuple[int, int, int, int]]:
    """Classic BPF that takes a frame when each load (code, offset) gives its value."""
    program: list[tuple[int, int, int, int]] = []
    for at, (load, offset, value) in enumerate(checks):
        left = len(checks) - 1 - at
        program += [(load, 0, 0, offset), (0x15, 0, 2 * left + 1, value)]
    return [*program, (0x06, 0, 0, 0xFFFF), (0x06, 0, 0, 0)]
