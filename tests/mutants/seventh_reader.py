"""Faults that a seventh reader of the requirements' sentences expects in implementations; the checks were not read.

The docstring of each names the issue, the pull request or the RFC that inspired it.
"""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from tests.mutants.mutant import fault, patch

from lbproof_reference import frames, pools
from lbproof_reference.controller.allocate import ALONE, AllocationError, Allocator, FreeList, read_sharing
from lbproof_reference.controller.loop import Controller
from lbproof_reference.frames import ETHERNET, IPV6, NDP, announcements, ndp_reply
from lbproof_reference.pools import BadPoolError
from lbproof_reference.reading import SkipLog
from lbproof_reference.services import assigned, ingress, ingress_ips, is_managed
from lbproof_reference.speaker import loop as speaker
from lbproof_reference.speaker.loop import SegmentSpeaker
from lbproof_reference.speaker.offers import AnnouncementPolicy
from lbproof_reference.speaker.segment import Segment
from lbproof_reference.speaker.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from lbproof_reference.controller.allocate import AddressRequest, Allocation, Sharing
    from lbproof_reference.frames import ArpFrame, NdpFrame
    from lbproof_reference.kube import Kube, Object
    from lbproof_reference.pools import IP, AddressRange
    from lbproof_reference.speaker.elect import Claim
    from lbproof_reference.speaker.offers import Known
    from lbproof_reference.speaker.plan import Offer

_FLAPS = 3
"""Times that a node may come to have ready endpoints of a Service."""
_RESYNC_SECONDS = 45.0
_GATHER_SECONDS = 0.5
_STALE_SECONDS = 3.0
_TRUCE_SECONDS = 300.0
_OVERRIDE = 1 << 29
"""Flag of a neighbour advertisement (RFC 4861 section 4.4)."""


def _allocate_anew() -> set[tuple[str, int]]:
    """Return an empty set. A Service and a family in it get another address the next time, if one is free."""
    due: set[tuple[str, int]] = set()
    real = Allocator.allocate

    def allocate(self: Allocator, request: AddressRequest) -> Allocation:
        one = request.key, request.family
        if one in due and self.allocation_of(*one):
            due.discard(one)
            with suppress(AllocationError):
                if request.requested_ip is None:
                    self.assign(request.key, self._allocate_any(request), sharing=request.sharing)
        return real(self, request)

    patch(Allocator, "allocate", allocate)
    return due


@fault("TIER-08b")
def node_ports_make_a_service_a_new_one() -> None:
    """A Service that is given node ports later is given another address, as one that is new (KEP-1864)."""
    due, known = _allocate_anew(), dict[str, bool]()
    real = Controller._reconcile  # noqa: SLF001 - patched

    async def reconcile(self: Controller, key: str) -> None:
        if service := self._objects("Service").get(key):
            uid, ports = service["metadata"]["uid"], service["spec"].get("ports") or []
            has_node_ports = any(port.get("nodePort") for port in ports)
            if has_node_ports and not known.setdefault(uid, has_node_ports):
                due.update((key, family) for family in (4, 6))
            known[uid] = has_node_ports
        await real(self, key)

    patch(Controller, "_reconcile", reconcile)


@fault("ETP-03d")
def a_node_whose_endpoints_flap_is_held_down() -> None:
    """A node that comes to have endpoints of a Service for the fourth time announces it no more (RFC 2439, damping)."""
    current, found_last, times = [""], dict[str, frozenset[str]](), Counter[tuple[str, str]]()
    offers_of, ready_nodes_of = AnnouncementPolicy.offers, AnnouncementPolicy._ready_nodes  # noqa: SLF001 - patched

    def offers(
        self: AnnouncementPolicy, key: str, service: Object, known: Known, slices: Iterable[Object]
    ) -> dict[bytes, Offer]:
        current[0] = service["metadata"]["uid"]
        return offers_of(self, key, service, known, slices)

    def ready_nodes(self: AnnouncementPolicy, slices: Iterable[Object]) -> frozenset[str]:
        found, uid = ready_nodes_of(self, slices), current[0]
        times.update((uid, node) for node in found - found_last.get(uid, frozenset()))
        found_last[uid] = found
        return frozenset(node for node in found if times[uid, node] <= _FLAPS)

    patch(AnnouncementPolicy, "offers", offers)
    patch(AnnouncementPolicy, "_ready_nodes", ready_nodes)


