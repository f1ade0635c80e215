"""Context of one run: lab, cluster, implementation, and the resources that all checks share.

Each check has its own `CheckContext` on top of this one. Checks do not modify shared resources: the web workload,
whose readiness takes seconds on a real kubelet, and the free addresses of the segment, which are used in turn so that
no check finds an ARP cache entry of the previous one.
"""

from __future__ import annotations

import functools
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from lbproof.adapters import rendering
from lbproof.adapters.base import Ask, PoolSpec, Site
from lbproof.adapters.rendering import AdapterError
from lbproof.adapters.reports import MetadataKey
from lbproof.context import manifests
from lbproof.context.acts import ActKind, Acts
from lbproof.context.addresses import FreeAddresses, need_families
from lbproof.context.cannot import CannotShow
from lbproof.context.pools import Pools
from lbproof.context.undo import Undo
from lbproof.context.workloads import Workloads
from lbproof.lab.base import Capability
from lbproof.lab.common.conditions import deployment_state, is_node_usable
from lbproof.spec import Untestable, claims, lacking
from lbproof.spec.families import Family, family_of, host_port
from lbproof.text import words
from lbproof.witnesses import http
from lbproof.witnesses.wait import EventuallyFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from lbproof.adapters.base import Adapter, Object
    from lbproof.lab.base import Lab
    from lbproof.spec.families import IPAddress
    from lbproof.witnesses.clock import Clock
    from lbproof.witnesses.journal import Journal
    from lbproof.witnesses.kube import Kube
    from lbproof.witnesses.vantage import Vantage
    from lbproof.witnesses.wait import Waiter

NAMESPACE = "lbproof"
"""Namespace of the shared workload, and prefix of each check's own namespace."""
WEB = "web"
WEB_REPLICAS = 3
_RUNNING = {"Deployment", "DaemonSet", "StatefulSet", "Job", "Pod"}
"""Kinds of objects that run pods."""
_KEPT = {"Namespace", "CustomResourceDefinition"}
"""Kinds that hold the operator's objects: whoever uninstalls leaves them."""

_VANTAGES = {Capability.ROUTED_CLIENT, Capability.NODE_VANTAGE, Capability.POD_VANTAGE, Capability.CAPTURE}
"""Capabilities without which a vantage is missing, and not a fault."""


