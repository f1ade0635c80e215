"""Faults that a second reader wrote from the requirements' sentences and from public reports about other projects."""

from __future__ import annotations

from bisect import insort
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tests.mutants.mutant import fault, patch

from lbproof_reference import pools
from lbproof_reference.controller import loop as controller_loop
from lbproof_reference.controller.allocate import (
    Allocation,
    AllocationError,
    Allocator,
    FreeList,
    read_address_request,
)
from lbproof_reference.controller.loop import Controller
from lbproof_reference.events import EventRecorder
from lbproof_reference.frames import announcements, read_arp
from lbproof_reference.informer import Informer
from lbproof_reference.pools import BadPoolError
from lbproof_reference.retained import parse_record
from lbproof_reference.services import assigned, ingress_ips, is_managed
from lbproof_reference.speaker import loop as speaker_loop
from lbproof_reference.speaker import offers as speaker_offers
from lbproof_reference.speaker import segment
from lbproof_reference.speaker.links import Link
from lbproof_reference.speaker.loop import SegmentSpeaker, Speaker
from lbproof_reference.speaker.offers import AnnouncementPolicy
from lbproof_reference.speaker.plan import plan

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from lbproof_reference.controller.allocate import AddressRequest
    from lbproof_reference.kube import Object
    from lbproof_reference.pools import IP, Pool
    from lbproof_reference.speaker.elect import Station
    from lbproof_reference.speaker.offers import Known
    from lbproof_reference.speaker.plan import Offer, Plan, SegmentView


@fault("POOL-01")
def address_returns_to_a_shrunk_pool() -> None:
    """A released address becomes free in the pool that it came from, though that pool was shrunk (metallb #1929)."""
    original = Allocator.release

    def release(self: Allocator, key: str, keep: Collection[IP] = ()) -> list[IP]:
        pool_of = dict(self._allocations.get(key, {}))
        released = original(self, key, keep)
        for ip in released:
            free = self._free_lists.get((pool_of[ip], ip.version))
            if free and self.pool_holding(ip) is None:
                insort(free._returned, int(ip))  # noqa: SLF001 - the fault
        return released

    patch(Allocator, "release", release)


@fault("POOL-02a")
def one_name_in_two_namespaces_is_one_service() -> None:
    """A Service shares the address of one of its name in another namespace (cloud-provider-equinix-metal #286)."""
    original = Allocator.allocate

    def allocate(self: Allocator, request: AddressRequest) -> Allocation:
        if request.requested_ip is None and self.allocation_of(request.key) is None:
            name = request.key.rpartition("/")[2]
            for key in self.allocations():
                if key.rpartition("/")[2] == name and (one := self.allocation_of(key, request.family)):
                    return one
        return original(self, request)

    patch(Allocator, "allocate", allocate)


@fault("POOL-03b")
def range_ends_with_the_last_octet() -> None:
    """A block that goes beyond an address ending in 255 gives only the addresses up to it (like metallb #2221)."""
    original = FreeList.__init__

    def init(self: FreeList, pool: Pool, family: int, excluded: Collection[IP] = ()) -> None:
        original(self, pool, family, excluded)
        blocks = [block for block in pool.ranges if block.family == family]
        self._unused = (
            number for one in blocks for number in range(one.first, min(one.last, one.first | 0xFF) + 1)
        )  # fmt: skip

    patch(FreeList, "__init__", init)


@fault("PEND-02")
def service_created_again_has_no_reason() -> None:
    """A Service that is created again while it waits has no reason: that of its name was reported (client-go)."""

    def about(self: Controller, service: Object) -> str:  # noqa: ARG001 - the interface
        return f"{service['metadata']['namespace']}/{service['metadata']['name']}"

    patch(Controller, "_about", about)


@fault("PEND-03a")
def only_the_oldest_waiting_service_is_woken() -> None:
    """A released address wakes only the Service that waits longest, even if that one cannot use it (metallb #1586)."""
    original = Controller._release  # noqa: SLF001 - patched below

    def release(self: Controller, key: str, keep: Iterable[IP] = ()) -> None:
        everyone = self._pending
        self._pending = set(self._by_age(everyone)[:1])
        original(self, key, keep)
        self._pending = everyone

    patch(Controller, "_release", release)


