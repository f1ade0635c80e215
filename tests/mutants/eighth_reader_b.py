"""Faults that an eighth reader of the requirements' sentences expects in implementations; the checks were not read.

They are of the wire, faults, Pending, sharing, classes, families and pools as objects. The docstring of each names the
issue or the pull request that inspired it, where there is one.
"""

from __future__ import annotations

import math
import time
from contextlib import suppress
from dataclasses import replace
from itertools import dropwhile
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from tests.mutants.mutant import fault, patch

from lbproof_reference import pools as pool_ranges
from lbproof_reference.controller import loop as controller
from lbproof_reference.controller.allocate import ALONE, Allocator, Sharing
from lbproof_reference.controller.loop import Controller
from lbproof_reference.events import EventRecorder
from lbproof_reference.nodes import may_announce, relevant_fields
from lbproof_reference.pools import BadPoolError, parse_ip, pool_holding
from lbproof_reference.services import annotation, ingress, ingress_ips, is_managed, shown_ips
from lbproof_reference.speaker import offers as speaker_offers
from lbproof_reference.speaker import segment, source
from lbproof_reference.speaker.elect import Claim
from lbproof_reference.speaker.loop import SegmentSpeaker
from lbproof_reference.speaker.offers import AnnouncementPolicy
from lbproof_reference.speaker.peers import Peer, Peers
from lbproof_reference.speaker.plan import Hearing, plan
from lbproof_reference.speaker.source import Source

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from lbproof_reference.controller.allocate import FreeList
    from lbproof_reference.kube import Object
    from lbproof_reference.pools import IP, AddressRange, Pool
    from lbproof_reference.speaker.offers import Known
    from lbproof_reference.speaker.plan import Plan, SegmentView

_ANNOUNCEMENT_SECONDS = 1.0


@fault("L2-04b")
def a_request_in_a_pool_is_announced() -> None:
    """Speakers announce the address of a pool that a Service asks for, and wait for no status (kube-vip #1058)."""
    real = AnnouncementPolicy.announceable

    def announceable(self: AnnouncementPolicy, key: str, service: Object, before: Known | None) -> Known:
        known = real(self, key, service, before)
        asked = annotation(service, "loadBalancerIPs") or service["spec"].get("loadBalancerIP") or ""
        if ingress(service) or not is_managed(service, self._class):
            return known
        found: dict[IP, str] = {}
        for text in asked.split(","):
            with suppress(ValueError):
                ip = parse_ip(text.strip())
                if ip not in self._of_nodes and (pool := pool_holding(ip, self._index)):
                    found[ip] = pool
        return replace(known, pools={**known.pools, **found})

    patch(AnnouncementPolicy, "announceable", announceable)


@fault("L2-06")
def one_address_is_announced_a_second() -> None:
    """A node sends announcements of one address a second on a link; those of others are dropped, and not delayed.

    RFC 4861 section 7.2.6 limits them for each address, not for each interface.
    """
    real = SegmentSpeaker._announce  # noqa: SLF001 - patched
    last: WeakKeyDictionary[SegmentSpeaker, float] = WeakKeyDictionary()

    def announce(self: SegmentSpeaker, addresses: tuple[bytes, ...]) -> None:
        for address in addresses:
            now = time.monotonic()
            if now - last.get(self, -math.inf) >= _ANNOUNCEMENT_SECONDS and self.segment.answers(address, now):
                last[self] = now
                real(self, (address,))

    patch(SegmentSpeaker, "_announce", announce)


@fault("FAIL-06d")
def who_is_heard_is_taken_to_hear() -> None:
    """Speakers think that whoever they hear hears them too, and relay nothing for each other (metallb #740)."""
    real = Peers.take_relays

    def judge(self: Peer, _: float) -> bool:
        before, self.hearing, self.hears_until = self.hearing, Hearing.MUTUAL, self.until
        return before is not Hearing.MUTUAL

    def take_relays(self: Peers, now: float) -> list[bytes]:
        real(self, now)
        return []

    patch(Peer, "judge", judge)
    patch(Peers, "take_relays", take_relays)


