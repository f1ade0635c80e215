"""What the outage probe looks for in the frames of the segment: rules for the task `classify`.

What a Linux neighbour takes of a gratuitous ARP packet within a second of the entry's last change (`locktime`) is the
kernel's own rule, `arp_is_garp` and `arp_process` in net/ipv4/arp.c: a request, or a reply whose target hardware
address is its sender's. An unsolicited advertisement replaces an entry when it has the Override flag (RFC 4861 section
7.2.5) and a link-layer address.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lbproof.probe.rows import Kind
from lbproof.spec.families import Family, family_of
from lbproof.witnesses.frames import Op
from lbproof.witnesses.ndp import Type
from lbproof_perf.probes import neighbours

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lbproof.spec.families import IPAddress

_ETHERTYPE, _SOURCE, _DESTINATION = 12, 6, 0
"""Offsets in the Ethernet header."""
_IPV4, _IPV6, _ARP, _EXPERIMENTAL = "0800", "86dd", "0806", "88b5"
"""EtherTypes; the last one is IEEE 802 Local Experimental 1, which the reference's heartbeats have."""
_VRRP, _ICMPV6 = "70", "3a"
"""IP protocol numbers (RFC 9568, RFC 4443)."""
_PROTOCOL = {_IPV4: 23, _IPV6: 20}
"""Offset of the protocol number."""
_SOLICITED, _OVERRIDE = 0x40, 0x20
"""Flags of an advertisement, in the byte at `_FLAGS`."""
_FLAGS = 58
Rule = dict[str, Any]


def rules(address: IPAddress) -> list[Rule]:
    """Return the rules for the traffic of one address."""
    packed = address.packed.hex()
    if family_of(address) is Family.IPV4:
        turned = _rule(Kind.TURNED, (_ETHERTYPE, _IPV4), (30, packed), mac=_DESTINATION, outgoing=True)
        announced = _gratuitous((neighbours.SENDER, packed))
    else:
        turned = _rule(Kind.TURNED, (_ETHERTYPE, _IPV6), (38, packed), mac=_DESTINATION, outgoing=True)
        announced = _unsolicited((neighbours.ADVERTISED, packed))
    signals = [
        _rule(Kind.SIGNAL, (_ETHERTYPE, _EXPERIMENTAL), mac=_SOURCE),
        *(_rule(Kind.SIGNAL, (_ETHERTYPE, kind), (at, _VRRP), mac=_SOURCE) for kind, at in _PROTOCOL.items()),
    ]
    return [turned, *announced, *signals]


def announcements(families: Iterable[Family]) -> list[Rule]:
    """Return the rules for the announcements of any address of some families."""
    return [rule for family in families for rule in (_gratuitous() if family is Family.IPV4 else _unsolicited())]


def _gratuitous(*whose: tuple[int, str]) -> list[Rule]:
    """ARP packets with the same address as sender and target (RFC 5227 section 2.3)."""
    whose = ((_ETHERTYPE, f"{_ARP}000108000604"), *whose)
    request = (20, Op.REQUEST.to_bytes(2).hex())
    alike = (neighbours.SENDER, neighbours.TARGET, 4)
    own = (neighbours.SENDER_MAC, neighbours.TARGET_MAC, 6)
    return [
        _rule(Kind.ANNOUNCED, *whose, request, mac=neighbours.SENDER_MAC, same=[alike]),
        _rule(Kind.ANNOUNCED, *whose, mac=neighbours.SENDER_MAC, same=[alike, own]),
        _rule(Kind.GARP_IGNORED, *whose, mac=neighbours.SENDER_MAC, same=[alike]),
    ]


def _unsolicited(*whose: tuple[int, str]) -> list[Rule]:
    """Advertisements that nobody asked for (RFC 4861 section 7.2.6)."""
    kind, option = Type.ADVERTISEMENT.to_bytes().hex(), (neighbours.LINK_LAYER - 2, "0201")
    whose = ((_ETHERTYPE, _IPV6), (20, _ICMPV6), (54, kind), *whose)
    taken = [(_FLAGS, _SOLICITED | _OVERRIDE, _OVERRIDE)]
    return [
        _rule(Kind.ANNOUNCED, *whose, option, mac=neighbours.LINK_LAYER, bits=taken),
        _rule(Kind.GARP_IGNORED, *whose, mac=_SOURCE, bits=[(_FLAGS, _SOLICITED, 0)]),
    ]


def _rule(
    kind: Kind,
    *equal: tuple[int, str],
    mac: int,
    outgoing: bool = False,
    bits: list[tuple[int, int, int]] | None = None,
    same: list[tuple[int, int, int]] | None = None,
) -> Rule:
    """Return one rule; of frames that leave, only those to another node than before are reported."""
    return {
        "kind": int(kind),
        "outgoing": outgoing,
        "equal": equal,
        "bits": bits or [],
        "same": same or [],
        "mac": mac,
        "changed": outgoing,
    }
