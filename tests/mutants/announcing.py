"""Faults of the speaker: ARP, gratuitous ARP and failover."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tests.mutants.mutant import fault, patch

from lbproof_reference import advertisements, frames
from lbproof_reference.speaker import elect, peers, plan, segment, wire
from lbproof_reference.speaker import loop as speaker
from lbproof_reference.speaker.elect import Station

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from lbproof_reference.frames import ArpFrame
    from lbproof_reference.speaker.elect import Claim
    from lbproof_reference.speaker.links import Link

LATE = 20
"""Sequence number from which a speaker is no longer starting: about 1 s of heartbeats."""


@fault("L2-01", "TIER-06d", "ARTICLE-20")
def two_announcers() -> None:
    """Every eligible node answers for every address."""
    real = elect.elect

    def elect_itself(address: bytes, candidates: Iterable[Station], claims: Mapping[Station, Claim]) -> Station | None:
        own, able = Station(os.environ["NODE_NAME"], "eth0"), set(candidates)
        if own not in able or (own in claims and not claims[own].standing):  # it may no longer
            return real(address, able, claims)
        return own

    patch(plan, "elect", elect_itself)


@fault("L2-02")
def wrong_mac_in_arp_reply() -> None:
    """The ARP reply has a hardware address that no interface has."""
    real = frames.arp_reply

    def arp_reply(request: ArpFrame, mac: bytes) -> bytes:
        return real(request, mac).replace(mac, bytes([mac[0], mac[1] ^ 0x40]) + mac[2:])

    patch(speaker, "arp_reply", arp_reply)


@fault("L2-03", "TIER-06a", "TIER-06c", "RECL-03", "UPGR-05a", "ARTICLE-07", "ARTICLE-13")
def address_added_to_interface() -> None:
    """A speaker adds the addresses that it announces to its interface."""
    real, offers_for_link = speaker.SegmentSpeaker._announce, speaker.offers_for_link  # noqa: SLF001 - patched

    def bind(interface: str, address: bytes) -> None:
        """Add an address with a prefix of 32 bits: netdevice(7), "SIOCSIFADDR" and "SIOCSIFNETMASK"."""
        label = f"{interface}:{int.from_bytes(address[-2:])}".encode()  # one for each address
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for request, value in ((0x8916, address), (0x891C, b"\xff" * 4)):
                fcntl.ioctl(sock, request, struct.pack("16sHH4s8x", label, socket.AF_INET, 0, value))

    def announce(self: speaker.SegmentSpeaker, addresses: tuple[bytes, ...]) -> None:
        for address in addresses:
            bind(self.link.name, address)
        real(self, addresses)

    def announce_own_addresses(
        link: Link, links: Collection[Link], found: Mapping[bytes, plan.Offer | None]
    ) -> dict[bytes, plan.Offer | None]:
        return offers_for_link(link, [replace(one, own=frozenset()) for one in links], found)

    patch(speaker, "offers_for_link", announce_own_addresses)
    patch(speaker.SegmentSpeaker, "_announce", announce)


@fault("L2-04a", "L2-04b", "L2-04d", "L2-04e")
def answers_for_unassigned_addresses() -> None:
    """A speaker that announces an address answers for all addresses and receives every ARP request."""
    patch(wire, "arp_filter", lambda *_: ((0x06, 0, 0, 0xFFFF),))  # a classic BPF program: accept
    patch(segment.Segment, "answers", lambda self, _address, _now: bool(self.desired))


@fault("L2-04c")
def announces_without_advertisement() -> None:
    """Addresses of a pool that no advertisement selects are announced."""
    patch(advertisements.Advertisement, "selects_pool", lambda *_: True)


@fault("L2-06")
def no_gratuitous_arp() -> None:
    """No gratuitous ARP is sent when an address is assigned or moves."""
    patch(speaker.SegmentSpeaker, "_announce", lambda *_: None)


@fault("L2-07")
def no_gratuitous_arp_after_takeover() -> None:
    """No gratuitous ARP is sent after a takeover, so that clients keep the entry of the dead node."""
    real = speaker.SegmentSpeaker._announce  # noqa: SLF001

    def announce(self: speaker.SegmentSpeaker, addresses: tuple[bytes, ...]) -> None:
        real(self, tuple(a for a in addresses if a in self.segment.claims and self.segment.claims[a].epoch <= 1))

    patch(speaker.SegmentSpeaker, "_announce", announce)


@fault("RECL-03")
def answers_for_released_address() -> None:
    """A speaker continues to answer for a released address."""
    real = plan.plan

    def keep(view: plan.SegmentView) -> Any:  # noqa: ANN401
        return replace(real(view), withdraw=())

    patch(segment, "plan", keep)


def _keep_dead_peers() -> None:
    """Declare no peer dead; nor wake for a deadline that has passed, which at real-time priority starves the lab."""
    patch(segment.Segment, "expire_peers", lambda *_: [])
    patch(peers.Peers, "deadlines", lambda *_: [])


@fault("FAIL-01", "FAIL-05", "ARTICLE-16", "ARTICLE-17", "ARTICLE-20")
def no_failover() -> None:
    """A dead speaker is treated as alive."""
    _keep_dead_peers()


@fault("FAIL-02")
def no_takeover_and_no_recovery() -> None:
    """No speaker takes over from a killed one, which acquires nothing after its restart."""
    receive = segment.Segment.receive

    def stay_silent(self: segment.Segment, heartbeat: Any, frame: bytes, now: float) -> bool:  # noqa: ANN401
        if heartbeat.station not in self.peers.live and heartbeat.sequence > LATE:
            self._listen_from, self._listened = float("inf"), False
        before = self.peers.live.get(heartbeat.station)
        news = receive(self, heartbeat, frame, now)
        after = self.peers.live.get(heartbeat.station)
        if before and after and after is not before:  # the claims of the killed one stay
            after.claims, after.chunks = dict(before.claims), {-1: before.claims}
        return news

    suspend = segment.Segment.on_suspend

    def stay_silent_after_suspension(self: segment.Segment, now: float, late: float) -> None:
        listen_from = self._listen_from
        suspend(self, now, late)  # on a busy machine this would reset the value that `receive` has set
        self._listen_from = max(self._listen_from, listen_from)

    patch(segment.Segment, "receive", stay_silent)
    patch(segment.Segment, "on_suspend", stay_silent_after_suspension)
    _keep_dead_peers()


@fault("FAIL-04", "FAIL-05")
def preempts_current_announcer() -> None:
    """A restarted speaker acquires every address at once and keeps it, even if another speaker claims it."""
    real, init = plan.plan, segment.Segment.__init__

    def keep_all(view: plan.SegmentView) -> Any:  # noqa: ANN401
        found = real(view)
        return replace(found, withdraw=tuple(a for a in found.withdraw if a not in view.desired))

    def start_without_listening(self: segment.Segment, *, now: float, **kwargs: Any) -> None:  # noqa: ANN401
        init(self, now=now - segment.LISTEN * kwargs["dead_interval"], **kwargs)

    patch(segment, "plan", keep_all)
    patch(segment.Segment, "__init__", start_without_listening)
