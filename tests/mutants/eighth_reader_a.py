"""Faults that an eighth reader of the requirements' sentences expects in implementations; the checks were not read.

They are of the areas POOL, REQ, RECL, EVT, TIER, ETP, SEC and UPGR. The docstring of each names what inspired it, where
there is an issue or an RFC.
"""

from __future__ import annotations

import ipaddress
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakSet

from tests.mutants.mutant import fault, patch

from lbproof_reference.controller.allocate import AllocationError, Allocator, FreeList, read_address_request
from lbproof_reference.controller.loop import Controller
from lbproof_reference.pools import parse_ip
from lbproof_reference.reading import SkipLog
from lbproof_reference.services import assigned, is_managed
from lbproof_reference.speaker.loop import SegmentSpeaker
from lbproof_reference.speaker.offers import AnnouncementPolicy, service_of
from lbproof_reference.speaker.peers import Peers
from lbproof_reference.speaker.plan import Offer
from lbproof_reference.speaker.segment import Segment
from lbproof_reference.speaker.source import SLICES, Source

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from lbproof_reference.controller.allocate import AddressRequest, Allocation
    from lbproof_reference.frames import ArpFrame, NdpFrame
    from lbproof_reference.kube import Object
    from lbproof_reference.pools import IP, Pool
    from lbproof_reference.speaker.heartbeat import Heartbeat
    from lbproof_reference.speaker.offers import Known
    from lbproof_reference.speaker.peers import Peer
    from lbproof_reference.speaker.plan import Plan

_UNDAMPED = 2
"""Epoch of the last takeover of an address that does not wait: the first one, as the epoch begins at 1."""
_DAMPED_SECONDS = 20.0
"""Time for which a later one waits."""


@fault("POOL-05b")
def a_pool_that_was_full_is_the_last_choice() -> None:
    """A restricted pool that was found full is tried after all others, also when it has addresses again."""
    take, eligible = FreeList.take, Allocator._eligible  # noqa: SLF001 - patched
    full: WeakSet[FreeList] = WeakSet()

    def noted(self: FreeList, held: Collection[IP]) -> IP | None:
        ip = take(self, held)
        if ip is None:
            full.add(self)
        return ip

    def reordered(self: Allocator, request: AddressRequest) -> list[str]:
        lists = self._free_lists
        return sorted(eligible(self, request), key=lambda name: lists[name, request.family] in full)

    patch(FreeList, "take", noted)
    patch(Allocator, "_eligible", reordered)


@fault("POOL-04c")
def a_pool_that_served_all_goes_on_to() -> None:
    """A pool that is kept later for the Services that name it serves the others as before (metallb #703)."""
    real = Allocator.set_pools
    automatic: WeakKeyDictionary[Allocator, set[str]] = WeakKeyDictionary()

    def set_pools(self: Allocator, pools: Iterable[Pool], of_nodes: Collection[IP] = ()) -> None:
        before = automatic.get(self, set())
        now = [replace(pool, auto_assign=pool.auto_assign or pool.name in before) for pool in pools]
        automatic[self] = {pool.name for pool in now if pool.auto_assign}
        real(self, now, of_nodes)

    patch(Allocator, "set_pools", set_pools)


@fault("REQ-03")
def an_older_service_takes_what_it_asks_for() -> None:
    """A Service that asks for the address of a younger one gets it, and the younger one is given another."""
    real = Controller._reconcile  # noqa: SLF001 - patched

    def take(self: Controller, one: AddressRequest | None) -> None:
        while one:
            ip, key = one.requested_ip, one.key
            holder = self._allocator.holder.get(ip) if ip else None
            is_refused = ip and holder and self._allocator.conflict(key, ip, one.sharing)
            if holder and is_refused and self._by_age({key, holder})[0] == key:
                self._release(holder)
                self._enqueue({holder})
            one = one.second

    async def reconcile(self: Controller, key: str) -> None:
        service = self._objects("Service").get(key)
        if service and is_managed(service, self._class):
            with suppress(AllocationError):
                take(self, read_address_request(key, service))
        await real(self, key)

    patch(Controller, "_reconcile", reconcile)


