"""Objects of a check: its namespaces, pools and Services, which are deleted when it ends."""

from __future__ import annotations

import functools
import secrets
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from lbproof.adapters.base import AddressRange, PoolSpec
from lbproof.context import manifests
from lbproof.context.acts import ActKind
from lbproof.context.backends import Backends
from lbproof.context.objects import Pool, Service
from lbproof.context.refusal import Refused, admission
from lbproof.context.run import NAMESPACE, RunContext
from lbproof.spec.families import Family, family_of
from lbproof.witnesses.kube import ApiError
from lbproof.witnesses.wait import EventuallyFailed, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from lbproof.adapters.base import Ask, Block, Object
    from lbproof.spec.families import IPAddress

_FINALIZER = "lbproof.dev/held-back"


class Services(Backends):
    """Creates and deletes namespaces, pools and Services.

    The undo of an object is registered before the request that creates it, which may fail after it took effect.
    """

    def __init__(self, run: RunContext, case: str) -> None:
        """`case`: name of the verdict, used in the names of created objects."""
        super().__init__(run, case)
        self.services: list[Service] = []
        self._slices: set[tuple[str, str]] = set()
        """Namespace and name of the Services that have been given endpoints; they go with the namespace."""
        self._pools = 0

    @property
    def family(self) -> Family:
        """Family of addresses, Services and endpoints of this check: what its verdict is about."""
        return self.run.family

    @functools.cached_property
    def namespace(self) -> str:
        """Namespace of this check, created on first use."""
        return self.new_namespace()

    @functools.cached_property
    def second_namespace(self) -> str:
        """Another namespace of this check, for Services of the same names; its name begins with the other's."""
        return self.new_namespace(f"{self.namespace}-b")

    def new_namespace(self, name: str = "") -> str:
        """Create a namespace for the time of the check, of a new name unless one is given."""
        name = name or f"{NAMESPACE}-{self.case.lower()}-{secrets.token_hex(2)}"
        # deletion is not awaited: the name is unique, and the objects that matter are removed earlier
        self.undo.later(f"namespace {name}", lambda: self._leave(name))
        self.cluster.apply(manifests.namespace(name))
        return name

    def _leave(self, namespace: str) -> None:
        """Delete a namespace, unless it is empty and the lab ends with the run.

        The API server serves more than a hundred requests for the deletion of one.
        """
        path = f"/api/v1/namespaces/{namespace}"
        used = self.cluster.writes.collections_in(namespace)
        if self.run.stays or used - {"services", "endpointslices"} or self.cluster.list(f"{path}/services"):
            self.cluster.discard(path)
        elif "endpointslices" in used:
            self.cluster.discard(f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices")

    def pool(
        self,
        blocks: int | Sequence[Block] = 4,
        *,
        addresses: Sequence[IPAddress] = (),
        **kind: Any,  # noqa: ANN401
    ) -> Pool:
        """Create a pool of that many free addresses, or of the given blocks (`addresses` then lists their addresses).

        `kind`: further fields of `PoolSpec`. Raises `CannotShow` for an address of a family that the lab does not have,
        and `Refused`.
        """
        if isinstance(blocks, int):
            addresses = self.run.addresses(blocks)
            blocks = [AddressRange(addresses[0], addresses[-1])]
        self.run.need_families(map(family_of, addresses))
        self._pools += 1
        number = self._pools + (1 if self._pools % 2 else -1)  # 2, 1, 4, 3: each name begins an older or a newer one
        pool = Pool(PoolSpec(name=f"{self.case.lower()}{'-1' * number}", blocks=tuple(blocks), **kind), addresses)
        self.used += addresses
        self.undo.later(f"pool {pool.name}", functools.partial(self.run.pools.drop, pool.name))
        with admission(f"pool {pool.name}", own_kind=True):
            self.run.pools.put(pool.spec)
        return pool

    def change_pool(self, pool: Pool, **fields: Any) -> None:  # noqa: ANN401 - of `PoolSpec`
        """Change fields of a pool, such as its blocks. Raises `Refused`, and leaves it as it was then."""
        changed = replace(pool.spec, **fields)
        moves = fields.keys() & {"nodes", "interfaces", "pairs"}
        noted = self.run.acts.during(ActKind.EXCLUDE, pool.name) if moves else nullcontext()
        with noted, admission(f"the change of pool {pool.name}", own_kind=True):
            self.run.pools.put(changed)
        pool.spec = changed

    def remove_pool(self, pool: Pool) -> bool:
        """Remove a pool that may be in use; return False, which is recorded, where the implementation keeps it."""
        try:
            self.run.pools.drop(pool.name)
        except (ApiError, EventuallyFailed) as error:
            self.saw("api", "a pool in use is not removed", str(error))
            return False
        return True

    def service(
        self,
        name: str = "web",
        *,
        namespace: str = "",
        serving: bool = False,
        endpoints: bool = True,
        nodes: Sequence[str] = (),
        ask: IPAddress | str = "",
        how: Ask | None = None,
        pool: Pool | None = None,
        share: str = "",
        change: Callable[[Object], None] | None = None,
        **fields: Any,  # noqa: ANN401 - fields of ServiceSpec
    ) -> Service:
        """Create a Service of type LoadBalancer; it is deleted when the check ends.

        `namespace`: of this check's own by default. `serving`: in the suite's namespace, selecting the shared workload;
        otherwise with the endpoints of that workload, unless there are to be no `endpoints`, or those on some `nodes`
        alone. `ask`: the address to request, as text if it is none, and `how`, by a way that is claimed unless given.
        `pool`: the pool to request. `share`: key by which it asks to share an address.
        `change`: called with the manifest before it is created. Raises `Refused`.
        """
        namespace = NAMESPACE if serving else namespace or self.namespace
        if serving:
            name = f"{self.case.lower()}-{name}"
            fields.setdefault("selector", {"app": self.run.web})
            self.run.need_path()
        elif endpoints and self._backends and (namespace, name) not in self._slices:
            self._slices.add((namespace, name))
            slices = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
            there = [end for end in self._backends if not nodes or end[1] in nodes]
            ports = fields.get("ports", manifests.HTTP)
            self.cluster.create(slices, manifests.endpoints(namespace, name, there, ports=ports))
        made = self.run.opt_in(manifests.service(namespace, name, **self._families() | fields))
        if ask:
            self.run.ask(made, str(ask), how)
            if not isinstance(ask, str):
                self.used.append(ask)
        if pool:
            self.run.ask_pool(made, pool.spec)
        if share:
            self.run.adapter.sharing_key.set(made, share)
        if change:
            change(made)
        service = Service(self.cluster, namespace, name)
        self.undo.later(f"service {service}", functools.partial(self.delete_all, service))
        with admission(f"Service {service}"):
            service.known = self.cluster.create(f"/api/v1/namespaces/{namespace}/services", made)
        self.services.append(service)
        return service

    def service_again(self, former: Service) -> Service:
        """Create a Service with the name of one whose deletion has begun: at once, or when its finalizers let it go.

        An implementation may clean up before a Service is gone; how long that takes is judged by RECL-05.
        """
        try:
            return self.service(former.name, namespace=former.namespace)
        except ApiError as error:
            if error.status != HTTPStatus.CONFLICT:
                raise
        with self.precondition("RECL-05"):
            self.gone(former.path)
        return self.service(former.name, namespace=former.namespace)

    def several(self) -> list[Service]:
        """Create three Services: namesakes in two namespaces, and one that selects its backends."""
        namesakes = [self.service("web", namespace=place) for place in (self.namespace, self.second_namespace)]
        return [*namesakes, self.service(serving=True)]

    def next_second(self) -> None:
        """Wait until an object that is created now is younger than all others, by the clock of the API server.

        Ages are whole seconds (API field `creationTimestamp`): what comes later is not younger by them at once.
        """
        before = self.cluster.time()
        eventually(
            self.cluster.time, lambda now: now > before, what=f"the API server's clock is past {before}", within=5
        )

    def unusable(self, name: str, **fields: Any) -> list[Service]:  # noqa: ANN401 - of `service`
        """Create a Service that asks for what it must not get; return it, or nothing when its creation is refused.

        The API server itself or the implementation's admission may refuse it, which is recorded.
        """
        try:
            return [self.service(name, **fields)]
        except (Refused, ApiError) as refusal:
            if isinstance(refusal, ApiError) and refusal.status != HTTPStatus.UNPROCESSABLE_ENTITY:
                raise
            self.saw("api", f"the creation of {name} is refused", str(refusal))
            return []

    def retype(self, service: Service, kind: str) -> None:
        """Change the type of a Service; its class goes with the type LoadBalancer (API field `loadBalancerClass`)."""
        own = self.run.adapter.service_opt_in.get("spec", {}).get("loadBalancerClass")
        fields = {
            "loadBalancerClass": own if kind == "LoadBalancer" else None,
            "externalName": "lbproof.invalid" if kind == "ExternalName" else None,
        }
        families = {} if kind == "ExternalName" else self._families()  # which that type has none of
        service.patch(spec={"type": kind, **fields, **families})

    def _families(self) -> dict[str, list[str]]:
        """Return the field of a Service that names the family of this check, unless that is the cluster's first one."""
        is_first = self.family is family_of(self.lab.segment.subnets[0])
        return {} if is_first else {"ipFamilies": [self.family.label]}

    def request(
        self, service: Service, ask: IPAddress | str = "", *, how: Ask | None = None, pool: Pool | None = None
    ) -> None:
        """Change what a Service asks for: an address, by a way that is claimed unless `how` says which, or a pool.

        What it asked for otherwise stays. Raises `Refused`.
        """
        asked: Object = {"metadata": {}, "spec": {}}
        if ask:
            self.run.ask(asked, str(ask), how)
        if pool:
            self.run.ask_pool(asked, pool.spec)
        with admission(f"the request of {service}"):
            service.patch(**asked)

    def leaves_type(self, service: Service, kind: str = "ClusterIP") -> None:
        """Change a Service to another type, and wait until its status is empty."""
        self.retype(service, kind)
        self.wait.eventually(
            service.addresses, lambda held: not held, what=f"the status of {service} is empty", budget="reclaimed"
        )

    def delete(self, service: Service) -> None:
        """Delete a Service, if it exists, and wait until it is gone."""
        self.delete_all(service)

    def delete_all(self, *services: Service) -> None:
        """Delete some Services, those that exist, one after the other at once, and wait until all are gone."""
        there = [service for service in services if not service.gone]
        for service in there:
            self.cluster.discard(service.path)
        for service in there:
            self.gone(service.path)
            service.gone = True

    @contextmanager
    def deletion_held_back(self, service: Service) -> Iterator[None]:
        """Begin to delete a Service, which a finalizer of the suite keeps until the end of the block."""
        service.patch(metadata={"finalizers": [*service.read()["metadata"].get("finalizers", []), _FINALIZER]})
        try:
            self.cluster.delete(service.path)
            yield
        finally:
            if there := self.cluster.find(service.path):
                own = [name for name in there["metadata"].get("finalizers", []) if name != _FINALIZER]
                service.patch(metadata={"finalizers": own})
            self.delete(service)
