"""Faults on the wire: who answers ARP requests for what (L2), what a released address does (RECL), and tiers (TIER)."""

# ruff: noqa: SLF001 - a fault replaces private functions
from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
from typing import TYPE_CHECKING, Any

from tests.mutants.mutant import fault, patch
from tests.mutants.sentences.arp import answer_when, latest_frame, receive_all

from lbproof_reference import frames
from lbproof_reference.pools import ip_from_int, parse_ip, pool_holding
from lbproof_reference.services import ingress_ips, is_managed
from lbproof_reference.speaker import loop as speaker
from lbproof_reference.speaker.loop import SegmentSpeaker
from lbproof_reference.speaker.offers import AnnouncementPolicy, Known
from lbproof_reference.speaker.segment import Segment

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lbproof_reference.frames import ArpFrame
    from lbproof_reference.kube import Object
    from lbproof_reference.pools import AddressRange
    from lbproof_reference.speaker.plan import Allowed, Offer, Plan


@fault(
    uncaught="L2-01 asks for less than half a minute; in a whole run the standing witness of the segment fails it",
    test="test_several_requests.py::test_requests_are_answered_at_any_time",
)
def silent_for_a_second_each_half_minute() -> None:
    """For one second of each thirty no request is answered."""
    real = Segment.answers
    patch(Segment, "answers", lambda self, address, now: now % 30 >= 1 and real(self, address, now))


@fault("L2-01")
def unicast_requests_not_answered() -> None:
    """A host that checks a known address by a unicast request (RFC 1122, section 2.3.2.1) gets no answer."""
    answer_when(lambda _self, _arp, frame, answers: answers and frame[:6] == frames.BROADCAST)


@fault("L2-01")
def every_node_answers_probes() -> None:
    """Every node answers an ARP probe, whose sender is 0.0.0.0, for each announced address."""
    receive_all()
    answer_when(lambda self, arp, _, answers: answers or (arp.sender == bytes(4) and arp.target in self.desired))


@fault("L2-02")
def virtual_source_of_unicast_answers() -> None:
    """The answer to a unicast request has a virtual MAC address as Ethernet source, as VRRP (RFC 5798) has."""
    latest = latest_frame()

    def reply(request: ArpFrame, mac: bytes) -> bytes:
        found = frames.arp_reply(request, mac)
        return found if latest[0][:6] == frames.BROADCAST else found[:6] + bytes.fromhex("00005e000117") + found[12:]

    patch(speaker, "arp_reply", reply)


def _bind(address: bytes, *, up: bool) -> None:
    """Add an address to the loopback interface, or remove it: netdevice(7), SIOCSIFADDR and SIOCSIFFLAGS."""
    label = f"lo:{int.from_bytes(address[-2:])}".encode()  # one for each address
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        if up:
            for request, value in ((0x8916, address), (0x891C, b"\xff" * 4)):
                fcntl.ioctl(sock, request, struct.pack("16sHH4s8x", label, socket.AF_INET, 0, value))
        else:
            fcntl.ioctl(sock, 0x8914, struct.pack("16sH22x", label, 0))


@fault("L2-03")
def address_on_loopback_after_takeover() -> None:
    """A node that takes an address over adds it to its loopback interface, until it leaves it."""
    real = Segment.reconcile
    bound: set[bytes] = set()

    def reconcile(self: Segment, now: float, most: int | None = None) -> Plan:
        done = real(self, now, most)
        for address in bound.intersection(done.withdraw):
            _bind(address, up=False)
            bound.discard(address)
        for address, claim in done.acquire.items():
            if claim.epoch > 1:
                _bind(address, up=True)
                bound.add(address)
        return done

    patch(Segment, "reconcile", reconcile)


@fault("L2-04a")
def answers_between_its_addresses() -> None:
    """A node with several addresses answers for the free ones between the lowest and the highest of them."""
    real = Segment.answers

    def answers(self: Segment, address: bytes, now: float) -> bool:
        between = len(self.claims) > 1 and min(self.claims) < address < max(self.claims)
        return real(self, address, now) or (between and address not in self.desired)

    receive_all()
    patch(Segment, "answers", answers)


@fault("L2-04a")
def free_addresses_kept_from_probes() -> None:
    """One node answers ARP probes for the free addresses of all pools, so that no other host takes them."""
    real = AnnouncementPolicy.__init__
    index: list[tuple[AddressRange, str]] = []

    def read(self: AnnouncementPolicy, **objects: Any) -> None:  # noqa: ANN401 - its arguments
        real(self, **objects)
        index[:] = self._index

    def decide(self: Segment, arp: ArpFrame, _: bytes, answers: bool) -> bool:
        is_first = self.me == min([self.me, *self.peers.live])
        is_probe = arp.sender == bytes(4) and arp.target not in self.desired
        return answers or (
            is_first and is_probe and pool_holding(ip_from_int(4, int.from_bytes(arp.target)), index) is not None
        )

    patch(AnnouncementPolicy, "__init__", read)
    receive_all()
    answer_when(decide)


@fault("L2-04b")
def announces_address_of_field() -> None:
    """Speakers announce what spec.loadBalancerIP says of a Service that has no address yet."""
    real = AnnouncementPolicy.announceable

    def announceable(self: AnnouncementPolicy, key: str, service: Object, before: Known | None) -> Known:
        known = real(self, key, service, before)
        field = service["spec"].get("loadBalancerIP")
        if field and not ingress_ips(service) and is_managed(service, self._class):
            ip = parse_ip(field)
            if pool := pool_holding(ip, self._index) or next(iter(self._pools), None):
                return Known(uid=known.uid, pools={ip: pool})
        return known

    patch(AnnouncementPolicy, "announceable", announceable)


