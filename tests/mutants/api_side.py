"""Faults that are seen in the API: statuses, specs, marks, requests, pools as objects, and what is released."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tests.mutants.mutant import fault, patch

from lbproof_reference import pools
from lbproof_reference.controller import allocate
from lbproof_reference.controller import loop as controller
from lbproof_reference.kube import SERVICES
from lbproof_reference.retained import RECORD, Retained, record_key, write_record
from lbproof_reference.retained import parse_record as read_entries
from lbproof_reference.services import ingress_ips
from lbproof_reference.speaker import source

if TYPE_CHECKING:
    from lbproof_reference.kube import Object
    from lbproof_reference.pools import IP, Pool
    from lbproof_reference.speaker.plan import Offer


def _status(change: Any) -> None:  # noqa: ANN401 - a function of the ingress
    """Change the addresses in each status that is written."""
    real = controller._status_patch  # noqa: SLF001

    def status_patch(*args: Any) -> Object:  # noqa: ANN401
        made = real(*args)
        if ingress := made["status"]["loadBalancer"]["ingress"]:
            made["status"]["loadBalancer"]["ingress"] = change(ingress)
        return made

    patch(controller, "_status_patch", status_patch)


@fault("EVT-05")
def address_twice_in_status() -> None:
    """The status has each address twice."""
    _status(lambda ingress: ingress * 2)


@fault("EVT-05")
def port_of_nobody_in_status() -> None:
    """The status names a port that the spec does not have."""
    _status(lambda ingress: [row | {"ports": [{"port": 1, "protocol": "TCP"}]} for row in ingress])


def _after_assignment(act: Any) -> None:  # noqa: ANN401 - a coroutine function of controller, key, Service and address
    """Do something after each write of an address."""
    real = controller.Controller._assign  # noqa: SLF001

    async def assign(self: controller.Controller, key: str, service: Object, *rest: Any) -> None:  # noqa: ANN401
        await real(self, key, service, *rest)
        await act(self, key, service, rest[0])

    patch(controller.Controller, "_assign", assign)


def _path(key: str) -> str:
    namespace, name = key.split("/")
    return f"/api/v1/namespaces/{namespace}/services/{name}"


@fault("EVT-06")
def writes_address_into_spec() -> None:
    """The address that is given is written into `spec.loadBalancerIP` too (as kube-vip's cloud provider does)."""

    async def write(self: controller.Controller, key: str, _service: Object, ip: str) -> None:
        await self._kube.call("PATCH", _path(key), {"spec": {"loadBalancerIP": ip}})

    _after_assignment(write)


@fault("EVT-06")
def turns_local_into_cluster() -> None:
    """`externalTrafficPolicy: Local` is replaced by Cluster (as PureLB does for local pools)."""

    async def rewrite(self: controller.Controller, key: str, service: Object, _ip: str) -> None:
        if service["spec"].get("externalTrafficPolicy") == "Local":
            await self._kube.call("PATCH", _path(key), {"spec": {"externalTrafficPolicy": "Cluster"}})

    _after_assignment(rewrite)


@fault("EVT-07a")
def writes_status_again_and_again() -> None:
    """The status of a Service that has an address is written again and again, with and without its ports."""
    turn = [0]

    async def again(self: controller.Controller, key: str, _service: Object, ip: str) -> None:
        turn[0] += 1
        ports = [{"port": 80, "protocol": "TCP"}] if turn[0] % 2 else []
        ingress = [{"ip": ip, "ipMode": "VIP", "ports": ports}]
        await asyncio.sleep(0.5)
        await self._kube.call("PATCH", f"{_path(key)}/status", {"status": {"loadBalancer": {"ingress": ingress}}})

    _after_assignment(again)


@fault("EVT-07b")
def tells_refusal_again_and_again() -> None:
    """A Service that waits is told why every half second."""
    real = controller.Controller._mark_pending  # noqa: SLF001

    async def mark_pending(self: controller.Controller, key: str, service: Object, reason: str) -> None:
        await real(self, key, service, reason)
        self._warn("Service", key, "AllocationFailed", f"still waiting: {reason}")
        asyncio.get_running_loop().call_later(0.5, self._queue.add, ("Service", key))

    patch(controller.Controller, "_mark_pending", mark_pending)


@fault("EVT-03d")
def mark_not_restored() -> None:
    """The annotation that names the pool is written with a new address alone."""
    real = controller.Controller._assign  # noqa: SLF001

    async def assign(self: controller.Controller, key: str, service: Object, ip: str, *rest: Any) -> None:  # noqa: ANN401
        if ingress_ips(service) != ip.split(","):
            await real(self, key, service, ip, *rest)

    patch(controller.Controller, "_assign", assign)


@fault("REQ-05a")
def keeps_address_when_another_is_asked_for() -> None:
    """A Service that has an address keeps it, whatever it asks for."""
    real = allocate.Allocator.allocate

    def allocate_(self: allocate.Allocator, request: allocate.AddressRequest) -> Any:  # noqa: ANN401
        held = self.allocation_of(request.key, request.family)
        if held and request.requested_ip is not None:
            request = replace(request, requested_ip=held.ip)
        return real(self, request)

    patch(allocate.Allocator, "allocate", allocate_)


@fault("REQ-05b")
def moves_when_request_is_removed() -> None:
    """A Service that no longer asks for its address is given another one."""
    real, asked = allocate.Allocator.allocate, dict[str, object]()

    def allocate_(self: allocate.Allocator, request: allocate.AddressRequest) -> Any:  # noqa: ANN401
        if request.requested_ip is not None:
            asked[request.key] = request.requested_ip
        elif asked.pop(request.key, None):
            self.assign(request.key, self._allocate_any(request))
        return real(self, request)

    patch(allocate.Allocator, "allocate", allocate_)


@fault("POOL-04a", "POOL-04b")
def ignores_named_pool() -> None:
    """The name of a pool on a Service is ignored."""
    real = allocate.read_address_request
    patch(controller, "read_address_request", lambda *args: replace(real(*args), pool=None))


def _parsed(change: Any) -> None:  # noqa: ANN401 - a function of a pool
    """Change each pool that was read."""
    real = pools.parse_pool
    patch(pools, "parse_pool", lambda obj: change(real(obj)))


@fault("POOL-04c")
def ignores_auto_assign() -> None:
    """Every pool serves Services that name none."""
    _parsed(lambda pool: replace(pool, auto_assign=True))


@fault("CRD-01d")
def drops_unusable_addresses_in_silence() -> None:
    """A pool of addresses that no host can have is taken, and gives nothing."""
    real = pools.parse_pools

    def parse_pools(objects: Any) -> tuple[list[Pool], dict[str, str]]:  # noqa: ANN401
        good, bad = real(objects)
        return good, {name: why for name, why in bad.items() if " contains " not in why}

    for module in (pools, controller):
        patch(module, "parse_pools", parse_pools)


@fault("CRD-02")
def overlapping_pools_are_taken() -> None:
    """Pools that have addresses in common are used, and nothing is said."""
    patch(pools, "_check_overlap", lambda *_: None)


@fault("CRD-03a", "CRD-03b")
def uses_pools_of_all_namespaces() -> None:
    """Pools of any namespace are used."""
    patch(controller.Controller, "_is_own", lambda *_: True)


@fault("CRD-04a", "CRD-04b")
def moves_every_other_service_of_a_pool_that_goes() -> None:
    """Of the Services whose addresses are in no pool any more, every other one is given another address."""
    real = controller.Controller._pools_changed  # noqa: SLF001

    def changed(self: controller.Controller, *which: object) -> None:
        real(self, *which)
        if self.ready:
            held = sorted(self._allocator.allocations().items())
            outside = [key for key, found in held if any(self._allocator.pool_holding(one.ip) is None for one in found)]
            for key in outside[::2]:
                self._allocator.release(key)
                self._queue.add(("Service", key))

    patch(controller.Controller, "_pools_changed", changed)


@fault("CRD-04a", "CRD-04b")
def forgets_addresses_of_a_pool_that_goes() -> None:
    """Addresses that are in no pool any more are free, though the statuses of their Services have them."""
    real = allocate.Allocator.set_pools

    def set_pools(self: allocate.Allocator, *args: Any) -> None:  # noqa: ANN401
        real(self, *args)
        for key, found in list(self.allocations().items()):
            if any(self.pool_holding(one.ip) is None for one in found):
                self.release(key)

    patch(allocate.Allocator, "set_pools", set_pools)


@fault("CRD-05a")
def unannounced_service_is_not_told() -> None:
    """Nothing says that an address is not announced."""

    async def never(_self: controller.Controller) -> None:
        await asyncio.Event().wait()

    patch(controller.Controller, "_report_unannounced", never)


@fault("CRD-05b")
def misses_the_newest_pool_at_its_start() -> None:
    """A pool that was created while no controller ran is not used until it changes."""
    real, first = pools.parse_pools, [True]

    def parse_pools(objects: Any) -> tuple[list[Pool], dict[str, str]]:  # noqa: ANN401
        found = sorted(
            objects, key=lambda obj: (obj["metadata"]["creationTimestamp"], int(obj["metadata"]["resourceVersion"]))
        )
        if len(found) > 1:
            first.append(False)
            missing.add(found.pop()["metadata"]["uid"] if len(first) == 2 else "")
        return real([obj for obj in found if obj["metadata"]["uid"] not in missing])

    missing = set[str]()
    patch(controller, "parse_pools", parse_pools)


def _record_everything() -> None:
    """Record every assigned address, and keep the records of those that are gone."""

    async def write_all(self: controller.Controller, _: str) -> None:
        services = self._objects("Service")
        record = dict(self._record)
        for key, found in self._allocator.allocations().items():
            if key in services:
                uid = services[key]["metadata"]["uid"]
                record[record_key(key)] = ",".join(str(Retained(uid, one.ip, one.pool)) for one in found)
        if record != self._record:
            await write_record(self._kube, self._namespace, self._record, record)
            self._record = record

    async def note(self: controller.Controller, _key: str, _service: Object, _ip: str) -> None:
        self._queue.add(("ConfigMap", RECORD))

    patch(controller.Controller, "_write_record", write_all)
    _after_assignment(note)


@fault("RECL-06a")
def restores_what_was_deleted_meanwhile() -> None:
    """A controller that starts takes the addresses of its record, also those of Services that are gone."""
    _record_everything()
    real = controller.Controller._restore  # noqa: SLF001

    def restore(self: controller.Controller) -> None:
        real(self)
        for key, found in read_entries(self._record, self._skip_log).items():
            for one in found if key not in self._objects("Service") else ():
                self._allocator.assign(f"{key} of before", one.ip, one.pool)

    patch(controller.Controller, "_restore", restore)


@fault("RECL-06b")
def announces_what_was_deleted_meanwhile() -> None:
    """Speakers that start announce the addresses of the record, also those of Services that are gone."""
    _record_everything()
    real, parse = source.Source._offers, read_entries  # noqa: SLF001
    recorded: dict[str, tuple[Retained, ...]] = {}

    def parse_record(*args: Any) -> dict[str, tuple[Retained, ...]]:  # noqa: ANN401
        recorded.update(parse(*args))
        return parse(*args)

    def offers(self: source.Source, key: str) -> dict[bytes, Offer]:
        services = self._informers[SERVICES].objects
        for name, found in recorded.items():
            if name not in services:
                namespace, short = name.split("/")
                services[name] = {
                    "metadata": {"namespace": namespace, "name": short, "uid": found[0].uid},
                    "spec": {"type": "LoadBalancer"},
                    "status": {"loadBalancer": {"ingress": [{"ip": str(one.ip)} for one in found]}},
                }
                self._services[name] = None
                self._changed.set()
        return real(self, key)

    patch(source, "parse_record", parse_record)
    patch(source.Source, "_offers", offers)


@fault("RECL-05a")
def clears_its_finalizer_late() -> None:
    """Services have a finalizer, which is cleared a quarter of a minute after the deletion has begun."""
    real, begun = controller.Controller._service_changed, set[str]()  # noqa: SLF001
    name = "lbproof.dev/mutant"

    async def add(self: controller.Controller, key: str, service: Object, _ip: str) -> None:
        found = service["metadata"].get("finalizers") or []
        if name not in found and "deletionTimestamp" not in service["metadata"]:
            await self._kube.call("PATCH", _path(key), {"metadata": {"finalizers": [*found, name]}})

    async def clear(self: controller.Controller, key: str) -> None:
        await asyncio.sleep(15)
        now = self._objects("Service").get(key)
        if now:
            others = [one for one in now["metadata"].get("finalizers") or [] if one != name]
            await self._kube.call("PATCH", _path(key), {"metadata": {"finalizers": others}})

    def changed(self: controller.Controller, key: str, before: Object | None) -> None:
        real(self, key, before)
        now = self._objects("Service").get(key)
        if now and "deletionTimestamp" in now["metadata"] and now["metadata"]["uid"] not in begun:
            begun.add(now["metadata"]["uid"])
            tasks.append(asyncio.get_running_loop().create_task(clear(self, key)))

    tasks: list[asyncio.Task[None]] = []
    _after_assignment(add)
    patch(controller.Controller, "_service_changed", changed)


@fault("RECL-05b")
def claims_a_finalizer_and_has_none() -> None:
    """The implementation claims that it sets a finalizer, and sets none."""


@fault("UPGR-04d")
def adopts_any_status() -> None:
    """The address in a status is kept, whether a pool has it or not."""
    real = controller.Controller._restore_address  # noqa: SLF001

    def restore(self: controller.Controller, key: str, text: str, *rest: Any, **more: Any) -> None:  # noqa: ANN401
        ip: IP = pools.parse_ip(text)
        if self._allocator.pool_holding(ip) is None:
            self._allocator.assign(key, ip, "adopted")
        else:
            real(self, key, text, *rest, **more)

    patch(controller.Controller, "_restore_address", restore)


@fault("POOL-05a", "POOL-05c")
def ignores_scope_of_pools() -> None:
    """A pool serves all Services, whichever it is for."""
    _parsed(lambda pool: replace(pool, scope=None))


@fault("POOL-05b")
def ignores_order_of_pools() -> None:
    """Pools that are for some Services are used in the reverse of their order."""
    _parsed(
        lambda pool: (
            replace(pool, scope=replace(pool.scope, priority=100 - pool.scope.priority)) if pool.scope else pool
        )
    )


@fault("POOL-06")
def publishes_only_what_was_ever_assigned() -> None:
    """The published number of assigned addresses of a pool never falls."""
    real, most = allocate.Allocator.usage, dict[str, int]()

    def usage(self: allocate.Allocator) -> dict[str, dict[str, int]]:
        found = real(self)
        for name, numbers in found.items():
            most[name] = numbers["assignedIPv4"] = max(most.get(name, 0), numbers["assignedIPv4"])
        return found

    patch(allocate.Allocator, "usage", usage)
