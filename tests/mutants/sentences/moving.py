"""Faults when nodes die and return (FAIL), when pools change (L2-01), and without an endpoint on the node (ETP)."""

# ruff: noqa: SLF001 - a fault replaces private functions
from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from typing import TYPE_CHECKING

from tests.mutants.mutant import fault, patch

from lbproof_reference.kube import SERVICES
from lbproof_reference.speaker import plan, segment, source
from lbproof_reference.speaker.offers import AnnouncementPolicy
from lbproof_reference.speaker.peers import Peers
from lbproof_reference.speaker.segment import Segment
from lbproof_reference.speaker.source import Source

if TYPE_CHECKING:
    from lbproof_reference.kube import Object
    from lbproof_reference.speaker.elect import Station
    from lbproof_reference.speaker.heartbeat import Heartbeat
    from lbproof_reference.speaker.peers import Peer
    from lbproof_reference.speaker.plan import Offer, Plan, SegmentView


@fault("FAIL-01")
def one_address_taken_over() -> None:
    """Of several addresses of a node that died, each other node takes over one; the rest is answered by nobody."""
    real = plan.plan

    def first(view: SegmentView) -> Plan:
        found = real(view)
        new = {address: claim for address, claim in found.acquire.items() if claim.epoch == 1}
        taken = [(address, claim) for address, claim in found.acquire.items() if claim.epoch > 1]
        return replace(found, acquire=new | dict(taken[:1]))

    patch(segment, "plan", first)


@fault(
    uncaught="no case has a node die that died before, which must announce again between",
    test="test_several_deaths.py::test_every_address_of_a_dead_node_is_taken_over_each_time",
)
def second_death_unnoticed() -> None:
    """A node that died and came back is never declared dead again: what it announces then stays with it."""
    real = Peers.expire
    died: set[Station] = set()

    def expire(self: Peers, now: float) -> dict[Station, Peer]:
        for station in died & self.live.keys():
            self.live[station].until = self.live[station].hears_until = math.inf
        dead = real(self, now)
        died.update(dead)
        return dead

    patch(Peers, "expire", expire)


@fault(
    uncaught="after a return, two nodes may answer for as long as the budget one_answerer",
    test="test_several_deaths.py::test_a_node_that_comes_back_answers_for_nothing_of_others",
)
def alone_for_a_second_after_start() -> None:
    """A speaker hears no other one in the first second after its start, and answers for everything in that time."""
    real = Segment.receive

    def receive(self: Segment, heartbeat: Heartbeat, frame: bytes, now: float) -> bool:
        return now - self._listen_from >= 1 and real(self, heartbeat, frame, now)

    patch(Segment, "receive", receive)


@fault(
    uncaught="no case parts the segment while all links stay up",
    test="test_several_deaths.py::test_every_address_is_yielded_after_a_partition",
)
def one_address_yielded() -> None:
    """Of several addresses that two nodes answer for after a partition, the loser yields one and keeps the rest."""
    real = plan.plan

    def first(view: SegmentView) -> Plan:
        found = real(view)
        if view.leaving:
            return found
        released = tuple(address for address in found.withdraw if address not in view.desired)
        yielded = tuple(address for address in found.withdraw if address in view.desired)
        return replace(found, withdraw=released + yielded[:1])

    patch(segment, "plan", first)


@fault("L2-01")
def any_change_of_pools_interrupts() -> None:
    """When a pool, a node or an advertisement changes, nothing is announced for 50 ms, and addresses may move."""
    changed, real = Source._policy_changed, Source._offers
    until = -math.inf

    def policy_changed(self: Source, *args: object) -> None:
        nonlocal until
        loop = asyncio.get_running_loop()
        until = loop.time() + 0.05
        changed(self, *args)
        loop.call_later(0.06, changed, self)

    def offers(self: Source, key: str) -> dict[bytes, Offer]:
        return real(self, key) if asyncio.get_running_loop().time() >= until else {}

    patch(Source, "_policy_changed", policy_changed)
    patch(Source, "_offers", offers)


_without: set[bytes] = set()
"""Addresses of Services with policy Cluster that have no ready endpoint on this node."""


def _follow_endpoints(*, lost_only: bool = False) -> None:
    """Keep `_without` up to date; with `lost_only`, of Services alone that had an endpoint here before."""
    real = Source._offers
    had: set[str] = set()

    def offers(self: Source, key: str) -> dict[bytes, Offer]:
        found = real(self, key)
        _without.difference_update(found)
        slices = self._informers[source.SLICES].objects
        policy = self._policy
        if found and policy:
            service = self._informers[SERVICES].objects[key]
            ready = policy._ready_nodes([slices[name] for name in self._slices.get(key, ())])
            if self._node in ready:
                had.add(key)
            elif service["spec"].get("externalTrafficPolicy") != "Local" and (key in had or not lost_only):
                _without.update(found)
        return found

    patch(Source, "_offers", offers)


@fault("ETP-02")
def cluster_answered_beside_endpoint_alone() -> None:
    """With policy Cluster, an announcing node without an endpoint of the Service does not answer."""
    real = Segment.answers
    _follow_endpoints()
    patch(Segment, "answers", lambda self, address, now: address not in _without and real(self, address, now))


@fault("ETP-02", "TIER-07c")
def silent_when_last_endpoint_leaves() -> None:
    """With policy Cluster, a node that loses its last endpoint of a Service goes silent, and no other takes over."""
    real = Segment.answers
    _follow_endpoints(lost_only=True)
    patch(Segment, "answers", lambda self, address, now: address not in _without and real(self, address, now))


@fault(
    uncaught="no case has an address move to a node without an endpoint",
    test="test_following_services.py::test_a_cluster_service_is_answered_without_an_endpoint_here",
)
def takeover_without_endpoint_silent() -> None:
    """With policy Cluster, a node that took an address over answers only if it has an endpoint of the Service."""
    real = Segment.answers

    def answers(self: Segment, address: bytes, now: float) -> bool:
        claim = self.claims.get(address)
        is_silent = claim is not None and claim.epoch > 1 and address in _without
        return not is_silent and real(self, address, now)

    _follow_endpoints()
    patch(Segment, "answers", answers)


@fault(
    uncaught="an address may go with its endpoints whatever the policy; where it does, ETP-02 is untestable",
    test="test_following_services.py::test_a_change_of_policy_is_followed",
)
def change_of_policy_ignored() -> None:
    """A Service that changes from policy Local to Cluster is announced by nodes with an endpoint alone, as before."""
    real = AnnouncementPolicy
    first: dict[str, str | None] = {}

    class Policy(real):  # type: ignore[misc,valid-type]
        """Policy that remembers the first external traffic policy of each Service."""

        def offers(self, key: str, service: Object, *rest: object) -> dict[bytes, Offer]:
            spec = service["spec"]
            known = first.setdefault(service["metadata"]["uid"], spec.get("externalTrafficPolicy"))
            found: dict[bytes, Offer] = super().offers(
                key, {**service, "spec": {**spec, "externalTrafficPolicy": known}}, *rest
            )
            return found

    patch(source, "AnnouncementPolicy", Policy)
