"""Backends of a check: workloads of its own, and the endpoints of Services that select none."""

from __future__ import annotations

import functools
import random
import secrets
from typing import TYPE_CHECKING

from lbproof.context import manifests
from lbproof.context.cannot import CannotShow
from lbproof.context.faults import Faults
from lbproof.context.run import NAMESPACE, RunContext
from lbproof.spec import Untestable
from lbproof.text import words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lbproof.adapters.base import Object
    from lbproof.context.objects import Service
    from lbproof.spec.families import IPAddress


class Backends(Faults):
    """Says where Services are served."""

    def __init__(self, run: RunContext, case: str) -> None:
        """`case`: name of the verdict, used in the names of created objects."""
        super().__init__(run)
        self.case = case

    @functools.cached_property
    def random(self) -> random.Random:
        """Source of sizes and orders, the same for the same case and seed of the run."""
        self.saw("api", "seed of sizes and orders", self.run.seed)
        return random.Random(f"{self.run.seed} {self.case}")  # noqa: S311 - no secret

    @functools.cached_property
    def _backends(self) -> list[tuple[IPAddress, str]]:
        """Address and node of each pod of the shared workload: a fault in an earlier check may have changed them."""
        return [(address, node) for _, address, node in self.run.pods_of_web()] if self.run.backends else []

    def web(self, name: str, *, replicas: int = 1, nodes: Sequence[str] = (), lingers: bool = False) -> str:
        """Create a workload for this check beside the shared one; return its `app` label.

        `lingers`: as of `manifests.web`.
        """
        _ = self.run.web  # creates the namespace
        name = f"{self.case.lower()}-{name}"
        made = manifests.web(NAMESPACE, name, replicas=replicas, nodes=nodes, lingers=lingers)
        self.undo.later(f"deployment {name}", functools.partial(self.run.remove, made))
        self.cluster.apply(made)
        self.run.ready(NAMESPACE, name)
        return name

    def update(self, app: str) -> None:
        """Replace the pods of a workload of this check one after the other, as a new version does."""
        path = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{app}"
        version = {"metadata": {"annotations": {"lbproof.dev/version": secrets.token_hex(2)}}}
        self.cluster.patch(path, {"spec": {"template": version}})

    def pods(self, app: str) -> list[tuple[str, str]]:
        """Return `(name, node)` of each running pod of a workload in the suite's namespace."""
        found = self.cluster.list(f"/api/v1/namespaces/{NAMESPACE}/pods", labelSelector=f"app={app}")
        return [
            (pod["metadata"]["name"], pod["spec"]["nodeName"])
            for pod in found
            if pod["status"].get("phase") == "Running" and "deletionTimestamp" not in pod["metadata"]
        ]

    def serve_from(
        self,
        *services: Service,
        nodes: Sequence[str],
        named: bool = True,
        conditions: Mapping[str, bool] = manifests.READY,
    ) -> list[str]:
        """Have Services without a selector served by the shared workload's pods on some nodes alone.

        Return the names of those pods. `named`: whether the endpoints say on which node they are; `conditions`: of
        those endpoints. Raises `CannotShow` when none runs there.
        """
        _ = self.run.web
        self.run.need_path()
        there = [pod for pod in self.run.pods_of_web() if pod[2] in nodes]
        if not there:
            raise CannotShow(Untestable.TOO_FEW_NODES, f"no pod of {self.run.web} runs on {words(list(nodes))}")
        ends = [(address, node if named else "") for _, address, node in there]
        for service in services:
            made = manifests.endpoints(service.namespace, service.name, ends, conditions=conditions)
            self._set_endpoints(service, made["endpoints"])
        return [name for name, _, _ in there]

    def add_endpoints(self, service: Service, *, nodes: Sequence[str], conditions: Mapping[str, bool]) -> None:
        """Give a Service without a selector the shared workload's pods on some nodes as further endpoints."""
        ends = [(address, node) for _, address, node in self.run.pods_of_web() if node in nodes]
        made = manifests.endpoints(service.namespace, service.name, ends, conditions=conditions)
        self._set_endpoints(service, [*self.cluster.get(self._slice(service))["endpoints"], *made["endpoints"]])

    def add_slice(self, service: Service, *, nodes: Sequence[str], conditions: Mapping[str, bool]) -> None:
        """Give a Service without a selector the shared workload's pods on some nodes, in a further EndpointSlice.

        It is named as the second one that Kubernetes makes for a Service: after the Service, and more.
        """
        ends = [(address, node) for _, address, node in self.run.pods_of_web() if node in nodes]
        made = manifests.endpoints(service.namespace, service.name, ends, conditions=conditions)
        made["metadata"]["name"] += f"-{secrets.token_hex(2)}"
        slices, _, _ = self._slice(service).rpartition("/")
        self.cluster.create(slices, made)

    def serve_from_none(self, *services: Service) -> None:
        """Remove all endpoints of Services without a selector, but those of further slices."""
        for service in services:
            self._set_endpoints(service, [])

    def _set_endpoints(self, service: Service, endpoints: Sequence[Object]) -> None:
        self.cluster.patch(self._slice(service), {"endpoints": list(endpoints)})

    @staticmethod
    def _slice(service: Service) -> str:
        return f"/apis/discovery.k8s.io/v1/namespaces/{service.namespace}/endpointslices/{service.name}"

    def nodes_with_pods(self, least: int = 1) -> list[str]:
        """Return the nodes that have a pod of the shared workload, in a drawn order, for `serve_from`.

        Raises `CannotShow` when there are fewer than `least`.
        """
        _ = self.run.web  # creates the workload and verifies the path
        found = sorted({node for _, _, node in self.run.pods_of_web()})
        if len(found) < least:
            raise CannotShow(Untestable.TOO_FEW_NODES, f"{least} nodes with a pod wanted, {len(found)} have one")
        self.random.shuffle(found)
        return found
