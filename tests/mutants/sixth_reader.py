"""Faults that a sixth reader of the requirements' sentences expects in implementations; the checks were not read.

The last eight are of sentences that had no case yet when they were written. The docstring of each names the issue, the
pull request or the RFC that inspired it.
"""

from __future__ import annotations

import itertools
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakSet

from tests.mutants.mutant import fault, patch

from lbproof_reference.controller import allocate
from lbproof_reference.controller import loop as controller
from lbproof_reference.controller.allocate import Allocator, FreeList
from lbproof_reference.controller.leader import LeaderElection
from lbproof_reference.controller.loop import Controller
from lbproof_reference.events import EventRecorder
from lbproof_reference.frames import ETHERNET, announcements, read_arp, solicited_node
from lbproof_reference.kube import labels_of
from lbproof_reference.nodes import EXCLUDED, relevant_fields
from lbproof_reference.pools import Scope, is_same_pool, parse_ip
from lbproof_reference.services import annotation, assigned, ingress, is_managed, is_shown
from lbproof_reference.speaker import loop as speaker
from lbproof_reference.speaker import segment, source
from lbproof_reference.speaker.loop import SegmentSpeaker, offers_for_link
from lbproof_reference.speaker.offers import AnnouncementPolicy
from lbproof_reference.speaker.peers import Peers
from lbproof_reference.speaker.plan import Allowed, plan, reaches
from lbproof_reference.speaker.source import Source
from lbproof_reference.speaker.wire import Groups

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence

    from lbproof_reference.controller.allocate import AddressRequest, Allocation, Sharing
    from lbproof_reference.frames import ArpFrame
    from lbproof_reference.kube import Object
    from lbproof_reference.pools import IP, Pool
    from lbproof_reference.retained import Retained
    from lbproof_reference.speaker.heartbeat import Heartbeat
    from lbproof_reference.speaker.links import Link
    from lbproof_reference.speaker.offers import Known
    from lbproof_reference.speaker.peers import Peer
    from lbproof_reference.speaker.plan import Offer, Plan, SegmentView

_GOES_ELSEWHERE = 8
"""Places of a pool at which copies of the controller begin."""


@fault("POOL-05b")
def priorities_are_compared_as_text() -> None:
    """Priorities of pools are compared as text, so 10 comes before 2 (kube-vip-cloud-provider's settings are text)."""

    def order(self: Scope) -> tuple[bool, str]:
        return self.priority <= 0, str(self.priority)

    patch(Scope, "order", property(order))


@fault("PEND-03a", "PEND-03b")
def a_move_wakes_nobody() -> None:
    """An address that a Service leaves for another one wakes no Service that waits for it (openelb #426)."""
    real = Controller._release  # noqa: SLF001 - patched

    def release(self: Controller, key: str, keep: Iterable[IP] = ()) -> None:
        kept, pending = set(keep), self._pending
        self._pending = set() if kept else pending
        real(self, key, kept)
        self._pending = pending

    patch(Controller, "_release", release)


@fault("REQ-04a")
def a_request_may_have_a_prefix_length() -> None:
    """A request for 10.0.0.10/24, which is no address, is met with 10.0.0.10 (KEP-4858)."""
    patch(allocate, "parse_ip", lambda text: parse_ip(text.partition("/")[0]))


@fault("RECL-06a")
def what_left_while_no_controller_ran_is_kept() -> None:
    """An address stays assigned to a Service that ceased to be a LoadBalancer while no controller ran (kube-vip #225).

    The controller starts from its annotations, and looks at LoadBalancers alone until a Service is edited.
    """
    restore_all, enqueue_all = Controller._restore, Controller._enqueue  # noqa: SLF001 - patched

    def is_load_balancer(service: Object) -> bool:
        return bool(service["spec"].get("type") == "LoadBalancer")

    def restore(self: Controller) -> None:
        restore_all(self)
        for key, service in self._objects("Service").items():
            if not is_load_balancer(service):
                for text in filter(None, (assigned(service)[0] or "").split(",")):
                    self._restore_address(key, text, None, in_status=False)

    def enqueue(self: Controller, keys: Iterable[str]) -> None:
        known = self._objects("Service")
        enqueue_all(self, [key for key in keys if key in known and is_load_balancer(known[key])])

    patch(Controller, "_restore", restore)
    patch(Controller, "_enqueue", enqueue)


