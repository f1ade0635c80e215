"""Faults of the wire, of families and of nodes that a ninth reader expects; the checks were not read.

The docstring of each names the issue, the enhancement or the RFC that inspired it, where there is one.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary, WeakSet

import httpx
from tests.mutants.mutant import fault, patch

from lbproof_reference.advertisements import Advertisement
from lbproof_reference.controller import loop as controller
from lbproof_reference.controller.allocate import AllocationError, Allocator, read_address_request
from lbproof_reference.controller.loop import Controller
from lbproof_reference.frames import announcements
from lbproof_reference.kube import SERVICES, status_code
from lbproof_reference.pools import parse_ip, pool_holding
from lbproof_reference.reading import SkipLog
from lbproof_reference.services import annotation, families, ingress, ingress_of, is_shown
from lbproof_reference.speaker import links as links_module
from lbproof_reference.speaker import offers
from lbproof_reference.speaker.links import Link, links_of
from lbproof_reference.speaker.loop import SegmentSpeaker, Speaker
from lbproof_reference.speaker.offers import service_of
from lbproof_reference.speaker.segment import Segment
from lbproof_reference.speaker.source import SLICES, Source

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lbproof_reference.controller.allocate import AddressRequest, Allocation
    from lbproof_reference.frames import ArpFrame, NdpFrame
    from lbproof_reference.kube import Object
    from lbproof_reference.pools import IP, AddressRange
    from lbproof_reference.speaker.plan import Offer

_GRACE_SECONDS, _REPEAT_SECONDS = 10.0, 2.0
_ASKER_SECONDS, _MOST_ASKERS = 300.0, 1024
_BACKOFF_SECONDS, _LONGEST_BACKOFF_SECONDS = 0.02, 1000.0
_ATTEMPTS = 300


@fault(
    uncaught="no case changes the MAC address of an interface that is up",
    test="test_links.py::test_sockets_of_a_link_that_is_another_now_are_opened_anew[mac]",
)
def a_mac_address_is_read_once() -> None:
    """A speaker answers with the MAC address that its interface had first, also after a change."""
    real = SegmentSpeaker.set_link

    def set_link(self: SegmentSpeaker, link: Link) -> None:
        real(self, replace(link, mac=self.link.mac))

    patch(Link, "is_same", lambda self, other: other is not None and self.index == other.index)
    patch(SegmentSpeaker, "set_link", set_link)


@fault("L2-04f")
def a_pool_explains_the_network_around_it() -> None:
    """Speakers announce what is in the smallest CIDR around a range of a pool (metallb #1431)."""

    def covers(one: AddressRange, ip: IP) -> bool:
        bits = (one.first ^ one.last).bit_length()
        return one.family == ip.version and one.first >> bits == int(ip) >> bits

    def holding(ip: IP, index: Sequence[tuple[AddressRange, str]]) -> str | None:
        return pool_holding(ip, index) or next((pool for one, pool in index if covers(one, ip)), None)

    patch(offers, "pool_holding", holding)


class _Patterns(frozenset[str]):
    """Names of interfaces that are read as regular expressions."""

    __slots__ = ()

    def __contains__(self, name: object) -> bool:
        return any(re.search(pattern, str(name)) for pattern in self)


@fault("L2-08b")
def a_part_of_an_interfaces_name_is_enough() -> None:
    """Selected interfaces are regular expressions without anchors, so `eth` selects eth0 (as with Cilium)."""
    real = Advertisement.__init__

    def init(self: Advertisement, obj: Object) -> None:
        real(self, obj)
        self.interfaces = None if self.interfaces is None else _Patterns(self.interfaces)

    patch(Advertisement, "__init__", init)


@fault("L2-09a")
def a_node_must_match_all_selectors() -> None:
    """Of several node selectors in one advertisement, all must match: of two names, none does (metallb #1359)."""
    real = Advertisement.selects_node

    def selects(self: Advertisement, labels: Mapping[str, str]) -> bool:
        all_selectors = self._node_selectors
        try:
            return all(real(self, labels) for self._node_selectors in [[one] for one in all_selectors])
        finally:
            self._node_selectors = all_selectors

    patch(Advertisement, "selects_node", selects)


@fault("FAIL-03")
def a_speaker_that_stops_is_silent_and_still_counts() -> None:
    """A speaker that is stopped answers nothing, but goes on with heartbeats for 10 s (kube-vip #1786)."""
    real, silent = Segment.answers, WeakSet[Segment]()

    def answers(self: Segment, address: bytes, now: float) -> bool:
        return self not in silent and real(self, address, now)

    async def leave(self: Speaker) -> None:
        self._missing.close()
        segment_speakers = self._segment_speakers
        for one in segment_speakers.values():
            silent.add(one.segment)
        await asyncio.sleep(_GRACE_SECONDS)
        for one in segment_speakers.values():
            one.close()

    patch(Segment, "answers", answers)
    patch(Speaker, "leave", leave)


@fault("FAIL-08a")
def an_excluded_node_repeats_its_announcements() -> None:
    """A node that is labelled to be excluded ends its answers, but not its periodic gratuitous ARP (kube-vip #788).

    The election ends the repetition, and who may not announce is left out of it.
    """
    real = SegmentSpeaker._announce  # noqa: SLF001 - patched
    repeated: WeakKeyDictionary[SegmentSpeaker, set[bytes]] = WeakKeyDictionary()

    def repeat(self: SegmentSpeaker, address: bytes) -> None:
        offer = self.segment.desired.get(address)
        if not self.is_open or offer is None:
            repeated[self].discard(address)
            return
        if not offer.allows(*self.segment.me):
            for frame in announcements(address, self.link.mac):
                self._wire.send(frame)
        self._loop.call_later(_REPEAT_SECONDS, repeat, self, address)

    def announce(self: SegmentSpeaker, addresses: tuple[bytes, ...]) -> None:
        real(self, addresses)
        known = repeated.setdefault(self, set())
        for address in set(addresses) - known:
            known.add(address)
            self._loop.call_later(_REPEAT_SECONDS, repeat, self, address)

    patch(SegmentSpeaker, "_announce", announce)


@fault("FAIL-11a")
def an_interface_has_one_subnet() -> None:
    """The first address of a family on an interface is its subnet, and others are not known (purelb #78)."""

    def first_of_each(addresses: Iterable[bytes], links: Iterable[bytes]) -> dict[str, Link]:
        return {
            name: replace(link, subnets=tuple({one.version: one for one in reversed(link.subnets)}.values()))
            for name, link in links_of(addresses, links).items()
        }

    patch(links_module, "links_of", first_of_each)


@fault("TIER-07b")
def a_port_number_may_be_there_once() -> None:
    """Ports are known by their number, so a Service with TCP and UDP on one number is refused (KEP-1435)."""

    def read(key: str, service: Object) -> AddressRequest:
        numbers = Counter(port["port"] for port in service["spec"].get("ports") or [])
        for number in (number for number, times in numbers.items() if times > 1):
            raise AllocationError(f"port {number} is there twice")
        return read_address_request(key, service)

    patch(controller, "read_address_request", read)


@fault("ETP-03a")
def services_of_one_name_share_their_endpoints() -> None:
    """EndpointSlices are found by the name of their Service, and its namespace is not looked at."""
    real_offers, real_changed = Source._offers, Source._slice_changed  # noqa: SLF001 - patched

    def name_of(key: str) -> str:
        return key.partition("/")[2]

    def offers_of(self: Source, key: str) -> dict[bytes, Offer]:
        slices = self._slices
        same = [pieces for other, pieces in slices.items() if name_of(other) == name_of(key)]
        self._slices = {**slices, key: set().union(*same)}
        try:
            return real_offers(self, key)
        finally:
            self._slices = slices

    def slice_changed(self: Source, key: str, before: Object | None) -> None:
        real_changed(self, key, before)
        pieces = filter(None, (before, self._informers[SLICES].objects.get(key)))
        names = {name_of(service_of(piece)) for piece in pieces}
        for other in self._informers[SERVICES].objects:
            if name_of(other) in names:
                self._service_changed(other, None)

    patch(Source, "_offers", offers_of)
    patch(Source, "_slice_changed", slice_changed)


@fault("ETP-03d")
def changes_of_endpoints_wait_twice_as_long_each_time() -> None:
    """Each change of a Service's endpoints restarts its wait and doubles it, as nothing ever resets the rate limit.

    So it is with client-go's rate limiter where `Forget` is never called.
    """
    real = Source._slice_changed  # noqa: SLF001 - patched
    times, waits = Counter[str](), dict[str, asyncio.TimerHandle]()

    def slice_changed(self: Source, key: str, before: Object | None) -> None:
        waiting = set(self._services)
        real(self, key, before)
        for service in [one for one in self._services if one not in waiting]:
            del self._services[service]
            if service in waits:
                waits[service].cancel()
            delay = min(_BACKOFF_SECONDS * 2 ** min(times[service], 32), _LONGEST_BACKOFF_SECONDS)
            times[service] += 1
            loop = asyncio.get_running_loop()
            waits[service] = loop.call_later(delay, self._service_changed, service, None)

    patch(Source, "_slice_changed", slice_changed)


@fault("DUAL-02b")
def the_lack_of_the_second_family_is_not_told() -> None:
    """A Service that requires both families and lacks one of the second is told no reason (metallb #1156)."""
    real, note = Allocator.allocate_all, SkipLog.note

    def allocate_all(self: Allocator, request: AddressRequest) -> list[Allocation]:
        try:
            return real(self, request)
        except AllocationError as error:
            if request.second and f"no free IPv{request.second.family} address" in str(error):
                raise AllocationError("") from error
            raise

    def note_reasons(self: SkipLog, kind: str, key: str, message: str, reason: str = "Ignored") -> None:
        if not message.endswith('": '):
            note(self, kind, key, message, reason)

    patch(Allocator, "allocate_all", allocate_all)
    patch(SkipLog, "note", note_reasons)


@fault("DUAL-04c")
def a_requested_address_is_written_as_it_was_asked_for() -> None:
    """An IPv6 address that is asked for with zeros or capitals is written so into the status (KEP-4858, RFC 5952)."""
    real = Controller._assign  # noqa: SLF001 - patched

    async def assign(self: Controller, key: str, service: Object, ip: str, pool: str | None) -> None:
        asked = annotation(service, "loadBalancerIPs") or service["spec"].get("loadBalancerIP") or ""
        texts = {str(parse_ip(text)): text for text in map(str.strip, asked.split(",")) if text}
        await real(self, key, service, ",".join(texts.get(one, one) for one in ip.split(",")), pool)

    patch(Controller, "_assign", assign)


@fault("SEC-02a")
def a_foreign_address_beside_the_right_one_stays() -> None:
    """A status with the assigned address is taken as right, whatever others added to it (kubernetes #97076).

    The address of a family that the Service does not have any more is removed.
    """

    def shows(service: Object, ips: list[str]) -> bool:
        if is_shown(service, ips):
            return True
        entries = [{"ipMode": "VIP"} | entry for entry in ingress(service)]
        others = [entry["ip"] for entry in entries if entry.get("ip") and entry["ip"] not in ips]
        is_complete = all(entry in entries for entry in ingress_of(ips))
        return is_complete and all(parse_ip(one).version in families(service) for one in others)

    patch(controller, "is_shown", shows)


@fault("SEC-05a")
def a_full_table_of_askers_is_not_answered() -> None:
    """Who asks is remembered for five minutes, and while the table of 1,024 hosts is full, nobody is answered.

    The size is that of Linux' own neighbour table (`gc_thresh3`).
    """
    real = SegmentSpeaker._process  # noqa: SLF001 - patched
    tables: WeakKeyDictionary[SegmentSpeaker, dict[tuple[bytes, bytes], float]] = WeakKeyDictionary()

    def process(self: SegmentSpeaker, frame: ArpFrame | NdpFrame, now: float) -> bool:
        if not real(self, frame, now):
            return False
        known = tables.setdefault(self, {})  # the one that asked longest ago first
        while known and now - next(iter(known.values())) > _ASKER_SECONDS:
            del known[next(iter(known))]
        if len(known) >= _MOST_ASKERS:
            return False
        known.pop((frame.mac, frame.sender), None)
        known[frame.mac, frame.sender] = now
        return True

    patch(SegmentSpeaker, "_process", process)


@fault("SEC-06")
def a_refused_write_is_repeated_on_the_spot() -> None:
    """The one worker repeats for minutes a write that the API server refuses, and all Services wait for it.

    A tenant causes that by annotations that have no room left for the implementation's own.
    """
    real = Controller._write  # noqa: SLF001 - patched

    async def write(self: Controller, key: str, service: Object, ip: str | None, pool: str | None) -> None:
        for attempt in range(_ATTEMPTS):
            try:
                await real(self, key, service, ip, pool)
            except httpx.HTTPStatusError as error:
                if status_code(error) not in controller._REJECTED or attempt == _ATTEMPTS - 1:  # noqa: SLF001 - patched
                    raise
            else:
                return
            await asyncio.sleep(1)

    patch(controller, "_WRITERS", 1)
    patch(Controller, "_write", write)
