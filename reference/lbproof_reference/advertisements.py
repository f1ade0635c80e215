"""Read `L2Advertisement` objects: which pools, nodes and interfaces each selects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lbproof_reference.kube import Object


def matches(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a LabelSelector matches the labels. Raises LookupError or TypeError for a malformed one."""
    tests: dict[str, Callable[[str, list[str]], bool]] = {
        "In": lambda key, values: labels.get(key) in values,
        "NotIn": lambda key, values: labels.get(key) not in values,
        "Exists": lambda key, _: key in labels,
        "DoesNotExist": lambda key, _: key not in labels,
    }
    met = [labels.get(k) == v for k, v in (selector.get("matchLabels") or {}).items()]
    met += [tests[e["operator"]](e["key"], e.get("values") or []) for e in selector.get("matchExpressions") or []]
    return all(met)


class Advertisement:
    """L2Advertisement; an empty list of pools, nodes or interfaces means all of them."""

    def __init__(self, obj: Object) -> None:
        """Read one object. Raises one of `MALFORMED_OBJECT`, also for a selector that is used later."""
        spec = obj.get("spec") or {}
        self._pools = frozenset(spec.get("ipAddressPools") or [])
        self._pool_selectors = spec.get("ipAddressPoolSelectors") or []
        self._node_selectors = spec.get("nodeSelectors") or [{}]
        self.interfaces = frozenset(spec["interfaces"]) if spec.get("interfaces") else None
        for selector in (*self._pool_selectors, *self._node_selectors):
            matches(selector, {})

    def selects_pool(self, pool: str, labels: Mapping[str, str]) -> bool:
        """Whether it selects a pool by name or by labels."""
        if not self._pools and not self._pool_selectors:
            return True
        return pool in self._pools or any(matches(selector, labels) for selector in self._pool_selectors)

    def selects_node(self, labels: Mapping[str, str]) -> bool:
        """Whether it selects a node by labels."""
        return any(matches(selector, labels) for selector in self._node_selectors)