@fault("SHARE-02c")
def a_key_outlives_its_services() -> None:
    """The key by which an address was shared lets a Service join the next one there, which does not (cilium #45800)."""
    former: WeakKeyDictionary[Allocator, dict[IP, str]] = WeakKeyDictionary()
    real_release, real_conflict, real_shared = Allocator.release, Allocator.conflict, Allocator._shared_by_key  # noqa: SLF001 - patched

    def release(self: Allocator, key: str, keep: Collection[IP] = ()) -> list[IP]:
        keys = {ip: sharers[key].key for ip, sharers in self._sharers.items() if key in sharers}
        released = real_release(self, key, keep)
        former.setdefault(self, {}).update({ip: keys[ip] for ip in released if ip in keys and ip not in self.holder})
        return released

    def is_former(self: Allocator, ip: IP, sharing: Sharing) -> bool:
        return bool(sharing.key) and former.get(self, {}).get(ip) == sharing.key

    def conflict(self: Allocator, key: str, ip: IP, sharing: Sharing) -> str | None:
        return None if is_former(self, ip, sharing) else real_conflict(self, key, ip, sharing)

    def shared_by_key(self: Allocator, request: AddressRequest, names: list[str]) -> IP | None:
        held = (ip for ip in self.holder if ip.version == request.family and is_former(self, ip, request.sharing))
        return next(held, None) or real_shared(self, request, names)

    patch(Allocator, "release", release)
    patch(Allocator, "conflict", conflict)
    patch(Allocator, "_shared_by_key", shared_by_key)


@fault("DUAL-04b")
def two_requested_addresses_are_shown_as_asked_for() -> None:
    """Two addresses that a Service asks for are in its status in the order of the annotation (kube-vip #687)."""
    asked: dict[str, list[str]] = {}
    real_read, real_allocate = allocate.read_address_request, Allocator.allocate_all

    def read(key: str, service: Object) -> AddressRequest:
        text = annotation(service, "loadBalancerIPs") or ""
        asked[key] = [one.strip() for one in text.split(",")]
        return real_read(key, service)

    def allocate_all(self: Allocator, request: AddressRequest) -> list[Allocation]:
        found, order = real_allocate(self, request), asked.get(request.key, [])
        if {str(one.ip) for one in found} <= set(order):
            found.sort(key=lambda one: order.index(str(one.ip)))
        return found

    patch(controller, "read_address_request", read)
    patch(Allocator, "allocate_all", allocate_all)


@fault("CLASS-03a")
def a_class_that_changes_at_once_frees_nothing() -> None:
    """A Service of another class is ignored, also one that had an address, unless it was seen without a class between.

    It is if type and class change in two updates that are processed as one (metallb #2177).
    """
    real = Controller._reconcile  # noqa: SLF001 - patched

    async def reconcile(self: Controller, key: str) -> None:
        service = self._objects("Service").get(key)
        if service and service["spec"].get("type") == "LoadBalancer" and not is_managed(service, self._class):
            self._pending.discard(key)
            return
        await real(self, key)

    patch(Controller, "_reconcile", reconcile)


@fault("EVT-01a")
def a_second_address_is_not_told() -> None:
    """An address that a Service gets beside the one that it has leaves no Event (after metallb #2310, of nodes)."""
    told: dict[str, str] = {}
    real = EventRecorder.event

    def event(self: EventRecorder, about: Object, kind: str, reason: str, message: str) -> None:
        if reason == "IPAllocated":
            uid, addresses = about["metadata"].get("uid", ""), message.split('"')[1::2]
            if len(addresses) > 1 and told.get(uid) in addresses:
                return
            told[uid] = addresses[0]
        real(self, about, kind, reason, message)

    patch(EventRecorder, "event", event)


@fault("TIER-08a")
def without_node_ports_the_mode_is_proxy() -> None:
    """The address of a Service without node ports has the mode Proxy, so no node serves it (KEP-1860, KEP-1864)."""
    real = controller._status_patch  # noqa: SLF001 - patched

    def is_proxied(service: Object) -> bool:
        return service["spec"].get("allocateLoadBalancerNodePorts") is False

    def status_patch(service: Object, ip: str | None, pool: str | None) -> Object:
        made = real(service, ip, pool)
        for entry in made["status"]["loadBalancer"]["ingress"] or []:
            if is_proxied(service):
                entry["ipMode"] = "Proxy"
        return made

    def has(service: Object, ips: list[str]) -> bool:
        if not is_proxied(service):
            return is_shown(service, ips)
        return ingress(service) == [{"ip": ip, "ipMode": "Proxy"} for ip in ips]

    patch(controller, "_status_patch", status_patch)
    patch(controller, "is_shown", has)


