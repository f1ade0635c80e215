"""Wrong implementations that a reader of the requirements' sentences thought of, who had not seen the checks."""
# ruff: noqa: SLF001 - a fault replaces what is private

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from tests.mutants.mutant import fault, patch

from lbproof_reference import pools
from lbproof_reference.controller import allocate
from lbproof_reference.controller import loop as controlling
from lbproof_reference.controller.allocate import AllocationError, Allocator, read_address_request
from lbproof_reference.controller.loop import Controller
from lbproof_reference.events import EventRecorder
from lbproof_reference.frames import arp_reply, read_arp
from lbproof_reference.kube import SERVICES
from lbproof_reference.pools import parse_ip
from lbproof_reference.services import ingress_ips, is_managed
from lbproof_reference.speaker import offers as announceable
from lbproof_reference.speaker import segment
from lbproof_reference.speaker.loop import SegmentSpeaker, Speaker
from lbproof_reference.speaker.offers import AnnouncementPolicy, OfferIndex
from lbproof_reference.speaker.plan import plan
from lbproof_reference.speaker.segment import Segment
from lbproof_reference.speaker.source import Source

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from lbproof_reference.kube import Object
    from lbproof_reference.pools import IP, AddressRange, Pool
    from lbproof_reference.speaker.links import Link
    from lbproof_reference.speaker.offers import Known
    from lbproof_reference.speaker.plan import Offer, Plan, SegmentView


def _free(controller: Controller, key: str, ip: IP) -> None:
    """Free an address for which a deleted Service is thought responsible, although another Service has it."""
    allocator = controller._allocator
    if allocator.holder.get(ip, key) != key:
        del allocator.holder[ip]
        if name := allocator.pool_of(ip):
            allocator._free_lists[name, ip.version].put_back(int(ip))
        controller._enqueue(controller._pending)


@fault("POOL-01")
def released_address_outside_a_shrunk_pool_is_given() -> None:
    """An address that was released after its pool had been shrunk is given to the next Service."""
    release, assign = Allocator.release, Allocator.assign
    left: dict[IP, str] = {}

    def releasing(self: Allocator, key: str, keep: Collection[IP] = ()) -> list[IP]:
        names = dict(self._allocations.get(key, {}))
        released = release(self, key, keep)
        for ip in released:
            if self.pool_holding(ip) is None and names[ip] in self._pools:
                left[ip] = names[ip]
                self._free_lists[names[ip], ip.version]._returned.insert(0, int(ip))
        return released

    def assigning(self: Allocator, key: str, ip: IP, pool: str = "", *args: Any, **options: Any) -> bool:  # noqa: ANN401 - as is
        return assign(self, key, ip, pool or left.get(ip, ""), *args, **options)

    patch(Allocator, "release", releasing)
    patch(Allocator, "assign", assigning)


@fault("POOL-02a")
def deletion_frees_the_address_that_was_released_before() -> None:
    """The deletion of a Service that was a LoadBalancer once frees its former address, which another Service has."""
    change, assign = Controller._service_changed, Controller._assign
    last: WeakKeyDictionary[Controller, dict[str, IP]] = WeakKeyDictionary()

    async def assigning(self: Controller, key: str, service: Object, ip: str, pool: str | None) -> None:
        last.setdefault(self, {})[key] = parse_ip(ip)
        await assign(self, key, service, ip, pool)

    def changing(self: Controller, key: str, before: Object | None) -> None:
        change(self, key, before)
        if key not in self._objects("Service") and (ip := last.get(self, {}).pop(key, None)):
            _free(self, key, ip)

    patch(Controller, "_assign", assigning)
    patch(Controller, "_service_changed", changing)


@fault("PEND-03a", "PEND-03b")
def freed_address_wakes_the_oldest_alone() -> None:
    """A freed address wakes the Service that waits longest, and no other if that one asks for another address.

    After metallb #321 and #399.
    """
    release = Controller._release

    def releasing(self: Controller, key: str, keep: Iterable[IP] = ()) -> None:
        pending = self._pending
        self._pending = set(self._by_age(pending - {key})[:1])
        release(self, key, keep)
        self._pending = pending

    patch(Controller, "_release", releasing)


