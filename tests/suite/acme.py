"""Adapter with every member, of an implementation that does not exist: what the interface can say, in a few lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lbproof.adapters.base import Adapter, Cause, PoolUsage, Workload, WorkloadRole
from lbproof.adapters.reports import AnnouncerLease, ConditionPattern, EventPattern, MetadataKey
from lbproof.spec import FEATURES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lbproof.adapters.base import PoolSpec, Site
    from lbproof.lab.base import Image
    from lbproof.witnesses.kube import Kube


class Acme(Adapter):
    """One workload for both roles, all pools in one ConfigMap."""

    name = "acme"
    version = "1.0"
    features = frozenset(FEATURES) - {"article"}
    budgets = {"failover": 20.0}  # noqa: RUF012 - as a vendor writes it
    workloads: tuple[Workload, ...] = (
        Workload(
            kind="DaemonSet", namespace="acme", name="acme", selector={"app": "acme"}, roles=frozenset(WorkloadRole)
        ),
    )
    components: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    python_modules = {"yaml": "PyYAML"}  # noqa: RUF012
    proxy_mode = "nftables"
    service_opt_in = {"metadata": {"annotations": {"acme.example/serve": "yes"}}}  # noqa: RUF012
    address_annotation = "acme.example/address"
    pool_request = MetadataKey(label="acme.example/pool")
    sharing_key = MetadataKey(label="acme.example/share")
    own_class = "acme.example/lb"
    allocation = EventPattern(type="Normal", reason="^Given$")
    refusals = {cause: ConditionPattern(type="acme.example/Given", reason=cause) for cause in Cause}  # noqa: RUF012
    pool_marks = (MetadataKey(label="acme.example/pool"),)
    conflict = EventPattern(type="Warning", reason="^Conflict$")
    announcer_status = AnnouncerLease(namespace="acme", name="acme-{namespace}-{name}")
    other_announcer_statuses = (AnnouncerLease(namespace="acme", name="acme-of-{namespace}-{name}"),)

    def images(self, site: Site) -> Sequence[Image]:  # noqa: ARG002
        return ()

    def manifests(self, site: Site) -> list[dict[str, Any]]:
        arguments = [f"--interface={site.interface}", *(["--class"] if site.class_only else [])]
        return [
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "acme"}, "data": {"args": str(arguments)}}
        ]

    def pools(self, alive: Sequence[PoolSpec], site: Site) -> list[dict[str, Any]]:  # noqa: ARG002
        data = {pool.name: ", ".join(map(str, pool.blocks)) for pool in alive}
        return [
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "pools", "namespace": "acme"}, "data": data}
        ]

    def pool_name(self, pool: PoolSpec) -> str:
        return pool.name

    def pool_error(self, cluster: Kube, pool: PoolSpec) -> str:  # noqa: ARG002
        return ""

    def pool_usage(self, cluster: Kube, pool: PoolSpec) -> PoolUsage:  # noqa: ARG002
        return PoolUsage(assigned=0, available=len(pool.blocks))
