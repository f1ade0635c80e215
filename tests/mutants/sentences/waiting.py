"""Faults of Services that wait (PEND), are released (RECL) or outlive a restart of the controller (UPGR)."""

# ruff: noqa: SLF001 - a fault replaces private functions
from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from tests.mutants.mutant import fault, patch
from tests.mutants.sentences.writes import empty_status, start, status_path

from lbproof_reference.controller import loop as controller
from lbproof_reference.controller.allocate import AllocationError, read_address_request
from lbproof_reference.controller.loop import Controller
from lbproof_reference.informer import Informer
from lbproof_reference.kube import SERVICES
from lbproof_reference.reading import MALFORMED_OBJECT
from lbproof_reference.retained import record_key
from lbproof_reference.services import annotation, is_managed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lbproof_reference.kube import Object
    from lbproof_reference.pools import IP


@fault("PEND-01a")
def first_wait_rewrites_assigned_statuses() -> None:
    """When a Service begins to wait, every assigned Service loses its address from its status for some milliseconds."""
    real = Controller._mark_pending

    async def mark_pending(self: Controller, key: str, service: Object, reason: str) -> None:
        begins = key not in self._pending
        await real(self, key, service, reason)
        if begins:
            for one in self._allocator.allocations():
                start(empty_status(self, one))

    patch(Controller, "_mark_pending", mark_pending)


@fault("PEND-01a")
def placeholder_in_status_of_waiting() -> None:
    """A Service that waits shows a host name, "pending.invalid", as its external address."""
    real = Controller._mark_pending
    body = {"status": {"loadBalancer": {"ingress": [{"hostname": "pending.invalid"}]}}}

    async def mark_pending(self: Controller, key: str, service: Object, reason: str) -> None:
        await real(self, key, service, reason)
        if not service.get("status", {}).get("loadBalancer", {}).get("ingress"):
            await self._kube.call("PATCH", status_path(service), body)

    patch(Controller, "_mark_pending", mark_pending)


@fault("PEND-02")
def reason_for_one_of_namespace() -> None:
    """Of the Services of a namespace that wait at a time, only the first one says why."""
    real = Controller._mark_pending

    async def mark_pending(self: Controller, key: str, service: Object, reason: str) -> None:
        namespace = key.partition("/")[0]
        if any(one != key and one.partition("/")[0] == namespace for one in self._pending):
            self._pending.add(key)
        else:
            await real(self, key, service, reason)

    patch(Controller, "_mark_pending", mark_pending)


@fault("PEND-03a")
def oldest_waiter_alone_is_retried() -> None:
    """A freed address is offered to the Service that waits longest alone; when that cannot use it, nobody gets it."""

    def release(self: Controller, key: str, keep: Iterable[IP] = ()) -> None:
        if self._allocator.release(key, set(keep)):
            if record_key(key) in self._record:
                self._queue.add(controller._RECORD)
            self._enqueue(self._by_age(self._pending)[:1])

    patch(Controller, "_release", release)


@fault("PEND-03b")
def annotated_waiter_not_woken() -> None:
    """A Service that asks for a held address by annotation is not tried again when it is freed; by field it is."""
    real = Controller._release

    def release(self: Controller, key: str, keep: Iterable[IP] = ()) -> None:
        pending, services = self._pending, self._objects("Service")
        self._pending = {one for one in pending if one in services and not annotation(services[one], "loadBalancerIPs")}
        try:
            real(self, key, keep)
        finally:
            self._pending = pending

    patch(Controller, "_release", release)


@fault("PEND-03a")
def change_of_type_wakes_nobody() -> None:
    """An address that a Service leaves by a change of its type is free, but no waiting Service is tried again."""
    real = Controller._release

    def release(self: Controller, key: str, keep: Iterable[IP] = ()) -> None:
        pending = self._pending
        self._pending = set() if key in self._objects("Service") else pending
        try:
            real(self, key, keep)
        finally:
            self._pending = pending

    patch(Controller, "_release", release)


@fault("PEND-04a")
def new_addresses_serve_one_waiter() -> None:
    """When a pool is new or wider, the Service that waits longest is tried again, and no other one."""
    real = Controller._pools_changed

    def pools_changed(self: Controller, *_: object) -> None:
        pending = self._pending
        self._pending = set(self._by_age(pending)[:1])
        try:
            real(self)
        finally:
            self._pending = pending

    patch(Controller, "_pools_changed", pools_changed)


@fault("PEND-04b")
def widened_pool_numbers_anew() -> None:
    """When the blocks of a pool change, its Services are given its lowest addresses again, the oldest first."""
    real = Controller._pools_changed

    def pools_changed(self: Controller, *_: object) -> None:
        before = {name: pool.ranges for name, pool in self._allocator._pools.items()}
        real(self)
        changed = {
            name for name, pool in self._allocator._pools.items() if before.get(name, pool.ranges) != pool.ranges
        }
        keys = [key for key, of in self._allocator.allocations().items() if changed & {one.pool for one in of}]
        for key in keys:
            self._allocator.release(key)
        self._enqueue(keys)

    patch(Controller, "_pools_changed", pools_changed)


