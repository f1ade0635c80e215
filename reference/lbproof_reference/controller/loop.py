"""Level-triggered reconcile loop around the allocator: compare desired and actual state, write the difference.

A key is enqueued after each change of its object, after a failed write (with backoff), and when an address or a pool
becomes available that it may wait for. Decisions are made in one thread without a suspension point; only writes
overlap. Before the first decision everything is listed, and the assignments in statuses are restored if a pool contains
the address or the Service carries the controller's annotation of it. Other addresses in statuses were not written by
this controller.
"""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
from base64 import b64encode
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import httpx
import structlog

from lbproof_reference.controller.allocate import Allocation, AllocationError, Allocator, read_address_request
from lbproof_reference.controller.workqueue import WorkQueue
from lbproof_reference.events import EventRecorder
from lbproof_reference.informer import Informer
from lbproof_reference.kube import METALLB, SERVICES, Kube, Object, key_of, pools_of
from lbproof_reference.pools import parse_pools
from lbproof_reference.reading import SkipLog
from lbproof_reference.services import ALLOCATED, FROM_POOL, annotated_ip, annotated_pool, ingress_ips, is_managed

if TYPE_CHECKING:
    from collections.abc import Coroutine

COMPONENT = "lbproof-controller"
SECRET_NAME = "lbproof-heartbeat"  # noqa: S105 - the name of a Secret, not its content
_WRITERS = 8
_CONFLICT = 409
_NOT_FOUND = 404  # deleted; the watch reports it

log = structlog.get_logger()


