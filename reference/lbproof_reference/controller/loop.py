"""Level-triggered reconcile loop around the allocator: compare desired and actual state, write the difference.

Whatever is written goes through one queue of objects, with backoff after a failed write. Services and pools are
enqueued after each change, a Service also when an address or a pool becomes available that it may wait for. Decisions
are made in one thread without a suspension point; only writes overlap. An address goes to another Service only when no
status can show it for the former one. A status is written on condition that the Service has the version that was read.
So its next version settles what became of a write: it shows what was written, or the write fails whenever it arrives.

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

from lbproof_reference.advertisements import Advertisement, why_unannounced
from lbproof_reference.controller.allocate import AllocationError, Allocator, read_address_request, read_sharing
from lbproof_reference.controller.status import changed_status
from lbproof_reference.controller.workqueue import WorkQueue
from lbproof_reference.events import EventRecorder
from lbproof_reference.informer import Informer
from lbproof_reference.kube import (
    METALLB,
    NAMESPACES,
    NODES,
    SERVICES,
    Kube,
    Object,
    labels_of,
    metallb_path,
    status_code,
)
from lbproof_reference.nodes import may_announce, node_addresses, relevant_fields
from lbproof_reference.pools import is_same_pool, parse_ip, parse_pools
from lbproof_reference.reading import SkipLog
from lbproof_reference.retained import RECORD, Retained, parse_record, read_record, record_key, write_record
from lbproof_reference.services import (
    ALLOCATED,
    FROM_POOL,
    assigned,
    families,
    ingress,
    ingress_ips,
    ingress_of,
    is_managed,
    is_shown,
    shown_ips,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lbproof_reference.controller.allocate import Allocation, Sharing
    from lbproof_reference.pools import IP

COMPONENT = "lbproof-controller"
_SECRET = ("Secret", "lbproof-heartbeat")
_RECORD = ("ConfigMap", RECORD)
_WRITERS = 8
_SETTLE_SECONDS = 1.0
"""Delay before a missing advertisement, and the numbers of addresses, are reported: objects are created one by one."""
_OUTDATED_SECONDS = 0.2
"""Delay before a Service that needs an address is looked at again while the pools may be outdated."""
_SECRET_SECONDS = 300.0  # seldom: an idle controller asks nothing of the API server
"""Period of the attempts to create a Secret that exists; as long new speaker Pods may wait after it was deleted."""
_CONFLICT = 409
_NOT_FOUND = 404
_REJECTED = (400, 413, 422)
"""Status codes that depend on the object: with 404, a write to a watched one is repeated only after its next change."""
_REFUSED = frozenset(range(400, 500)) - {408, 409, 429}
"""Status codes after which a status was not written, and its address is free; a conflict (409) keeps it for a retry."""

log = structlog.get_logger()


class Controller:
    """Controller of one cluster; only one instance may run at a time (see `leader`)."""

    def __init__(self, kube: Kube, *, lb_class: str | None, namespace: str, ignore_exclude: bool = False) -> None:
        """Prepare the informers; `run` starts them. `ignore_exclude`: whether excluded nodes announce too."""
        self._kube, self._class, self._namespace = kube, lb_class, namespace
        self._ignore_exclude = ignore_exclude
        self._allocator = Allocator()
        self._queue = WorkQueue()
        self._pending: set[str] = set()
        self._may_show: dict[str, set[IP]] = {}
        """Addresses that a Service's status may show by writes since the version that was last read."""
        self._bad_pools: dict[str, str] = {}
        self._usage: dict[str, dict[str, int]] = {}
        """Addresses that are assigned and available, by pool, as last counted."""
        self._selects_namespaces = False
        """Whether a pool selects namespaces by labels."""
        self._record: dict[str, str] = {}
        """Data of the ConfigMap of retained addresses, as last read or written."""
        self._changed = asyncio.Event()  # what is announced
        self.ready = False
        self._informers = {
            "Service": Informer(kube, SERVICES, self._service_changed),
            "IPAddressPool": Informer(kube, metallb_path("ipaddresspools"), self._pool_changed),
            "L2Advertisement": Informer(kube, metallb_path("l2advertisements"), self._advertisement_changed),
            "Node": Informer(kube, NODES, self._node_changed),
            "Namespace": Informer(kube, NAMESPACES, self._namespace_changed),
        }
        self._recorder = EventRecorder(kube, COMPONENT)
        self._skip_log = SkipLog(self._warn)
        self._reconcilers = {
            "Service": self._reconcile,
            "IPAddressPool": self._report_pool,
            "ConfigMap": self._write_record,
            "Secret": self._create_secret,
        }

    async def run(self) -> None:
        """Run until cancelled, or until an exception that is not an API error."""
        async with asyncio.TaskGroup() as group:
            for informer in self._informers.values():
                group.create_task(informer.run())
            group.create_task(self._recorder.run())
            for _ in range(_WRITERS):
                group.create_task(self._work())
            self._queue.add(_SECRET)
            self._record = await read_record(self._kube, self._namespace, required=True)
            for informer in self._informers.values():
                await informer.synced.wait()
            self.ready = True
            self._pools_changed()
            self._restore()
            self._enqueue(self._objects("Service"))
            await self._report_unannounced()

    def _objects(self, kind: str) -> dict[str, Object]:
        return self._informers[kind].objects

    def _own(self, kind: str) -> dict[str, Object]:
        """Return the objects of the own namespace."""
        return {key: obj for key, obj in self._objects(kind).items() if self._is_own(obj)}

    def _is_own(self, obj: Object) -> bool:
        return bool(obj["metadata"]["namespace"] == self._namespace)

    def _not_used(self, kind: str) -> str:
        return f"not used: only {kind}s in namespace {self._namespace!r} are"

    def _by_age(self, keys: Iterable[str]) -> list[str]:
        known = self._objects("Service")
        return sorted(known.keys() & keys, key=lambda k: (known[k]["metadata"].get("creationTimestamp", ""), k))

    def _enqueue(self, keys: Iterable[str]) -> None:
        """Enqueue Services, oldest first. Each decision takes microseconds."""
        for key in self._by_age(keys):
            self._queue.add(("Service", key))

    def _warn(self, kind: str, key: str, reason: str, message: str) -> None:
        """Record a Warning about an object, if it is of a kind that is read here and still there."""
        if (informer := self._informers.get(kind)) and (obj := informer.objects.get(key.partition(" ")[0])):
            version = "v1" if kind in {"Service", "Node"} else METALLB
            self._recorder.event({**obj, "kind": kind, "apiVersion": version}, "Warning", reason, message)

    def _restore(self) -> None:
        """Restore assignments from statuses that annotations confirm, from other statuses, then from annotations.

        So nobody who may write only a status takes the address of another Service, however old the own one is. An
        annotation alone is no more than a request, which any author can make.
        """
        found: list[tuple[int, str, str]] = []
        for key in self._by_age(self._objects("Service")):
            service = self._objects("Service")[key]
            with self._skip_log.reading("Service", key):
                if is_managed(service, self._class):
                    shown, noted = ingress_ips(service), (assigned(service)[0] or "").split(",")
                    found += [(int(text not in noted), key, text) for text in shown]
                    found += [(2, key, text) for text in noted if text]
        recorded = parse_record(self._record, self._skip_log)
        for rank, key, text in sorted(found, key=lambda candidate: candidate[0]):
            with self._skip_log.reading("Service", key):
                if self._allocator.allocation_of(key, parse_ip(text).version) is None:
                    self._restore_address(key, text, recorded.get(key), in_status=rank < 2)  # noqa: PLR2004 - above

    def _restore_address(self, key: str, text: str, recorded: tuple[Retained, ...] | None, *, in_status: bool) -> None:
        """Assign this address to a Service if it may keep it."""
        service = self._objects("Service")[key]
        ip, uid = parse_ip(text), service["metadata"]["uid"]
        pool = self._allocator.pool_holding(ip) if in_status else self._allocator.pool_of(ip)
        for one in recorded or ():
            if (one.uid, one.ip) == (uid, ip):
                pool = pool or one.pool
        if pool is None or self._allocator.is_of_node(ip):
            log.warning("address not restored: of a node, or in no pool and not recorded", key=key, ip=text)
        elif not self._allocator.assign(key, ip, pool, read_sharing(key, service)):
            log.warning("address not restored: another Service has it", key=key, ip=text)

    def _service_changed(self, key: str, before: Object | None) -> None:
        self._may_show.pop(key, None)
        now = self._objects("Service").get(key)
        if before and (now is None or now["metadata"]["uid"] != before["metadata"]["uid"]):
            self._release(key)
        elif before and now and labels_of(now) != labels_of(before):
            self._changed.set()
        if self.ready:
            self._queue.add(("Service", key))

    def _pools_changed(self, *_: object) -> None:
        if not self.ready:
            return
        good, self._bad_pools = parse_pools(self._own("IPAddressPool").values())
        self._selects_namespaces = any(pool.scope and pool.scope.namespace_selectors for pool in good)
        namespaces = {name: labels_of(namespace) for name, namespace in self._objects("Namespace").items()}
        good = [pool.in_namespaces(namespaces) for pool in good]
        before = self._allocator.allocations()
        self._allocator.set_pools(good, node_addresses(self._objects("Node").values(), self._skip_log))
        self._usage = self._allocator.usage()
        self._report_pools()
        now = self._allocator.allocations()
        of_nodes = {key for key, found in now.items() if any(self._allocator.is_of_node(one.ip) for one in found)}
        self._enqueue(self._pending | of_nodes | dict(now.items() - before.items()).keys())
        self._queue.add(_RECORD)
        self._changed.set()

    def _pool_changed(self, key: str, before: Object | None) -> None:
        if is_same_pool(before, self._objects("IPAddressPool").get(key)):
            self._report_pools()
        else:
            self._pools_changed()

    def _report_pools(self) -> None:
        for key in self._objects("IPAddressPool"):
            self._queue.add(("IPAddressPool", key))

    def _node_changed(self, key: str, before: Object | None) -> None:
        if relevant_fields(before) != relevant_fields(self._objects("Node").get(key)):
            self._pools_changed()

    def _namespace_changed(self, key: str, before: Object | None) -> None:
        now = self._objects("Namespace").get(key)
        if self._selects_namespaces and not (before and now and labels_of(before) == labels_of(now)):
            self._pools_changed()

    def _advertisement_changed(self, key: str, _: Object | None) -> None:
        advertisement = self._objects("L2Advertisement").get(key)
        if advertisement and not self._is_own(advertisement):
            self._skip_log.note("L2Advertisement", key, self._not_used("L2Advertisement"))
        self._changed.set()

    async def _report_unannounced(self) -> None:
        """Record an Event about each Service whose address no node announces, a second after a change, once.

        The numbers of assigned and available addresses are written too.
        """
        while True:
            await self._changed.wait()
            await asyncio.sleep(_SETTLE_SECONDS)
            self._changed.clear()
            before, self._usage = self._usage, self._allocator.usage()
            if self._usage != before:
                self._report_pools()
            labels = {pool["metadata"]["name"]: labels_of(pool) for pool in self._own("IPAddressPool").values()}
            advertisements: list[Advertisement] = []
            for key, obj in self._own("L2Advertisement").items():
                with self._skip_log.reading("L2Advertisement", key):
                    advertisements.append(Advertisement(obj))
            services, allocations = self._objects("Service"), self._allocator.allocations()
            nodes, reasons = self._announcing_nodes(), dict[object, str | None]()
            is_selective = any(one.service_selectors for one in advertisements)
            for key in allocations.keys() & services.keys():
                about, message = self._about(services[key]), ""
                of_service = labels_of(services[key]) if is_selective else {}
                for pool in {one.pool: None for one in allocations[key]}:
                    case = pool, repr(of_service)
                    if case not in reasons:
                        reasons[case] = why_unannounced(advertisements, (pool, labels.get(pool, {})), of_service, nodes)
                    if (why := reasons[case]) is not None:
                        message = f"address of pool {pool!r} is not announced: {why}"
                if message:
                    self._skip_log.note("Service", about, message, "NotAnnounced")
                else:
                    self._skip_log.forget("Service", about, "NotAnnounced")

    def _announcing_nodes(self) -> list[Mapping[str, str]] | None:
        """Return the labels of the nodes that may announce; None if there is no Node."""
        found: list[Mapping[str, str]] = []
        for key, node in self._objects("Node").items():
            with self._skip_log.reading("Node", f"{key} announces"):
                if may_announce(node, ignore_exclude=self._ignore_exclude):
                    found.append(labels_of(node))
        return found if self._objects("Node") else None

    async def _write_record(self, _: str) -> None:
        """Write the assigned addresses that are in no pool to the record."""
        services, record = self._objects("Service"), dict[str, str]()
        for key, found in self._allocator.allocations().items():
            gone = [one for one in found if self._allocator.pool_holding(one.ip) is None]
            if key in services and gone:
                uid = services[key]["metadata"]["uid"]
                record[record_key(key)] = ",".join(str(Retained(uid, one.ip, one.pool)) for one in gone)
        if record != self._record:
            await write_record(self._kube, self._namespace, self._record, record)
            self._record = record

    def _about(self, service: Object) -> str:
        """Return a key of notes about this Service that are not about a later one of the same name."""
        meta = service["metadata"]
        return f"{meta['namespace']}/{meta['name']} {meta['uid']}"

    async def _work(self) -> None:
        while True:
            item = kind, key = await self._queue.get()
            failed = False
            try:
                with self._skip_log.reading(kind, key):
                    await self._reconcilers[kind](key)
            except httpx.HTTPError as error:
                failed = kind not in self._informers or status_code(error) not in (_NOT_FOUND, *_REJECTED)
                if failed:
                    log.warning("write failed", kind=kind, key=key, error=repr(error))
                elif status_code(error) != _NOT_FOUND:
                    self._skip_log.note(kind, key, f"the API server rejects what is written to it: {error!r}")
            self._queue.done(item, failed=failed)

    async def _report_pool(self, key: str) -> None:
        """Write the status of a pool, and report a problem by an Event."""
        if not (pool := self._objects("IPAddressPool").get(key)):
            return
        reason, problem = "BadPool", self._bad_pools.get(pool["metadata"]["name"])
        if not self._is_own(pool):
            reason, problem = "OtherNamespace", self._not_used("IPAddressPool")
        usage = {} if problem else self._usage.get(pool["metadata"]["name"], {})
        if patch := changed_status(pool, reason, problem, usage):
            namespace, name = key.split("/")
            path = f"{metallb_path('ipaddresspools', namespace)}/{name}/status"
            await self._kube.call("PATCH", path, {"status": patch})
            if problem and "conditions" in patch:
                log.warning("pool not used", pool=key, reason=problem)
                self._warn("IPAddressPool", key, reason, problem)

    async def _reconcile(self, key: str) -> None:
        service = self._objects("Service").get(key)
        if service is None or not is_managed(service, self._class):
            self._pending.discard(key)
            if service and service["spec"].get("type") != "LoadBalancer" and any(assigned(service)):
                await self._write(key, service, None, None)
            self._release(key)
            return
        if self._selects_namespaces and service["metadata"]["namespace"] not in self._objects("Namespace"):
            self._pending.add(key)  # until the other watch brings it
            return
        lacks = [one for one in families(service) if self._allocator.allocation_of(key, one) is None]
        if lacks and not self._informers["IPAddressPool"].is_current:
            asyncio.get_running_loop().call_later(_OUTDATED_SECONDS, self._queue.add, ("Service", key))
            return
        shared = self._allocator.sharing_of(key)
        try:
            found = self._allocator.allocate_all(read_address_request(key, service))
        except AllocationError as error:
            await self._mark_pending(key, service, str(error))
            self._retry_pending(key, shared)
            return
        self._pending.discard(key)
        self._retry_pending(key, shared)
        if len(found) < len(families(service)):  # PreferDualStack: until there is an address of the other family too
            self._pending.add(key)
        self._skip_log.forget("Service", self._about(service), "AllocationFailed")
        await self._assign(key, service, *_texts(found))

    def _retry_pending(self, key: str, before: Sharing) -> None:
        """Let pending Services try again if this one gave up a port or its key."""
        if self._allocator.sharing_of(key) != before:
            self._enqueue(self._pending)

    async def _assign(self, key: str, service: Object, ip: str, pool: str | None) -> None:
        """Write the address of a Service, or two with a comma, if the status says anything else."""
        ips = ip.split(",")
        is_new = ingress_ips(service) != ips
        if not is_shown(service, ips) or assigned(service) != (ip, pool):
            await self._write(key, service, ip, pool)
        else:
            self._release(key, {*map(parse_ip, ips), *self._shown(key)})
        if is_new:
            self._changed.set()
            log.info("assigned", key=key, ip=ip, pool=pool)
            shown = " ".join(f'"{one}"' for one in ips)
            self._recorder.event(service, "Normal", "IPAllocated", f"Assigned IP [{shown}]")

    async def _mark_pending(self, key: str, service: Object, reason: str) -> None:
        """Report a reason once; write the address that the Service keeps, or remove what the status shows."""
        self._pending.add(key)
        message = f'Failed to allocate IP for "{key}": {reason}'
        self._skip_log.note("Service", self._about(service), message, "AllocationFailed")
        sharing = read_sharing(key, service)
        held = [one for family in families(service) if (one := self._allocator.allocation_of(key, family))]
        held = [one for one in held if not self._allocator.is_of_node(one.ip)]
        if held := [one for one in held if self._allocator.assign(key, one.ip, one.pool, sharing)]:
            await self._assign(key, service, *_texts(held))
            return
        if ingress(service) or any(assigned(service)):
            await self._write(key, service, None, None)
        self._release(key, self._shown(key))

    async def _write(self, key: str, service: Object, ip: str | None, pool: str | None) -> None:
        """Write status and annotations in one PATCH, and release the addresses that the status cannot show."""
        meta = service["metadata"]
        path = f"/api/v1/namespaces/{meta['namespace']}/services/{meta['name']}/status"
        written, before = set(map(parse_ip, ip.split(","))) if ip else set(), self._shown(key)
        try:
            await self._kube.call("PATCH", path, _status_patch(service, ip, pool))
        except httpx.HTTPError as error:
            self._written(key, service, before if status_code(error) in _REFUSED else before | written)
            raise
        self._written(key, service, written)

    def _written(self, key: str, service: Object, may_show: set[IP]) -> None:
        """Note what the status may show after a write to this version of a Service, and release the rest."""
        now = self._objects("Service").get(key)
        if now and now["metadata"]["resourceVersion"] == service["metadata"]["resourceVersion"]:
            self._may_show[key] = may_show
        self._release(key, may_show | self._shown(key))

    def _shown(self, key: str) -> set[IP]:
        """Return the addresses that the status of a Service may show."""
        service = self._objects("Service").get(key)
        return self._may_show.get(key, shown_ips(service) if service else set())

    def _release(self, key: str, keep: Iterable[IP] = ()) -> None:
        """Release the addresses of a Service but those to keep, and let pending Services try again."""
        if released := self._allocator.release(key, set(keep)):
            self._changed.set()
            log.info("released", key=key, ips=[str(ip) for ip in released])
            if record_key(key) in self._record:
                self._queue.add(_RECORD)
            self._enqueue(self._pending)

    async def _create_secret(self, name: str) -> None:
        """Create the Secret with the speakers' heartbeat key if it does not exist, now and again later.

        Creation is attempted, because the controller may not read Secrets.
        """
        key = b64encode(secrets.token_bytes(32)).decode()
        body: Object = {"metadata": {"name": name}, "data": {"key": key}}
        try:
            await self._kube.call("POST", f"/api/v1/namespaces/{self._namespace}/secrets", body)
            log.info("created the speakers' Secret")
        except httpx.HTTPStatusError as error:
            if status_code(error) != _CONFLICT:
                raise
        asyncio.get_running_loop().call_later(_SECRET_SECONDS, self._queue.add, _SECRET)


def _texts(found: list[Allocation]) -> tuple[str, str]:
    """Return the addresses, in canonical form (RFC 5952), and their pools, as the annotations have them."""
    return ",".join(str(one.ip) for one in found), ",".join({one.pool: None for one in found})


def _status_patch(service: Object, ip: str | None, pool: str | None) -> Object:
    """Return a merge patch of the status and annotations of this version of a Service."""
    return {
        "metadata": {
            **{field: service["metadata"][field] for field in ("uid", "resourceVersion")},
            "annotations": {FROM_POOL: pool, ALLOCATED: ip},
        },
        "status": {"loadBalancer": {"ingress": ingress_of(ip.split(",")) if ip else None}},
    }