@fault("RECL-01a")
def deletions_close_together_leak() -> None:
    """Of several Services that are deleted within a tenth of a second, only the first one's address is free again."""
    real = Controller._release
    last = -1.0

    def release(self: Controller, key: str, keep: Iterable[IP] = ()) -> None:
        nonlocal last
        if key not in self._objects("Service") and self._allocator.allocation_of(key):
            now = time.monotonic()
            if now - last < 0.1:
                return
            last = now
        real(self, key, keep)

    patch(Controller, "_release", release)


@fault("RECL-01c")
def late_cleanup_hits_recreated_service() -> None:
    """Two seconds after a deletion the controller cleans up by name: a new Service of that name loses its address."""
    real, changed = Controller._reconcile, Controller._service_changed
    cleaned: set[str] = set()

    async def clean(self: Controller, key: str) -> None:
        await asyncio.sleep(2)
        if key in self._objects("Service") and self._allocator.allocation_of(key):
            cleaned.add(key)
            await empty_status(self, key)
            self._release(key)

    async def reconcile(self: Controller, key: str) -> None:
        if key in cleaned:  # what the cleanup itself changed is no reason to act
            cleaned.discard(key)
        else:
            await real(self, key)

    def service_changed(self: Controller, key: str, before: Object | None) -> None:
        if key not in self._objects("Service") and self._allocator.allocation_of(key):
            start(clean(self, key))
        changed(self, key, before)

    patch(Controller, "_reconcile", reconcile)
    patch(Controller, "_service_changed", service_changed)


@fault("RECL-02a")
def second_change_of_type_ignored() -> None:
    """A Service that left its address once, and became a LoadBalancer again, keeps it when it leaves a second time."""
    real = Controller._reconcile
    left: set[str] = set()

    async def reconcile(self: Controller, key: str) -> None:
        service = self._objects("Service").get(key)
        if service and service["spec"].get("type") != "LoadBalancer" and self._allocator.allocation_of(key):
            if service["metadata"]["uid"] in left:
                return
            left.add(service["metadata"]["uid"])
        await real(self, key)

    patch(Controller, "_reconcile", reconcile)


@fault("UPGR-02")
def restart_grants_requests_first() -> None:
    """After a restart a Service that waits for a held address gets it, and its holder loses it."""
    real = Controller._restore

    def restore(self: Controller) -> None:
        for key in self._by_age(self._objects("Service")):
            service = self._objects("Service")[key]
            try:
                ip = read_address_request(key, service).requested_ip
                if ip and is_managed(service, self._class) and self._allocator.pool_of(ip):
                    self._allocator.assign(key, ip)
            except (AllocationError, *MALFORMED_OBJECT):
                continue
        real(self)

    patch(Controller, "_restore", restore)


@fault(
    uncaught="no case restarts the controller with a Service of the own class above a free address",
    test="test_several_services.py::test_a_restart_keeps_the_address_of_a_service_with_a_class",
)
def restart_forgets_services_of_class() -> None:
    """After a restart, Services that name the implementation's class are given an address anew, perhaps another one."""
    real = Controller._restore

    def restore(self: Controller) -> None:
        objects = self._informers["Service"].objects
        rest = {key: one for key, one in objects.items() if not one["spec"].get("loadBalancerClass")}
        self._informers["Service"].objects = rest
        try:
            real(self)
        finally:
            self._informers["Service"].objects = objects

    patch(Controller, "_restore", restore)


@fault("UPGR-01")
def restart_reads_first_ten_services() -> None:
    """At its start the controller knows only the first ten Services of the cluster; the others' addresses are free."""

    class FirstTen(Informer):
        """Informer that does not ask for the second page."""

        async def _list(self) -> None:
            await super()._list()
            if self._path == SERVICES:
                for key in sorted(self.objects)[10:]:
                    del self.objects[key]

    patch(controller, "Informer", FirstTen)


@fault(
    uncaught="the standing witness fails UPGR-01, and no case does",
    test="test_several_services.py::test_no_status_is_empty_after_a_restart",
)
def statuses_blink_after_restart() -> None:
    """Two seconds after its start the controller empties each status and writes it again."""
    real = Controller._restore

    async def resync(self: Controller) -> None:
        await asyncio.sleep(2)
        for key in list(self._allocator.allocations()):
            await empty_status(self, key)

    def restore(self: Controller) -> None:
        real(self)
        start(resync(self))

    patch(Controller, "_restore", restore)


@fault("UPGR-01")
def restart_drops_address_of_deleted_pool() -> None:
    """A Service keeps its address when the pool is deleted, and loses it when the controller restarts."""

    async def write_record(_self: Controller, _key: str) -> None:
        """Write nothing."""

    patch(Controller, "_write_record", write_record)