@fault("L2-11b")
def a_group_is_left_that_another_address_needs() -> None:
    """A released IPv6 address takes its group along, which those with the same last 24 bits need (RFC 4291, 2.7.1)."""
    real = Groups.leave

    def leave(self: Groups, addresses: Iterable[bytes]) -> None:
        leaving = list(addresses)
        for address in leaving:
            if (group := solicited_node(address)) in self._users:
                self._users[group] = {address}
        real(self, leaving)

    patch(Groups, "leave", leave)


@fault("L2-05a")
def an_asker_must_be_the_source_of_its_frame() -> None:
    """A request whose Ethernet source is not its sender hardware address is dropped, which RFC 826 does not compare.

    So a router is not answered that asks for its virtual hardware address (RFC 9568).
    """

    def read(frame: bytes) -> ArpFrame | None:
        found = read_arp(frame)
        return found if found and found.mac == ETHERNET.unpack_from(frame)[1] else None

    patch(speaker, "read_arp", read)


@fault("FAIL-08b")
def a_label_on_every_node_excludes_none() -> None:
    """Nodes that are excluded from external load balancers announce if all of them are (metallb #2021, kind #3506)."""
    real = AnnouncementPolicy.__init__

    def init(
        self: AnnouncementPolicy,
        *,
        nodes: Iterable[Object],
        ignore_exclude: bool = False,
        **more: Any,  # noqa: ANN401 - the other arguments
    ) -> None:
        nodes = list(nodes)
        ignore_exclude |= all(EXCLUDED in labels_of(node) for node in nodes)
        real(self, nodes=nodes, ignore_exclude=ignore_exclude, **more)

    patch(AnnouncementPolicy, "__init__", init)


@fault("UPGR-01")
def a_restart_restores_one_sharer_of_an_address() -> None:
    """A controller that starts restores an address for one Service; others that share it are allocated anew.

    They move if another address of their key has come to fit (cilium #46262).
    """
    real = Controller._restore_address  # noqa: SLF001 - patched

    def restore_address(
        self: Controller, key: str, text: str, recorded: tuple[Retained, ...] | None, *, in_status: bool
    ) -> None:
        if parse_ip(text) not in self._allocator.holder:
            real(self, key, text, recorded, in_status=in_status)

    patch(Controller, "_restore_address", restore_address)


@fault("ETP-03a")
def an_endpoint_without_conditions_is_not_ready() -> None:
    """An endpoint without the condition `ready` is not ready, though that means ready (KEP-752, EndpointConditions)."""
    real = AnnouncementPolicy._ready_nodes  # noqa: SLF001 - patched

    def ready_nodes(self: AnnouncementPolicy, slices: Iterable[Object]) -> frozenset[str]:
        said = [
            {
                **one,
                "endpoints": [
                    endpoint
                    for endpoint in one.get("endpoints") or []
                    if (endpoint.get("conditions") or {}).get("ready") is not None
                ],
            }
            for one in slices
        ]
        return real(self, said)

    patch(AnnouncementPolicy, "_ready_nodes", ready_nodes)


@fault("CRD-03b")
def the_deletion_of_a_namesake_removes_a_pool() -> None:
    """A pool serves no longer when one of its name in another namespace is deleted (cluster-api-ipam #66)."""
    gone: set[str] = set()
    real_changed, real_own = Controller._pool_changed, Controller._own  # noqa: SLF001 - patched

    def pool_changed(self: Controller, key: str, before: Object | None) -> None:
        now = self._objects("IPAddressPool").get(key)
        namespace, _, name = key.partition("/")
        if namespace != self._namespace and now is None:
            gone.add(name)
        elif namespace == self._namespace and not is_same_pool(before, now):
            gone.discard(name)
        real_changed(self, key, before)

    def own(self: Controller, kind: str) -> dict[str, Object]:
        found = real_own(self, kind)
        if kind != "IPAddressPool":
            return found
        return {key: obj for key, obj in found.items() if obj["metadata"]["name"] not in gone}

    patch(Controller, "_pool_changed", pool_changed)
    patch(Controller, "_own", own)