@fault("REQ-05a")
def a_service_cannot_return_to_an_address() -> None:
    """A Service that asks for an address that it had before is refused, as if it still had that one too."""
    allocate, release = Allocator.allocate, Allocator.release
    left: WeakKeyDictionary[Allocator, dict[str, set[IP]]] = WeakKeyDictionary()

    def allocate_once(self: Allocator, request: AddressRequest) -> Allocation:
        former = left.setdefault(self, {}).setdefault(request.key, set())
        if request.requested_ip in former:
            raise AllocationError(f'requested address "{request.requested_ip}" is in use by {request.key}')
        before, now = self.allocation_of(request.key, request.family), allocate(self, request)
        if before and before.ip != now.ip:
            former.add(before.ip)
        return now

    def forget(self: Allocator, key: str, keep: Collection[IP] = ()) -> list[IP]:
        released = release(self, key, keep)
        if key not in self._allocations:
            left.setdefault(self, {}).pop(key, None)
        return released

    patch(Allocator, "allocate", allocate_once)
    patch(Allocator, "release", forget)


@fault("RECL-01b")
def nothing_is_done_in_a_namespace_that_ends() -> None:
    """A Service of a namespace that is being deleted is left alone, so its address is never released."""
    real = Controller._release  # noqa: SLF001 - patched

    def release(self: Controller, key: str, keep: Iterable[IP] = ()) -> None:
        namespace = self._objects("Namespace").get(key.partition("/")[0])
        if namespace and "deletionTimestamp" not in namespace["metadata"]:
            real(self, key, keep)

    patch(Controller, "_release", release)


@fault("RECL-03")
def what_was_taken_over_is_not_released() -> None:
    """A node that took an address over from another one answers for it after its release (kube-vip #936)."""
    real = Segment.set_desired

    def set_desired(self: Segment, changes: Mapping[bytes, Offer | None]) -> None:
        kept = {address for address in changes if address in self.claims and self.claims[address].epoch > 1}
        real(self, {address: offer for address, offer in changes.items() if offer or address not in kept})

    patch(Segment, "set_desired", set_desired)


@fault("EVT-01b")
def a_refused_change_has_no_reason() -> None:
    """A Service that has an address and asks for another is refused without a reason, because it does not wait."""
    mark_pending, note = Controller._mark_pending, SkipLog.note  # noqa: SLF001 - patched
    is_quiet = ContextVar("is_quiet", default=False)

    async def marked(self: Controller, key: str, service: Object, reason: str) -> None:
        token = is_quiet.set(self._allocator.allocation_of(key) is not None)
        try:
            await mark_pending(self, key, service, reason)
        finally:
            is_quiet.reset(token)

    def noted(self: SkipLog, kind: str, key: str, message: str, reason: str = "Ignored") -> None:
        if not (is_quiet.get() and reason == "AllocationFailed"):
            note(self, kind, key, message, reason)

    patch(Controller, "_mark_pending", marked)
    patch(SkipLog, "note", noted)


@fault("EVT-02b")
def a_move_is_told_to_one_of_the_sharers() -> None:
    """When a shared address moves, the node is named to the first of its Services alone."""
    reconcile, everyone = SegmentSpeaker._reconcile, Offer.services  # noqa: SLF001 - patched
    acquiring: set[SegmentSpeaker] = set()

    def reconciled(self: SegmentSpeaker, now: float) -> None:
        acquiring.add(self)
        try:
            reconcile(self, now)
        finally:
            acquiring.discard(self)

    def services(self: Offer) -> tuple[str, ...]:
        return (self.service,) if acquiring else everyone.__get__(self)

    patch(SegmentSpeaker, "_reconcile", reconciled)
    patch(Offer, "services", property(services))


@fault("TIER-09a")
def who_asks_must_be_in_the_source_ranges() -> None:
    """ARP requests of hosts that are not in loadBalancerSourceRanges are ignored: those of a client's router too."""
    offers, process = AnnouncementPolicy.offers, SegmentSpeaker._process  # noqa: SLF001 - patched
    admitted: dict[bytes, list[ipaddress.IPv4Network | ipaddress.IPv6Network]] = {}

    def noted(
        self: AnnouncementPolicy, key: str, service: Object, known: Known, slices: Iterable[Object]
    ) -> dict[bytes, Offer]:
        found = offers(self, key, service, known, slices)
        texts = service["spec"].get("loadBalancerSourceRanges") or []
        ranges = [ipaddress.ip_network(text.strip(), strict=False) for text in texts]
        admitted.update((address, ranges) for address in found)
        return found

    def processed(self: SegmentSpeaker, frame: ArpFrame | NdpFrame, now: float) -> bool:
        ranges, asker = admitted.get(frame.target), ipaddress.ip_address(frame.sender)
        return process(self, frame, now) and (not ranges or any(asker in one for one in ranges))

    patch(AnnouncementPolicy, "offers", noted)
    patch(SegmentSpeaker, "_process", processed)


