"""Compute the addresses to announce, and the nodes that may announce them, one Service at a time.

An address is announced if its Service is managed here and has it in its status, and an `L2Advertisement` selects its
pool. It is still announced after its pool was deleted: the pool is then the one that this speaker saw last or, if it
saw none, the one that the controller annotated together with the address. Other addresses outside all pools, and
addresses of nodes, are not announced, whatever a status says.
"""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lbproof_reference.kube import key_of
from lbproof_reference.pools import build_index, parse_pools, pool_holding
from lbproof_reference.reading import SkipLog
from lbproof_reference.services import annotated_ip, annotated_pool, ingress_ips, is_managed
from lbproof_reference.speaker.plan import Allowed, Offer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from lbproof_reference.kube import Object

EXCLUDED = "node.kubernetes.io/exclude-from-external-load-balancers"
_SERVICE_OF_SLICE = "kubernetes.io/service-name"
_ADDRESS_TYPES = ("InternalIP", "ExternalIP")


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


class AnnouncementPolicy:
    """Announcement policy from advertisements, pools and nodes; rebuilt when one of them changes."""

    def __init__(
        self,
        *,
        advertisements: Iterable[Object],
        pools: Iterable[Object],
        nodes: Iterable[Object],
        lb_class: str | None,
        known: Mapping[str, Mapping[bytes, str]] | None = None,
        skip_log: SkipLog | None = None,
    ) -> None:
        """Read the objects; `known` is the previous result of `pools_of` for each Service."""
        pools = list(pools)
        self._class, self._skip_log = lb_class, skip_log or SkipLog()
        self._known = {} if known is None else known
        able: dict[str, Mapping[str, str]] = {}
        self._of_nodes: set[bytes] = set()
        for node in nodes:
            name, labels = node["metadata"]["name"], node["metadata"].get("labels") or {}
            if EXCLUDED not in labels:
                able[name] = labels
            for entry in (node.get("status") or {}).get("addresses") or []:
                with self._skip_log.reading("Node", f"{name} {entry}"):
                    if entry["type"] in _ADDRESS_TYPES:
                        self._of_nodes.add(ipaddress.ip_address(entry["address"]).packed)
        self._pools = {pool["metadata"]["name"]: pool["metadata"].get("labels") or {} for pool in pools}
        self._index = build_index(parse_pools(pools)[0])
        self._advertisements: list[_Advertisement] = []
        for advertisement in advertisements:
            with self._skip_log.reading("L2Advertisement", key_of(advertisement)):
                self._advertisements.append(_Advertisement(advertisement.get("spec") or {}, able))
        self._allowed: dict[str, tuple[Allowed, ...]] = {}

    def pools_of(self, key: str, service: Object) -> dict[bytes, str]:
        """Return the addresses of a Service that may be announced (packed), with the name of their pool."""
        if not is_managed(service, self._class):
            return {}
        found: dict[bytes, str] = {}
        before = self._known.get(key, {})
        for text in ingress_ips(service):
            with self._skip_log.reading("address", f"{key} {text}"):
                ip = ipaddress.ip_address(text)
                pool = pool_holding(ip, self._index) or before.get(ip.packed)
                if pool is None and annotated_ip(service) == text:
                    pool = annotated_pool(service) or ""
                if ip.packed in self._of_nodes:
                    raise ValueError("not announced: address of a node")
                if pool is None:
                    raise ValueError("not announced: in no pool")
                found[ip.packed] = pool
        return found

    def offers(
        self, key: str, service: Object, pools: Mapping[bytes, str], slices: Iterable[Object]
    ) -> dict[bytes, Offer]:
        """Return a Service's offers; `pools` is the result of `pools_of`, and `slices` are its EndpointSlices."""
        found: dict[bytes, Offer] = {}
        ready: frozenset[str] | None = None
        for address, pool in pools.items():
            if pool not in self._allowed:
                labels = self._pools.get(pool, {})
                chosen = [one.allowed for one in self._advertisements if one.selects(pool, labels)]
                self._allowed[pool] = tuple(dict.fromkeys(chosen))
            allowed = self._allowed[pool]
            if not allowed:
                continue
            if service["spec"].get("externalTrafficPolicy") == "Local":
                if ready is None:
                    ready = self._ready_nodes(slices)
                allowed = tuple(replace(one, nodes=one.nodes & ready) for one in allowed)
            found[address] = Offer(service=key, allowed=allowed)
        return found

    def _ready_nodes(self, slices: Iterable[Object]) -> frozenset[str]:
        """Return the nodes that have a ready endpoint."""
        found = frozenset[str]()
        for endpoint_slice in slices:
            with self._skip_log.reading("EndpointSlice", key_of(endpoint_slice)):
                found |= {
                    endpoint["nodeName"]
                    for endpoint in endpoint_slice.get("endpoints") or []
                    if endpoint.get("nodeName") and (endpoint.get("conditions") or {}).get("ready", True)
                }
        return found


class OfferIndex:
    """All offers, indexed by address and by Service."""

    def __init__(self) -> None:
        """Start without offers."""
        self._of: dict[str, dict[bytes, Offer]] = {}
        self._for: dict[bytes, dict[str, Offer]] = {}

    def update(self, key: str, offers: dict[bytes, Offer]) -> dict[bytes, Offer | None]:
        """Apply a Service's offers and return the changed addresses: the new offer, or None if no Service offers it."""
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


class _Advertisement:
    """L2Advertisement; an empty list of pools, nodes or interfaces means all of them."""

    def __init__(self, spec: Object, able: Mapping[str, Mapping[str, str]]) -> None:
        self._pools = spec.get("ipAddressPools") or []
        self._selectors = spec.get("ipAddressPoolSelectors") or []
        chosen = spec.get("nodeSelectors") or [{}]
        self.allowed = Allowed(
            nodes=frozenset(name for name, has in able.items() if any(matches(one, has) for one in chosen)),
            interfaces=frozenset(spec["interfaces"]) if spec.get("interfaces") else None,
        )
        for selector in (*self._selectors, *chosen):  # reject a malformed selector now, not on first use
            matches(selector, {})

    def selects(self, pool: str, labels: Mapping[str, str]) -> bool:
        if not self._pools and not self._selectors:
            return True
        return pool in self._pools or any(matches(selector, labels) for selector in self._selectors)


def service_of(endpoint_slice: Object) -> str:
    """Return the Service (`namespace/name`) of an EndpointSlice."""
    meta = endpoint_slice["metadata"]
    return f"{meta['namespace']}/{(meta.get('labels') or {}).get(_SERVICE_OF_SLICE)}"
