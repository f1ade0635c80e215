"""Faults that a third reader thought of from the requirements' sentences alone, most of them in one circumstance."""
# ruff: noqa: SLF001 - faults are made of what is private

from __future__ import annotations

import re
import struct
from bisect import insort
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from tests.mutants.authority import reads_addresses_alone
from tests.mutants.mutant import fault, patch

from lbproof_reference import pools
from lbproof_reference.controller import allocate
from lbproof_reference.controller import loop as controller
from lbproof_reference.controller.allocate import AllocationError, Allocator, FreeList, read_address_request
from lbproof_reference.controller.loop import Controller
from lbproof_reference.events import EventRecorder
from lbproof_reference.kube import SERVICES
from lbproof_reference.pools import AddressRange, BadPoolError, parse_ip, parse_range
from lbproof_reference.reading import MALFORMED_OBJECT
from lbproof_reference.services import OWN_CLASS, ingress_ips, is_managed
from lbproof_reference.speaker import links, offers, segment
from lbproof_reference.speaker.loop import SegmentSpeaker
from lbproof_reference.speaker.offers import AnnouncementPolicy
from lbproof_reference.speaker.plan import plan
from lbproof_reference.speaker.segment import Segment
from lbproof_reference.speaker.source import SLICES, Source
from lbproof_reference.speaker.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from lbproof_reference.controller.allocate import AddressRequest
    from lbproof_reference.kube import Object
    from lbproof_reference.pools import IP, Pool
    from lbproof_reference.speaker.offers import Known
    from lbproof_reference.speaker.plan import Offer, Plan, SegmentView

_ROUTE = struct.Struct("=IHHII8BIHH4s")
"""Netlink header, `struct rtmsg`, and one attribute of four bytes: rtnetlink(7)."""


@fault("POOL-01")
def a_narrowed_pool_takes_an_address_back() -> None:
    """A released address returns to the pool that gave it, though the pool became narrower (metallb/metallb#1929)."""
    before: dict[IP, str] = {}
    release, holding = Allocator.release, Allocator.pool_holding

    def release_to_pool(self: Allocator, key: str, keep: Collection[IP] = ()) -> list[IP]:
        found = dict(self._allocations.get(key, {}))
        released = release(self, key, keep)
        for ip in released:
            if self.pool_holding(ip) is None and found[ip] in self._pools:
                before[ip] = found[ip]
                insort(self._free_lists[found[ip], ip.version]._returned, int(ip))
        return released

    def pool_that_gave(self: Allocator, ip: IP) -> str | None:
        return holding(self, ip) or before.get(ip)

    patch(Allocator, "release", release_to_pool)
    patch(Allocator, "pool_holding", pool_that_gave)


@fault("POOL-02a")
def frees_an_address_when_the_deletion_begins() -> None:
    """The address of a Service with a finalizer is given to another one while the former is still being deleted."""
    reconcile = Controller._reconcile

    async def reconcile_living(self: Controller, key: str) -> None:
        service = self._objects("Service").get(key)
        if service and service["metadata"].get("deletionTimestamp") and is_managed(service, self._class):
            self._pending.discard(key)
            self._release(key)
        else:
            await reconcile(self, key)

    patch(Controller, "_reconcile", reconcile_living)


@fault(
    uncaught="the witness of Services sees it; PEND-01a's oldest Service is seldom older by a second",
    test="test_third_reader.py::test_age_gives_no_right_to_an_address",
)
def an_older_service_takes_the_address_of_the_youngest() -> None:
    """When no address is free, a Service that was created earlier takes the address of the youngest one."""
    mark_pending = Controller._mark_pending

    async def take(self: Controller, key: str, service: Object, reason: str) -> None:
        services = self._objects("Service")
        holders = self._by_age(self._allocator.allocations())
        youngest = holders[-1] if holders else key
        ages = [services[one]["metadata"].get("creationTimestamp", "") for one in (key, youngest)]
        if reason.startswith("no available IPs") and ages[0] < ages[1] and key not in holders:
            self._pending.add(key)
            await self._write(youngest, services[youngest], None, None)
        else:
            await mark_pending(self, key, service, reason)

    patch(Controller, "_mark_pending", take)


@fault("PEND-04a")
def never_retries_a_request_that_was_in_no_pool() -> None:
    """A request for an address in no pool is refused for good, also when a pool is widened to contain the address."""
    mark_pending = Controller._mark_pending

    async def mark_once(self: Controller, key: str, service: Object, reason: str) -> None:
        await mark_pending(self, key, service, reason)
        if "is in no pool" in reason:
            self._pending.discard(key)

    patch(Controller, "_mark_pending", mark_once)