@fault("PEND-04a")
def request_outside_all_pools_is_final() -> None:
    """A Service that asked for an address or a pool that there was not is not tried again when there is one."""
    mark = Controller._mark_pending

    async def marking(self: Controller, key: str, service: Object, reason: str) -> None:
        await mark(self, key, service, reason)
        if "it is in no pool" in reason or "unknown pool" in reason:
            self._pending.discard(key)

    patch(Controller, "_mark_pending", marking)


@fault("REQ-02")
def gap_between_two_blocks_belongs_to_the_pool() -> None:
    """A pool of several blocks is taken to reach from its first address to its last for an address that is asked for.

    What lies between the blocks is assigned and announced.
    """

    def holding(ip: IP, index: Sequence[tuple[AddressRange, str]]) -> str | None:
        spans: dict[str, list[int]] = {}
        for one, name in index:
            if one.family == ip.version:
                spans.setdefault(name, []).extend((one.first, one.last))
        return next((name for name, ends in spans.items() if min(ends) <= int(ip) <= max(ends)), None)

    patch(allocate, "pool_holding", holding)
    patch(announceable, "pool_holding", holding)


@fault("REQ-03")
def deletion_frees_the_address_that_was_asked_for() -> None:
    """The deletion of a Service frees the address that it asked for, also one that it was refused and another has."""
    change = Controller._service_changed

    def changing(self: Controller, key: str, before: Object | None) -> None:
        change(self, key, before)
        if before and key not in self._objects("Service"):
            try:
                ip = read_address_request(key, before).requested_ip
            except AllocationError:
                return
            if ip:
                _free(self, key, ip)

    patch(Controller, "_service_changed", changing)


@fault("RECL-02a", "RECL-02b", "RECL-02c")
def service_whose_class_goes_with_its_type_is_not_cleaned_up() -> None:
    """A Service with a class that becomes ClusterIP keeps its address, as the API server removes its class too.

    After kube-vip #1700 and predicates of controllers that compare the class of each event.
    """
    reconcile = Controller._reconcile
    classes: WeakKeyDictionary[Controller, dict[str, str]] = WeakKeyDictionary()

    async def reconciling(self: Controller, key: str) -> None:
        known, service = classes.setdefault(self, {}), self._objects("Service").get(key)
        if service:
            uid, lb_class = service["metadata"]["uid"], service["spec"].get("loadBalancerClass")
            if lb_class and is_managed(service, self._class):
                known[uid] = lb_class
            if known.get(uid, lb_class) != lb_class:
                return
        await reconcile(self, key)

    patch(Controller, "_reconcile", reconciling)


@fault("REQ-05a")
def former_address_of_a_moved_service_is_still_announced() -> None:
    """A Service that gets another address is announced at both (metallb #471, kube-vip #998)."""
    update = OfferIndex.update

    def updating(self: OfferIndex, key: str, offers: dict[bytes, Offer]) -> dict[bytes, Offer | None]:
        return update(self, key, self._of.get(key, {}) | offers if offers else offers)

    patch(OfferIndex, "update", updating)


@fault("CLASS-02b")
def restart_empties_foreign_statuses() -> None:
    """A controller that starts empties the statuses of Services that it does not hold (cilium #37965, #39805)."""
    restore, reconcile = Controller._restore, Controller._reconcile
    foreign: WeakKeyDictionary[Controller, set[str]] = WeakKeyDictionary()

    def restoring(self: Controller) -> None:
        restore(self)
        services = self._objects("Service")
        foreign[self] = {key for key, one in services.items() if ingress_ips(one) and not is_managed(one, self._class)}

    async def reconciling(self: Controller, key: str) -> None:
        service = self._objects("Service").get(key)
        if service and key in foreign.get(self, ()):
            foreign[self].discard(key)
            await self._write(key, service, None, None)
        await reconcile(self, key)

    patch(Controller, "_restore", restoring)
    patch(Controller, "_reconcile", reconciling)


