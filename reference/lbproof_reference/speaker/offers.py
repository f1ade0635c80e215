"""Which addresses are to be announced, and by which nodes: read from the API server's objects, a Service at a time.

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


class Rules:
    """What advertisements, pools and nodes say together; made anew when one of them changes."""

    def __init__(
        self,
        *,
        advertisements: Iterable[Object],
        pools: Iterable[Object],
        nodes: Iterable[Object],
        lb_class: str | None,
    ) -> None:
        """Read them."""
        labels = {node["metadata"]["name"]: node["metadata"].get("labels") or {} for node in nodes}
        able = {name: has for name, has in labels.items() if EXCLUDED not in has}
        self._class = lb_class
        self._pools = {pool["metadata"]["name"]: pool["metadata"].get("labels") or {} for pool in pools}
        self._carriers = [_Carrier(advertisement["spec"] or {}, able) for advertisement in advertisements]
        self._carried: dict[str, tuple[frozenset[str], frozenset[str] | None] | None] = {}

    def offers(self, key: str, service: Object, slices: Iterable[Object]) -> dict[bytes, Offer]:
        """The addresses of a Service to announce, packed, each with who may do so; `slices` are its own."""
        addresses = ingress_of(service)
        pool = (service["metadata"].get("annotations") or {}).get(FROM_POOL)
        if not addresses or pool is None or not is_ours(service, self._class):
            return {}
        if pool not in self._carried:
            labels = self._pools.get(pool, {})
            self._carried[pool] = _carried([c for c in self._carriers if c.carries(pool, labels)])
        if (by := self._carried[pool]) is None:
            return {}
        nodes, interfaces = by
        if service["spec"].get("externalTrafficPolicy") == "Local":
            nodes &= _ready_nodes(slices)
        offer = Offer(service=key, nodes=nodes, interfaces=interfaces)
        return {ipaddress.ip_address(address).packed: offer for address in addresses}


class Board:
    """All offers, by address and Service: it says what a change of one Service's means for the addresses."""

    def __init__(self) -> None:
        """Nothing is offered."""
        self._of: dict[str, dict[bytes, Offer]] = {}
        self._for: dict[bytes, dict[str, Offer]] = {}

    def renew(self, key: str, offers: dict[bytes, Offer]) -> dict[bytes, Offer | None]:
        """What is new by what a Service offers from now on: address → offer, or None for an address of nobody."""
        before = self._of.pop(key, {})
        if offers:
            self._of[key] = offers
        changes: dict[bytes, Offer | None] = {}
        for address in before.keys() | offers.keys():
            if before.get(address) == offers.get(address):
                continue
            of = self._for.setdefault(address, {})
            of.pop(key, None)
            if address in offers:
                of[key] = offers[address]
            if not of:
                del self._for[address]
            changes[address] = next(reversed(of.values()), None)
        return changes


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


def service_of(piece: Object) -> str:
    """The Service (`namespace/name`) that an EndpointSlice belongs to."""
    meta = piece["metadata"]
    return f"{meta['namespace']}/{(meta.get('labels') or {}).get(_SERVICE_OF_SLICE)}"


def _ready_nodes(slices: Iterable[Object]) -> frozenset[str]:
    """The nodes with an endpoint that is ready."""
    return frozenset(
        endpoint["nodeName"]
        for piece in slices
        for endpoint in piece.get("endpoints") or []
        if endpoint.get("nodeName") and (endpoint.get("conditions") or {}).get("ready", True)
    )