@fault("SHARE-03b")
def a_port_of_two_moves_both() -> None:
    """When a Service that shares is given a port of the other, both leave the address (metallb #788, #2403)."""
    due = _allocate_anew()
    real = Controller._reconcile  # noqa: SLF001 - patched

    async def reconcile(self: Controller, key: str) -> None:
        service, held = self._objects("Service").get(key), self._allocator.allocation_of(key)
        others: Collection[str] = ()
        if service and held and is_managed(service, self._class):
            why = self._allocator.conflict(key, held.ip, read_sharing(key, service)) or ""
            if ": port " in why:
                others = self._allocator._sharers.get(held.ip, {}).keys() - {key}  # noqa: SLF001 - of the reference
        await real(self, key)
        if held and others:
            due.update((other, held.ip.version) for other in others)
            self._enqueue(others)

    patch(Controller, "_reconcile", reconcile)


@fault("SHARE-04")
def each_look_at_a_sharer_counts_as_a_use() -> None:
    """The uses of a shared address are counted at each reconciliation, so it is never released (cilium #34106)."""
    uses: WeakKeyDictionary[Allocator, Counter[IP]] = WeakKeyDictionary()
    counted: set[IP] = set()
    assign_one, release_all, take_one = Allocator.assign, Allocator.release, FreeList.take

    def assign(self: Allocator, key: str, ip: IP, pool: str = "", sharing: Sharing = ALONE) -> bool:
        is_done = assign_one(self, key, ip, pool, sharing)
        if is_done and sharing.key:
            uses.setdefault(self, Counter())[ip] += 1
            if len(self._sharers[ip]) > 1:
                counted.add(ip)
        return is_done

    def release(self: Allocator, key: str, keep: Collection[IP] = ()) -> list[IP]:
        released = release_all(self, key, keep)
        for ip in counted.intersection(released):
            uses[self][ip] -= 1
            if not uses[self][ip]:
                counted.discard(ip)
        return released

    def take(self: FreeList, held: Collection[IP]) -> IP | None:
        return take_one(self, {*held, *counted})

    patch(Allocator, "assign", assign)
    patch(Allocator, "release", release)
    patch(FreeList, "take", take)


@fault("DUAL-03b")
def a_second_family_comes_with_two_new_addresses() -> None:
    """A Service that comes to have addresses of both families is given both anew (metallb #1776, #2587)."""
    due = _allocate_anew()
    real = Allocator.allocate_all

    def allocate_all(self: Allocator, request: AddressRequest) -> list[Allocation]:
        before = {ip.version for ip in self._allocations.get(request.key, {})}
        found = real(self, request)
        if before and len(found) > len(before):
            due.update((request.key, family) for family in before)
            found = real(self, request)
        return found

    patch(Allocator, "allocate_all", allocate_all)


@fault("DUAL-04a")
def a_dropped_family_is_released_with_the_service() -> None:
    """The address of a family that a Service drops is free when the Service is deleted, and not before (KEP-563)."""
    real = Allocator.release

    def release(self: Allocator, key: str, keep: Collection[IP] = ()) -> list[IP]:
        families = {ip.version for ip in keep}
        dropped = {ip for ip in self._allocations.get(key, {}) if families and ip.version not in families}
        return real(self, key, {*keep, *dropped})

    patch(Allocator, "release", release)


@fault("CLASS-02b")
def a_resync_forgets_the_class() -> None:
    """What is looked at again, 45 s after a change, is corrected whatever its class (kubernetes #91306)."""
    start, service_changed = Controller.__init__, Controller._service_changed  # noqa: SLF001 - patched

    def is_foreign(self: Controller, key: str) -> bool:
        service = self._objects("Service").get(key)
        return bool(service and ingress(service) and not is_managed(service, self._class))

    async def resync(self: Controller, key: str) -> None:
        if is_foreign(self, key):
            await self._write(key, self._objects("Service")[key], None, None)

    def init(
        self: Controller, kube: Kube, *, lb_class: str | None, namespace: str, ignore_exclude: bool = False
    ) -> None:
        start(self, kube, lb_class=lb_class, namespace=namespace, ignore_exclude=ignore_exclude)
        self._reconcilers["Resync"] = partial(resync, self)

    def changed(self: Controller, key: str, before: Object | None) -> None:
        service_changed(self, key, before)
        if is_foreign(self, key):
            asyncio.get_running_loop().call_later(_RESYNC_SECONDS, self._queue.add, ("Resync", key))

    patch(Controller, "__init__", init)
    patch(Controller, "_service_changed", changed)


