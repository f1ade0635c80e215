"""Level-triggered reconcile loop around the allocator: compare desired and actual state, write the difference.

A key is enqueued after each change of its object, after a failed write (with backoff), and when an address or a pool
becomes available that it may wait for. Decisions are made in one thread without a suspension point; only writes
overlap. An address is given to another Service only after the status of the former one was written.

Before the first decision everything is listed. The address in a status is restored if a pool contains it or if the
controller's own record confirms it (`lbproof_reference.retained`), and no node has it; a Service with another address
gets a new one. Pools and advertisements of other namespaces are reported to their authors and not used.
"""

from __future__ import annotations

import asyncio
import secrets
from base64 import b64encode
from typing import TYPE_CHECKING

import httpx
import structlog

from lbproof_reference.advertisements import Advertisement
from lbproof_reference.controller.allocate import Allocation, AllocationError, Allocator, read_address_request
from lbproof_reference.controller.status import ObjectStatus
from lbproof_reference.controller.workqueue import WorkQueue
from lbproof_reference.events import EventRecorder
from lbproof_reference.informer import Informer
from lbproof_reference.kube import NODES, SERVICES, Kube, Object, labels_of, metallb_path
from lbproof_reference.nodes import node_addresses, relevant_fields
from lbproof_reference.pools import parse_ip, parse_pools
from lbproof_reference.retained import Retained, RetainedRecord, parse_record, record_key
from lbproof_reference.services import ALLOCATED, FROM_POOL, annotated_ip, annotated_pool, ingress_ips, is_managed

if TYPE_CHECKING:
    from collections.abc import Iterable

COMPONENT = "lbproof-controller"
SECRET_NAME = "lbproof-heartbeat"  # noqa: S105 - the name of a Secret, not its content
_WRITERS = 8
_SETTLE_SECONDS = 1.0
"""Delay before a missing advertisement is reported, because objects that belong together are created one by one."""
_SECRET_SECONDS = 300.0  # seldom: an idle controller asks nothing of the API server
"""Period of the attempts to create a Secret that exists; as long new speaker Pods may wait after it was deleted."""
_CONFLICT = 409
_NOT_FOUND = 404  # deleted; the watch reports it
_REJECTED = (400, 413, 422)
"""Status codes that depend on the object, so that a retry without a change fails again."""

log = structlog.get_logger()