@fault("POOL-04c", "POOL-05a", "POOL-05c", "SEC-04a")
def a_sharing_key_opens_every_pool() -> None:
    """A Service joins another one by its key in a pool that is not for its namespace (metallb's key is for all)."""
    real = Allocator._shared_by_key  # noqa: SLF001 - patched

    def shared_by_key(self: Allocator, request: AddressRequest, names: list[str]) -> IP | None:
        return real(self, request, [*names, *(name for name in self._pools if name not in names)])

    patch(Allocator, "_shared_by_key", shared_by_key)


@fault("L2-08c")
def announcements_go_out_on_every_interface() -> None:
    """A node that announces an address unasked does so on all its interfaces, each with its own MAC (metallb #2026)."""
    started: WeakSet[SegmentSpeaker] = WeakSet()
    real_init, real_announce = SegmentSpeaker.__init__, SegmentSpeaker._announce  # noqa: SLF001 - patched

    def init(self: SegmentSpeaker, *arguments: Any) -> None:  # noqa: ANN401 - passed on
        real_init(self, *arguments)
        started.add(self)

    def send_elsewhere(self: SegmentSpeaker, address: bytes) -> None:
        if self.is_open:
            for frame in announcements(address, self.link.mac):
                self._wire.send(frame)

    def announce(self: SegmentSpeaker, addresses: tuple[bytes, ...]) -> None:
        real_announce(self, addresses)
        for address in addresses:
            if address in self.segment.claims:
                for other in started - {self}:
                    if other.segment.me.node == self.segment.me.node:
                        send_elsewhere(other, address)

    patch(SegmentSpeaker, "__init__", init)
    patch(SegmentSpeaker, "_announce", announce)


@fault("L2-09d")
def nodes_and_interfaces_are_merged() -> None:
    """Of several advertisements that name interfaces, each node uses the interfaces of all (metallb #1359)."""
    real = AnnouncementPolicy.offers

    def merged(allowed: tuple[Allowed, ...]) -> tuple[Allowed, ...]:
        named = [one.interfaces for one in allowed if one.interfaces is not None]
        if len(allowed) < 2 or len(named) < len(allowed):
            return allowed
        nodes = frozenset[str]().union(*(one.nodes for one in allowed))
        return (Allowed(nodes=nodes, interfaces=frozenset[str]().union(*named)),)

    def offers(
        self: AnnouncementPolicy, key: str, service: Object, known: Known, slices: Iterable[Object]
    ) -> dict[bytes, Offer]:
        found = real(self, key, service, known, slices)
        return {address: replace(offer, allowed=merged(offer.allowed)) for address, offer in found.items()}

    patch(AnnouncementPolicy, "offers", offers)


@fault("L2-09d")
def a_missing_interface_means_any() -> None:
    """A node that has none of the interfaces of an advertisement announces on those that it has (metallb #1359)."""

    def offers(link: Link, links: Collection[Link], offered: Mapping[bytes, Offer | None]) -> dict[bytes, Offer | None]:
        names = {one.name for one in links}

        def anywhere(offer: Offer) -> Offer:
            allowed = (one if one.interfaces and one.interfaces & names else replace(one, interfaces=None)
                       for one in offer.allowed)  # fmt: skip
            return replace(offer, allowed=tuple(allowed))

        return offers_for_link(link, links, {address: one and anywhere(one) for address, one in offered.items()})

    patch(speaker, "offers_for_link", offers)


@fault("SEC-05b")
def a_repeated_heartbeat_counts_again() -> None:
    """The last heartbeat of a node, sent again by anybody, counts like a new one (VRRP has no better: RFC 9568, 9)."""
    real_is_known, real_receive = Peers.is_known, Peers.receive

    def is_known(self: Peers, session: int, sequence: int) -> bool:
        return session == self.session or sequence < self._latest.get(session, -1)

    def receive(self: Peers, heartbeat: Heartbeat, frame: bytes, now: float) -> Peer | None:
        peer = self.live.get(heartbeat.station)
        if peer and (peer.session, peer.sequence) == (heartbeat.session, heartbeat.sequence):
            peer.until = peer.hears_until = now + peer.dead_interval
        if real_is_known(self, heartbeat.session, heartbeat.sequence):
            return None
        return real_receive(self, heartbeat, frame, now)

    patch(Peers, "is_known", is_known)
    patch(Peers, "receive", receive)


