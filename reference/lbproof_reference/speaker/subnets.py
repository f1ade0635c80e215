"""Subnets that a station names in its heartbeats: those of its link, and those of the other links of its node."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof_reference.speaker.heartbeat import fitting

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lbproof_reference.speaker.links import Link, Network
    from lbproof_reference.speaker.plan import Subnet


def own_subnets(link: Link) -> tuple[Subnet, ...]:
    """Return the subnets of a link: as many as a heartbeat has room for, first the largest ones of IPv4."""
    return fitting(_ordered(link.subnets))


def other_subnets(link: Link, others: Iterable[Link]) -> tuple[Subnet, ...]:
    """Return the subnets of other links of the node that a link has not, in the room that its own ones leave."""
    found = {subnet for one in others for subnet in one.subnets}
    return fitting(_ordered(found - {*link.subnets}), before=own_subnets(link))


def _ordered(subnets: Iterable[Network]) -> list[Subnet]:
    ordered = sorted(subnets, key=lambda subnet: (subnet.version, subnet.prefixlen, int(subnet.network_address)))
    return [(subnet.network_address.packed, subnet.prefixlen) for subnet in ordered]