@fault("PEND-04a")
def widened_pool_is_dealt_again_by_age() -> None:
    """A pool that changes while a Service waits is assigned anew, to the oldest Services first (metallb #2723)."""
    original = Controller._pools_changed  # noqa: SLF001 - patched below

    def pools_changed(self: Controller, *what: object) -> None:
        original(self, *what)
        if self.ready and self._pending:
            for key in list(self._allocator.allocations()):
                self._allocator.release(key)
            self._enqueue(self._objects("Service"))

    patch(Controller, "_pools_changed", pools_changed)


@fault("REQ-02")
def gap_between_blocks_belongs_to_the_pool() -> None:
    """A requested address between two blocks of a pool is assigned, as its ends are compared (like metallb #2779)."""
    original = Allocator._allocate_requested  # noqa: SLF001 - patched below

    def allocate_requested(self: Allocator, request: AddressRequest, ip: IP) -> IP:
        try:
            return original(self, request, ip)
        except AllocationError:
            for pool in self._pools.values():
                blocks = [block for block in pool.ranges if block.family == ip.version == request.family]
                is_inside = bool(blocks) and blocks[0].first <= int(ip) <= blocks[-1].last
                if is_inside and self.pool_holding(ip) is None and ip not in self.holder:
                    return ip
            raise

    patch(Allocator, "_allocate_requested", allocate_requested)


@fault("REQ-03")
def different_ports_share_a_requested_address() -> None:
    """A requested address that another Service holds is assigned if their ports differ (kube-vip; metallb #121)."""
    original_allocate = Allocator.allocate
    ports: dict[str, set[int]] = {}

    def read(key: str, service: Object) -> AddressRequest:
        ports[key] = {one["port"] for one in service["spec"].get("ports") or []}
        return read_address_request(key, service)

    def allocate(self: Allocator, request: AddressRequest) -> Allocation:
        ip = request.requested_ip
        holder = request.key if ip is None else self.holder.get(ip, request.key)
        theirs, own = ports.get(holder), ports.get(request.key)
        if ip is not None and holder != request.key and theirs and own and not theirs & own:
            return Allocation(ip=ip, pool=self.pool_holding(ip) or "")
        return original_allocate(self, request)

    patch(controller_loop, "read_address_request", read)
    patch(Allocator, "allocate", allocate)


@fault(
    uncaught="no case interrupts the watch of a controller",
    test="test_second_reader.py::test_a_list_reports_what_was_deleted_meanwhile",
)
def deletion_between_two_watches_is_missed() -> None:
    """An object that is deleted while the watch is interrupted is forgotten without a notice (kube-vip #510)."""
    original_list, original_notify = Informer._list, Informer._notify  # noqa: SLF001 - patched below
    listing: set[int] = set()

    async def list_(self: Informer) -> None:
        listing.add(id(self))
        try:
            await original_list(self)
        finally:
            listing.discard(id(self))

    def notify(self: Informer, key: str, before: Object | None) -> None:
        if id(self) not in listing or key in self.objects:
            original_notify(self, key, before)

    patch(Informer, "_list", list_)
    patch(Informer, "_notify", notify)


@fault("RECL-03", "FAIL-08a")
def announcements_go_on_after_the_release() -> None:
    """The announcements of a new address are repeated every 3 s, and after its release (kube-vip #225)."""
    patch(speaker_loop, "ANNOUNCE_SECONDS", range(0, 60, 3))

    def announce(self: SegmentSpeaker, addresses: tuple[bytes, ...]) -> None:
        for address in addresses:
            for frame in announcements(address, self.link.mac):
                self._wire.send(frame)

    patch(SegmentSpeaker, "_announce", announce)


@fault("CLASS-01a")
def service_that_becomes_a_load_balancer_is_missed() -> None:
    """A change of a Service is ignored if it was no LoadBalancer before, as by a predicate on the old object."""
    original = Controller._service_changed  # noqa: SLF001 - patched below

    def service_changed(self: Controller, key: str, before: Object | None) -> None:
        if before is None or before["spec"].get("type") == "LoadBalancer":
            original(self, key, before)

    patch(Controller, "_service_changed", service_changed)


