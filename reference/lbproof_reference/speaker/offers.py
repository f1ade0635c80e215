"""Compute the addresses to announce, and the nodes that may announce them, one Service at a time.

An address is announced if its Service is managed here and has it in its status, a pool contains it, no node has it,
and an `L2Advertisement` selects the pool. Statuses may be written by others than the controller, so that
- an address outside every pool is announced only if this speaker announced it for the same Service before, or if the
  controller's record confirmed it when the speaker started (`lbproof_reference.retained`), or if a pool contained it
  a moment ago: the watches of pools and Services are not in step, and a status may be written as its pool is deleted;
- a status without any such address changes nothing: the Service's addresses of before are still announced;
- of two Services with one address, the one that had it first keeps it until it has it no more, unless they share it by
  one key (`metallb.io/allow-shared-ip`): then every node announces it that may do so for one of them.
What a speaker cannot know while the controller is away is whether another free address of a pool, or an empty status,
was written by the controller; both are taken as its word. No other annotation is read.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from lbproof_reference.advertisements import Advertisement
from lbproof_reference.kube import key_of, labels_of
from lbproof_reference.nodes import may_announce, node_addresses
from lbproof_reference.pools import build_index, parse_ip, parse_pools, pool_holding
from lbproof_reference.reading import SkipLog
from lbproof_reference.services import annotation, ingress_ips, is_managed
from lbproof_reference.speaker.plan import Allowed, Offer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lbproof_reference.kube import Object
    from lbproof_reference.pools import IP

_SERVICE_OF_SLICE = "kubernetes.io/service-name"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """Addresses that a speaker announced for a Service, with the pool of each, which may be gone."""

    uid: str
    pools: Mapping[IP, str] = field(default_factory=dict)


class AnnouncementPolicy:
    """Announcement policy from advertisements, pools and nodes; rebuilt when one of them changes."""

    def __init__(
        self,
        *,
        advertisements: Iterable[Object],
        pools: Iterable[Object],
        nodes: Iterable[Object],
        lb_class: str | None,
        skip_log: SkipLog | None = None,
        ignore_exclude: bool = False,
        former_pools: Iterable[Object] = (),
    ) -> None:
        """Read the objects; `ignore_exclude` ignores the label that excludes nodes; `former_pools` changed lately."""
        pools, nodes = list(pools), list(nodes)
        self._class, self._skip_log = lb_class, skip_log or SkipLog()
        labels: dict[str, dict[str, str]] = {}
        for node in nodes:
            with self._skip_log.reading("Node", f"{node['metadata']['name']} announces"):
                if may_announce(node, ignore_exclude=ignore_exclude):
                    labels[node["metadata"]["name"]] = labels_of(node)
        self._of_nodes = node_addresses(nodes, self._skip_log)
        self._pools = {pool["metadata"]["name"]: labels_of(pool) for pool in pools}
        self._index = build_index(parse_pools(pools)[0])
        self._former = [build_index(parse_pools([pool])[0]) for pool in former_pools]
        self._advertisements: list[tuple[Advertisement, Allowed]] = []
        for obj in advertisements:
            with self._skip_log.reading("L2Advertisement", key_of(obj)):
                one = Advertisement(obj)
                chosen = (name for name, has in labels.items() if one.selects_node(has))
                self._advertisements.append((one, Allowed(nodes=frozenset(chosen), interfaces=one.interfaces)))
        self._selective = [entry for entry in self._advertisements if entry[0].service_selectors]
        self._allowed: dict[str, tuple[Allowed, ...]] = {}  # by pool, for all Services

    def announceable(self, key: str, service: Object, before: Known | None) -> Known:
        """Return the addresses of a Service that may be announced.

        `before` is the previous result for its key or, when the speaker starts, the entry of the controller's record.
        """
        uid = service["metadata"]["uid"]
        if not is_managed(service, self._class):
            return Known(uid=uid)
        known = before.pools if before and before.uid == uid else {}
        found: dict[IP, str] = {}
        texts = ingress_ips(service)
        for text in texts:
            with self._skip_log.reading("address", f"{key} {text}"):
                ip = parse_ip(text)
                pool = pool_holding(ip, self._index) or known.get(ip) or self._former_pool(ip)
                if pool is None or ip in self._of_nodes:
                    raise ValueError("not announced: of a node, or in no pool and never announced before")
                found[ip] = pool
        if texts and not found:
            found = {ip: pool_holding(ip, self._index) or pool for ip, pool in known.items()}
        return Known(uid=uid, pools={ip: pool for ip, pool in found.items() if ip not in self._of_nodes})

    def _former_pool(self, ip: IP) -> str | None:
        return next((pool for index in self._former if (pool := pool_holding(ip, index))), None)

    def offers(self, key: str, service: Object, known: Known, slices: Iterable[Object]) -> dict[bytes, Offer]:
        """Return a Service's offers; `known` is the result of `announceable`, `slices` are its EndpointSlices."""
        found: dict[bytes, Offer] = {}
        ready: frozenset[str] | None = None
        for ip, pool in known.pools.items():
            labels = self._pools.get(pool, {})
            if pool not in self._allowed:
                self._allowed[pool] = tuple(
                    allowed
                    for one, allowed in self._advertisements
                    if not one.service_selectors and one.selects_pool(pool, labels)
                )
            allowed = self._allowed[pool]
            for one, chosen in self._selective:
                if one.selects_pool(pool, labels) and one.selects_service(labels_of(service)):
                    allowed = (*allowed, chosen)
            allowed = tuple(dict.fromkeys(allowed))
            if not allowed:
                continue
            if service["spec"].get("externalTrafficPolicy") == "Local":
                if ready is None:
                    ready = self._ready_nodes(slices)
                allowed = tuple(replace(one, nodes=one.nodes & ready) for one in allowed)
            found[ip.packed] = Offer(service=key, allowed=allowed, share=annotation(service, "allow-shared-ip") or "")
        return found

    def _ready_nodes(self, slices: Iterable[Object]) -> frozenset[str]:
        """Return the nodes that have a ready endpoint; if there is none, those with one that serves while it ends.

        KEP-1669: kube-proxy uses the latter as a last resort, and their health check fails, so that others take over.
        """
        ready, serving = set[str](), set[str]()
        for endpoint_slice in slices:
            with self._skip_log.reading("EndpointSlice", key_of(endpoint_slice)):
                for endpoint in endpoint_slice.get("endpoints") or []:
                    conditions, node = endpoint.get("conditions") or {}, endpoint.get("nodeName")
                    if node and conditions.get("ready") in {None, True}:
                        ready.add(node)
                    elif node and conditions.get("serving"):
                        serving.add(node)
        return frozenset(ready or serving)


