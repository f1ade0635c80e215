"""Read the fields of a Node that matter to a LoadBalancer."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from lbproof_reference.reading import MALFORMED_OBJECT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lbproof_reference.kube import Object
    from lbproof_reference.pools import IP
    from lbproof_reference.reading import SkipLog

EXCLUDED = "node.kubernetes.io/exclude-from-external-load-balancers"
"""Label of a node that may not announce (KEP-1143)."""
_ADDRESS_TYPES = ("InternalIP", "ExternalIP")


def node_addresses(nodes: Iterable[Object], skip_log: SkipLog) -> frozenset[IP]:
    """Return the addresses of all nodes: no Service can have one of them. Unreadable ones are skipped."""
    found: set[IP] = set()
    for node in nodes:
        name = node["metadata"]["name"]
        with skip_log.reading("Node", name):
            for entry in (node.get("status") or {}).get("addresses") or []:
                with skip_log.reading("Node", f"{name} {entry}"):
                    if entry["type"] in _ADDRESS_TYPES:
                        found.add(ipaddress.ip_address(entry["address"]))
    return frozenset(found)


def relevant_fields(node: Object | None) -> object:
    """Return the fields whose change matters here: labels and addresses; all fields of an unreadable node."""
    try:
        return node and (node["metadata"].get("labels"), (node.get("status") or {}).get("addresses"))
    except MALFORMED_OBJECT:
        return node