@fault("REQ-03")
def shares_a_requested_address_when_the_ports_differ() -> None:
    """A Service gets the address of another one that it asks for if they have no port in common (kube-vip#1006)."""
    ports: dict[str, set[Any]] = {}
    requested, assign, release = Allocator._allocate_requested, Allocator.assign, Allocator.release

    def read(key: str, service: Object) -> AddressRequest:
        ports[key] = {(one.get("protocol"), one.get("port")) for one in service["spec"].get("ports") or []}
        return read_address_request(key, service)

    def may_share(self: Allocator, ip: IP, key: str) -> bool:
        return all(key == other or ports.get(key, set()).isdisjoint(ports.get(other, set()))
                   for other, found in self._allocations.items() if ip in found)  # fmt: skip

    def allocate_shared(self: Allocator, request: AddressRequest, ip: IP) -> IP:
        is_fine = self.pool_of(ip) is not None and request.pool is None and ip.version == request.family
        if is_fine and ip in self.holder and may_share(self, ip, request.key):
            return ip
        return requested(self, request, ip)

    def assign_shared(self: Allocator, key: str, ip: IP, pool: str = "", *args: Any, **options: Any) -> bool:  # noqa: ANN401 - as is
        if not assign(self, key, ip, pool, *args, **options):
            if not may_share(self, ip, key):
                return False
            found = self._allocations.setdefault(key, {})
            found.pop(ip, None)
            found[ip] = self.pool_holding(ip) or pool
        return True

    def release_shared(self: Allocator, key: str, keep: Collection[IP] = ()) -> list[IP]:
        mine = [ip for ip in self._allocations.get(key, {}) if ip not in keep]
        others = {ip: one for one, found in self._allocations.items() for ip in mine if one != key and ip in found}
        released = release(self, key, keep)
        self.holder.update(others)
        return [ip for ip in released if ip not in others]

    patch(controller, "read_address_request", read)
    patch(Allocator, "_allocate_requested", allocate_shared)
    patch(Allocator, "assign", assign_shared)
    patch(Allocator, "release", release_shared)


@fault(
    uncaught="Kubernetes' own parser of addresses reads them so",
    test="test_third_reader.py::test_a_number_with_leading_zeros_is_no_part_of_an_address",
)
def reads_leading_zeros_in_a_request_as_decimal() -> None:
    """A request for 10.0.0.011 is met with 10.0.0.11, as by Go's former parser (kubernetes/kubernetes#100895)."""

    def parse(text: str) -> IP:
        return parse_ip(text if ":" in text else re.sub(r"(?<![0-9])0+(?=[0-9])", "", text))

    patch(allocate, "parse_ip", parse)


@fault("RECL-01a", "RECL-01c")
def an_address_is_given_back_only_once() -> None:
    """An address that was given, freed, given and freed again is not given a third time until its pool changes."""
    ever: WeakKeyDictionary[FreeList, set[int]] = WeakKeyDictionary()
    put_back = FreeList.put_back

    def put_back_once(self: FreeList, number: int) -> None:
        if number not in ever.setdefault(self, set()):
            ever[self].add(number)
            put_back(self, number)

    patch(FreeList, "put_back", put_back_once)


@fault("RECL-02c")
def an_external_name_keeps_its_address() -> None:
    """A Service that becomes an ExternalName keeps its address reserved (kubernetes/kubernetes#78954)."""
    reconcile = Controller._reconcile

    async def reconcile_others(self: Controller, key: str) -> None:
        service = self._objects("Service").get(key)
        if service is None or service["spec"].get("type") != "ExternalName":
            await reconcile(self, key)

    patch(Controller, "_reconcile", reconcile_others)


@fault("CLASS-02a")
def serves_a_class_that_begins_with_its_own() -> None:
    """A Service is served if its class begins with the own class, such as `lbproof.dev/reference-2`."""

    def is_ours(service: Object, lb_class: str | None) -> bool:
        spec = service["spec"]
        named = str(spec.get("loadBalancerClass") or "")
        return spec.get("type") == "LoadBalancer" and (
            named.startswith(lb_class or OWN_CLASS) or is_managed(service, lb_class)
        )

    patch(controller, "is_managed", is_ours)
    patch(offers, "is_managed", is_ours)