class OfferIndex:
    """All offers, indexed by address and by Service."""

    def __init__(self) -> None:
        """Start without offers."""
        self._of: dict[str, dict[bytes, Offer]] = {}
        self._for: dict[bytes, dict[str, Offer]] = {}

    def update(self, key: str, offers: dict[bytes, Offer]) -> dict[bytes, Offer | None]:
        """Apply a Service's offers and return the changed addresses: the new offer, or None if no Service offers it.

        Of several Services that offer one address, the first one counts, with those that share it by the same key.
        """
        before = self._of.pop(key, {})
        if offers:
            self._of[key] = offers
        changes: dict[bytes, Offer | None] = {}
        for address in before.keys() | offers.keys():
            if before.get(address) == offers.get(address):
                continue
            of = self._for.setdefault(address, {})
            if address in offers:
                of[key] = offers[address]  # keeps its place
            else:
                del of[key]
            if not of:
                del self._for[address]
            changes[address] = _shared_offer(list(of.values())) if of else None
        return changes


def _shared_offer(offers: list[Offer]) -> Offer:
    """Return the first offer, with all Services that share its address, and every node that may announce it for one."""
    first = offers[0]
    same = [one for one in offers if first.share and one.share == first.share] or [first]
    allowed = tuple(dict.fromkeys(one for offer in same for one in offer.allowed))
    return replace(first, allowed=allowed, sharers=tuple(offer.service for offer in same[1:]))


def service_of(endpoint_slice: Object) -> str:
    """Return the Service (`namespace/name`) of an EndpointSlice."""
    meta = endpoint_slice["metadata"]
    return f"{meta['namespace']}/{(meta.get('labels') or {}).get(_SERVICE_OF_SLICE)}"