@fault("FAIL-09d")
def a_node_that_is_not_ready_is_dead_to_others() -> None:
    """Speakers take over from a node that is not Ready, though it answers, and it alone goes on (metallb #2514)."""
    start, make = Source.__init__, AnnouncementPolicy.__init__
    names, down = set[str](), set[str]()

    def is_ready(node: Object) -> bool:
        conditions = (node.get("status") or {}).get("conditions") or []
        return all(one.get("status") == "True" for one in conditions if one.get("type") == "Ready")

    def start_source(self: Source, *args: Any, node: str, **options: Any) -> None:  # noqa: ANN401 - as the real one
        names.add(node)
        start(self, *args, node=node, **options)

    def make_policy(self: AnnouncementPolicy, *, nodes: Iterable[Object], **options: Any) -> None:  # noqa: ANN401
        known = list(nodes)
        down.clear()
        down.update({node["metadata"]["name"] for node in known if not is_ready(node)} - names)
        make(self, nodes=known, **options)

    def may_announce_if_ready(node: Object, *, ignore_exclude: bool = False) -> bool:
        return node["metadata"]["name"] not in down and may_announce(node, ignore_exclude=ignore_exclude)

    def plan_without(view: SegmentView) -> Plan:
        live = {station: peer for station, peer in view.peers.items() if station.node not in down}
        lost = {address for station, peer in view.peers.items() if station not in live for address in peer.claims}
        todo = plan(replace(view, peers=live))
        acquire = {
            address: Claim(standing=0, epoch=claim.epoch) if address in lost else claim
            for address, claim in todo.acquire.items()
        }
        return replace(todo, acquire=acquire)

    patch(Source, "__init__", start_source)
    patch(AnnouncementPolicy, "__init__", make_policy)
    patch(speaker_offers, "may_announce", may_announce_if_ready)
    patch(source, "relevant_fields", lambda node: (relevant_fields(node), bool(node) and is_ready(node)))
    patch(segment, "plan", plan_without)


@fault("PEND-02")
def a_reason_is_told_once_for_each_name() -> None:
    """The Event that says why a Service is Pending is named after it, so that only the first one can be created.

    A later reason, and that of a later Service of the same name, is rejected while the first Event is kept.
    """
    real = EventRecorder._send  # noqa: SLF001 - patched

    async def send(self: EventRecorder, event: Object) -> bool:
        if event["reason"] == "AllocationFailed":
            event["metadata"]["name"] = f"{event['involvedObject']['name']}.allocation-failed"
        return await real(self, event)

    patch(EventRecorder, "_send", send)


@fault("PEND-03a")
def the_oldest_that_waits_holds_up_the_others() -> None:
    """A freed address is offered to the oldest Service that waits alone, which may want another one (metallb #1586)."""
    real = Controller._enqueue  # noqa: SLF001 - patched

    def enqueue(self: Controller, keys: Iterable[str]) -> None:
        real(self, self._by_age(keys)[:1] if keys is self._pending else keys)

    patch(Controller, "_enqueue", enqueue)


@fault("PEND-04b")
def a_pool_is_not_widened_at_its_beginning() -> None:
    """A pool goes on behind the last address that it gave, so what is added before that one is never given."""
    real = Allocator.set_pools

    def go_on(free: FreeList, last: int, returned: list[int]) -> None:
        free._unused = (number for number in dropwhile(lambda number: number <= last, free._unused))  # noqa: SLF001
        free._used, free._returned = last, returned  # noqa: SLF001 - patched

    def set_pools(self: Allocator, pools: Iterable[Pool], of_nodes: Collection[IP] = ()) -> None:
        before: dict[tuple[str, int], FreeList] = getattr(self, "_free_lists", {})
        real(self, pools, of_nodes)
        for place, free in self._free_lists.items():
            if old := before.get(place):
                ranges = [one for one in free.pool.ranges if one.family == place[1]]
                left = [number for number in old._returned if any(one.first <= number <= one.last for one in ranges)]  # noqa: SLF001
                go_on(free, old._used, left)  # noqa: SLF001 - patched

    patch(Allocator, "set_pools", set_pools)


@fault("SHARE-02c")
def one_consent_to_share_is_enough() -> None:
    """A Service that asks for an address and to share it is given that of another one that does not (metallb #2421).

    The other one keeps it, and is from then on one of those that share.
    """
    conflict, assign = Allocator.conflict, Allocator.assign

    def is_alone(self: Allocator, key: str, ip: IP) -> bool:
        return self.holder.get(ip, key) != key and ip not in self._sharers

    def as_joined(self: Allocator, key: str, ip: IP, sharing: Sharing) -> Sharing:
        joined = self._sharers.get(ip, {}).get(key)
        return joined if joined and not joined.ports and not sharing.key else sharing

    def conflict_of_two(self: Allocator, key: str, ip: IP, sharing: Sharing) -> str | None:
        if sharing.key and is_alone(self, key, ip):
            return None
        return conflict(self, key, ip, as_joined(self, key, ip, sharing))

    def assign_beside(self: Allocator, key: str, ip: IP, pool: str = "", sharing: Sharing = ALONE) -> bool:
        if sharing.key and is_alone(self, key, ip):
            self._sharers[ip] = {self.holder[ip]: Sharing(key=sharing.key)}
        return assign(self, key, ip, pool, as_joined(self, key, ip, sharing))

    patch(Allocator, "conflict", conflict_of_two)
    patch(Allocator, "assign", assign_beside)


