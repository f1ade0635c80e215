"""Faults that a ninth reader expects in the area of pools, requests, marks and restarts; the checks were not read.

The docstring of each names the issue that inspired it, if there is one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from tests.mutants.mutant import fault, patch

from lbproof_reference.controller import loop as controller
from lbproof_reference.controller.allocate import AllocationError, Allocator, FreeList, read_address_request
from lbproof_reference.controller.loop import Controller
from lbproof_reference.events import EventRecorder
from lbproof_reference.kube import SERVICES
from lbproof_reference.pools import IP, Scope, is_same_pool
from lbproof_reference.reading import MALFORMED_OBJECT
from lbproof_reference.selectors import matches
from lbproof_reference.services import annotation, assigned, ingress, ingress_ips, is_managed
from lbproof_reference.speaker import offers

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from lbproof_reference.controller.allocate import AddressRequest, Sharing
    from lbproof_reference.kube import Object
    from lbproof_reference.pools import Pool

_FINALIZER = "lbproof.dev/load-balancer-cleanup"
_REQUESTS = ("loadBalancerIPs", "address-pool", "allow-shared-ip")
"""Annotations by which a Service asks."""


def _path(key: str) -> str:
    namespace, name = key.split("/")
    return SERVICES.replace("/services", f"/namespaces/{namespace}/services/{name}")


@fault("POOL-04a")
def a_named_pool_that_is_full_gives_way_to_others() -> None:
    """A Service that names a pool that is full is given an address of another pool."""
    real = Allocator._allocate_any  # noqa: SLF001 - patched

    def allocate_any(self: Allocator, request: AddressRequest) -> IP:
        try:
            return real(self, request)
        except AllocationError:
            if request.pool not in self._pools or not self.allows(request.pool, request):
                raise
            held = self.allocation_of(request.key, request.family)
            if held and not self.is_of_node(held.ip) and not self.conflict(request.key, held.ip, request.sharing):
                return held.ip
            return real(self, replace(request, pool=None))

    patch(Allocator, "_allocate_any", allocate_any)


@fault("POOL-05c")
def one_label_of_several_is_enough() -> None:
    """A pool that is restricted to two labels serves a Service that has one of them (metallb's serviceSelectors)."""

    def allows(self: Scope, namespace: str, labels: Mapping[str, str]) -> bool:
        if self.namespaces is not None and namespace not in self.namespaces:
            return False
        each: list[Object] = []
        for selector in self.service_selectors:
            each += ({"matchLabels": {key: value}} for key, value in (selector.get("matchLabels") or {}).items())
            each += ({"matchExpressions": [entry]} for entry in selector.get("matchExpressions") or [])
        return not each or any(matches(one, labels) for one in each)

    patch(Scope, "allows", allows)


@fault("POOL-06")
def a_requested_address_is_not_counted() -> None:
    """An address that a Service asked for counts as available: only what was chosen is counted."""
    real_requested, real_release = Allocator._allocate_requested, Allocator.release  # noqa: SLF001 - patched
    real_usage = Allocator.usage
    requested: WeakKeyDictionary[Allocator, set[IP]] = WeakKeyDictionary()

    def allocate_requested(self: Allocator, request: AddressRequest, ip: IP) -> IP:
        found = real_requested(self, request, ip)
        if found not in self.holder:
            requested.setdefault(self, set()).add(found)
        return found

    def release(self: Allocator, key: str, keep: Collection[IP] = ()) -> list[IP]:
        released = real_release(self, key, keep)
        requested.setdefault(self, set()).difference_update(released)
        return released

    def usage(self: Allocator) -> dict[str, dict[str, int]]:
        holder = self.holder
        self.holder = {ip: key for ip, key in holder.items() if ip not in requested.get(self, ())}
        try:
            return real_usage(self)
        finally:
            self.holder = holder

    patch(Allocator, "_allocate_requested", allocate_requested)
    patch(Allocator, "release", release)
    patch(Allocator, "usage", usage)


@fault("PEND-03b")
def a_change_of_type_does_not_wake_who_asked() -> None:
    """A Service that waits for one exact address is not woken when its holder ceases to be a LoadBalancer.

    A deletion wakes it, and who waits for any address is woken in either case (metallb #190).
    """
    real = Controller._release  # noqa: SLF001 - patched

    def asks(service: Object) -> bool:
        return bool(service["spec"].get("loadBalancerIP") or annotation(service, "loadBalancerIPs"))

    def release(self: Controller, key: str, keep: Iterable[IP] = ()) -> None:
        services, pending = self._objects("Service"), self._pending
        if key in services and services[key]["spec"].get("type") != "LoadBalancer":
            self._pending = {one for one in pending if one not in services or not asks(services[one])}
        try:
            real(self, key, keep)
        finally:
            self._pending = pending

    patch(Controller, "_release", release)


@fault("PEND-04b")
def a_block_that_is_added_to_a_pool_is_not_seen() -> None:
    """A pool that is widened by a further block serves nobody from it until another pool changes."""

    def is_same(before: Object | None, now: Object | None) -> bool:
        if before and now:
            known, blocks = (pool["spec"].get("addresses") or [] for pool in (before, now))
            if known and blocks[: len(known)] == known:
                now = {**now, "spec": {**now["spec"], "addresses": known}}
        return is_same_pool(before, now)

    patch(controller, "is_same_pool", is_same)


@fault("REQ-04d")
def an_unknown_pool_beside_an_address_is_passed_over() -> None:
    """A Service that names a pool that does not exist, and an address of another one, is given it (metallb #1916)."""
    real = Allocator._allocate_requested  # noqa: SLF001 - patched

    def allocate_requested(self: Allocator, request: AddressRequest, ip: IP) -> IP:
        return real(self, request if request.pool in self._pools else replace(request, pool=None), ip)

    patch(Allocator, "_allocate_requested", allocate_requested)


@fault("REQ-05a")
def a_field_that_changes_is_not_read_again() -> None:
    """A Service that has an address and changes spec.loadBalancerIP keeps it; annotations are read (kube-vip #574)."""
    real = read_address_request
    first: dict[str, str | None] = {}

    def read(key: str, service: Object) -> AddressRequest:
        uid, field = service["metadata"]["uid"], service["spec"].get("loadBalancerIP")
        if not ingress(service):
            first[uid] = field
        spec = {**service["spec"], "loadBalancerIP": first.setdefault(uid, field)}
        return real(key, {**service, "spec": spec})

    patch(controller, "read_address_request", read)


@fault("RECL-05a")
def a_finalizer_outlives_the_type() -> None:
    """A finalizer that comes with the address goes with the deletion alone, not with the type (kubernetes #78954)."""
    real = Controller._reconcile  # noqa: SLF001 - patched

    async def reconcile(self: Controller, key: str) -> None:
        if service := self._objects("Service").get(key):
            meta = service["metadata"]
            finalizers, version = meta.get("finalizers") or [], {"resourceVersion": meta["resourceVersion"]}
            if "deletionTimestamp" in meta:
                if _FINALIZER in finalizers:
                    others = [one for one in finalizers if one != _FINALIZER]
                    await self._kube.call("PATCH", _path(key), {"metadata": {**version, "finalizers": others}})
                    return
            elif is_managed(service, self._class) and ingress(service) and _FINALIZER not in finalizers:
                now = [*finalizers, _FINALIZER]
                await self._kube.call("PATCH", _path(key), {"metadata": {**version, "finalizers": now}})
                return
        await real(self, key)

    patch(Controller, "_reconcile", reconcile)


@fault("SHARE-01a")
def who_joins_after_one_has_left_is_given_another_address() -> None:
    """A key is forgotten as soon as one of its Services goes: who joins the others gets its own (cilium #34106)."""
    real_release, real_shared = Allocator.release, Allocator._shared_by_key  # noqa: SLF001 - patched
    closed: WeakKeyDictionary[Allocator, set[IP]] = WeakKeyDictionary()

    def release(self: Allocator, key: str, keep: Collection[IP] = ()) -> list[IP]:
        released = real_release(self, key, keep)
        known = closed.setdefault(self, set())
        known.update(released)
        known.intersection_update(self._sharers)
        return released

    def shared_by_key(self: Allocator, request: AddressRequest, names: list[str]) -> IP | None:
        sharers: dict[IP, dict[str, Sharing]] = self._sharers
        self._sharers = {ip: theirs for ip, theirs in sharers.items() if ip not in closed.get(self, ())}
        try:
            return real_shared(self, request, names)
        finally:
            self._sharers = sharers

    patch(Allocator, "release", release)
    patch(Allocator, "_shared_by_key", shared_by_key)


@fault("CLASS-01c")
def an_annotation_claims_a_service_without_a_class() -> None:
    """With a class configured, a Service without one is served if it asks by an annotation (as OpenELB's claims)."""

    def is_own(service: Object, lb_class: str | None) -> bool:
        spec = service["spec"]
        if lb_class and spec.get("type") == "LoadBalancer" and spec.get("loadBalancerClass") is None:
            return any(annotation(service, name) for name in _REQUESTS)
        return is_managed(service, lb_class)

    patch(controller, "is_managed", is_own)
    patch(offers, "is_managed", is_own)


@fault("CLASS-02a")
def a_foreign_service_that_asks_is_told_that_it_is_not_served() -> None:
    """A Service of a foreign class that asks for an address gets a Warning Event that its class is not served."""
    real = Controller._reconcile  # noqa: SLF001 - patched

    async def reconcile(self: Controller, key: str) -> None:
        service = self._objects("Service").get(key)
        if service and service["spec"].get("type") == "LoadBalancer" and not is_managed(service, self._class):
            asks = any(annotation(service, name) for name in _REQUESTS) or service["spec"].get("loadBalancerIP")
            if asks and (name := service["spec"].get("loadBalancerClass")):
                message = f"class {name!r} is not served: the request of the Service is ignored"
                self._skip_log.note("Service", self._about(service), message, "ForeignClass")
        await real(self, key)

    patch(Controller, "_reconcile", reconcile)


@fault("EVT-01a")
def only_the_first_address_is_told() -> None:
    """A Service that is given another address gets no Event about it: its status was not empty."""
    real = EventRecorder.event

    def event(self: EventRecorder, about: Object, kind: str, reason: str, message: str) -> None:
        if reason != "IPAllocated" or not ingress_ips(about):
            real(self, about, kind, reason, message)

    patch(EventRecorder, "event", event)


@fault("EVT-03d")
def a_rewritten_mark_is_taken_for_a_request() -> None:
    """A Service whose mark is rewritten with the name of another pool moves there (flux #2474)."""
    real_read, real_pools = read_address_request, Allocator.set_pools
    known: set[str] = set()

    def set_pools(self: Allocator, pools: Iterable[Pool], of_nodes: Collection[IP] = ()) -> None:
        found = list(pools)
        known.clear()
        known.update(pool.name for pool in found)
        real_pools(self, found, of_nodes)

    def read(key: str, service: Object) -> AddressRequest:
        request, mark = real_read(key, service), assigned(service)[1]
        if mark not in known or request.pool or request.requested_ip:
            return request
        return replace(request, pool=mark, second=request.second and replace(request.second, pool=mark))

    patch(Allocator, "set_pools", set_pools)
    patch(controller, "read_address_request", read)


class _HeldOrBelow(set[IP]):
    """Addresses that are held, and those below the highest that was restored and not given back since."""

    def __init__(self, held: Collection[IP], highest: int, back: Collection[IP]) -> None:
        super().__init__()
        self._held, self._highest, self._back = held, highest, back

    def __contains__(self, ip: object) -> bool:
        is_below = isinstance(ip, IP) and int(ip) < self._highest and ip not in self._back
        return ip in self._held or is_below


@fault("RECL-06a")
def what_is_free_below_the_highest_address_is_lost_with_the_start() -> None:
    """A pool goes on above the highest address that was found at the start: what is free below it is not given."""
    real_restore, real_take = Controller._restore, FreeList.take  # noqa: SLF001 - patched
    real_release = Allocator.release
    highest: dict[tuple[str, int], int] = {}
    back: set[IP] = set()

    def restore(self: Controller) -> None:
        real_restore(self)
        for found in self._allocator.allocations().values():
            for one in found:
                place = one.pool, one.ip.version
                highest[place] = max(highest.get(place, 0), int(one.ip))

    def release(self: Allocator, key: str, keep: Collection[IP] = ()) -> list[IP]:
        released = real_release(self, key, keep)
        back.update(released)
        return released

    def take(self: FreeList, held: Collection[IP]) -> IP | None:
        at = highest.get((self.pool.name, self._family), 0)
        return real_take(self, _HeldOrBelow(held, at, back))

    patch(Controller, "_restore", restore)
    patch(Allocator, "release", release)
    patch(FreeList, "take", take)


@fault("CRD-04b")
def who_asked_loses_what_a_pool_shrank_from() -> None:
    """When a pool shrinks, the Services outside it that asked for their address lose it, and the others keep theirs.

    A request is checked against the pools anew whenever they change, and an assignment is not (metallb #1556).
    """
    real_changed, real_reconcile = Controller._pools_changed, Controller._reconcile  # noqa: SLF001 - patched

    def pools_changed(self: Controller, *args: object) -> None:
        real_changed(self, *args)
        if self.ready:
            self._enqueue(self._objects("Service"))

    def requested(key: str, service: Object) -> list[IP]:
        try:
            one: AddressRequest | None = read_address_request(key, service)
        except (AllocationError, *MALFORMED_OBJECT):
            return []
        found = []
        while one:
            found += [one.requested_ip] if one.requested_ip else []
            one = one.second
        return found

    async def reconcile(self: Controller, key: str) -> None:
        service = self._objects("Service").get(key)
        if service and is_managed(service, self._class):
            asked, allocator = requested(key, service), self._allocator
            held, pools = allocator.allocations().get(key, ()), allocator._pools  # noqa: SLF001 - patched
            if any(one.ip in asked and one.pool in pools and not allocator.pool_holding(one.ip) for one in held):
                allocator.release(key)
        await real_reconcile(self, key)

    patch(Controller, "_pools_changed", pools_changed)
    patch(Controller, "_reconcile", reconcile)