class RunContext:
    """Lab, cluster and implementation of one run, and the resources that all checks share."""

    def __init__(
        self,
        *,
        lab: Lab,
        cluster: Kube,
        adapter: Adapter,
        journal: Journal,
        waiter: Waiter,
        programs: Mapping[str, Path],
        claimed: frozenset[str] | None = None,
        seed: int = 1,
        stays: bool = True,
    ) -> None:
        """Create nothing yet; `install` does. `claimed`: features that are judged, those of the adapter by default.

        `seed`: what checks draw sizes and orders from; `stays`: whether the lab stays up after the run.
        """
        self.lab = lab
        self.cluster = cluster
        self.adapter = adapter
        self.claimed = claims(adapter.features) if claimed is None else claimed
        self.journal = journal
        self.wait = waiter
        self.programs = programs
        self.seed = seed
        self.stays = stays
        self.undo = Undo()
        self.acts = Acts()
        self.kept: dict[str, Any] = {}
        """Background activities that check modules started before the first check, by name."""
        self.workloads = Workloads(lab, cluster, adapter, waiter, self.acts)
        self.pools = Pools(self)
        self.family = family_of(lab.segment.subnets[0])
        """Family of the present check: of addresses, Services and pods that are named without one."""
        self._class_only = False
        """Whether the implementation serves only Services of its own class at present."""
        self._reachable: set[Family] = set()
        """Families in which clients were seen to reach the shared workload."""
        self._free = FreeAddresses()
        self._namespaces: list[str] = []
        self._clocks: dict[str, Clock] = {}

    @functools.cached_property
    def site(self) -> Site:
        """Description of the cluster for the adapter."""
        slices = self.cluster.get("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes")
        address, port = slices["endpoints"][0]["addresses"][0], slices["ports"][0]["port"]
        return Site(
            paths=self.programs,
            nodes=self.lab.nodes,
            subnets=self.lab.segment.subnets,
            interface=self.lab.nodes[0].interface,
            api_server=host_port(ip_address(address), port),
            proxy_mode=self.lab.topology.proxy_mode,
        )

    def install(self, progress: Callable[[str], None]) -> None:
        """Install the implementation and wait until its workloads are ready and its pools are accepted."""
        objects = rendering.manifests(self.adapter, self.site)
        images = manifests.images_of(objects)
        self.lab.bring_images(images, lambda: rendering.images(self.adapter, self.site), progress)
        for manifest in objects:
            self.make(manifest)
        for workload in self.workloads.all:
            progress(f"{self.adapter.name}: waiting for {workload.kind} {workload.name}")
            self.workloads.rolled_out(workload)
        self._take_pools(self.lab.segment.free_for(self.family)[:1])

    def _take_pools(self, unused: Sequence[IPAddress], *, auto_assign: bool = True) -> None:
        """Wait until the implementation, which was installed just now, takes pools of addresses that no pool has.

        `auto_assign`: as of `PoolSpec`; False where Services may wait, which must not be given these.
        """
        if self.claims("pool"):
            self.pools.match()
            for address in unused:
                self.pools.put(PoolSpec(name="lbproof-probe", blocks=(address,), auto_assign=auto_assign))
                self.pools.drop("lbproof-probe")

    @contextmanager
    def uninstalled(self) -> Iterator[None]:
        """Uninstall the implementation during the block, and install it again: the workloads, then all that they need.

        It is configured as before then. Namespaces and kinds stay, and with them the pools. Raises `CannotShow` for a
        static pod.
        """
        if static := [str(workload) for workload in self.workloads.all if workload.kind == "StaticPod"]:
            raise CannotShow(Untestable.NO_WORKLOAD, f"{words(static)} cannot be uninstalled by the API")
        objects = rendering.manifests(self.adapter, replace(self.site, class_only=self._class_only))
        with self.acts.during(ActKind.CONFIGURE, "uninstalled"):
            try:
                self._uninstall(objects)
                yield
            finally:
                self._change(objects)
                self._take_pools(self.addresses(1) if self.claims("auto-assign") else (), auto_assign=False)

    def _uninstall(self, objects: Sequence[Object]) -> None:
        running = [made for made in objects if made["kind"] in _RUNNING]
        for made in running:
            self.remove(made)
        self.workloads.ended_all(*self.workloads.all)
        for made in reversed(objects):
            if made["kind"] not in {*_RUNNING, *_KEPT}:
                self.remove(made)

    @contextmanager
    def only_own_class(self) -> Iterator[str]:
        """Have the implementation serve only Services of its own class during the block; yield the class."""
        before = rendering.manifests(self.adapter, self.site)
        during = rendering.manifests(self.adapter, replace(self.site, class_only=True))
        changed = [made for made in during if made not in before]
        if not changed:
            raise AdapterError(f"adapter {self.adapter.name}: manifests() is the same with and without class_only")
        with self.acts.during(ActKind.CONFIGURE, "own class alone"):
            self._class_only = True
            try:
                self._change(changed)
                yield self.adapter.own_class
            finally:
                self._class_only = False
                names = [Pools.key(made) for made in changed]
                self._change([made for made in before if Pools.key(made) in names])

    def _change(self, objects: Iterable[Object]) -> None:
        for made in objects:
            self.make(made)
        self.workloads.rolled_out()

    def claims(self, *needs: str) -> bool:
        """Return whether features are claimed; any feature of an alias suffices for it."""
        return not lacking(needs, self.claimed)

    @property
    def ways(self) -> list[Ask]:
        """Claimed ways to ask for an address."""
        features = {Ask.ANNOTATION: "explicit-ip-annotation", Ask.FIELD: "explicit-ip-field"}
        return [way for way, feature in features.items() if self.claims(feature)]

    def ask(self, service: Object, addresses: str, how: Ask | None = None) -> None:
        """Add a request for an address to a Service's manifest, by a way that is claimed unless `how` says which."""
        if how is None:
            how = Ask.ANNOTATION if self.claims("explicit-ip-annotation") else Ask.FIELD
        if how is Ask.FIELD:
            service["spec"]["loadBalancerIP"] = addresses
        else:
            MetadataKey(annotation=self.adapter.address_annotation).set(service, addresses)

    def ask_pool(self, service: Object, pool: PoolSpec) -> None:
        """Add the name of a pool to a Service's manifest."""
        self.adapter.pool_request.set(service, rendering.pool_name(self.adapter, pool))

    def opt_in(self, service: Object) -> Object:
        """Return a manifest with what the implementation demands of each LoadBalancer, where it says nothing else."""
        if service["kind"] != "Service" or service["spec"].get("type") != "LoadBalancer":
            return service
        return manifests.merged(manifests.merged({}, self.adapter.service_opt_in), service)

    def make(self, manifest: Object) -> Object:
        """Apply an object, after waiting for the deletion of one of the same name that is still terminating.

        In a lab that is reused, objects deleted by the previous run may still exist: the API server rejects new objects
        in a terminating namespace (403), and changes applied to a terminating object are lost (404).
        """
        self._wait_if_terminating(self.path_of(manifest))
        return self.cluster.apply(manifest)

    def path_of(self, made: Object) -> str:
        """Return the API path of an object."""
        meta = made["metadata"]
        return self.cluster.path_of(made["apiVersion"], made["kind"], meta.get("namespace"), meta["name"])

    def namespace(self, name: str) -> None:
        """Create a namespace that all checks share; `close` deletes it and waits until it is gone."""
        self.make(manifests.namespace(name))
        path = f"/api/v1/namespaces/{name}"
        self._namespaces.append(path)
        self.undo.later(f"namespace {name}", lambda: self.cluster.discard(path))

    def _wait_if_terminating(self, path: str) -> None:
        def state() -> str:
            found = self.cluster.find(path)
            if found is None:
                return "absent"
            return "terminating" if "deletionTimestamp" in found["metadata"] else "there"

        if state() == "terminating":
            self.wait.eventually(
                state,
                lambda seen: seen != "terminating",
                what=f"{path}, which is being deleted, is gone",
                budget="namespace_emptied",
                every=0.1,
            )

    def remove(self, made: Object, *, gone: str = "") -> None:
        """Delete an object, if it exists; with the budget `gone`, wait until its finalizers have let it go."""
        path = self.path_of(made)
        self.cluster.discard(path)
        if gone:
            self.wait.eventually(
                lambda: "there" if self.cluster.exists(path) else "gone",
                lambda state: state == "gone",
                what=f"{path} is gone",
                budget=gone,
            )

    def addresses(self, count: int, family: Family | None = None) -> list[IPAddress]:
        """Return `count` consecutive free addresses of the segment, after those of the previous call.

        `family`: that of the present check by default. Raises `CannotShow` when the segment has no such block.
        """
        return self._free.take(self.lab.segment, count, family or self.family)

    def reserved(self, block: Sequence[IPAddress]) -> AbstractContextManager[None]:
        """Keep particular free addresses of the segment out of `addresses` during the block.

        Raises `CannotShow` when one is not a free address of the segment.
        """
        return self._free.reserved(self.lab.segment, block)

    @functools.cached_property
    def backends(self) -> list[tuple[str, str]]:
        """Create the shared workload; return name and node of each of its pods."""
        self.namespace(NAMESPACE)
        self.cluster.apply(manifests.web(NAMESPACE, WEB, replicas=WEB_REPLICAS))
        self.ready(NAMESPACE, WEB)
        return [(name, node) for name, _, node in self.pods_of_web()]

    def pods_of_web(self) -> list[tuple[str, IPAddress, str]]:
        """Return name, address and node of each running pod of the shared workload, as they are now."""
        pods = self.cluster.list(f"/api/v1/namespaces/{NAMESPACE}/pods", labelSelector=f"app={WEB}")
        return [
            (pod["metadata"]["name"], address, pod["spec"]["nodeName"])
            for pod in pods
            if "deletionTimestamp" not in pod["metadata"]
            for address in (ip_address(row["ip"]) for row in pod["status"].get("podIPs", []))
            if family_of(address) is self.family
        ]

    @functools.cached_property
    def web(self) -> str:
        """Create the shared workload, and return its `app` label; raises `CannotShow` as `need_path` does."""
        self.need_path()
        return WEB

    def need_path(self, family: Family | None = None) -> None:
        """Verify that clients reach the shared workload by a node port, once for each family.

        `family`: that of the present check by default. Raises `CannotShow` when the path to a plain pod is broken, so
        that the implementation is not blamed for it.
        """
        family = family or self.family
        if family in self._reachable:
            return
        _ = self.backends
        plain = manifests.service(NAMESPACE, "plain", type="NodePort", selector={"app": WEB}, ipFamilies=[family.label])
        port = self.cluster.apply(plain)["spec"]["ports"][0]["nodePort"]
        worker = self.lab.nodes[-1]
        routed = [self.lab.routed_client()] if self.lab.can(Capability.ROUTED_CLIENT) else []
        for vantage in (self.lab.client(), *routed):
            self._plain_path(vantage, worker.address_for(family), port)
        self.remove(plain)
        self._reachable.add(family)

    def _plain_path(self, vantage: Vantage, address: IPAddress, port: int) -> None:
        what = f"{vantage.name} reaches a plain pod"
        try:  # by a budget of the lab: how soon kube-proxy follows is none of the implementation
            self.served(vantage, address, port, "/hostname", what=what, budget="workload_ready")
        except EventuallyFailed as error:
            raise CannotShow(Untestable.PATH_BROKEN, str(error)) from error

    def served(
        self,
        vantage: Vantage,
        address: IPAddress,
        port: int,
        path: str = "/",
        *,
        what: str,
        in_a_row: int = 1,
        budget: str = "serves",
    ) -> http.Response:
        """Wait for HTTP status 200 with a body from an address, and return the last answer."""
        timeouts = http.patience()
        return self.wait.eventually(
            lambda: http.get(vantage, address, port, path, timeout=next(timeouts)),
            lambda answer: answer.status == http.OK and answer.text,
            what=f"{what} at {host_port(address, port)}",
            budget=budget,
            in_a_row=in_a_row,
            ignore=(http.Unreached,),
            show=lambda answer: f"{answer.status} {answer.text.partition(chr(10))[0][:40]}",
        )

    def ready(self, namespace: str, name: str) -> None:
        """Wait until all replicas of one of the suite's Deployments are ready."""
        path = f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}"
        self.wait.eventually(
            lambda: deployment_state(self.cluster.get(path)),
            lambda state: state == "ready",
            what=f"deployment {namespace}/{name} is ready",
            budget="workload_ready",
        )

    def nodes_ready(self) -> None:
        """Wait until every node is Ready and has no `node.kubernetes.io/` taint."""

        def unusable() -> str:
            nodes = self.cluster.list("/api/v1/nodes")
            return ", ".join(node["metadata"]["name"] for node in nodes if not is_node_usable(node)) or "all"

        self.wait.eventually(
            unusable, lambda state: state == "all", what="every node is Ready", budget="node_back", every=0.1
        )

    def note_clocks(self) -> None:
        """Write the clock of each vantage to the events of the run, if it is new or measured anew."""
        for vantage, clock in self.lab.clocks().items():
            if self._clocks.get(vantage) != clock:
                self._clocks[vantage] = clock
                self.journal.write("probe", vantage=vantage, offset=clock.offset, uncertainty=clock.uncertainty)

    def need(self, capability: Capability) -> None:
        """Raise `CannotShow` when the lab lacks a capability."""
        if not self.lab.can(capability):
            reason = Untestable.NO_SUCH_VANTAGE if capability in _VANTAGES else Untestable.NO_SUCH_FAULT
            raise CannotShow(reason, capability.value)

    def need_families(self, families: Iterable[Family]) -> None:
        """Raise `CannotShow` when the lab lacks one of some address families."""
        need_families(self.lab.segment, families)

    def close(self) -> None:
        """Remove shared resources and wait until their namespaces are gone, so that another run can follow.

        The implementation stays installed; a lab of this run is removed together with it.
        """
        self.undo.close()
        for path in self._namespaces:
            self._wait_if_terminating(path)