@fault("ETP-03a")
def one_slice_has_all_endpoints() -> None:
    """Of several EndpointSlices of a Service, the one that changed last is taken for all of them."""
    real = Source._slice_changed  # noqa: SLF001 - patched

    def slice_changed(self: Source, key: str, before: Object | None) -> None:
        if now := self._informers[SLICES].objects.get(key):
            self._slices[service_of(now)] = set()
        real(self, key, before)

    patch(Source, "_slice_changed", slice_changed)


@fault("ETP-03b")
def an_endpoint_that_serves_is_taken_for_ready() -> None:
    """The condition `serving` is read for `ready`, as where endpoints that drain may be announced (KEP-1669)."""

    def serving_nodes(self: AnnouncementPolicy, slices: Iterable[Object]) -> frozenset[str]:
        found: set[str] = set()
        for one in slices:
            with self._skip_log.reading("EndpointSlice", service_of(one)):
                for endpoint in one.get("endpoints") or []:
                    conditions: dict[str, Any] = endpoint.get("conditions") or {}
                    serves = conditions.get("serving", conditions.get("ready"))
                    if endpoint.get("nodeName") and serves in {None, True}:
                        found.add(endpoint["nodeName"])
        return frozenset(found)

    patch(AnnouncementPolicy, "_ready_nodes", serving_nodes)


@fault("SEC-04a")
def who_names_pool_and_address_passes() -> None:
    """A Service of any namespace that names a restricted pool, and asks for one of its addresses, gets that one."""
    real = Allocator.allows

    def allows(self: Allocator, pool: str, request: AddressRequest) -> bool:
        return (request.requested_ip is not None and request.pool == pool) or real(self, pool, request)

    patch(Allocator, "allows", allows)


@fault(
    uncaught="SEC-05a changes ARP and NDP frames at random, and nothing that nodes say to each other",
    test="test_peers.py::test_a_message_that_is_not_verified_mutes_no_peer",
)
def sequences_count_before_signatures() -> None:
    """The sequence of a heartbeat counts before its signature is verified, so a forged one mutes a peer (RFC 4303)."""
    is_known, receive = Peers.is_known, Peers.receive
    highest: WeakKeyDictionary[Peers, dict[int, int]] = WeakKeyDictionary()
    verified: WeakSet[Peers] = WeakSet()

    def noted(self: Peers, session: int, sequence: int) -> bool:
        if self in verified:
            return is_known(self, session, sequence)
        known = highest.setdefault(self, {})
        if is_known(self, session, sequence) or sequence <= known.get(session, -1):
            return True
        if any(peer.session == session for peer in self.live.values()):
            known[session] = sequence
        return False

    def received(self: Peers, heartbeat: Heartbeat, frame: bytes, now: float) -> Peer | None:
        verified.add(self)
        try:
            return receive(self, heartbeat, frame, now)
        finally:
            verified.discard(self)

    patch(Peers, "is_known", noted)
    patch(Peers, "receive", received)


@fault("UPGR-04a")
def what_no_automatic_pool_explains_is_replaced() -> None:
    """An address of before the first start is kept only if its pool is one that is given without being named."""
    real = Controller._restore_address  # noqa: SLF001 - patched

    def restore_address(self: Controller, key: str, text: str, *found: Any, **more: Any) -> None:  # noqa: ANN401 - as is
        noted = (assigned(self._objects("Service")[key])[0] or "").split(",")
        pool = self._allocator._pools.get(self._allocator.pool_holding(parse_ip(text)) or "")  # noqa: SLF001 - patched
        if text in noted or not pool or pool.auto_assign:
            real(self, key, text, *found, **more)

    patch(Controller, "_restore_address", restore_address)


@fault("UPGR-03")
def what_moved_once_is_damped() -> None:
    """A node that takes over what has moved before answers after 20 s, as a flapping route is held down (RFC 2439)."""
    reconcile, answers = Segment.reconcile, Segment.answers
    since: WeakKeyDictionary[Segment, dict[bytes, float]] = WeakKeyDictionary()

    def reconciled(self: Segment, now: float, most: int | None = None) -> Plan:
        done = reconcile(self, now, most)
        begins = since.setdefault(self, {})
        for address, claim in done.acquire.items():
            begins[address] = now if claim.epoch > _UNDAMPED else now - _DAMPED_SECONDS
        return done

    def answers_later(self: Segment, address: bytes, now: float) -> bool:
        begin = since.get(self, {}).get(address)
        return answers(self, address, now) and (begin is None or now - begin >= _DAMPED_SECONDS)

    patch(Segment, "reconcile", reconciled)
    patch(Segment, "answers", answers_later)
