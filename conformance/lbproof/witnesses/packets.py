"""IP packets in captured Ethernet frames (RFC 791, RFC 8200). Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.spec.families import Family, family_of

if TYPE_CHECKING:
    from lbproof.spec.families import IPAddress

_ETHERTYPE = {Family.IPV4: b"\x08\x00", Family.IPV6: b"\x86\xdd"}
_HOPS = {Family.IPV4: 14 + 8, Family.IPV6: 14 + 7}
"""Place of the TTL or the hop limit in a frame."""
_DESTINATION = {Family.IPV4: 14 + 16, Family.IPV6: 14 + 24}


PACKET_TYPE, OUTGOING = 0xFFFFF004, 4
"""SKF_AD_OFF + SKF_AD_PKTTYPE of <linux/filter.h>; PACKET_OUTGOING of <linux/if_packet.h>."""


def filter_to(address: IPAddress) -> tuple[tuple[int, int, int, int], ...]:
    """Return classic BPF that passes the IP packets that arrive for addresses with the same last four bytes."""
    family = family_of(address)
    last = _DESTINATION[family] + len(address.packed) - 4
    return (
        (0x20, 0, 0, PACKET_TYPE),  # ld [packet type]
        (0x15, 5, 0, OUTGOING),
        (0x28, 0, 0, 12),  # ldh [12]: the EtherType
        (0x15, 0, 3, int.from_bytes(_ETHERTYPE[family])),
        (0x20, 0, 0, last),
        (0x15, 0, 1, int.from_bytes(address.packed[-4:])),
        (0x06, 0, 0, 0xFFFF),
        (0x06, 0, 0, 0),
    )


def hops_to(frame: bytes, address: IPAddress) -> int | None:
    """Return the TTL or hop limit of an IP packet to an address; None for any other frame."""
    family, begin = family_of(address), _DESTINATION[family_of(address)]
    if frame[12:14] != _ETHERTYPE[family] or frame[begin : begin + len(address.packed)] != address.packed:
        return None
    return frame[_HOPS[family]]