@fault("CLASS-01a")
def a_service_is_judged_by_the_type_that_it_was_created_with() -> None:
    """A Service that was created with another type is not served when it becomes a LoadBalancer, until a restart."""
    ignored: set[str] = set()
    changed = Controller._service_changed

    def changed_since_created(self: Controller, key: str, before: Object | None) -> None:
        now = self._objects("Service").get(key)
        if before is None and now and now["spec"].get("type") != "LoadBalancer":
            ignored.add(now["metadata"]["uid"])
        if now is None or now["metadata"]["uid"] not in ignored:
            changed(self, key, before)

    patch(Controller, "_service_changed", changed_since_created)


@fault("EVT-01a")
def tells_only_the_first_address_of_a_service() -> None:
    """A Service that gets another address has no Event that names it (similar: metallb/metallb#2310)."""
    told: set[str] = set()
    event = EventRecorder.event

    def tell_first(self: EventRecorder, about: Object, kind: str, reason: str, message: str) -> None:
        uid = about["metadata"].get("uid", "")
        if reason != "IPAllocated" or uid not in told:
            event(self, about, kind, reason, message)
        if reason == "IPAllocated":
            told.add(uid)

    patch(EventRecorder, "event", tell_first)


@fault("EVT-03b")
def names_the_pool_whose_blocks_enclose_the_address() -> None:
    """The annotation names the first pool whose lowest and highest address enclose that of the Service."""
    assign = Controller._assign

    def encloses(pool: Pool, ip: IP) -> bool:
        ranges = [one for one in pool.ranges if one.family == ip.version]
        return bool(ranges) and ranges[0].first <= int(ip) <= ranges[-1].last

    async def assign_enclosed(self: Controller, key: str, service: Object, ip: str, pool: str | None) -> None:
        found = (one.name for one in self._allocator._pools.values() if encloses(one, parse_ip(ip)))
        await assign(self, key, service, ip, next(found, pool))

    patch(Controller, "_assign", assign_enclosed)


@fault("UPGR-01")
def a_restart_turns_addresses_into_those_of_a_proxy() -> None:
    """A controller that starts writes the statuses of before again, with `ipMode: Proxy` (KEP-1860)."""
    restored: set[str] = set()
    restore, assign, status_patch = Controller._restore, Controller._assign, controller._status_patch

    def restore_and_note(self: Controller) -> None:
        restore(self)
        restored.update(self._allocator.allocations())

    async def assign_again(self: Controller, key: str, service: Object, ip: str, pool: str | None) -> None:
        if key in restored:
            await self._write(key, service, ip, pool)
            restored.discard(key)
        else:
            await assign(self, key, service, ip, pool)

    def patch_as_proxy(service: Object, ip: str | None, pool: str | None) -> Object:
        body = status_patch(service, ip, pool)
        if ip and f"{service['metadata']['namespace']}/{service['metadata']['name']}" in restored:
            body["status"]["loadBalancer"]["ingress"][0]["ipMode"] = "Proxy"
        return body

    patch(Controller, "_restore", restore_and_note)
    patch(Controller, "_assign", assign_again)
    patch(controller, "_status_patch", patch_as_proxy)
    reads_addresses_alone()


@fault("TIER-03b")
def a_former_announcer_has_a_blackhole_route() -> None:
    """A node whose address moved to another one drops its own connections to it (projectcalico/calico#9152)."""
    reconcile, set_desired = Segment.reconcile, Segment.set_desired
    routed: set[bytes] = set()

    def change_route(address: bytes, *, add: bool) -> None:
        (routed.add if add else routed.discard)(address)
        kind, flags = (24, 0x501) if add else (25, 0x1)  # RTM_NEWROUTE, RTM_DELROUTE
        body = (2, 32, 0, 0, 254, 4, 0, 6, 0)  # AF_INET, /32, table main, RTPROT_STATIC, RTN_BLACKHOLE
        with suppress(OSError), links._netlink() as sock:
            sock.send(_ROUTE.pack(_ROUTE.size, kind, flags, 1, 0, *body, 8, 1, address))

    def reconcile_and_route(self: Segment, now: float, most: int | None = None) -> Plan:
        todo = reconcile(self, now, most)
        for address in todo.withdraw:
            if address in self.desired and not self.leaving:
                change_route(address, add=True)
        for address in todo.acquire.keys() & routed:
            change_route(address, add=False)
        return todo

    def forget(self: Segment, changes: Mapping[bytes, Offer | None]) -> None:
        set_desired(self, changes)
        for address in routed.intersection(address for address, offer in changes.items() if offer is None):
            change_route(address, add=False)

    patch(Segment, "reconcile", reconcile_and_route)
    patch(Segment, "set_desired", forget)