@fault("SHARE-04")
def only_its_first_service_gives_an_address_back() -> None:
    """A shared address is released by the Service that it was allocated to, and not if another one has it last."""
    real = Allocator.release
    orphans: WeakKeyDictionary[Allocator, set[IP]] = WeakKeyDictionary()

    def release(self: Allocator, key: str, keep: Collection[IP] = ()) -> list[IP]:
        known = orphans.setdefault(self, set())
        known |= {
            ip
            for ip in self._allocations.get(key, {})
            if ip not in keep and self.holder.get(ip) == key and self._sharers.get(ip, {}).keys() - {key}
        }
        released = real(self, key, keep)
        for ip in released:
            if ip in known and ip not in self.holder:
                known.remove(ip)
                returned = self._free_lists[pool, ip.version]._returned if (pool := self.pool_of(ip)) else []  # noqa: SLF001
                if int(ip) in returned:
                    returned.remove(int(ip))
        return released

    patch(Allocator, "release", release)


@fault("CLASS-02b")
def an_own_address_in_a_foreign_status_is_removed() -> None:
    """A status that another controller wrote is cleared if it shows an address of an own pool (metallb #2887)."""
    real = Controller._reconcile  # noqa: SLF001 - patched

    async def reconcile(self: Controller, key: str) -> None:
        service = self._objects("Service").get(key)
        is_foreign = service and service["spec"].get("type") == "LoadBalancer" and not is_managed(service, self._class)
        if service and is_foreign and any(self._allocator.pool_holding(ip) for ip in shown_ips(service)):
            await self._write(key, service, None, None)
        await real(self, key)

    patch(Controller, "_reconcile", reconcile)


@fault("CLASS-03b")
def once_foreign_is_always_foreign() -> None:
    """A Service that had a foreign class is skipped by its name from then on, whatever its class (deckhouse #15864)."""
    foreign = set[tuple[str, str]]()

    def is_managed_still(service: Object, lb_class: str | None) -> bool:
        name = service["metadata"]["namespace"], service["metadata"]["name"]
        if service["spec"].get("type") == "LoadBalancer" and not is_managed(service, lb_class):
            foreign.add(name)
        return name not in foreign and is_managed(service, lb_class)

    patch(controller, "is_managed", is_managed_still)


@fault("DUAL-03b")
def who_has_one_family_is_not_woken() -> None:
    """A Service with one of the two families that it prefers is not woken by a freed address (metallb #1776).

    It is looked at again when a pool changes.
    """
    real = Controller._enqueue  # noqa: SLF001 - patched

    def enqueue(self: Controller, keys: Iterable[str]) -> None:
        real(self, self._pending - self._allocator.allocations().keys() if keys is self._pending else keys)

    patch(Controller, "_enqueue", enqueue)


@fault("DUAL-04b")
def the_family_that_comes_later_is_written_last() -> None:
    """An address is appended to those in the status, whatever the order of families (kube-vip-cloud-provider #71)."""
    real = Controller._assign  # noqa: SLF001 - patched

    async def assign(self: Controller, key: str, service: Object, ip: str, pool: str | None) -> None:
        texts, shown = ip.split(","), ingress_ips(service)
        await real(self, key, service, ",".join(sorted(texts, key=[*shown, *texts].index)), pool)

    patch(Controller, "_assign", assign)


@fault("CRD-02")
def a_pool_around_another_one_is_taken() -> None:
    """A pool is compared by the ends of its ranges, so one that contains another pool is accepted (spiderpool #675)."""
    real = pool_ranges._check_overlap  # noqa: SLF001 - patched

    def check_ends(address_range: AddressRange, taken: list[tuple[AddressRange, str]]) -> None:
        try:
            real(address_range, taken)
        except BadPoolError:
            ends = (address_range._replace(last=address_range.first), address_range._replace(first=address_range.last))
            if any(other.overlaps(end) for other, _ in taken for end in ends):
                raise

    patch(pool_ranges, "_check_overlap", check_ends)


@fault("CRD-04b")
def what_a_pool_shrank_from_is_forgotten() -> None:
    """Addresses outside a pool that shrank stay with their Services, and are free for a new pool (metallb #1591)."""
    real = Allocator.set_pools

    def set_pools(self: Allocator, pools: Iterable[Pool], of_nodes: Collection[IP] = ()) -> None:
        real(self, pools, of_nodes)
        for key, found in list(self._allocations.items()):
            self.release(
                key, keep=[ip for ip, pool in found.items() if self.pool_holding(ip) or pool not in self._pools]
            )

    patch(Allocator, "set_pools", set_pools)