@fault("SEC-05b")
def a_goodbye_counts_whenever_it_was_said() -> None:
    """A heartbeat by which a node left is believed at any time, also from before its restart (RFC 9568, priority 0).

    Another node then takes its addresses, until the next heartbeat says that it stays.
    """
    real_is_known, real_receive = Peers.is_known, Peers.receive

    def is_known(self: Peers, session: int, _: int) -> bool:
        return session == self.session

    def receive(self: Peers, heartbeat: Heartbeat, frame: bytes, now: float) -> Peer | None:
        peer = self.live.get(heartbeat.station)
        if heartbeat.leaving and peer and not peer.leaving:
            peer.leaving = self.changed = True
        if real_is_known(self, heartbeat.session, heartbeat.sequence):
            return None
        return real_receive(self, heartbeat, frame, now)

    patch(Peers, "is_known", is_known)
    patch(Peers, "receive", receive)


@fault(
    uncaught="in most runs the copies see each other's statuses before they choose the same address",
    test="test_sixth_reader.py::test_two_controllers_give_no_address_twice",
)
def each_copy_begins_elsewhere() -> None:
    """Each copy of the controller leads, and takes addresses from another place of a pool (metallb #725).

    One alone does nothing wrong.
    """

    async def lead(_: LeaderElection, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        await work()

    patch(LeaderElection, "run", lead)
    starts = itertools.count(secrets.randbelow(_GOES_ELSEWHERE))
    of_copy: WeakKeyDictionary[Allocator, int] = WeakKeyDictionary()
    skipped: WeakKeyDictionary[FreeList, list[int]] = WeakKeyDictionary()
    real_set_pools, real_next = Allocator.set_pools, FreeList._next  # noqa: SLF001 - patched

    def skip(self: FreeList, count: int) -> None:
        skipped[self] = list(itertools.islice(self._unused, count))
        self._used = max([self._used, *skipped[self]])

    def set_pools(self: Allocator, pools: Iterable[Pool], of_nodes: Collection[IP] = ()) -> None:
        real_set_pools(self, pools, of_nodes)
        if self not in of_copy:
            of_copy[self] = next(starts) % _GOES_ELSEWHERE
        for one in self._free_lists.values():
            skip(one, of_copy[self])

    def next_number(self: FreeList) -> int | None:
        number = real_next(self)
        rest = skipped.get(self)
        return rest.pop(0) if number is None and rest else number

    patch(Allocator, "set_pools", set_pools)
    patch(FreeList, "_next", next_number)


@fault("CRD-05c-IPv6")
def an_ipv6_address_off_link_is_not_announced() -> None:
    """An IPv6 address in no subnet of the node is not announced, and nobody is told (metallb #433)."""

    def offers(link: Link, links: Collection[Link], offered: Mapping[bytes, Offer | None]) -> dict[bytes, Offer | None]:
        subnets = tuple((one.network_address.packed, one.prefixlen) for each in links for one in each.subnets)
        found = offers_for_link(link, links, offered)
        return {
            address: one if len(address) == 4 or reaches(subnets, address) else None for address, one in found.items()
        }

    patch(speaker, "offers_for_link", offers)


@fault("FAIL-09d")
def an_unknown_node_is_taken_for_dead() -> None:
    """A node whose Ready condition is Unknown is dead to others, though they hear it and it goes on (metallb #740)."""
    unknown: set[str] = set()
    me: list[str] = [""]
    real_policy, real_offers = AnnouncementPolicy, Source._offers  # noqa: SLF001 - patched

    def is_unknown(node: Object | None) -> bool:
        conditions: Sequence[Object] = ((node or {}).get("status") or {}).get("conditions") or []
        return any((one.get("type"), one.get("status")) == ("Ready", "Unknown") for one in conditions)

    def policy(*, nodes: Iterable[Object], **more: Any) -> AnnouncementPolicy:  # noqa: ANN401 - the other arguments
        known = {node["metadata"]["name"]: node for node in nodes}
        unknown.clear()
        unknown.update(name for name, node in known.items() if is_unknown(node))
        heard = [node for name, node in known.items() if name == me[0] or name not in unknown]
        return real_policy(nodes=heard, **more)

    def offers(self: Source, key: str) -> dict[bytes, Offer]:
        me[:] = [self._node]
        return real_offers(self, key)

    def plan_without(view: SegmentView) -> Plan:
        heard = {station: peer for station, peer in view.peers.items() if station.node not in unknown}
        return plan(replace(view, peers=heard))

    patch(source, "AnnouncementPolicy", policy)
    patch(source, "relevant_fields", lambda node: (relevant_fields(node), is_unknown(node)))
    patch(Source, "_offers", offers)
    patch(segment, "plan", plan_without)