@fault("CLASS-01a")
def service_that_is_a_loadbalancer_again_is_not_served() -> None:
    """A Service that was changed to ClusterIP and back is taken for one that is served already.

    After kube-vip-cloud-provider #32.
    """
    reconcile = Controller._reconcile
    states: WeakKeyDictionary[Controller, dict[str, bool]] = WeakKeyDictionary()

    async def reconciling(self: Controller, key: str) -> None:
        service = self._objects("Service").get(key)
        if service:
            is_first, uid = states.setdefault(self, {}), service["metadata"]["uid"]
            if is_managed(service, self._class):
                if not is_first.setdefault(uid, True):
                    return
            elif uid in is_first:
                is_first[uid] = False
        await reconcile(self, key)

    patch(Controller, "_reconcile", reconciling)


@fault("EVT-01a", "EVT-01b")
def second_event_of_one_reason_has_a_name_that_is_taken() -> None:
    """The controller names an Event after Service and reason alone: the API server refuses the second one."""
    send = EventRecorder._send

    async def sending(self: EventRecorder, event: Object) -> bool:
        if self._source["component"] == controlling.COMPONENT:
            event["metadata"]["name"] = f"{event['involvedObject']['name']}.{event['reason']}".lower()
        return await send(self, event)

    patch(EventRecorder, "_send", sending)


@fault("EVT-02d")
def starting_speaker_names_itself_for_what_others_announce() -> None:
    """A speaker that starts records the Event that it announces for each Service that it could announce.

    Another node announces them; metallb #430 is about Events at each synchronisation.
    """
    run = Source.run

    async def running(
        self: Source, set_desired: Callable[[Mapping[bytes, Offer | None]], None], on_listed: Callable[[], None]
    ) -> None:
        found: set[str] = set()

        def listed() -> None:
            found.update(self._informers[SERVICES].objects)
            on_listed()

        def desired(changes: Mapping[bytes, Offer | None]) -> None:
            set_desired(changes)
            for service in found & {offer.service for offer in changes.values() if offer}:
                found.discard(service)
                self.record_announcement(service)

        await run(self, desired, listed)

    patch(Source, "run", running)


@fault("TIER-06d")
def standbys_answer_the_announcer() -> None:
    """The nodes that do not announce an address answer the one that does, when its kernel asks for the address.

    So what it receives at a port that nobody uses goes in circles between nodes; cilium #32195 is another such loop.
    """
    begin, desire = SegmentSpeaker.__init__, SegmentSpeaker.set_desired

    def beginning(self: SegmentSpeaker, *args: Any) -> None:  # noqa: ANN401 - of the original
        begin(self, *args)
        receive, accept = self._wire.requests, self._wire.accept_requests_for

        def requests(limit: int = 256) -> Iterator[bytes]:
            for frame in receive(limit):
                arp = read_arp(frame)
                for peer in self.segment.peers.live.values():
                    if arp and arp.needs_reply and arp.mac == peer.mac and arp.target in peer.claims:
                        self._wire.send(arp_reply(arp, self.link.mac))
                yield frame

        vars(self._wire).update(
            requests=requests,
            accept_requests_for=lambda _: accept(self.segment.claims.keys() | self.segment.desired.keys()),
        )

    def desiring(self: SegmentSpeaker, changes: Mapping[bytes, Offer | None]) -> None:
        desire(self, changes)
        if self.is_open:
            self._wire.accept_requests_for(())

    patch(SegmentSpeaker, "__init__", beginning)
    patch(SegmentSpeaker, "set_desired", desiring)


