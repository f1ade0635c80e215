"""Tell of addresses that no node announces because none has an interface that an advertisement names.

Only speakers know interfaces. The first one, by name, of the nodes that may announce an address tells, if it hears all
of them and knows their interfaces: a node that names a subnet of another interface, and is not heard with it, has one
that is not known here. Of addresses whose nodes do not all hear each other nobody tells.
"""

from __future__ import annotations

import asyncio
import ipaddress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from lbproof_reference.speaker.elect import Station
    from lbproof_reference.speaker.plan import Allowed, Offer, Subnet
    from lbproof_reference.speaker.segment import Segment


LOOK_SECONDS = 1.0
"""Time (s) between two looks: what is missing at two of them is told."""


class MissingInterfaces:
    """Addresses whose advertisements all name interfaces, and what was told of them."""

    def __init__(self, node: str, tell: Callable[[str, str], None], segments: Callable[[], Iterable[Segment]]) -> None:
        """`tell` is called with a Service and a message, once until its address may be announced.

        `segments` returns those of the node.
        """
        self._node, self._tell, self._segments = node, tell, segments
        self._offers: dict[bytes, Offer] = {}
        self._found: frozenset[tuple[bytes, str]] = frozenset()
        """Addresses and Services that were found at the last look."""
        self._told: frozenset[tuple[bytes, str]] = frozenset()
        self._timer: asyncio.TimerHandle | None = None

    def set_desired(self, changes: Mapping[bytes, Offer | None]) -> None:
        """Change the addresses to announce; None removes one."""
        for address, offer in changes.items():
            if offer and all(one.interfaces is not None for one in offer.allowed):
                self._offers[address] = offer
            else:
                self._offers.pop(address, None)
        if self._offers and not self._timer:
            self._timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)

    def close(self) -> None:
        """Tell nothing more."""
        self._offers.clear()
        if self._timer:
            self._timer.cancel()

    def _look(self) -> None:
        self._timer = None
        before, self._found = self._found, self._unannounced()
        self._told &= self._found
        new = self._found & before - self._told
        self._told |= new
        for address, service in sorted(new):
            self._tell(service, _message(address, self._offers[address]))
        self.set_desired({})

    def _unannounced(self) -> frozenset[tuple[bytes, str]]:
        """Return the addresses that no station may announce, of those that this node tells of, with their Services."""
        subnets: dict[Station, tuple[Subnet, ...]] = {}
        elsewhere: dict[str, set[Subnet]] = {}
        for one in self._segments():
            subnets[one.me] = one.subnets
            for station, peer in one.peers.live.items():
                subnets[station] = peer.subnets
                elsewhere.setdefault(station.node, set()).update(peer.elsewhere)
        known = {self._node} | {
            node
            for node, others in elsewhere.items()
            if others <= {subnet for station, has in subnets.items() if station.node == node for subnet in has}
        }
        missing: dict[tuple[Allowed, ...], bool] = {}
        for offer in self._offers.values():
            if offer.allowed not in missing:
                nodes = frozenset[str]().union(*(one.nodes for one in offer.allowed))
                is_mine = min(nodes, default="") == self._node and nodes <= known
                missing[offer.allowed] = is_mine and not any(offer.allows(*station) for station in subnets)
        found = (item for item in self._offers.items() if missing[item[1].allowed])
        return frozenset((address, service) for address, offer in found for service in offer.services)


def _message(address: bytes, offer: Offer) -> str:
    nodes = sorted({node for one in offer.allowed for node in one.nodes})
    names = sorted({name for one in offer.allowed for name in one.interfaces or ()})
    return (
        f"{ipaddress.ip_address(address)} is not announced: none of the nodes {', '.join(nodes)} has an interface "
        f"{', '.join(names)} that is up"
    )
