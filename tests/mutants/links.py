"""Faults of the speaker on its links: conflicts, foreign frames, and which links are used (as it was)."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest.mock import ANY

from tests.mutants.mutant import fault, patch

from lbproof_reference.speaker import conflicts, filter, links, loop, segment, wire  # noqa: A004 - the module's name
from lbproof_reference.speaker import main as speaker_main

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from lbproof_reference.speaker.heartbeat import Heartbeat

NO_LINK = "the nodes of a lab have Ethernet links alone"


@fault("L2-05c")
def no_defence_of_address() -> None:
    """Another host's gratuitous ARP for an announced address is neither answered nor reported."""
    patch(conflicts.Conflicts, "defend", lambda *_: conflicts.Defence(delay=None, begins=False))


@fault(
    uncaught="no case measures processor time under a flood of frames",
    test="test_filter.py::test_heartbeats_of_our_keys_pass",
)
def foreign_heartbeats_wake_process() -> None:
    """Every frame of the heartbeats' EtherType reaches the process, which has real-time priority."""
    for module in (filter, wire):
        patch(module, "heartbeat_filter", lambda *_: ((0x06, 0, 0, 0xFFFF),))  # a classic BPF program: accept


@fault(
    uncaught="no case measures processor time under a flood of frames",
    test="test_recorded_heartbeats.py::test_a_heartbeat_that_was_received_before_is_not_verified",
)
def verifies_recorded_heartbeats() -> None:
    """A recorded heartbeat is verified and decoded each time that it is repeated."""
    patch(loop, "origin", lambda _: (-1, 0))  # of no session


@fault(uncaught=NO_LINK, test="test_links.py::test_a_link_is_used_if_it_is_ethernet_and_answers_arp")
def uses_hardware_addresses_of_any_length() -> None:
    """Addresses are announced on links that are not Ethernet, with the first six bytes of the hardware address."""
    patch(links, "_ARPHRD_ETHER", ANY)
    patch(links, "_MAC_BYTES", ANY)


@fault(uncaught=NO_LINK, test="test_links.py::test_a_link_is_used_if_it_is_ethernet_and_answers_arp")
def uses_ports_and_links_without_arp() -> None:
    """Addresses are announced on the ports of a bridge or a bond, on links without ARP, and on too short ones."""
    patch(links, "_slave_kind", lambda _: b"vrf")
    patch(links, "_IFF_NOARP", 0)
    patch(links, "_LEAST_MTU", 0)


@fault(
    uncaught="no case changes so many links at once that the kernel drops events",
    test="test_links.py::test_a_watch_that_fails_says_so",
)
def stops_watching_links_after_dropped_events() -> None:
    """After dropped netlink events (ENOBUFS) links are not watched any more, and the speaker stays Ready."""
    real = links.watch_links

    def watch(changed: Callable[[dict[str, links.Link]], object], _failed: Callable[[Exception], object]) -> None:
        real(changed, lambda _: None)

    def wait(events: socket.socket) -> None:
        events.recv(1 << 16)  # raises OSError with ENOBUFS

    patch(links, "_wait", wait)
    for module in (links, speaker_main):
        patch(module, "watch_links", watch)


@fault(
    uncaught="no case has sockets fail, which needs a node without memory or descriptors",
    test="test_offering.py::test_a_link_that_cannot_be_opened_is_tried_again",
)
def link_that_fails_stays_closed() -> None:
    """A link whose sockets cannot be opened (ENOMEM, EMFILE) is silent until it changes; the speaker is Ready."""
    real = loop.Speaker._open_link  # noqa: SLF001

    def open_link(self: loop.Speaker, link: links.Link) -> bool:
        is_open = real(self, link)
        if not is_open and self._again:
            self._again.cancel()
        return is_open

    patch(loop.Speaker, "_open_link", open_link)


@fault(
    uncaught="no case changes a link of a node with thousands of addresses",
    test="test_offering.py::test_each_link_is_offered_what_it_should_have",
)
def offers_everything_at_once() -> None:
    """When a link changes, all addresses are offered to all links in one go, and heartbeats are late."""

    def offer_again(self: loop.Speaker, addresses: list[bytes]) -> None:
        self._offer({address: self._offers.get(address) for address in addresses})

    patch(loop.Speaker, "_offer_again", offer_again)


@fault(
    uncaught="no case keeps two stations of an implementation from hearing each other",
    test="test_conflicts.py::test_two_stations_that_do_not_hear_each_other_are_a_conflict",
)
def no_conflict_between_stations() -> None:
    """Two speakers that answer for one address report no conflict: every MAC that a heartbeat ever named is exempt."""
    real, named = segment.Segment.receive, set[bytes]()

    def receive(self: segment.Segment, heartbeat: Heartbeat, frame: bytes, now: float) -> bool:
        named.add(heartbeat.mac)
        return real(self, heartbeat, frame, now)

    patch(segment.Segment, "receive", receive)
    patch(segment.Segment, "is_station", lambda self, mac: mac == self.mac or mac in named)
