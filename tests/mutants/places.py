"""Faults of where addresses are announced: of subnets, segments, and pairs of nodes and interfaces."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import TYPE_CHECKING

from tests.mutants.mutant import fault, patch

from lbproof_reference.speaker import links, loop, plan, segment

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lbproof_reference.speaker.elect import Station

_HALVES = {2: bytes([128, 0, 0, 0]), 10: bytes([128, *bytes(15)])}
"""Upper half of all addresses of a family (AF_INET, AF_INET6), as a network with a prefix of one bit."""


@fault("CRD-05c")
def what_no_interface_reaches_is_left_alone() -> None:
    """An address in a subnet of no station of the segment is not announced, and nobody is told."""
    real = plan.plan

    def reached_alone(view: plan.SegmentView) -> plan.Plan:
        nets = [view.subnets, *(peer.subnets for peer in view.peers.values())]
        desired = {a: o for a, o in view.desired.items() if any(plan.reaches(subnets, a) for subnets in nets)}
        return real(replace(view, desired=desired))

    patch(segment, "plan", reached_alone)


@fault("L2-08c")
def announces_on_every_segment() -> None:
    """An address is announced on each segment of the nodes that may announce it, whatever interfaces are selected."""

    def allows(self: plan.Offer, node: str, _interface: str, *, reaches: bool = True) -> bool:  # noqa: ARG001
        return any(node in one.nodes for one in self.allowed)

    patch(plan.Offer, "allows", allows)
    patch(loop, "reaches", lambda _subnets, _address: True)


@fault("L2-09d")
def pairs_are_read_apart() -> None:
    """A node that one advertisement of a pool selects announces on the interfaces that any other one names."""

    def allows(self: plan.Offer, node: str, interface: str, *, reaches: bool = True) -> bool:
        named = any(reaches if one.interfaces is None else interface in one.interfaces for one in self.allowed)
        return named and any(node in one.nodes for one in self.allowed)

    patch(plan.Offer, "allows", allows)


@fault("FAIL-11a")
def subnets_are_those_of_the_start() -> None:
    """A subnet that an interface is given later is not known to the other nodes, and all of them announce there."""
    patch(segment.Segment, "set_subnets", lambda *_: None)


@fault("FAIL-11a")
def an_heir_may_lack_the_subnet() -> None:
    """Once a node of the segment has died, any other takes its addresses over, whatever subnets it has."""
    real, compare = segment.Segment.expire_peers, plan.reaches
    dead: list[Station] = []

    def expire_peers(self: segment.Segment, now: float) -> list[Station]:
        found = real(self, now)
        dead.extend(found)
        return found

    patch(segment.Segment, "expire_peers", expire_peers)
    patch(plan, "reaches", lambda subnets, address: bool(dead) or compare(subnets, address))


@fault("FAIL-11b")
def a_link_local_address_reaches_all() -> None:
    """An interface whose only address is a link-local one is taken for one that reaches every address."""
    _use_links_without_subnets()


@fault("FAIL-11b")
def a_link_local_address_is_elected_and_silent() -> None:
    """A node whose interface has a link-local address alone takes part in the election there, and answers nothing."""
    _use_links_without_subnets()
    real = segment.Segment.answers

    def answers(self: segment.Segment, address: bytes, now: float) -> bool:
        return real(self, address, now) and any(prefix > 1 for _, prefix in self.subnets)

    patch(segment.Segment, "answers", answers)


def _use_links_without_subnets() -> None:
    """Use the Ethernet interfaces of the node without a subnet, as if they had half of all addresses."""
    real = links.links_of

    def links_of(addresses: Iterable[bytes], found: Iterable[bytes]) -> dict[str, links.Link]:
        known, all_links = list(addresses), list(found)
        more: list[bytes] = []
        for index in {links._LINK.unpack_from(one)[2] for one in all_links if b"\3\0eth" in one}:  # noqa: SLF001 - read
            if index not in {one.index for one in real(known, all_links).values()}:
                for family, network in _HALVES.items():
                    attribute = struct.pack("=HH", 4 + len(network), 1) + network  # IFA_ADDRESS
                    more.append(links._ADDRESS.pack(family, 1, 0, 0, index) + attribute)  # noqa: SLF001 - written
        return real([*known, *more], all_links)

    patch(links, "links_of", links_of)
