"""Faults in which addresses are given: pools (POOL), requests (REQ) and invalid pools (CRD)."""

# ruff: noqa: SLF001 - a fault replaces private functions
from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tests.mutants.mutant import fault, patch

from lbproof_reference import pools
from lbproof_reference.controller import allocate
from lbproof_reference.controller import loop as controller
from lbproof_reference.controller.allocate import AddressRequest, Allocation, AllocationError, Allocator
from lbproof_reference.services import annotation
from lbproof_reference.speaker import offers

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from lbproof_reference.kube import Object
    from lbproof_reference.pools import IP, AddressRange, Pool


@fault("POOL-03d")
def block_below_another_is_lost() -> None:
    """Of a pool whose higher block is listed first, the lower one is not used."""
    real = pools.parse_pool

    def parse_pool(pool: Object) -> Pool:
        kept: list[str] = []
        for text in pool["spec"].get("addresses") or []:
            if not kept or pools.parse_range(text).first > pools.parse_range(kept[-1]).last:
                kept.append(text)
        return real({**pool, "spec": {**pool["spec"], "addresses": kept}})

    patch(pools, "parse_pool", parse_pool)


@fault("POOL-03b")
def range_ends_with_its_octet() -> None:
    """A range from .250 of one block of 256 to .5 of the next gives only the addresses up to .255."""
    real = pools.parse_range

    def parse_range(text: str) -> AddressRange:
        found = real(text)
        return found._replace(last=min(found.last, found.first | 0xFF)) if "-" in text and found.family == 4 else found

    patch(pools, "parse_range", parse_range)


@fault("POOL-01")
def deleted_pool_in_use_still_assigns() -> None:
    """A deleted pool goes on assigning addresses for as long as a Service has one of it."""
    real = Allocator.set_pools

    def set_pools(self: Allocator, now: Iterable[Pool], of_nodes: Collection[IP] = ()) -> None:
        found = {pool.name: pool for pool in now}
        ranges = [one for pool in found.values() for one in pool.ranges]
        for name, pool in getattr(self, "_pools", {}).items():
            used = any(self.pool_holding(ip) == name for ip in self.holder)
            if used and name not in found and not any(one.overlaps(own) for one in ranges for own in pool.ranges):
                found[name] = pool
        real(self, sorted(found.values(), key=lambda pool: pool.name), of_nodes)

    patch(Allocator, "set_pools", set_pools)


@fault("POOL-02a")
def namesakes_share_address() -> None:
    """A Service gets the address of a Service of the same name in another namespace."""
    real = Allocator.allocate

    def same(self: Allocator, request: AddressRequest) -> Allocation:
        name = request.key.partition("/")[2]
        if self.allocation_of(request.key) is None and request.requested_ip is None:
            for key in self.allocations():
                if key.partition("/")[2] == name and (found := self.allocation_of(key, request.family)):
                    self._allocations[request.key] = {found.ip: found.pool}
                    return found
        return real(self, request)

    patch(Allocator, "allocate", same)


@fault("POOL-02a")
def deletion_frees_address_of_successor() -> None:
    """When a Service that left its address earlier is deleted, the address is free, although another one has it now."""
    left: dict[str, set[IP]] = {}
    release, reconcile = controller.Controller._release, controller.Controller._reconcile

    def remember(self: controller.Controller, key: str, keep: Iterable[IP] = ()) -> None:
        before = set(self._allocator._allocations.get(key, ()))
        release(self, key, keep)
        if key in self._objects("Service"):
            left.setdefault(key, set()).update(before - set(self._allocator._allocations.get(key, ())))

    async def forget(self: controller.Controller, key: str) -> None:
        await reconcile(self, key)
        if key not in self._objects("Service"):
            for ip in left.pop(key, ()):
                pool = self._allocator.pool_of(ip)
                if self._allocator.holder.pop(ip, None) and pool:
                    self._allocator._free_lists[pool, ip.version].put_back(int(ip))

    patch(controller.Controller, "_release", remember)
    patch(controller.Controller, "_reconcile", forget)


def _refuse(condition: bool, message: str) -> None:
    if condition:
        raise AllocationError(message)


@fault("REQ-01a")
def request_in_reserved_pool_refused() -> None:
    """A request for a free address of a pool that does not assign automatically is refused."""
    real = Allocator._allocate_requested

    def requested(self: Allocator, request: AddressRequest, ip: IP) -> IP:
        pool = self.pool_of(ip)
        _refuse(pool is not None and not self._pools[pool].auto_assign, f"pool {pool!r} is reserved")
        return real(self, request, ip)

    patch(Allocator, "_allocate_requested", requested)


@fault("REQ-02")
def request_just_past_pool_granted() -> None:
    """The address after the last one of a pool is given to whoever asks for it, and announced."""
    real = pools.pool_holding

    def holding(ip: IP, index: Sequence[tuple[AddressRange, str]]) -> str | None:
        return real(ip, index) or (real(ip - 1, index) if int(ip) else None)

    for module in (allocate, offers):
        patch(module, "pool_holding", holding)


@fault("REQ-02")
def request_by_field_outside_pools_granted() -> None:
    """An address outside every pool is given to whoever asks by spec.loadBalancerIP; by annotation it is refused."""
    by_field: set[str] = set()
    read, real = allocate.read_address_request, Allocator._allocate_requested

    def note(key: str, service: Object) -> AddressRequest:
        by_field.discard(key)
        if service["spec"].get("loadBalancerIP"):
            by_field.add(key)
        return read(key, service)

    def requested(self: Allocator, request: AddressRequest, ip: IP) -> IP:
        outside = request.key in by_field and self.pool_of(ip) is None and ip not in self.holder
        return ip if outside else real(self, request, ip)

    patch(controller, "read_address_request", note)
    patch(Allocator, "_allocate_requested", requested)


