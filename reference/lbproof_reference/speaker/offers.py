"""Which addresses are to be announced, and by which nodes: read from the API server's objects, a pure function.

An address is announced if its Service is ours and has it in its status, and an `L2Advertisement` carries the pool
that the controller noted on the Service. Going by that note, an address outlives the pool that it came from.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from lbproof_reference.services import FROM_POOL, ingress_of, is_ours
from lbproof_reference.speaker.plan import Offer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from lbproof_reference.kube import Object

EXCLUDED = "node.kubernetes.io/exclude-from-external-load-balancers"
_SERVICE_OF_SLICE = "kubernetes.io/service-name"


def matches(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a LabelSelector selects these labels."""
    tests: dict[str, Callable[[str, list[str]], bool]] = {
        "In": lambda key, values: labels.get(key) in values,
        "NotIn": lambda key, values: labels.get(key) not in values,
        "Exists": lambda key, _: key in labels,
        "DoesNotExist": lambda key, _: key not in labels,
    }
    return all(labels.get(k) == v for k, v in (selector.get("matchLabels") or {}).items()) and all(
        tests[e["operator"]](e["key"], e.get("values") or []) for e in selector.get("matchExpressions") or []
    )


def offers(
    *,
    services: Mapping[str, Object],
    advertisements: Iterable[Object],
    pools: Iterable[Object],
    nodes: Iterable[Object],
    slices: Iterable[Object],
    lb_class: str | None,
) -> dict[bytes, Offer]:
    """The addresses to announce, packed, each with who may do so."""
    labels = {node["metadata"]["name"]: node["metadata"].get("labels") or {} for node in nodes}
    able = {name: has for name, has in labels.items() if EXCLUDED not in has}
    pool_labels = {pool["metadata"]["name"]: pool["metadata"].get("labels") or {} for pool in pools}
    carriers = [_Carrier(advertisement["spec"] or {}, able) for advertisement in advertisements]
    ready = _ready_nodes(slices)
    carried: dict[str, tuple[frozenset[str], frozenset[str] | None] | None] = {}
    found: dict[bytes, Offer] = {}
    for key, service in services.items():
        addresses = ingress_of(service)
        pool = (service["metadata"].get("annotations") or {}).get(FROM_POOL)
        if not addresses or pool is None or not is_ours(service, lb_class):
            continue
        if pool not in carried:
            carried[pool] = _carried([c for c in carriers if c.carries(pool, pool_labels.get(pool, {}))])
        if (by := carried[pool]) is None:
            continue
        nodes_able, interfaces = by
        if service["spec"].get("externalTrafficPolicy") == "Local":
            nodes_able &= ready.get(key, frozenset())
        for address in addresses:
            found[ipaddress.ip_address(address).packed] = Offer(service=key, nodes=nodes_able, interfaces=interfaces)
    return found


class _Carrier:
    """One L2Advertisement; an empty list of pools, nodes or interfaces means all of them."""

    def __init__(self, spec: Object, able: Mapping[str, Mapping[str, str]]) -> None:
        self._pools = spec.get("ipAddressPools") or []
        self._selectors = spec.get("ipAddressPoolSelectors") or []
        chosen = spec.get("nodeSelectors") or [{}]
        self.nodes = frozenset(name for name, has in able.items() if any(matches(one, has) for one in chosen))
        self.interfaces = frozenset(spec["interfaces"]) if spec.get("interfaces") else None

    def carries(self, pool: str, labels: Mapping[str, str]) -> bool:
        if not self._pools and not self._selectors:
            return True
        return pool in self._pools or any(matches(selector, labels) for selector in self._selectors)


def _carried(by: list[_Carrier]) -> tuple[frozenset[str], frozenset[str] | None] | None:
    """What several advertisements allow together."""
    if not by:
        return None
    nodes = frozenset[str]().union(*(carrier.nodes for carrier in by))
    named = [carrier.interfaces for carrier in by]
    return nodes, None if None in named else frozenset[str]().union(*(some for some in named if some))


def _ready_nodes(slices: Iterable[Object]) -> dict[str, frozenset[str]]:
    """For each Service (`namespace/name`) the nodes with an endpoint that is ready."""
    ready: dict[str, frozenset[str]] = {}
    for piece in slices:
        meta = piece["metadata"]
        key = f"{meta['namespace']}/{(meta.get('labels') or {}).get(_SERVICE_OF_SLICE)}"
        here = {
            endpoint["nodeName"]
            for endpoint in piece.get("endpoints") or []
            if endpoint.get("nodeName") and (endpoint.get("conditions") or {}).get("ready", True)
        }
        ready[key] = ready.get(key, frozenset()) | here
    return ready