@fault(
    uncaught="no case has more than twenty addresses on a node",
    test="test_third_reader.py::test_a_node_answers_for_all_its_addresses",
)
def a_node_answers_for_twenty_addresses() -> None:
    """A node that announces more than twenty addresses, as many as keepalived advertises, answers for twenty."""
    answers = Segment.answers

    def answers_first(self: Segment, address: bytes, now: float) -> bool:
        return answers(self, address, now) and address in islice(self.claims, 20)

    patch(Segment, "answers", answers_first)


@fault("L2-06")
def announces_an_address_only_the_first_time() -> None:
    """A node that gets an address a second time sends no gratuitous ARP for it (similar: kube-vip#382)."""
    had: WeakKeyDictionary[Segment, set[bytes]] = WeakKeyDictionary()
    muted: WeakKeyDictionary[Segment, set[bytes]] = WeakKeyDictionary()
    reconcile, announce = Segment.reconcile, SegmentSpeaker._announce

    def reconcile_and_note(self: Segment, now: float, most: int | None = None) -> Plan:
        todo = reconcile(self, now, most)
        muted.setdefault(self, set()).update(todo.acquire.keys() & had.setdefault(self, set()))
        had[self].update(todo.acquire)
        return todo

    def announce_new(self: SegmentSpeaker, addresses: tuple[bytes, ...]) -> None:
        announce(self, tuple(address for address in addresses if address not in muted.get(self.segment, ())))

    patch(Segment, "reconcile", reconcile_and_note)
    patch(SegmentSpeaker, "_announce", announce_new)


@fault(
    uncaught="no sentence says that a node which dies while the API server is away is replaced",
    test="test_third_reader.py::test_a_death_while_the_api_server_is_away_moves_addresses",
)
def takes_nothing_over_while_the_api_server_is_away() -> None:
    """A node dies while the API server cannot be reached: none takes over (cilium/cilium#40735, kube-vip#732)."""

    def plan_with_api(view: SegmentView) -> Plan:
        todo = plan(view)
        return replace(todo, acquire={}) if view.outdated else todo

    patch(segment, "plan", plan_with_api)


@fault("FAIL-04")
def an_excluded_node_resumes_what_it_announced() -> None:
    """A node that was excluded and may announce again answers as before, beside the node that took over."""
    dormant: WeakKeyDictionary[Segment, set[bytes]] = WeakKeyDictionary()
    reconcile, answers, accept = Segment.reconcile, Segment.answers, Wire.accept_requests_for

    def reconcile_and_keep(self: Segment, now: float, most: int | None = None) -> Plan:
        todo = reconcile(self, now, most)
        kept = dormant.setdefault(self, set())
        kept.difference_update(todo.acquire)
        kept.update(one for one in todo.withdraw if one in self.desired and not self.desired[one].allows(*self.me))
        kept.intersection_update(self.desired)
        return todo

    def answers_again(self: Segment, address: bytes, now: float) -> bool:
        offer = self.desired.get(address) if address in dormant.get(self, ()) else None
        return answers(self, address, now) or (offer is not None and offer.allows(*self.me))

    def accept_dormant(self: Wire, addresses: Collection[bytes]) -> None:
        accept(self, set(addresses).union(*dormant.values()))

    patch(Segment, "reconcile", reconcile_and_keep)
    patch(Segment, "answers", answers_again)
    patch(Wire, "accept_requests_for", accept_dormant)


@fault("UPGR-01")
def a_restart_empties_the_status_of_a_request_for_a_moment() -> None:
    """A controller that starts judges requests for an address anew: their status is empty until that is done."""
    anew: set[str] = set()
    restore, assign = Controller._restore, Controller._assign

    def restore_and_note(self: Controller) -> None:
        restore(self)
        for key in self._allocator.allocations():
            with suppress(AllocationError):
                if read_address_request(key, self._objects("Service")[key]).requested_ip:
                    anew.add(key)

    async def assign_anew(self: Controller, key: str, service: Object, ip: str, pool: str | None) -> None:
        if key in anew:
            meta = service["metadata"]
            path = f"/api/v1/namespaces/{meta['namespace']}/services/{meta['name']}/status"
            await self._kube.call("PATCH", path, {"status": {"loadBalancer": {"ingress": None}}})
            anew.discard(key)
        else:
            await assign(self, key, service, ip, pool)

    patch(Controller, "_restore", restore_and_note)
    patch(Controller, "_assign", assign_anew)


