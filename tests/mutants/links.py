"""Faults of the speaker on its links: conflicts, foreign frames, and which links are used (as it was)."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest.mock import ANY

from tests.mutants.mutant import fault, patch

from lbproof_reference.speaker import conflicts, filter, links, wire  # noqa: A004 - the module's name
from lbproof_reference.speaker import main as speaker_main

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

NO_LINK = "the nodes of a lab have Ethernet links alone"


@fault(
    uncaught="no case has another host announce an assigned address",
    test="test_conflicts.py::test_a_conflict_is_answered_at_once_and_then_once_in_ten_seconds",
)
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