class Controller:
    """Controller of one cluster; only one instance may run at a time."""

    def __init__(self, kube: Kube, *, lb_class: str | None, namespace: str) -> None:
        """Prepare the informers; `run` starts them."""
        self._kube, self._class, self._namespace = kube, lb_class, namespace
        self._allocator = Allocator()
        self._queue = WorkQueue()
        self._pending: dict[str, str] = {}  # key -> "uid: reason" of the last Event
        self._pool_of: dict[str, str] = {}  # key -> pool of its address, even if deleted since
        self._skip_log = SkipLog()
        self._recorder = EventRecorder(kube, COMPONENT)
        self._tasks: set[asyncio.Task[None]] = set()
        self.ready = False
        self.services = Informer(kube, SERVICES, lambda key, _: self._queue.add(key))
        self.pools = Informer(kube, pools_of(namespace), self._pools_changed)

    async def run(self) -> None:
        """Run until cancelled, or until an exception that is not an API error."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.services.run())
            group.create_task(self.pools.run())
            group.create_task(self._ensure_secret())
            group.create_task(self._recorder.run())
            await self.services.synced.wait()
            await self.pools.synced.wait()
            self.ready = True
            self._pools_changed()
            self._restore()
            for key in self._by_age(self.services.objects):
                self._queue.add(key)
            for _ in range(_WRITERS):
                group.create_task(self._work())

    def _restore(self) -> None:
        """Restore assignments from statuses first, then, for Services without one, from annotations."""
        for restore in (self._restore_from_status, self._restore_from_annotations):
            for key in self._by_age(self.services.objects):
                service = self.services.objects[key]
                with self._skip_log.reading("Service", key):
                    if is_managed(service, self._class) and key not in self._allocator.holds:
                        restore(key, service)

    def _restore_from_annotations(self, key: str, service: Object) -> None:
        if (text := annotated_ip(service)) and self._allocator.pool_holding(ip := ipaddress.ip_address(text)):
            self._allocator.assign(key, ip)

    def _restore_from_status(self, key: str, service: Object) -> None:
        for text in ingress_ips(service):
            ip = ipaddress.ip_address(text)
            pool = self._allocator.pool_holding(ip)
            if pool is None and annotated_ip(service) != text:
                log.warning("address in status ignored: in no pool and not assigned here", key=key, ip=text)
            elif not self._allocator.assign(key, ip):
                log.warning("duplicate address in statuses", ip=text, younger=key)
            else:
                if annotated := pool or annotated_pool(service):
                    self._pool_of[key] = annotated
                return

    def _by_age(self, keys: dict[str, Object] | dict[str, str]) -> list[str]:
        known = self.services.objects
        return sorted(
            (k for k in keys if k in known), key=lambda k: (known[k]["metadata"].get("creationTimestamp", ""), k)
        )

    def _pools_changed(self, *_: object) -> None:
        if not self.ready:
            return
        good, bad = parse_pools(self.pools.objects.values())
        self._allocator.set_pools(good)
        for pool in self.pools.objects.values():
            self._start_background(key_of(pool), self._set_pool_condition(pool, bad.get(pool["metadata"]["name"])))
        for key in self._by_age(self._pending):
            self._queue.add(key)

    async def _work(self) -> None:
        while True:
            key = await self._queue.get()
            try:
                with self._skip_log.reading("Service", key):
                    await self._reconcile(key)
                self._queue.forget(key)
            except httpx.HTTPError as error:
                if not isinstance(error, httpx.HTTPStatusError) or error.response.status_code != _NOT_FOUND:
                    log.warning("write failed", key=key, error=repr(error), retry_seconds=self._queue.retry(key))
            finally:
                self._queue.done(key)

    async def _reconcile(self, key: str) -> None:
        service = self.services.objects.get(key)
        if service is None or not is_managed(service, self._class):
            self._pending.pop(key, None)
            self._release(key)
            if service and service["spec"].get("type") != "LoadBalancer" and _is_annotated(service):
                await self._write(service, status=None, pool=None)
            return
        try:
            before = self._allocator.holds.get(key)
            allocation = self._allocator.allocate(read_address_request(key, service))
        except AllocationError as error:
            await self._mark_pending(key, service, str(error))
            return
        self._pending.pop(key, None)
        if before is not None and before != allocation.ip:
            self._requeue_pending()
        await self._assign(key, service, allocation)

    async def _assign(self, key: str, service: Object, allocation: Allocation) -> None:
        ip = str(allocation.ip)
        if allocation.pool:
            self._pool_of[key] = allocation.pool
        pool = self._pool_of.get(key)
        if ingress_ips(service) == [ip]:
            if pool and (annotated_pool(service), annotated_ip(service)) != (pool, ip):
                await self._write(service, status=None, pool=pool)
            return
        self._recorder.defer()
        await self._write(service, status=[{"ip": ip, "ipMode": "VIP"}], pool=pool)
        log.info("assigned", key=key, ip=str(allocation.ip), pool=allocation.pool)
        self._recorder.event(service, "Normal", "IPAllocated", f'Assigned IP ["{allocation.ip}"]')

    async def _mark_pending(self, key: str, service: Object, reason: str) -> None:
        """Report a reason once; remove a status or annotation that the allocator does not confirm."""
        known = f"{service['metadata']['uid']}: {reason}"
        is_new, self._pending[key] = self._pending.get(key) != known, known
        if key not in self._allocator.holds and (ingress_ips(service) or _is_annotated(service)):
            await self._write(service, status=[], pool=None)
        if is_new:
            log.info("allocation failed", key=key, reason=reason)
            self._recorder.event(service, "Warning", "AllocationFailed", f'Failed to allocate IP for "{key}": {reason}')

    def _release(self, key: str) -> None:
        self._pool_of.pop(key, None)
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

    async def _set_pool_condition(self, pool: Object, problem: str | None) -> None:
        meta = pool["metadata"]
        conditions = (pool.get("status") or {}).get("conditions") or []
        current: Object = next((c for c in conditions if c["type"] == "Valid"), {})
        message = problem or "the pool is in use"
        if current.get("message") == message and current.get("observedGeneration") == meta["generation"]:
            return
        condition = {
            "type": "Valid",
            "status": "False" if problem else "True",
            "reason": "BadPool" if problem else "Accepted",
            "message": message,
            "observedGeneration": meta["generation"],
            "lastTransitionTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        path = f"/apis/{METALLB}/namespaces/{meta['namespace']}/ipaddresspools/{meta['name']}/status"
        await self._kube.call("PATCH", path, {"status": {"conditions": [condition]}})
        if problem:
            log.warning("invalid pool", pool=key_of(pool), reason=problem)
            self._recorder.event(
                {**pool, "kind": "IPAddressPool", "apiVersion": METALLB}, "Warning", "BadPool", problem
            )

    def _start_background(self, pool: str, work: Coroutine[None, None, None]) -> None:
        """Run work in the background; a failure is logged and not retried."""

        async def guarded() -> None:
            try:
                with self._skip_log.reading("IPAddressPool", pool):
                    await work
            except httpx.HTTPError as error:
                log.warning("pool status not written", error=repr(error))

        task = asyncio.create_task(guarded())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ensure_secret(self) -> None:
        """Create the Secret with the speakers' heartbeat key if it does not exist."""
        path = f"/api/v1/namespaces/{self._namespace}/secrets"
        key = b64encode(secrets.token_bytes(32)).decode()
        body: Object = {"metadata": {"name": SECRET_NAME}, "data": {"key": key}}
        while True:
            try:
                await self._kube.call("POST", path, body)
            except httpx.HTTPError as error:
                if isinstance(error, httpx.HTTPStatusError) and error.response.status_code == _CONFLICT:
                    return
                log.warning("cannot create the speakers' Secret", error=repr(error))
            else:
                return
            await asyncio.sleep(1)


def _is_annotated(service: Object) -> bool:
    """Whether the Service has one of the controller's annotations, with any value."""
    return annotated_ip(service) is not None or annotated_pool(service) is not None