class Controller:
    """Controller of one cluster; only one instance may run at a time."""

    def __init__(self, kube: Kube, *, lb_class: str | None, namespace: str) -> None:
        """Prepare the informers; `run` starts them."""
        self._kube, self._class, self._namespace = kube, lb_class, namespace
        self._allocator = Allocator()
        self._queue = WorkQueue()
        self._pending: dict[str, str] = {}  # key -> "uid: reason" of the last Event
        self._unannounced: dict[str, str] = {}  # likewise
        self._pool_of: dict[str, str] = {}  # key -> pool of its address, even if deleted since
        self._recorder = EventRecorder(kube, COMPONENT)
        self._retained = RetainedRecord(kube, namespace)
        self._announcing_changed = asyncio.Event()
        self.ready = False
        self.services = Informer(kube, SERVICES, lambda key, _: self._queue.add(key))
        self.pools = Informer(kube, metallb_path("ipaddresspools"), self._pools_changed)
        self.advertisements = Informer(kube, metallb_path("l2advertisements"), self._advertisement_changed)
        self.nodes = Informer(kube, NODES, self._node_changed)
        self._informers = {
            "Service": self.services,
            "IPAddressPool": self.pools,
            "L2Advertisement": self.advertisements,
            "Node": self.nodes,
        }
        self._status = ObjectStatus(kube, self._recorder, self._informers)
        self._skip_log = self._status.skip_log

    async def run(self) -> None:
        """Run until cancelled, or until an exception that is not an API error."""
        async with asyncio.TaskGroup() as self._group:
            for informer in self._informers.values():
                self._group.create_task(informer.run())
            self._group.create_task(self._ensure_secret())
            self._group.create_task(self._recorder.run())
            await self._retained.load()
            for informer in self._informers.values():
                await informer.synced.wait()
            self.ready = True
            self._pools_changed()
            self._restore()
            for key in self.advertisements.objects:
                self._advertisement_changed(key)
            for key in self._by_age(self.services.objects):
                self._queue.add(key)
            self._group.create_task(self._retained.run(self._retained_addresses))
            self._group.create_task(self._report_unannounced())
            for _ in range(_WRITERS):
                self._group.create_task(self._work())

    def _restore(self) -> None:
        """Restore assignments from statuses that annotations confirm, from other statuses, then from annotations.

        So nobody who may write only a status takes the address of another Service, however old the own one is.
        """
        self._recorded = parse_record(self._retained.data, self._skip_log)
        for restore in (self._restore_confirmed, self._restore_from_status, self._restore_from_annotations):
            for key in self._by_age(self.services.objects):
                service = self.services.objects[key]
                with self._skip_log.reading("Service", key):
                    if is_managed(service, self._class) and key not in self._allocator.holds:
                        restore(key, service)

    def _restore_from_annotations(self, key: str, service: Object) -> None:
        """Restore an address of which the status was lost; it is no more than a request, which any author can make."""
        if text := annotated_ip(service):
            ip = parse_ip(text)
            if self._allocator.pool_of(ip) and not self._allocator.is_of_node(ip):
                self._allocator.assign(key, ip)

    def _restore_confirmed(self, key: str, service: Object) -> None:
        self._restore_addresses(key, service, [ip for ip in ingress_ips(service) if ip == annotated_ip(service)])

    def _restore_from_status(self, key: str, service: Object) -> None:
        self._restore_addresses(key, service, ingress_ips(service))

    def _restore_addresses(self, key: str, service: Object, texts: list[str]) -> None:
        """Assign the first of these addresses of its status that it may keep."""
        for text in texts:
            ip = parse_ip(text)
            pool = self._allocator.pool_holding(ip)
            recorded = self._recorded.get(key)
            if recorded and (recorded.uid, recorded.ip) == (service["metadata"]["uid"], ip):
                pool = pool or recorded.pool
            if pool is None or self._allocator.is_of_node(ip):
                log.warning("address in status ignored: of a node, or in no pool and not recorded", key=key, ip=text)
            elif not self._allocator.assign(key, ip):
                log.warning("duplicate address in statuses", ip=text, younger=key)
            else:
                self._pool_of[key] = pool
                return

    def _by_age(self, keys: Iterable[str]) -> list[str]:
        known = self.services.objects
        return sorted(
            (k for k in keys if k in known), key=lambda k: (known[k]["metadata"].get("creationTimestamp", ""), k)
        )

    def _pools_changed(self, *_: object) -> None:
        if not self.ready:
            return
        own = [pool for pool in self.pools.objects.values() if self._is_own(pool)]
        good, bad = parse_pools(own)
        self._allocator.set_pools(good, node_addresses(self.nodes.objects.values(), self._skip_log))
        for pool in self.pools.objects.values():
            if self._is_own(pool):
                reason, problem = "BadPool", bad.get(pool["metadata"]["name"])
            else:
                reason, problem = "OtherNamespace", self._not_used("IPAddressPools")
            self._group.create_task(self._status.set_valid(pool, reason, problem))
        self._retained.changed.set()
        self._announcing_changed.set()
        moving = {key for key, ip in self._allocator.holds.items() if self._allocator.is_of_node(ip)}
        for key in self._by_age(self._pending.keys() | moving):
            self._queue.add(key)

    def _node_changed(self, key: str, before: Object | None) -> None:
        if relevant_fields(before) != relevant_fields(self.nodes.objects.get(key)):
            self._pools_changed()

    def _advertisement_changed(self, key: str, *_: object) -> None:
        advertisement = self.advertisements.objects.get(key)
        if advertisement and not self._is_own(advertisement):
            self._skip_log.note("L2Advertisement", key, self._not_used("L2Advertisements"))
        self._announcing_changed.set()

    def _is_own(self, obj: Object) -> bool:
        return bool(obj["metadata"]["namespace"] == self._namespace)

    def _not_used(self, kind: str) -> str:
        return f"not used: only {kind} in namespace {self._namespace!r} are"

    def _retained_addresses(self) -> dict[str, str]:
        """Return the record of the assigned addresses that are in no pool."""
        services = self.services.objects
        return {
            record_key(key): str(Retained(uid=services[key]["metadata"]["uid"], ip=ip, pool=self._pool_of[key]))
            for key, ip in self._allocator.holds.items()
            if key in services and key in self._pool_of and self._allocator.pool_holding(ip) is None
        }

    async def _report_unannounced(self) -> None:
        """Record an Event about each Service whose pool no advertisement selects, once."""
        while True:
            await self._announcing_changed.wait()
            await asyncio.sleep(_SETTLE_SECONDS)
            self._announcing_changed.clear()
            labels = {
                pool["metadata"]["name"]: labels_of(pool) for pool in self.pools.objects.values() if self._is_own(pool)
            }
            advertisements: list[Advertisement] = []
            for key, obj in self.advertisements.objects.items():
                if self._is_own(obj):
                    with self._skip_log.reading("L2Advertisement", key):
                        advertisements.append(Advertisement(obj))
            selected = {
                pool: any(one.selects_pool(pool, labels.get(pool, {})) for one in advertisements)
                for pool in set(self._pool_of.values())
            }
            for key, pool in self._pool_of.items():
                if selected[pool]:
                    self._unannounced.pop(key, None)
                elif service := self.services.objects.get(key):
                    reason = f"address of pool {pool!r} is not announced: no L2Advertisement selects the pool"
                    told = f"{service['metadata']['uid']}: {reason}"
                    if self._unannounced.get(key) != told:
                        self._unannounced[key] = told
                        self._status.warn("Service", key, "NotAnnounced", reason)

    async def _work(self) -> None:
        while True:
            key = await self._queue.get()
            try:
                with self._skip_log.reading("Service", key):
                    await self._reconcile(key)
                self._queue.forget(key)
            except httpx.HTTPError as error:
                code = error.response.status_code if isinstance(error, httpx.HTTPStatusError) else None
                if code in _REJECTED:
                    self._skip_log.note("Service", key, f"the API server rejects its status: {error!r}")
                elif code != _NOT_FOUND:
                    log.warning("write failed", key=key, error=repr(error), retry_seconds=self._queue.retry(key))
            finally:
                self._queue.done(key)

    async def _reconcile(self, key: str) -> None:
        service = self.services.objects.get(key)
        if service is None or not is_managed(service, self._class):
            self._pending.pop(key, None)
            self._unannounced.pop(key, None)
            if service and service["spec"].get("type") != "LoadBalancer" and _is_annotated(service):
                await self._write(service, status=None, pool=None)
            self._release(key)
            return
        try:
            allocation = self._allocator.allocate(read_address_request(key, service))
        except AllocationError as error:
            await self._mark_pending(key, service, str(error))
            return
        self._pending.pop(key, None)
        await self._assign(key, service, allocation)
        if self._allocator.release_left(key):
            self._requeue_pending()

    async def _assign(self, key: str, service: Object, allocation: Allocation) -> None:
        ip = str(allocation.ip)
        if allocation.pool:
            self._pool_of[key] = allocation.pool
        if record_key(key) in self._retained.data:
            self._retained.changed.set()
        pool = self._pool_of.get(key)
        if ingress_ips(service) == [ip]:
            if pool and (annotated_pool(service), annotated_ip(service)) != (pool, ip):
                await self._write(service, status=None, pool=pool)
            return
        self._recorder.defer()
        self._announcing_changed.set()
        await self._write(service, status=[{"ip": ip, "ipMode": "VIP"}], pool=pool)
        log.info("assigned", key=key, ip=str(allocation.ip), pool=allocation.pool)
        self._recorder.event(service, "Normal", "IPAllocated", f'Assigned IP ["{allocation.ip}"]')

    async def _mark_pending(self, key: str, service: Object, reason: str) -> None:
        """Report a reason once; remove a status or annotation that the allocator does not confirm."""
        known = f"{service['metadata']['uid']}: {reason}"
        is_new, self._pending[key] = self._pending.get(key) != known, known
        held = self._allocator.holds.get(key)
        without = held is None or self._allocator.is_of_node(held)
        if without and (ingress_ips(service) or _is_annotated(service)):
            await self._write(service, status=[], pool=None)
        if without:
            self._release(key)
        if is_new:
            log.info("allocation failed", key=key, reason=reason)
            self._recorder.event(service, "Warning", "AllocationFailed", f'Failed to allocate IP for "{key}": {reason}')

    def _release(self, key: str) -> None:
        self._pool_of.pop(key, None)
        if record_key(key) in self._retained.data:
            self._retained.changed.set()
        if (ip := self._allocator.release(key)) is not None:
            log.info("released", key=key, ip=str(ip))
            self._requeue_pending()

    def _requeue_pending(self) -> None:
        """Enqueue pending Services, oldest first. Each decision takes microseconds."""
        for key in self._by_age(self._pending):
            self._queue.add(key)

    async def _write(self, service: Object, *, status: list[Object] | None, pool: str | None) -> None:
        """Write status and annotations in one PATCH of the status subresource.

        The uid makes the request fail if the Service was replaced by another one of the same name.
        """
        meta = service["metadata"]
        given = status[0]["ip"] if status else ingress_ips(service)[0] if pool else None
        body: Object = {"metadata": {"uid": meta["uid"], "annotations": {FROM_POOL: pool, ALLOCATED: given}}}
        if status is not None:
            body["status"] = {"loadBalancer": {"ingress": status or None}}
        await self._kube.call("PATCH", f"/api/v1/namespaces/{meta['namespace']}/services/{meta['name']}/status", body)

    async def _ensure_secret(self) -> None:
        """Create the Secret with the speakers' heartbeat key whenever it does not exist.

        Creation is attempted again and again, because the controller may not read Secrets.
        """
        path = f"/api/v1/namespaces/{self._namespace}/secrets"
        key = b64encode(secrets.token_bytes(32)).decode()
        body: Object = {"metadata": {"name": SECRET_NAME}, "data": {"key": key}}
        while True:
            try:
                await self._kube.call("POST", path, body)
            except httpx.HTTPError as error:
                exists = isinstance(error, httpx.HTTPStatusError) and error.response.status_code == _CONFLICT
                if not exists:
                    log.warning("cannot create the speakers' Secret", error=repr(error))
            else:
                exists = True
                log.info("created the speakers' Secret")
            await asyncio.sleep(_SECRET_SECONDS if exists else 1)


def _is_annotated(service: Object) -> bool:
    """Whether the Service has one of the controller's annotations, with any value."""
    return annotated_ip(service) is not None or annotated_pool(service) is not None
