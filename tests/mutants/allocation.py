"""Faults of the controller: pools, requests, classes, release and restart."""

from __future__ import annotations

import asyncio
import ipaddress
import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tests.mutants.mutant import fault, patch

from lbproof_reference.controller import allocate
from lbproof_reference.controller import loop as controller
from lbproof_reference.pools import ip_from_int
from lbproof_reference.services import assigned
from lbproof_reference.speaker import offers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lbproof_reference.kube import Kube
    from lbproof_reference.pools import IP


@fault("POOL-01", "ARTICLE-09")
def assigns_outside_pool() -> None:
    """Addresses above the last address of the pool are assigned."""
    real = allocate.Allocator._allocate_any  # noqa: SLF001

    def allocate_any(self: allocate.Allocator, request: allocate.AddressRequest) -> IP:
        return real(self, request) + 64

    patch(allocate.Allocator, "_allocate_any", allocate_any)


@fault("POOL-07")
def waits_for_endpoints() -> None:
    """A Service is given an address only once it has an endpoint (kube-vip's way)."""
    real = controller.Controller._reconcile  # noqa: SLF001

    async def reconcile(self: controller.Controller, key: str) -> None:
        if await _has_endpoint(self._kube, key):
            await real(self, key)
        elif service := self._objects("Service").get(key):
            await self._mark_pending(key, service, "no endpoint is ready")
            asyncio.get_running_loop().call_later(0.5, self._queue.add, ("Service", key))

    patch(controller.Controller, "_reconcile", reconcile)


async def _has_endpoint(kube: Kube, key: str) -> bool:
    namespace, name = key.split("/")
    path = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
    found = await kube.call("GET", path, labelSelector=f"kubernetes.io/service-name={name}")
    return any(piece.get("endpoints") for piece in found["items"])


@fault("POOL-02a", "POOL-02b", "POOL-02c")
def same_address_for_all_services() -> None:
    """The first address of the pool is assigned to every Service."""
    real = allocate.Allocator.assign

    def assign(self: allocate.Allocator, key: str, ip: IP, *more: Any, **named: Any) -> bool:  # noqa: ANN401 - its arguments
        self.holder.pop(ip, None)
        return real(self, key, ip, *more, **named)

    def allocate_any(self: allocate.Allocator, _request: allocate.AddressRequest) -> IP:
        address_range, _ = self._index[0]
        return ip_from_int(address_range.family, address_range.first)

    patch(allocate.Allocator, "assign", assign)
    patch(allocate.Allocator, "_allocate_any", allocate_any)


@fault("POOL-03e")
def excludes_first_and_last_address_of_network() -> None:
    """The first and the last address of a /24 are never assigned."""
    real = allocate.FreeList._next  # noqa: SLF001

    def next_number(self: Any) -> int | None:  # noqa: ANN401
        while (number := real(self)) is not None:
            if number & 0xFF not in {0, 0xFF}:
                break
        return number

    patch(allocate.FreeList, "_next", next_number)


@fault("PEND-01b", "PEND-05")
def assigns_without_pool() -> None:
    """An address is assigned although there is no pool."""
    real = allocate.Allocator._allocate_any  # noqa: SLF001

    def allocate_any(self: allocate.Allocator, request: allocate.AddressRequest) -> IP:
        return real(self, request) if self._index else ipaddress.ip_address("192.0.2.1")

    patch(allocate.Allocator, "_allocate_any", allocate_any)


@fault("PEND-01a")
def assigns_from_exhausted_pool() -> None:
    """The first address of a full pool is assigned a second time."""
    real = allocate.Allocator._allocate_any  # noqa: SLF001

    def allocate_any(self: allocate.Allocator, request: allocate.AddressRequest) -> IP:
        try:
            return real(self, request)
        except allocate.AllocationError:
            address_range, _ = self._index[0]
            first = ip_from_int(address_range.family, address_range.first)
            self.holder.pop(first, None)
            return first

    patch(allocate.Allocator, "_allocate_any", allocate_any)


@fault("POOL-03a", "POOL-03b", "POOL-03c", "POOL-03d")
def excludes_last_address_of_range() -> None:
    """The last address of a range is never assigned."""
    real = allocate.FreeList._next  # noqa: SLF001

    def next_number(self: Any) -> int | None:  # noqa: ANN401
        number = real(self)
        return None if number in {address_range.last for address_range in self.pool.ranges} else number

    patch(allocate.FreeList, "_next", next_number)


@fault("PEND-03a", "PEND-03b")
def no_retry_after_release() -> None:
    """A released address is not assigned to a pending Service before a restart."""
    real = controller.Controller._release  # noqa: SLF001

    def release(self: controller.Controller, key: str, keep: Iterable[IP] = ()) -> None:
        waiting, self._pending = self._pending, set()
        real(self, key, keep)
        self._pending = waiting

    patch(controller.Controller, "_release", release)


@fault("PEND-04a", "PEND-04b")
def no_retry_after_pool_added() -> None:
    """Pending Services are not reconciled when a pool is added."""
    real = controller.Controller._pools_changed  # noqa: SLF001

    def changed(self: controller.Controller, *which: object) -> None:
        waiting, self._pending = self._pending, set()
        real(self, *which)
        self._pending = waiting

    patch(controller.Controller, "_pools_changed", changed)


@fault("REQ-01a", "REQ-01b", "ARTICLE-04")
def ignores_requested_address() -> None:
    """A requested address is ignored, and the next free address is assigned."""
    real = allocate.read_address_request
    patch(controller, "read_address_request", lambda key, service: replace(real(key, service), requested_ip=None))


