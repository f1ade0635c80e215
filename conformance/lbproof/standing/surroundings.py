"""What explains a change: the suite's own writes and acts. Nobody is blamed for what a check provoked."""

from __future__ import annotations

import math
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Protocol

from lbproof.adapters.base import AddressRange, WorkloadRole
from lbproof.context.acts import ActKind
from lbproof.context.objects import points_of
from lbproof.context.run import NAMESPACE
from lbproof.lab.base import Capability
from lbproof.spec import BUDGETS
from lbproof.spec.families import family_of
from lbproof.witnesses.writes import paths_of, slice_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lbproof.adapters.base import Adapter, Block, Object, PoolSpec
    from lbproof.context.acts import Acts
    from lbproof.spec.families import IPAddress
    from lbproof.witnesses.writes import Writes

_OF_A_NODE = frozenset(
    capability.value
    for capability in (
        Capability.NODE_CRASH,
        Capability.LINK_DOWN,
        Capability.BLACKHOLE,
        Capability.PARTITION,
        Capability.FREEZE,
        Capability.DROP,
        Capability.API_CUT,
        Capability.ONE_WAY_LOSS,
        Capability.CLOCK_BEHIND,
        Capability.SILENT_KUBELET,
    )
)
"""Faults that take backends or announcers away. A controller that is killed or cut off takes no address away."""


class Claims(Protocol):
    """Whether features are claimed (`RunContext.claims`)."""

    def __call__(self, *needs: str) -> bool:
        """Return whether all of them are."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Implementation under test, and what the suite did to the cluster."""

    adapter: Adapter
    claims: Claims
    writes: Writes
    acts: Acts

    def is_foreign(self, service: Object) -> bool:
        """Return whether a Service has the class of another implementation."""
        own = {self.adapter.service_opt_in.get("spec", {}).get("loadBalancerClass")}
        if self.claims("class"):
            own.add(self.adapter.own_class)
        named = service["spec"].get("loadBalancerClass")
        return bool(named) and named not in own

    def may_share(self, one: Object, other: Object) -> bool:
        """Return whether both of two Services ask to share an address, by the same key."""
        if not self.claims("sharing"):
            return False
        keys = [self.adapter.sharing_key.value(service) for service in (one, other)]
        return bool(keys[0]) and keys[0] == keys[1]

    def is_ours(self, service: Object) -> bool:
        """Return whether the suite created a Service in a namespace of its own."""
        meta = service["metadata"]
        return self.writes.knows(meta["uid"]) and meta["namespace"].startswith(NAMESPACE)

    def wrote(self, service: Object) -> bool:
        """Return whether the suite made a version of a Service, or may have."""
        return self.writes.made(service, next(paths_of(service)))

    def asked(self, service: Object, since: float, until: float) -> bool:
        """Return whether the suite asked for a change of a Service in a time, its deletion included."""
        own, namespace = paths_of(service)
        return self.writes.between(own, since, until) or self.writes.between(namespace, since, until, method="DELETE")

    def was_deleted(self, service: Object) -> bool:
        """Return whether the suite has ever deleted a Service or its namespace."""
        return any(self.writes.between(path, 0.0, math.inf, method="DELETE") for path in paths_of(service))

    def in_pool(self, address: IPAddress, at: float) -> bool:
        """Return whether a pool had an address shortly before a moment, while changes of pools take effect."""
        recent = self.acts.pools(at - BUDGETS["pool_applied"].ceiling, at)
        return any(_has(pool, address) for pools in recent for pool in pools)

    def pool_was_changed(self, address: IPAddress, since: float, at: float) -> bool:
        """Return whether a pool that had an address was changed or removed in a time, or none had it."""
        recent = self.acts.pools(since, at)
        having = [frozenset(pool for pool in pools if _has(pool, address)) for pools in recent]
        first = next((pools for pools in having if pools), None)
        return first is None or not first <= having[-1]

    def widened(self, at: float) -> bool:
        """Return whether the pools were changed shortly before a moment."""
        return len(set(self.acts.pools(at - BUDGETS["pool_applied"].ceiling, at))) > 1

    def is_disturbed(self, at: float) -> bool:
        """Return whether statuses may change at a moment without a fault of the implementation.

        A fault of a node takes backends away, and some implementations give addresses only to what can be served; so
        does the deletion of a workload.
        """
        since = at - BUDGETS["failover"].ceiling
        return bool(
            self.acts.between(since, at, ActKind.FAULT, _OF_A_NODE)
            or self.acts.between(since, at, ActKind.CONFIGURE)
            or self.writes.deleted_below("/apis/apps/v1/namespaces/", since, at)
        )

    def changed_endpoints(self, service: Object, since: float, until: float) -> bool:
        """Return whether the suite changed the endpoints of a Service in a time, and its address may depend on them."""
        if self.claims("without-endpoints"):
            return False
        return self.writes.between(slice_of(service), since, until)

    def is_restarting(self, at: float) -> bool:
        """Return whether the controller was restarted shortly before a moment."""
        since = at - BUDGETS["address_assigned"].ceiling
        return bool(self.acts.between(since, at, ActKind.RESTART, [WorkloadRole.CONTROLLER]))

    def has_copies(self, at: float) -> bool:
        """Return whether the suite had several controllers run shortly before a moment."""
        since = at - BUDGETS["address_assigned"].ceiling
        return bool(self.acts.between(since, at, ActKind.COPIES, [WorkloadRole.CONTROLLER]))


def ips(service: Object) -> list[str]:
    """Return the valid IPs in the status of a Service."""
    return [found for found in points_of(service) if _is_address(found)]


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _has(pool: PoolSpec, address: IPAddress) -> bool:
    return any(_in_block(block, address) for block in pool.blocks)


def _in_block(block: Block, address: IPAddress) -> bool:
    if isinstance(block, str):
        try:
            return address in ip_network(block, strict=False)  # a netmask may be read as it is meant
        except ValueError:
            return False
    if isinstance(block, AddressRange):
        ends = (block.first, block.last)
        return {family_of(end) for end in ends} == {family_of(address)} and int(ends[0]) <= int(address) <= int(ends[1])
    return address in block if isinstance(block, IPv4Network | IPv6Network) else address == block


def asks_for(services: Iterable[Object], address: str, adapter: Adapter, claims: Claims) -> bool:
    """Return whether one of some Services asks for an address, by the field or the implementation's annotation."""
    by_annotation = claims("explicit-ip-annotation")
    for service in services:
        annotations = service["metadata"].get("annotations") or {}
        asked = annotations.get(adapter.address_annotation, "") if by_annotation else ""
        if address in {service["spec"].get("loadBalancerIP", ""), asked}:
            return True
    return False
