"""Objects of the article, with the fields of its manifests, in its two parts.

The parts use the same name (`nginxlb`) and node port, so they exist one after the other; the Deployment and the pool
exist in both. Objects are created once for all claims of a part and removed after the last claim.
"""

from __future__ import annotations

import functools
from contextlib import suppress
from importlib.resources import files
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from lbproof.adapters.base import AddressRange, PoolSpec
from lbproof.context import Service
from lbproof.context.undo import Undo
from lbproof.witnesses import http
from lbproof.witnesses.kube import load_manifests
from lbproof.witnesses.wait import Violation

if TYPE_CHECKING:
    from lbproof.context import RunContext
    from lbproof.spec.families import IPAddress
    from lbproof.witnesses.vantage import Vantage

NAMESPACE = "default"
POOL = tuple(IPv4Address("192.168.172.160") + number for number in range(10))
"""Addresses of the article's pool."""
ADDRESS = POOL[1]
NODE_PORT = 32232
REPLICAS = 3


class Scene:
    """Objects of the article during its claims."""

    def __init__(self, run: RunContext) -> None:
        """Create the Deployment and the pool, and wait until the Deployment is ready."""
        self.run = run
        self.cluster = run.cluster
        self._undo = Undo()
        self._part_undo = Undo()
        self.part = ""
        self._undo.later("note of the pool", lambda: run.acts.drop_pool(NAMESPACE))
        run.acts.add_pool(PoolSpec(name=NAMESPACE, blocks=(AddressRange(POOL[0], POOL[-1]),)))
        self._apply("nginx.yaml", self._undo)
        self._apply("pool.yaml", self._undo)
        run.ready(NAMESPACE, "nginx")

    def _apply(self, name: str, undo: Undo) -> None:
        text = (files("lbproof.checks.article") / "manifests" / name).read_text()
        for made in load_manifests(text):
            undo.later(
                f"{made['kind']} {made['metadata']['name']}",
                functools.partial(self.run.remove, made, gone="pool_removed"),
            )
            self.run.make(self.run.opt_in(made))
            if made["kind"] == "Service" and made["spec"].get("type") == "LoadBalancer":
                with suppress(Violation), self.run.wait.tentative():  # before another may take what it asks for
                    self.assigned(made["metadata"]["name"])

    def show(self, part: str) -> None:
        """Switch to `before` (no LoadBalancer), part `one` or part `two`, in this order."""
        if self.part == part:
            return
        if part == "before":
            self._apply("part-one-node-port.yaml", self._part_undo)
        elif part == "one":
            self.show("before")
            self._apply("part-one-load-balancers.yaml", self._part_undo)
        else:
            self._part_undo.close()
            self._part_undo = Undo()
            self._apply("part-two.yaml", self._part_undo)
        self.part = part

    def service(self, name: str) -> Service:
        """Return one of the article's Services."""
        return Service(self.cluster, NAMESPACE, name)

    def assigned(self, name: str) -> IPAddress:
        """Wait for the address of one of the article's Services and return it."""
        service = self.service(name)
        found = self.run.wait.eventually(
            service.addresses, bool, what=f"{service} shows an EXTERNAL-IP", budget="address_assigned"
        )
        return found[0]

    def endpoints(self, name: str) -> list[str]:
        """List `address:port` of each ready endpoint of a Service, in order."""
        slices = self.cluster.list(
            f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices",
            labelSelector=f"kubernetes.io/service-name={name}",
        )
        return sorted(
            f"{address}:{port['port']}"
            for piece in slices
            for port in piece["ports"] or []
            for endpoint in piece["endpoints"] or []
            if endpoint.get("conditions", {}).get("ready")
            for address in endpoint["addresses"]
        )

    def pods(self) -> list[tuple[str, str, str]]:
        """List `(name, node, address)` of each ready nginx pod."""
        found = self.cluster.list(f"/api/v1/namespaces/{NAMESPACE}/pods", labelSelector="app=nginx")
        return [
            (pod["metadata"]["name"], pod["spec"]["nodeName"], pod["status"]["podIP"])
            for pod in found
            if "deletionTimestamp" not in pod["metadata"]
            and any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", []))
        ]

    def answers(self, vantage: Vantage, address: IPAddress, port: int) -> None:
        """Wait until nginx answers at an address."""
        self.run.served(vantage, address, port, what=f"nginx answers {vantage.name}")

    def spread(self, vantage: Vantage, address: IPAddress, port: int) -> None:
        """Wait until each of the three pods has answered at an address."""
        seen: set[bytes] = set()

        def ask() -> int:
            answer = http.get(vantage, address, port)
            if answer.status == http.OK:
                seen.add(answer.body.strip())
            return len(seen)

        self.run.wait.eventually(
            ask,
            lambda count: count == REPLICAS,
            what=f"{vantage.name} is answered by all {REPLICAS} pods at {address}:{port}",
            budget="serves",
            ignore=(http.Unreached,),
        )

    def close(self) -> None:
        """Remove all objects."""
        try:
            self._part_undo.close()
        finally:
            self._undo.close()