@fault("REQ-02", "L2-04b", "ARTICLE-08")
def assigns_requested_address_outside_pools() -> None:
    """A requested address outside all pools is assigned."""
    real = allocate.Allocator._allocate_requested  # noqa: SLF001

    def allocate_requested(self: allocate.Allocator, request: allocate.AddressRequest, ip: IP) -> IP:
        return ip if self.pool_of(ip) is None else real(self, request, ip)

    patch(allocate.Allocator, "_allocate_requested", allocate_requested)


@fault("REQ-03")
def assigns_requested_address_in_use() -> None:
    """A requested address that another Service holds is assigned."""
    real = allocate.Allocator._allocate_requested  # noqa: SLF001

    def allocate_requested(self: allocate.Allocator, request: allocate.AddressRequest, ip: IP) -> IP:
        self.holder.pop(ip, None)
        return real(self, request, ip)

    patch(allocate.Allocator, "_allocate_requested", allocate_requested)


@fault("REQ-04a", "REQ-04b", "REQ-04c", "REQ-04d")
def ignores_invalid_request() -> None:
    """An invalid request is ignored, and the next free address is assigned."""
    read, ask = allocate.read_address_request, allocate.Allocator._allocate_requested  # noqa: SLF001

    def request(key: str, service: Any) -> allocate.AddressRequest:  # noqa: ANN401
        try:
            return read(key, service)
        except allocate.AllocationError:
            return allocate.AddressRequest(key=key)

    def allocate_requested(self: allocate.Allocator, request: allocate.AddressRequest, ip: IP) -> IP:
        try:
            return ask(self, request, ip)
        except allocate.AllocationError:
            return self._allocate_any(replace(request, requested_ip=None, pool=None))

    patch(controller, "read_address_request", request)
    patch(allocate.Allocator, "_allocate_requested", allocate_requested)


@fault("RECL-01a", "RECL-01b", "RECL-02a", "RECL-02b", "CLASS-03a", "ARTICLE-18")
def never_releases_address() -> None:
    """The address of a deleted Service is never assigned again."""
    patch(allocate.Allocator, "release", lambda *_: None)


@fault("RECL-01c")
def ignores_recreated_service() -> None:
    """A Service with the name of an earlier one is not assigned an address."""
    real, known = controller.Controller._assign, set[str]()  # noqa: SLF001

    async def assign(self: controller.Controller, key: str, service: Any, ip: str, pool: str) -> None:  # noqa: ANN401
        if key not in known:
            known.add(key)
            await real(self, key, service, ip, pool)

    patch(controller.Controller, "_assign", assign)


@fault("CLASS-02a", "CLASS-02b", "CLASS-01c")
def serves_other_classes() -> None:
    """A Service with the class of another implementation is assigned an address."""
    for module in (controller, offers):
        patch(module, "is_managed", lambda service, _class: service["spec"].get("type") == "LoadBalancer")


@fault("ARTICLE-08")
def slowly_assigns_requested_address_outside_pools() -> None:
    """As `assigns_requested_address_outside_pools`, by a controller that takes longer than the shortest watch."""
    assigns_requested_address_outside_pools()
    _write_slowly()


def _write_slowly() -> None:
    """Let each write of an address take 1.2 s: longer than `stays_pending`; two still are within `address_assigned`."""
    real = controller.Controller._write  # noqa: SLF001

    async def write(
        self: controller.Controller, key: str, service: dict[str, Any], ip: str | None, pool: str | None
    ) -> None:
        await asyncio.sleep(1.2 if ip else 0)
        await real(self, key, service, ip, pool)

    patch(controller.Controller, "_write", write)


@fault("CLASS-01a")
def ignores_services_without_class() -> None:
    """A Service without a class is ignored, although no class is configured."""
    for module in (controller, offers):
        real = module.is_managed
        patch(module, "is_managed", lambda service, name, real=real: real(service, name or "lbproof.dev/reference"))


@fault("CLASS-01b")
def ignores_configured_class() -> None:
    """A Service with the configured class is ignored."""
    for module in (controller, offers):
        real = module.is_managed

        def is_managed(service: dict[str, Any], lb_class: str | None, real: Any = real) -> bool:  # noqa: ANN401
            named = service["spec"].get("loadBalancerClass")
            return (lb_class is None or named != lb_class) and bool(real(service, None))

        patch(module, "is_managed", is_managed)


@fault("UPGR-04a")
def adopts_its_own_statuses_alone() -> None:
    """A controller that starts keeps an address of a status only where its own annotation confirms it."""
    real = controller.Controller._restore_address  # noqa: SLF001

    def restore_address(self: controller.Controller, key: str, text: str, *rest: Any, in_status: bool) -> None:  # noqa: ANN401
        if text in (assigned(self._objects("Service")[key])[0] or ""):
            real(self, key, text, *rest, in_status=in_status)

    patch(controller.Controller, "_restore_address", restore_address)


@fault("UPGR-01", "UPGR-02", "UPGR-05b")
def forgets_assignments_on_restart() -> None:
    """A restarted controller does not restore earlier assignments."""
    patch(controller.Controller, "_restore", lambda _self: None)

    def shuffled(self: Any, held: Iterable[IP]) -> IP | None:  # noqa: ANN401
        numbers = [n for address_range in self.pool.ranges for n in range(address_range.first, address_range.last + 1)]
        free = [ip for n in numbers if (ip := ip_from_int(4, n)) not in held]
        return random.SystemRandom().choice(free) if free else None

    patch(allocate.FreeList, "take", shuffled)