@fault("CLASS-02a")
def speaker_ignores_the_class() -> None:
    """The speaker answers for a Service of a foreign class whose status shows an address of a pool (kube-vip #851)."""

    def is_load_balancer(service: Object, lb_class: str | None) -> bool:  # noqa: ARG001 - the interface
        return bool(service["spec"].get("type") == "LoadBalancer")

    patch(speaker_offers, "is_managed", is_load_balancer)


@fault("EVT-02c")
def event_of_a_node_is_created_once() -> None:
    """The Event that names a node has a fixed name, so it is rejected when the address moves back (metallb #2310)."""
    original = EventRecorder._send  # noqa: SLF001 - patched below

    async def send(self: EventRecorder, event: Object) -> bool:
        if host := event["source"]["host"]:
            event["metadata"]["name"] = f"{event['involvedObject']['name']}.{event['reason']}.{host}"
        return await original(self, event)

    patch(EventRecorder, "_send", send)


@fault("EVT-03b")
def mark_is_written_with_a_new_address_only() -> None:
    """When a pool is replaced by another with the same range, the mark of an address goes on naming the old pool."""
    original = Controller._assign  # noqa: SLF001 - patched below

    async def assign(self: Controller, key: str, service: Object, ip: str, pool: str | None) -> None:
        noted_ip, noted_pool = assigned(service)
        is_written = ingress_ips(service) == [ip] and noted_ip == ip and noted_pool
        await original(self, key, service, ip, noted_pool if is_written else pool)

    patch(Controller, "_assign", assign)


class _FilteredWire:
    """Wire that drops some ARP frames."""

    def __init__(self, wire: Any, is_wanted: Callable[[bytes], bool]) -> None:  # noqa: ANN401 - Wire or a fake
        """Receive the ARP frames that `is_wanted` returns True for."""
        self._wire, self._is_wanted = wire, is_wanted

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any attribute of the wire
        return getattr(self._wire, name)

    def requests(self, limit: int = 256) -> Iterator[bytes]:
        """Yield the queued ARP frames that are wanted."""
        return (frame for frame in self._wire.requests(limit) if self._is_wanted(frame))


@fault(
    uncaught="no case asks from another subnet: Linux itself ignores that where rp_filter is strict",
    test="test_second_reader.py::test_an_asker_with_an_address_of_another_subnet_is_answered",
)
def asker_of_another_subnet_is_ignored() -> None:
    """A request from an address outside the interface's subnets is ignored; Linux sends such (arp_announce 0)."""
    original = SegmentSpeaker.__init__

    def init(self: SegmentSpeaker, *args: Any) -> None:  # noqa: ANN401 - the interface
        original(self, *args)

        def is_wanted(frame: bytes) -> bool:
            arp = read_arp(frame)
            if arp is None or arp.sender == bytes(4):
                return True
            number = int.from_bytes(arp.sender)
            return any(net.version == 4 and int(net[0]) <= number <= int(net[-1]) for net in self.link.subnets)

        wire: Any = _FilteredWire(self._wire, is_wanted)
        self._wire = wire

    patch(SegmentSpeaker, "__init__", init)


@fault(
    uncaught="no case changes the hardware address of a node",
    test="test_second_reader.py::test_a_link_with_another_mac_address_is_another_link",
)
def mac_address_of_the_start_is_kept() -> None:
    """After the MAC address of an interface changed, as that of a bond may, answers have the old one (metallb #316)."""
    original = SegmentSpeaker.set_link

    def is_same(self: Link, other: Link | None) -> bool:
        return other is not None and self.index == other.index

    def set_link(self: SegmentSpeaker, link: Link) -> None:
        original(self, replace(link, mac=self.link.mac))

    patch(Link, "is_same", is_same)
    patch(SegmentSpeaker, "set_link", set_link)