@fault("REQ-03")
def request_by_field_takes_held_address() -> None:
    """A Service that asks by spec.loadBalancerIP gets the address of another one; by annotation it is refused."""
    by_field: set[str] = set()
    read, real = allocate.read_address_request, Allocator._allocate_requested

    def note(key: str, service: Object) -> AddressRequest:
        by_field.discard(key)
        if service["spec"].get("loadBalancerIP") and not annotation(service, "loadBalancerIPs"):
            by_field.add(key)
        return read(key, service)

    def requested(self: Allocator, request: AddressRequest, ip: IP) -> IP:
        if request.key in by_field and (other := self.holder.get(ip, request.key)) != request.key:
            self.release(other)
        return real(self, request, ip)

    patch(controller, "read_address_request", note)
    patch(Allocator, "_allocate_requested", requested)


@fault("REQ-04a")
def unusable_request_dropped_on_retry() -> None:
    """A Service whose request is malformed gets any address when something makes the controller try again."""
    real = allocate.read_address_request
    tried: dict[str, str] = {}

    def read(key: str, service: Object) -> AddressRequest:
        try:
            return real(key, service)
        except AllocationError:
            version = service["metadata"]["resourceVersion"]
            if tried.get(key) == version:
                return AddressRequest(key=key)
            tried[key] = version
            raise

    patch(controller, "read_address_request", read)


@fault("REQ-04a")
def unusable_request_blocks_later_requests() -> None:
    """While a Service with a malformed request waits, no younger one of its namespace gets the address it asks for."""
    real, reconcile = allocate.read_address_request, controller.Controller._reconcile
    blocked: dict[str, str] = {}

    async def forget(self: controller.Controller, key: str) -> None:
        namespace = key.partition("/")[0]
        if key not in self._objects("Service") and blocked.get(namespace) == key:
            del blocked[namespace]
        await reconcile(self, key)

    def read(key: str, service: Object) -> AddressRequest:
        namespace = key.partition("/")[0]
        try:
            request = real(key, service)
        except AllocationError:
            blocked.setdefault(namespace, key)
            raise
        if blocked.get(namespace) == key:
            del blocked[namespace]
        _refuse(request.requested_ip is not None and namespace in blocked, "waits for an earlier request")
        return request

    patch(controller, "read_address_request", read)
    patch(controller.Controller, "_reconcile", forget)


@fault("REQ-04d")
def field_not_compared_with_pool() -> None:
    """With spec.loadBalancerIP the annotation that names another pool is ignored, and the address is given."""
    real = allocate.read_address_request

    def read(key: str, service: Object) -> AddressRequest:
        request = real(key, service)
        return replace(request, pool=None) if service["spec"].get("loadBalancerIP") else request

    patch(controller, "read_address_request", read)


@fault("CRD-01a")
def invalid_pool_stops_changes_of_others() -> None:
    """While a pool is invalid, the configuration before it stays: new pools and wider ones are not used."""
    real = pools.parse_pools
    last: list[Pool] = []

    def parse_pools(objects: Iterable[Object]) -> tuple[list[Pool], dict[str, str]]:
        good, bad = real(objects)
        if not bad or not last:
            last[:] = good
        return list(last), bad

    patch(controller, "parse_pools", parse_pools)


@fault("CRD-01a")
def start_needs_every_pool_valid() -> None:
    """A controller that starts while a pool is invalid uses no pool until all are valid."""
    real = pools.parse_pools
    loaded = False

    def parse_pools(objects: Iterable[Object]) -> tuple[list[Pool], dict[str, str]]:
        nonlocal loaded
        good, bad = real(objects)
        loaded = loaded or not bad
        return good if loaded else [], bad

    patch(controller, "parse_pools", parse_pools)


@fault("CRD-01a")
def pool_made_invalid_by_change_not_reported() -> None:
    """A pool that a change makes invalid is not reported, and gives the addresses of before."""
    real = pools.parse_pools
    valid: dict[str, Pool] = {}

    def parse_pools(objects: Iterable[Object]) -> tuple[list[Pool], dict[str, str]]:
        found = list(objects)
        good, bad = real(found)
        for name in valid.keys() - {obj["metadata"]["name"] for obj in found}:
            del valid[name]
        good += [valid[name] for name in bad.keys() & valid.keys()]
        valid.update({pool.name: pool for pool in good})
        return good, {name: why for name, why in bad.items() if name not in valid}

    patch(controller, "parse_pools", parse_pools)


@fault("CRD-01a")
def one_invalid_pool_reported() -> None:
    """Of several invalid pools only the one that is first by name is reported; the others say nothing."""
    real = pools.parse_pools

    def parse_pools(objects: Iterable[Object]) -> tuple[list[Pool], dict[str, str]]:
        good, bad = real(objects)
        return good, {name: bad[name] for name in sorted(bad)[:1]}

    patch(controller, "parse_pools", parse_pools)


@fault("CRD-01a")
def invalid_block_beside_valid_one_ignored() -> None:
    """A pool with one valid block and one invalid block is said to be valid, and gives the addresses of the first."""
    real = pools.parse_pool

    def is_valid(text: str) -> bool:
        try:
            pools.parse_range(text)
        except pools.BadPoolError:
            return False
        return True

    def parse_pool(pool: Object) -> Pool:
        blocks = pool["spec"].get("addresses") or []
        kept = [text for text in blocks if is_valid(text)]
        return real({**pool, "spec": {**pool["spec"], "addresses": kept or blocks}})

    patch(pools, "parse_pool", parse_pool)