@fault("TIER-11a")
def edit_of_ports_withdraws_the_address() -> None:
    """A Service whose ports were edited is withdrawn to be announced anew, which does not come about.

    After kube-vip #953 and #1040.
    """
    offer = Source._offers
    ports: WeakKeyDictionary[Source, dict[str, list[object]]] = WeakKeyDictionary()

    def offering(self: Source, key: str) -> dict[bytes, Offer]:
        if service := self._informers[SERVICES].objects.get(key):
            now: list[object] = [(one.get("port"), one.get("protocol")) for one in service["spec"].get("ports") or []]
            if ports.setdefault(self, {}).setdefault(service["metadata"]["uid"], now) != now:
                return {}
        return offer(self, key)

    patch(Source, "_offers", offering)


@fault("L2-04c")
def deleted_advertisement_has_effect_until_the_next_change() -> None:
    """The deletion of an advertisement is not noticed: its pools are announced until something else changes."""
    change = Source._policy_changed

    def changing(self: Source, *args: Any) -> None:  # noqa: ANN401 - of the original
        if len(args) > 1 and args[1]:
            key, before = args
            is_pool = "addresses" in (before.get("spec") or {})
            if not is_pool and key not in self._informers[self._advertisements_path].objects:
                return
        change(self, *args)

    patch(Source, "_policy_changed", changing)


@fault("L2-06")
def address_that_is_acquired_again_is_not_announced() -> None:
    """A node sends gratuitous ARP when it gets an address first, and not when the address is given again or returns."""
    reconcile, announce = Segment.reconcile, SegmentSpeaker._announce
    times: WeakKeyDictionary[Segment, dict[bytes, int]] = WeakKeyDictionary()

    def reconciling(self: Segment, now: float, most: int | None = None) -> Plan:
        done, counts = reconcile(self, now, most), times.setdefault(self, {})
        for address in done.acquire:
            counts[address] = counts.get(address, 0) + 1
        return done

    def announcing(self: SegmentSpeaker, addresses: tuple[bytes, ...]) -> None:
        counts = times.get(self.segment, {})
        announce(self, tuple(address for address in addresses if counts.get(address, 0) < 2))

    patch(Segment, "reconcile", reconciling)
    patch(SegmentSpeaker, "_announce", announcing)


@fault("UPGR-03")
def speaker_that_starts_beside_an_announcer_never_announces() -> None:
    """A speaker that starts while others announce stays a standby for good, also when they die (keepalived #2599)."""
    reconcile = Segment.reconcile
    passive: WeakKeyDictionary[Segment, bool] = WeakKeyDictionary()
    is_passive = False

    def reconciling(self: Segment, now: float, most: int | None = None) -> Plan:
        nonlocal is_passive
        if not self._is_listening(now):
            passive.setdefault(self, any(peer.claims for peer in self.peers.live.values()))
        is_passive = passive.get(self, False)
        return reconcile(self, now, most)

    def deciding(view: SegmentView) -> Plan:
        return replace(plan(view), acquire={}) if is_passive else plan(view)

    patch(Segment, "reconcile", reconciling)
    patch(segment, "plan", deciding)


@fault("FAIL-05")
def link_that_came_back_is_not_answered_on() -> None:
    """A node whose cable was pulled and is back takes part in elections, and reads no ARP request any more."""
    use, start = Speaker.use_links, Speaker._open_link
    gone: WeakKeyDictionary[Speaker, set[str]] = WeakKeyDictionary()

    def using(self: Speaker, links: Mapping[str, Link]) -> None:
        gone.setdefault(self, set()).update(self._segment_speakers.keys() - links.keys())
        use(self, links)

    def starting(self: Speaker, link: Link) -> bool:
        is_open = start(self, link)
        if is_open and link.name in gone[self]:
            one = self._segment_speakers[link.name]
            one._loop.remove_reader(one._wire.arp)
        return is_open

    patch(Speaker, "use_links", using)
    patch(Speaker, "_open_link", starting)


