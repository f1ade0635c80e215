"""Objects and annotations for users, common to MetalLB and the reference.

The reference accepts MetalLB's manifests. Everything else (installation, Event patterns) is in the module of each
implementation.
"""

from __future__ import annotations

import copy
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

from lbproof.adapters.base import Adapter, Object, PoolUsage, WorkloadRole
from lbproof.adapters.reports import MetadataKey

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lbproof.adapters.base import Block, PoolSpec, Site
    from lbproof.witnesses.kube import Kube

API = "metallb.io/v1beta1"
NAMESPACE = "metallb-system"


class MetalLBObjects(Adapter):
    """`IPAddressPool`, `L2Advertisement` and the annotations of `metallb.io`."""

    address_annotation = "metallb.io/loadBalancerIPs"
    pool_request = MetadataKey(annotation="metallb.io/address-pool")
    sharing_key = MetadataKey(annotation="metallb.io/allow-shared-ip")
    own_class = "lbproof.test/served"

    def pools(self, alive: Sequence[PoolSpec], site: Site) -> list[Object]:  # noqa: ARG002 - it needs to know nothing of it
        """Return an IPAddressPool for each pool, and L2Advertisements for it alone: one, or one for each pair."""
        return [made for pool in alive for made in (_pool(pool), *(_advertisements(pool) if pool.advertised else []))]

    def pool_error(self, cluster: Kube, pool: PoolSpec) -> str:
        """Return a False condition `Valid` of the pool, or a Warning Event about it."""
        found = cluster.get(f"/apis/{API}/namespaces/{NAMESPACE}/ipaddresspools/{pool.name}")
        for condition in found.get("status", {}).get("conditions", []):
            if condition["type"] == "Valid" and condition["status"] == "False":
                return f"{condition.get('reason')}: {condition.get('message')}"
        for event in cluster.events_about(found):
            if event.get("type") == "Warning":
                return f"{event.get('reason')}: {event.get('message')}"
        return ""

    def pool_usage(self, cluster: Kube, pool: PoolSpec) -> PoolUsage:
        """Return the numbers in the status of the pool, of both families."""
        status = cluster.get(f"/apis/{API}/namespaces/{NAMESPACE}/ipaddresspools/{pool.name}").get("status") or {}
        assigned, available = (
            sum(status.get(f"{what}{family}", 0) for family in ("IPv4", "IPv6")) for what in ("assigned", "available")
        )
        return PoolUsage(assigned=assigned, available=available)

    def _of_class(self, objects: Sequence[Object], site: Site) -> list[Object]:
        """Return the objects to install, with `--lb-class` at controller and announcer when only a class is served."""
        made = copy.deepcopy(list(objects))
        if site.class_only:
            names = {workload.name for workload in self.workloads if set(workload.roles) & set(WorkloadRole)}
            for workload in made:
                if workload["kind"] in {"Deployment", "DaemonSet"} and workload["metadata"]["name"] in names:
                    container = workload["spec"]["template"]["spec"]["containers"][0]
                    container["args"] = [*container.get("args", []), f"--lb-class={self.own_class}"]
        return made


def _pool(pool: PoolSpec) -> Object:
    return {
        "apiVersion": API,
        "kind": "IPAddressPool",
        "metadata": {"name": pool.name, "namespace": NAMESPACE},
        "spec": {
            "addresses": [_text(block) for block in pool.blocks],
            "autoAssign": pool.auto_assign,
            "avoidBuggyIPs": not pool.include_edges,
            **({"serviceAllocation": scope} if (scope := _scope(pool)) else {}),
        },
    }


def _scope(pool: PoolSpec) -> Object:
    """Return which Services a pool serves, and in which order among others; empty for all."""
    selectors = [{"matchLabels": dict(pool.labels)}] if pool.labels else []
    scope = {"namespaces": list(pool.namespaces), "serviceSelectors": selectors, "priority": pool.priority}
    return {name: value for name, value in scope.items() if value}


def _text(block: Block) -> str:
    """Return a block as MetalLB reads it, which takes a single address as a network of its own."""
    return f"{block}/{block.max_prefixlen}" if isinstance(block, IPv4Address | IPv6Address) else str(block)


def _advertisements(pool: PoolSpec) -> list[Object]:
    if not pool.pairs:
        return [_advertisement(pool, pool.name, nodes=pool.nodes, interfaces=pool.interfaces)]
    return [
        _advertisement(pool, f"{pool.name}-pair-{number}", nodes=[node], interfaces=[interface])
        for number, (node, interface) in enumerate(pool.pairs, start=1)
    ]


def _advertisement(pool: PoolSpec, name: str, *, nodes: Sequence[str], interfaces: Sequence[str]) -> Object:
    fields: Object = {"interfaces": list(interfaces)} if interfaces else {}
    if nodes:
        fields["nodeSelectors"] = [{"matchLabels": {"kubernetes.io/hostname": node}} for node in nodes]
    return {
        "apiVersion": API,
        "kind": "L2Advertisement",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"ipAddressPools": [pool.name], **fields},
    }