@fault("L2-04c")
def goes_on_without_advertisement() -> None:
    """A pool that was advertised once is announced further when its advertisement is deleted or selects others."""
    real = AnnouncementPolicy.offers
    last: dict[str, tuple[Allowed, ...]] = {}

    def offers(
        self: AnnouncementPolicy, key: str, service: Object, known: Known, slices: Iterable[Object]
    ) -> dict[bytes, Offer]:
        found = real(self, key, service, known, slices)
        last.update({pool: allowed for pool, allowed in self._allowed.items() if allowed})
        if not found and any(not self._allowed.get(pool) and pool in last for pool in known.pools.values()):
            self._allowed.update({pool: last[pool] for pool in known.pools.values() if pool in last})
            found = real(self, key, service, known, slices)
        return found

    patch(AnnouncementPolicy, "offers", offers)


@fault("L2-06")
def gratuitous_reply_without_target() -> None:
    """The gratuitous ARP reply has 0.0.0.0 as its target address, so that hosts ignore it; the request is right."""
    real = frames.announcements

    def announcements(address: bytes, mac: bytes) -> tuple[bytes, bytes]:
        request, reply = real(address, mac)
        return request, reply[:-4] + bytes(4)

    patch(speaker, "announcements", announcements)


@fault("L2-07")
def gratuitous_arp_for_first_of_several() -> None:
    """A node that gets several addresses at once sends gratuitous ARP for one of them."""
    real = SegmentSpeaker._announce
    patch(SegmentSpeaker, "_announce", lambda self, addresses: real(self, addresses[:1]))


@fault(
    uncaught="L2-07 moves addresses by the death of a node alone",
    test="test_several_requests.py::test_a_former_node_announces_nothing_more",
)
def former_node_announces_once_more() -> None:
    """A node that left an address to another one sends gratuitous ARP for it 1.5 s later."""
    real, apply = Segment.reconcile, SegmentSpeaker._reconcile
    left: dict[int, list[bytes]] = {}

    def reconcile(self: Segment, now: float, most: int | None = None) -> Plan:
        done = real(self, now, most)
        left[id(self)] = [address for address in done.withdraw if address in self.desired]
        return done

    def announce(self: SegmentSpeaker, addresses: list[bytes]) -> None:
        for address in addresses if self.is_open else ():
            for frame in frames.announcements(address, self.link.mac):
                self._wire.send(frame)

    def then(self: SegmentSpeaker, now: float) -> None:
        apply(self, now)
        if found := left.pop(id(self.segment), []):
            asyncio.get_running_loop().call_later(1.5, announce, self, found)

    patch(Segment, "reconcile", reconcile)
    patch(SegmentSpeaker, "_reconcile", then)


@fault("RECL-03")
def released_address_announced_once_more() -> None:
    """Two seconds after an address was released, its last node sends gratuitous ARP for it."""
    desired = SegmentSpeaker.set_desired

    def announce(self: SegmentSpeaker, addresses: list[bytes]) -> None:
        for address in addresses if self.is_open else ():
            if address not in self.segment.desired:
                for frame in frames.announcements(address, self.link.mac):
                    self._wire.send(frame)

    def set_desired(self: SegmentSpeaker, changes: dict[bytes, Offer | None]) -> None:
        gone = [address for address, offer in changes.items() if offer is None and address in self.segment.claims]
        desired(self, changes)
        if gone:
            asyncio.get_running_loop().call_later(2, announce, self, gone)

    patch(SegmentSpeaker, "set_desired", set_desired)


@fault("RECL-03")
def released_address_answered_to_unicast() -> None:
    """The last node of a released address answers a host that still knows it and asks by unicast."""
    had: set[bytes] = set()
    desired = Segment.set_desired

    def set_desired(self: Segment, changes: dict[bytes, Offer | None]) -> None:
        had.update(self.claims)
        desired(self, changes)

    def decide(self: Segment, arp: ArpFrame, frame: bytes, answers: bool) -> bool:
        is_released = arp.target in had and arp.target not in self.desired
        return answers or (is_released and frame[:6] == self.mac)

    patch(Segment, "set_desired", set_desired)
    receive_all()
    answer_when(decide)


@fault("L2-01")
def nodes_answer_each_other() -> None:
    """Every node answers the other nodes' requests for announced addresses; hosts are answered by one node alone."""
    receive_all()
    answer_when(lambda self, arp, _, answers: answers or (arp.target in self.desired and self.is_station(arp.mac)))


@fault("L2-04d")
def cluster_address_announced() -> None:
    """Speakers announce the cluster address of each LoadBalancer beside its address."""
    real = AnnouncementPolicy.offers

    def offers(
        self: AnnouncementPolicy, key: str, service: Object, known: Known, slices: Iterable[Object]
    ) -> dict[bytes, Offer]:
        found = real(self, key, service, known, slices)
        inner = service["spec"].get("clusterIP") or ""
        if found and "." in inner:
            found[parse_ip(inner).packed] = next(iter(found.values()))
        return found

    patch(AnnouncementPolicy, "offers", offers)