@fault("UPGR-01")
def unmet_request_costs_the_address_at_a_restart() -> None:
    """A Service that has an address and asks for one that it cannot have loses the former when the controller starts.

    After metallb #1591, whose controller clears what its configuration does not allow.
    """
    restore, reconcile, mark = Controller._restore, Controller._reconcile, Controller._mark_pending
    fresh: WeakKeyDictionary[Controller, set[str]] = WeakKeyDictionary()

    def restoring(self: Controller) -> None:
        restore(self)
        fresh[self] = set(self._objects("Service"))

    async def reconciling(self: Controller, key: str) -> None:
        try:
            await reconcile(self, key)
        finally:
            fresh.get(self, set()).discard(key)

    async def marking(self: Controller, key: str, service: Object, reason: str) -> None:
        if key in fresh.get(self, ()):
            self._allocator.release(key)
        await mark(self, key, service, reason)

    patch(Controller, "_restore", restoring)
    patch(Controller, "_reconcile", reconciling)
    patch(Controller, "_mark_pending", marking)


@fault("UPGR-02")
def restart_serves_explicit_requests_first() -> None:
    """When the controller starts, a Service that asks for an address gets it before the one that has it.

    After metallb #2443 and cilium #43131.
    """
    restore = Controller._restore

    def restoring(self: Controller) -> None:
        for key in self._by_age(self._objects("Service")):
            service = self._objects("Service")[key]
            with self._skip_log.reading("Service", key):
                try:
                    ip = is_managed(service, self._class) and read_address_request(key, service).requested_ip
                except AllocationError:
                    continue
                if ip and self._allocator.pool_of(ip):
                    self._allocator.assign(key, ip)
        restore(self)

    patch(Controller, "_restore", restoring)


@fault("ETP-02")
def endpoints_without_a_node_are_not_announced() -> None:
    """A Service whose endpoints name no node is announced by nobody (metallb #646, #717)."""
    offer = AnnouncementPolicy.offers

    def offering(
        self: AnnouncementPolicy, key: str, service: Object, known: Known, slices: Iterable[Object]
    ) -> dict[bytes, Offer]:
        slices = list(slices)
        has_endpoints = any(one.get("endpoints") for one in slices)
        return {} if has_endpoints and not self._ready_nodes(slices) else offer(self, key, service, known, slices)

    patch(AnnouncementPolicy, "offers", offering)


@fault("ETP-02")
def advertisement_must_select_a_node_with_an_endpoint() -> None:
    """With policy Cluster, nobody announces if all endpoints are on nodes that may not announce (metallb #302)."""
    offer = AnnouncementPolicy.offers

    def offering(
        self: AnnouncementPolicy, key: str, service: Object, known: Known, slices: Iterable[Object]
    ) -> dict[bytes, Offer]:
        slices = list(slices)
        ready = self._ready_nodes(slices)
        found = offer(self, key, service, known, slices)
        return {ip: one for ip, one in found.items() if not ready or any(some.nodes & ready for some in one.allowed)}

    patch(AnnouncementPolicy, "offers", offering)


@fault("CRD-01a", "CRD-01b", "CRD-01c")
def bad_entry_beside_a_good_one_is_skipped() -> None:
    """An entry of a pool that cannot be read is skipped without a word, if the pool has another that can."""
    parse = pools.parse_pool

    def is_fine(text: str) -> bool:
        try:
            pools.parse_range(text)
        except pools.BadPoolError:
            return False
        return True

    def parsing(pool: Object) -> Pool:
        fine = [text for text in pool["spec"].get("addresses") or [] if is_fine(text)]
        return parse({**pool, "spec": {**pool["spec"], "addresses": fine}} if fine else pool)

    patch(pools, "parse_pool", parsing)


@fault("CRD-01a", "CRD-01b", "CRD-01c")
def one_bad_pool_holds_up_all_changes() -> None:
    """While one pool is malformed, the pools stay as they were before: a new one is not used (metallb #462, #2245)."""
    last: list[Pool] = []

    def parsing(objects: Iterable[Object]) -> tuple[list[Pool], dict[str, str]]:
        nonlocal last
        good, bad = pools.parse_pools(objects)
        last = last if bad else good
        return last, bad

    patch(controlling, "parse_pools", parsing)
