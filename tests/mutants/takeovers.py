"""Faults of takeovers: who may announce, who waits for whom, and after what time (the reference as it was)."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from tests.mutants.mutant import fault, patch

from lbproof_reference.frames import announcements
from lbproof_reference.speaker import loop as speaker
from lbproof_reference.speaker import peers, plan, segment

if TYPE_CHECKING:
    from collections.abc import Iterable

NO_CUT_FROM_API = "no case changes who may announce an address while a node is cut from the API server"


@fault(
    uncaught="no case takes the subnet of an address from two nodes that announce it, cut from each other",
    test="test_handover.py::test_of_several_that_wait_for_a_successor_one_answers",
)
def all_that_wait_for_a_successor_answer() -> None:
    """Announcers that may no longer announce an address all answer until the winner claims it, or is passed over."""
    real = plan.plan

    def keep(view: plan.SegmentView) -> plan.Plan:
        todo = real(view)
        withdraw = tuple(
            address
            for address in todo.withdraw
            if address not in view.desired
            or plan.reaches(view.subnets, address)
            or any(address in peer.claims and plan.reaches(peer.subnets, address) for peer in view.peers.values())
        )
        return replace(todo, withdraw=withdraw)

    patch(segment, "plan", keep)


@fault(
    uncaught=NO_CUT_FROM_API,
    test="test_handover.py::test_a_station_with_an_old_list_answers_alone_until_it_says_that_its_list_is_old",
)
def claims_count_if_own_list_allows() -> None:
    """Two nodes, of which each knows only itself as allowed, both answer for as long as their lists differ."""
    real = plan.plan

    def allowed(view: plan.SegmentView) -> plan.Plan:
        peers = {
            name: replace(
                peer,
                claims={
                    address: claim
                    for address, claim in peer.claims.items()
                    if (offer := view.desired.get(address)) and offer.allows(*name)
                },
            )
            for name, peer in view.peers.items()
        }
        return real(replace(view, peers=peers))

    patch(segment, "plan", allowed)


@fault(
    uncaught="no case stalls a node again and again for less than a dead interval",
    test="test_handover.py::test_short_stalls_postpone_a_takeover_by_their_own_time_alone",
)
def short_stalls_restart_timers() -> None:
    """A node that stalls for 0.1 s again and again never takes over from a dead one."""
    real = peers.Peers.delay_timers
    patch(peers.Peers, "delay_timers", lambda self, now, _: real(self, now, math.inf))


@fault(
    uncaught="no case suspends a node within three seconds of a takeover and looks at announcements without answers",
    test="test_bursts.py::test_a_suspended_speaker_announces_nothing_that_it_does_not_answer",
)
def announces_without_answering() -> None:
    """A node that was suspended announces addresses that it does not answer, since others took them over."""

    def announce(self: speaker.SegmentSpeaker, addresses: tuple[bytes, ...]) -> None:
        for address in addresses:
            if address in self.segment.claims:
                for frame in announcements(address, self.link.mac):
                    self._wire.send(frame)

    patch(speaker.SegmentSpeaker, "_announce", announce)


@fault(
    uncaught="no case assigns thousands of addresses and measures how long two nodes answer for the last one",
    test="test_bursts.py::test_a_burst_of_addresses_builds_few_filters",
)
def builds_filter_with_each_batch() -> None:
    """With 10,000 addresses a takeover, or the end of two announcers, takes 0.4 to 0.9 s instead of 0.2 to 0.3 s."""

    def set_filter(self: speaker.SegmentSpeaker, *, acquires: bool, changes: bool, now: float) -> None:  # noqa: ARG001
        if changes:
            self._wire.accept_requests_for(self.segment.claims)

    patch(speaker.SegmentSpeaker, "_set_filter", set_filter)


@fault(
    uncaught=NO_CUT_FROM_API,
    test="test_handover.py::test_a_station_with_an_old_list_answers_alone_until_it_says_that_its_list_is_old",
)
def outdated_station_keeps_addresses() -> None:
    """A node that is cut from the API server keeps an address for ever that others may announce and it may not."""
    patch(segment.Segment, "set_outdated", lambda _self, _outdated: None)


@fault(
    uncaught="no case takes the subnet from a node while a cut heals",
    test="test_handover.py::test_a_node_that_loses_the_subnet_when_a_cut_heals_yields",
)
def lowered_claim_is_not_decided_on_again() -> None:
    """A node that learns at once that it may not announce, and that another node does, answers beside it for good."""
    real = segment.Segment._cap_standing  # noqa: SLF001 - a fault replaces private functions

    def cap_standing(self: segment.Segment, standing: int, addresses: Iterable[bytes]) -> None:
        pending = dict(self._pending)
        real(self, standing, addresses)
        self._pending = pending

    patch(segment.Segment, "_cap_standing", cap_standing)
