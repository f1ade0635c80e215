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


def hops_to(frame: bytes, address: IPAddress) -> int | None:
    """Return the TTL or hop limit of an IP packet to an address; None for any other frame."""
    family, begin = family_of(address), _DESTINATION[family_of(address)]
    if frame[12:14] != _ETHERTYPE[family] or frame[begin : begin + len(address.packed)] != address.packed:
        return None
    return frame[_HOPS[family]]