@fault("EVT-01b")
def a_service_that_waits_is_told_one_cause() -> None:
    """A Service that waits is told the first cause, and not that its next request fails for another (metallb #430)."""
    real = SkipLog.note

    def note(self: SkipLog, kind: str, key: str, message: str, reason: str = "Ignored") -> None:
        if reason != "AllocationFailed" or (kind, key, reason) not in self._logged:
            real(self, kind, key, message, reason)

    patch(SkipLog, "note", note)


@fault("EVT-03d")
def without_its_mark_a_service_has_no_address() -> None:
    """A Service whose mark is removed is taken for one that has no address yet, and gets another (flux #2474)."""
    due = _allocate_anew()
    real = Controller._service_changed  # noqa: SLF001 - patched

    def changed(self: Controller, key: str, before: Object | None) -> None:
        now = self._objects("Service").get(key)
        is_marked = now and assigned(now)[1]
        if before and now and ingress(now) and is_managed(now, self._class) and assigned(before)[1] and not is_marked:
            due.update((key, family) for family in (4, 6))
        real(self, key, before)

    patch(Controller, "_service_changed", changed)


@fault("RECL-01b")
def of_many_deletions_the_last_one_counts() -> None:
    """Deletions are gathered for half a second in a place for one, and the last one counts (kubernetes #43730)."""
    last: list[str] = []
    real = Controller._release  # noqa: SLF001 - patched

    def free(self: Controller) -> None:
        key = last.pop()
        if key not in self._objects("Service"):
            real(self, key)

    def release(self: Controller, key: str, keep: Iterable[IP] = ()) -> None:
        if key in self._objects("Service"):
            real(self, key, keep)
        elif self._allocator.allocation_of(key):
            if not last:
                asyncio.get_running_loop().call_later(_GATHER_SECONDS, free, self)
            last[:] = [key]

    patch(Controller, "_release", release)


@fault("RECL-03")
def a_released_address_is_defended_against_probes() -> None:
    """A node answers probes for an address that it had, when it has no Service any more (RFC 5227, section 2.1.1)."""
    had: WeakKeyDictionary[Segment, set[bytes]] = WeakKeyDictionary()
    claim_one, process_one = Segment._claim, SegmentSpeaker._process  # noqa: SLF001 - patched
    accept = Wire.accept_requests_for

    def claim(self: Segment, address: bytes, claim: Claim) -> None:
        had.setdefault(self, set()).add(address)
        claim_one(self, address, claim)

    def accept_requests_for(self: Wire, addresses: Collection[bytes]) -> None:
        accept(self, {*addresses, *(address for found in had.values() for address in found)})

    def process(self: SegmentSpeaker, frame: ArpFrame | NdpFrame, now: float) -> bool:
        is_answered = process_one(self, frame, now)
        is_probe = frame.needs_reply and not any(frame.sender)
        is_released = frame.target in had.get(self.segment, ()) and frame.target not in self.segment.desired
        return is_answered or (is_probe and is_released)

    patch(Segment, "_claim", claim)
    patch(Wire, "accept_requests_for", accept_requests_for)
    patch(SegmentSpeaker, "_process", process)


@fault("L2-07-IPv6")
def an_unsolicited_advertisement_does_not_override() -> None:
    """Advertisements that nobody asked for are sent without the override flag (RFC 4861, sections 7.2.5 and 7.2.6).

    A host that has the link-layer address of the former node keeps it.
    """

    def without_override(frame: bytes) -> bytes:
        at = ETHERNET.size + IPV6.size
        *_, source, destination = IPV6.unpack_from(frame, ETHERNET.size)
        kind, code, _, flags, target = NDP.unpack_from(frame, at)
        options = frame[at + NDP.size :]
        message = NDP.pack(kind, code, 0, flags & ~_OVERRIDE, target) + options
        checksum = frames._checksum(source, destination, message)  # noqa: SLF001 - of the reference
        return frame[:at] + NDP.pack(kind, code, checksum, flags & ~_OVERRIDE, target) + options

    def announce(address: bytes, mac: bytes) -> tuple[bytes, ...]:
        found = announcements(address, mac)
        return found if len(address) == 4 else tuple(map(without_override, found))

    patch(speaker, "announcements", announce)


