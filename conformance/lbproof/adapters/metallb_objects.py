"""Objects and annotations for users, common to MetalLB and the reference.

The reference accepts MetalLB's manifests. Everything else (installation, Event patterns) is in the module of each
implementation.
"""

from __future__ import annotations

from contextlib import contextmanager
from ipaddress import ip_network
from typing import TYPE_CHECKING

from lbproof.adapters.base import Ask, Object, Workload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from lbproof.witnesses.kube import Kube

API = "metallb.io/v1beta1"


class MetalLBObjects:
    """`IPAddressPool`, `L2Advertisement` and the annotations of `metallb.io`."""

    namespace = "metallb-system"
    pool_path = f"/apis/{API}/namespaces/metallb-system/ipaddresspools"
    controller: Workload
    announcer: Workload

    def pool(
        self,
        name: str,
        blocks: Sequence[str],
        *,
        auto_assign: bool = True,
        include_edges: bool = True,
        advertised: bool = True,
    ) -> list[Object]:
        """Return an IPAddressPool, and an L2Advertisement for it alone. A single address becomes /32 or /128."""
        blocks = [block if {"/", "-"} & set(block) else str(ip_network(block)) for block in blocks]
        meta = {"name": name, "namespace": self.namespace}
        spec = {"addresses": blocks, "autoAssign": auto_assign, "avoidBuggyIPs": not include_edges}
        pool: Object = {"apiVersion": API, "kind": "IPAddressPool", "metadata": meta, "spec": spec}
        carrier: Object = {
            "apiVersion": API,
            "kind": "L2Advertisement",
            "metadata": meta,
            "spec": {"ipAddressPools": [name]},
        }
        return [pool, carrier] if advertised else [pool]

    def ask(self, service: Object, addresses: str, how: Ask) -> None:
        """Set `metallb.io/loadBalancerIPs` or `spec.loadBalancerIP`."""
        if how is Ask.FIELD:
            service["spec"]["loadBalancerIP"] = addresses
        else:
            service["metadata"].setdefault("annotations", {})["metallb.io/loadBalancerIPs"] = addresses

    def ask_pool(self, service: Object, pool: str) -> None:
        """Set `metallb.io/address-pool`."""
        service["metadata"].setdefault("annotations", {})["metallb.io/address-pool"] = pool

    def pool_error(self, cluster: Kube, pool: str) -> str:
        """Return a False condition `Valid` of the pool, or a Warning Event about it."""
        found = cluster.get(f"{self.pool_path}/{pool}")
        for condition in found.get("status", {}).get("conditions", []):
            if condition["type"] == "Valid" and condition["status"] == "False":
                return f"{condition.get('reason')}: {condition.get('message')}"
        for event in cluster.list(f"/api/v1/namespaces/{self.namespace}/events"):
            about = event["involvedObject"]
            if about.get("kind") == "IPAddressPool" and about.get("name") == pool and event.get("type") == "Warning":
                return f"{event.get('reason')}: {event.get('message')}"
        return ""

    @contextmanager
    def with_class(self, cluster: Kube, rolled_out: Callable[[Workload], None]) -> Iterator[str]:
        """Run controller and announcer with `--lb-class`, then restore them."""
        name = "lbproof.test/served"
        workloads = (self.controller, self.announcer)
        before = {}
        try:
            for workload in workloads:
                path = f"/apis/apps/v1/namespaces/{workload.namespace}/{workload.kind.lower()}s/{workload.name}"
                containers = cluster.get(path)["spec"]["template"]["spec"]["containers"]
                before[path] = containers[0].get("args", [])
                _set_args(cluster, path, [*before[path], f"--lb-class={name}"])
            for workload in workloads:
                rolled_out(workload)
            yield name
        finally:
            for path, args in before.items():
                _set_args(cluster, path, args)
            for workload in workloads:
                rolled_out(workload)


def _set_args(cluster: Kube, path: str, args: list[str]) -> None:
    cluster.patch(path, [{"op": "replace", "path": "/spec/template/spec/containers/0/args", "value": args}], "json")