@fault("UPGR-02")
def a_restart_gives_addresses_out_anew_by_age() -> None:
    """A controller that starts gives the oldest Service the lowest address, and so on (cilium/cilium#41147)."""

    def restore_by_age(self: Controller) -> None:
        for key in self._by_age(self._objects("Service")):
            service = self._objects("Service")[key]
            if is_managed(service, self._class) and ingress_ips(service):
                with suppress(AllocationError, *MALFORMED_OBJECT):
                    self._allocator.allocate(read_address_request(key, service))

    patch(Controller, "_restore", restore_by_age)


@fault("ETP-02")
def takes_the_internal_traffic_policy_for_the_external_one() -> None:
    """A Service with `internalTrafficPolicy: Local` is not answered by an announcer that hosts no endpoint."""
    silent: set[bytes] = set()
    make_offers, answers = Source._offers, Segment.answers

    def offer_and_note(self: Source, key: str) -> dict[bytes, Offer]:
        found = make_offers(self, key)
        service = self._informers[SERVICES].objects.get(key)
        if found and service and self._policy:
            slices = self._informers[SLICES].objects
            ready = self._policy._ready_nodes(slices[name] for name in self._slices.get(key, ()))
            is_silent = service["spec"].get("internalTrafficPolicy") == "Local" and self._node not in ready
            (silent.update if is_silent else silent.difference_update)(found)
        return found

    def answers_local(self: Segment, address: bytes, now: float) -> bool:
        return address not in silent and answers(self, address, now)

    patch(Source, "_offers", offer_and_note)
    patch(Segment, "answers", answers_local)


@fault("ETP-02")
def is_silent_when_endpoints_name_no_node() -> None:
    """A Service whose EndpointSlices somebody else writes, without `nodeName`, is not announced (metallb#1640)."""
    make_offers = AnnouncementPolicy.offers

    def offer_known(
        self: AnnouncementPolicy, key: str, service: Object, known: Known, slices: Iterable[Object]
    ) -> dict[bytes, Offer]:
        slices = list(slices)
        endpoints = [endpoint for one in slices for endpoint in one.get("endpoints") or []]
        if endpoints and not any(endpoint.get("nodeName") for endpoint in endpoints):
            return {}
        return make_offers(self, key, service, known, slices)

    patch(AnnouncementPolicy, "offers", offer_known)


@fault("CRD-01b")
def compares_the_last_octets_of_a_range() -> None:
    """A range such as 10.0.1.1-10.0.0.9, whose last octets alone are in order, is taken for a valid one."""

    def parse(text: str) -> AddressRange:
        try:
            return parse_range(text)
        except BadPoolError as error:
            if "reversed" not in str(error):
                raise
            first, last = pools._first_and_last(text.strip())
            if int(first) & 0xFF > int(last) & 0xFF:
                raise
            return AddressRange(first.version, int(first), int(last))

    patch(pools, "parse_range", parse)


@fault(
    uncaught="who uses the good block of a flagged pool may refuse another pool of it",
    test="test_third_reader.py::test_the_good_block_of_a_malformed_pool_is_free_for_others",
)
def a_malformed_pool_keeps_its_good_block_from_others() -> None:
    """A pool is refused if it overlaps a good block of an older pool that is malformed by another block."""
    parse_pools = pools.parse_pools

    def age(obj: Object) -> tuple[str, str]:
        return obj["metadata"].get("creationTimestamp", ""), obj["metadata"]["name"]

    def parse(objects: Iterable[Object]) -> tuple[list[Pool], dict[str, str]]:
        found = list(objects)
        good, bad = parse_pools(found)
        ages = {obj["metadata"]["name"]: age(obj) for obj in found}
        for obj in [one for one in found if one["metadata"]["name"] in bad]:
            for text in [*(obj["spec"].get("addresses") or [])]:
                with suppress(*MALFORMED_OBJECT):
                    block = parse_range(text)
                    younger = [pool for pool in good if ages[pool.name] > age(obj)]
                    taken = [pool for pool in younger if any(block.overlaps(one) for one in pool.ranges)]
                    bad |= {pool.name: f"{pool.ranges[0]} overlaps {block} of another pool" for pool in taken}
        return [pool for pool in good if pool.name not in bad], bad

    patch(controller, "parse_pools", parse)
    patch(offers, "parse_pools", parse)