@fault("L2-12b")
def the_answer_to_who_has_no_address_is_solicited() -> None:
    """The answer to a host without an address goes to all nodes as solicited, and they discard it (RFC 4861, 7.1.2)."""

    def reply(asked: NdpFrame, mac: bytes) -> bytes:
        if any(asked.source):
            return ndp_reply(asked, mac)
        group = frames._ALL_NODES  # noqa: SLF001 - of the reference
        return frames._advertisement(  # noqa: SLF001 - of the reference
            to=frames._multicast_mac(group),  # noqa: SLF001 - of the reference
            mac=mac,
            destination=group,
            flags=frames._SOLICITED,  # noqa: SLF001 - of the reference
            target=asked.target,
        )

    patch(speaker, "ndp_reply", reply)


@fault("FAIL-10b")
def what_is_old_when_it_is_seen_is_no_news() -> None:
    """A Service that is older than three seconds when it is seen first is served when it is edited (kubernetes #66146).

    So nothing is done twice that a former run has done.
    """
    stale: dict[str, str] = {}
    service_changed, reconcile_one = Controller._service_changed, Controller._reconcile  # noqa: SLF001 - patched

    def changed(self: Controller, key: str, before: Object | None) -> None:
        now = self._objects("Service").get(key)
        if now and before is None and is_managed(now, self._class) and not ingress(now):
            meta = now["metadata"]
            age = datetime.now(UTC) - datetime.fromisoformat(meta["creationTimestamp"])
            if age.total_seconds() > _STALE_SECONDS:
                stale[meta["uid"]] = meta["resourceVersion"]
        service_changed(self, key, before)

    async def reconcile(self: Controller, key: str) -> None:
        service = self._objects("Service").get(key)
        if not service or stale.get(service["metadata"]["uid"]) != service["metadata"]["resourceVersion"]:
            await reconcile_one(self, key)

    patch(Controller, "_service_changed", changed)
    patch(Controller, "_reconcile", reconcile)


@fault("SEC-02a")
def a_status_is_corrected_once() -> None:
    """A status that is forged again is left for five minutes, so that no two controllers fight (kubernetes #91306)."""
    written, corrected = dict[str, str](), dict[str, float]()
    real = Controller._assign  # noqa: SLF001 - patched

    async def assign(self: Controller, key: str, service: Object, ip: str, pool: str | None) -> None:
        uid, now = service["metadata"]["uid"], time.monotonic()
        is_forged = written.get(uid) == ip and ingress_ips(service) != ip.split(",")
        if is_forged and now - corrected.get(uid, -_TRUCE_SECONDS) < _TRUCE_SECONDS:
            return
        await real(self, key, service, ip, pool)
        written[uid] = ip
        if is_forged:
            corrected[uid] = now

    patch(Controller, "_assign", assign)


@fault("CRD-02")
def a_pool_is_compared_with_the_one_below_it() -> None:
    """A pool that begins below another one, or where it does, and reaches into it is taken (antrea #2995, of loops)."""

    def check(address_range: AddressRange, taken: list[tuple[AddressRange, str]]) -> None:
        at = bisect_left(taken, (address_range, ""))
        for other, name in taken[max(at - 1, 0) : at]:
            if other.overlaps(address_range):
                raise BadPoolError(f"{address_range} overlaps {other} of pool {name!r}")

    patch(pools, "_check_overlap", check)


@fault("POOL-06")
def numbers_follow_assignments_alone() -> None:
    """The published numbers of a pool are counted after an assignment, and not after a release (metallb #1638)."""
    real = Controller._release  # noqa: SLF001 - patched

    def release(self: Controller, key: str, keep: Iterable[IP] = ()) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        real(self, key, keep)
        self._changed = changed

    patch(Controller, "_release", release)


@fault("REQ-05a")
def what_was_left_is_given_to_who_asks_for_it() -> None:
    """The address that a Service left for another is given to who asks for it, and never chosen (kube-vip #574)."""
    left: set[IP] = set()
    release_all, assign_one, take_one = Allocator.release, Allocator.assign, FreeList.take

    def release(self: Allocator, key: str, keep: Collection[IP] = ()) -> list[IP]:
        released = release_all(self, key, keep)
        if self.allocation_of(key):
            left.update(released)
        return released

    def assign(self: Allocator, key: str, ip: IP, pool: str = "", sharing: Sharing = ALONE) -> bool:
        left.discard(ip)
        return assign_one(self, key, ip, pool, sharing)

    def take(self: FreeList, held: Collection[IP]) -> IP | None:
        return take_one(self, {*held, *left})

    patch(Allocator, "release", release)
    patch(Allocator, "assign", assign)
    patch(FreeList, "take", take)
