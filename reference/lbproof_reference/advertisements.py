"""Read `L2Advertisement` objects: which pools, Services, nodes and interfaces each selects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof_reference.selectors import matches

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from lbproof_reference.kube import Object


class Advertisement:
    """L2Advertisement; an empty list of pools, Services, nodes or interfaces means all of them."""

    def __init__(self, obj: Object) -> None:
        """Read one object. Raises one of `MALFORMED_OBJECT`, also for a selector that is used later."""
        spec = obj.get("spec") or {}
        self._pools = frozenset(spec.get("ipAddressPools") or [])
        self._pool_selectors = spec.get("ipAddressPoolSelectors") or []
        self._node_selectors = spec.get("nodeSelectors") or [{}]
        self.service_selectors = spec.get("serviceSelectors") or []
        self.interfaces = frozenset(spec["interfaces"]) if spec.get("interfaces") else None
        for selector in (*self._pool_selectors, *self._node_selectors, *self.service_selectors):
            matches(selector, {})

    def selects_pool(self, pool: str, labels: Mapping[str, str]) -> bool:
        """Whether it selects a pool by name or by labels."""
        if not self._pools and not self._pool_selectors:
            return True
        return pool in self._pools or any(matches(selector, labels) for selector in self._pool_selectors)

    def selects_service(self, labels: Mapping[str, str]) -> bool:
        """Whether it selects a Service by labels."""
        return not self.service_selectors or any(matches(selector, labels) for selector in self.service_selectors)

    def selects_node(self, labels: Mapping[str, str]) -> bool:
        """Whether it selects a node by labels."""
        return any(matches(selector, labels) for selector in self._node_selectors)


def why_unannounced(
    advertisements: Collection[Advertisement],
    pool: tuple[str, Mapping[str, str]],
    service: Mapping[str, str],
    nodes: Collection[Mapping[str, str]] | None,
) -> str | None:
    """Return why no node announces the addresses of a pool (name and labels) for a Service (labels); None if one may.

    `nodes` are the labels of those that may announce; None: no node is known. Interfaces are known to speakers alone,
    who tell of those that no node has.
    """
    if not (found := [one for one in advertisements if one.selects_pool(*pool)]):
        return "no L2Advertisement selects the pool"
    if not (found := [one for one in found if one.selects_service(service)]):
        return "no L2Advertisement of the pool selects the Service"
    if nodes is not None and not any(one.selects_node(labels) for one in found for labels in nodes):
        return "no L2Advertisement of the pool selects a node that has a network and is not excluded by its label"
    return None