@fault("L2-04c")
def no_advertisement_means_all_pools() -> None:
    """When the last L2Advertisement is gone, or there is none, every pool is announced (microk8s-core-addons #92)."""
    original = AnnouncementPolicy.__init__

    def init(self: AnnouncementPolicy, *, advertisements: Iterable[Object], **more: Any) -> None:  # noqa: ANN401 - JSON
        default: Object = {"metadata": {"name": "default", "namespace": "default"}, "spec": {}}
        original(self, advertisements=list(advertisements) or [default], **more)

    patch(AnnouncementPolicy, "__init__", init)


@fault("FAIL-01")
def minority_takes_nothing_over() -> None:
    """A station takes nothing over unless it hears more than half of all stations (a quorum, as etcd has)."""
    most: dict[Station, int] = {}

    def quorum_plan(view: SegmentView) -> Plan:
        heard = 1 + len(view.peers)
        most[view.me] = max(most.get(view.me, 0), heard)
        todo = plan(view)
        return replace(todo, acquire={}) if 2 * heard <= most[view.me] else todo

    patch(segment, "plan", quorum_plan)


@fault(
    uncaught="FAIL-05 catches it in some runs: others can announce too, and it needs the node whose cable was out",
    test="test_second_reader.py::test_a_link_that_is_back_is_opened_again",
)
def interface_is_opened_once() -> None:
    """An interface that lost its carrier is never used again, though the cable is back (kube-vip #173)."""
    original = Speaker._open_link  # noqa: SLF001 - patched below
    opened: set[tuple[int, str]] = set()

    def open_link(self: Speaker, link: Link) -> bool:
        if (id(self), link.name) in opened or not original(self, link):
            return False
        opened.add((id(self), link.name))
        return True

    patch(Speaker, "_open_link", open_link)


@fault(
    uncaught="after a return, two nodes may answer for as long as the budget one_answerer",
    test="test_second_reader.py::test_a_returning_node_listens_before_it_answers",
)
def returning_node_answers_before_it_listens() -> None:
    """A speaker that starts answers before it has heard the others, so two answer for a moment (kube-vip #1385)."""

    def is_listening(self: segment.Segment, now: float) -> bool:  # noqa: ARG001 - the interface
        return False

    patch(segment.Segment, "_is_listening", is_listening)


@fault("UPGR-02")
def statuses_are_read_in_order_of_age() -> None:
    """A restart restores the addresses in order of age, so an older Service that waits takes one (metallb #2443)."""
    original = Controller._reconcile  # noqa: SLF001 - patched below

    def restore(self: Controller) -> None:
        """Restore nothing before the first decision."""

    async def reconcile(self: Controller, key: str) -> None:
        service = self._objects("Service").get(key)
        if service and is_managed(service, self._class) and self._allocator.allocation_of(key) is None:
            recorded = parse_record(self._record, self._skip_log).get(key)
            for text in ingress_ips(service)[:1]:
                self._restore_address(key, text, recorded, in_status=True)
        await original(self, key)

    patch(Controller, "_restore", restore)
    patch(Controller, "_reconcile", reconcile)


@fault("ETP-03a", "ETP-03d")
def local_service_narrows_its_pool() -> None:
    """A Service with policy Local leaves only its endpoints' nodes to all Services of its pool (like metallb #302)."""
    original = AnnouncementPolicy.offers

    def offers(
        self: AnnouncementPolicy, key: str, service: Object, known: Known, slices: Iterable[Object]
    ) -> dict[bytes, Offer]:
        found = original(self, key, service, known, slices)
        for ip, pool in known.pools.items():
            if ip.packed in found:
                self._allowed[pool] = found[ip.packed].allowed
        return found

    patch(AnnouncementPolicy, "offers", offers)


@fault("CRD-01a")
def bad_block_beside_a_good_one_is_skipped() -> None:
    """A pool with a good and a malformed block is accepted, and used without the latter (like metallb #948)."""
    original = pools.parse_pool

    def parse_pool(pool: Object) -> Pool:
        good: list[str] = []
        for text in pool["spec"].get("addresses") or []:
            try:
                pools.parse_range(text)
            except BadPoolError:
                continue
            good.append(text)
        return original({**pool, "spec": {**pool["spec"], "addresses": good}} if good else pool)

    patch(pools, "parse_pool", parse_pool)
