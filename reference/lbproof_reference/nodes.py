"""Read the fields of a Node that matter to a LoadBalancer."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from lbproof_reference.kube import labels_of
from lbproof_reference.reading import MALFORMED_OBJECT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lbproof_reference.kube import Object
    from lbproof_reference.pools import IP
    from lbproof_reference.reading import SkipLog

EXCLUDED = "node.kubernetes.io/exclude-from-external-load-balancers"
"""Label of a node that may not announce (KEP-1143), unless its value means false (kubernetes #131085)."""
_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})
"""What Go's `strconv.ParseBool` reads as false."""
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


def may_announce(node: Object, *, ignore_exclude: bool = False) -> bool:
    """Whether a node has a network and is not excluded, or that label is ignored.

    Neither NotReady nor cordon excludes a node: its speaker is heard, or it is dead.
    """
    value = labels_of(node).get(EXCLUDED)
    return not _lacks_network(node) and (ignore_exclude or value is None or value in _FALSE)


def _lacks_network(node: Object) -> bool:
    conditions = (node.get("status") or {}).get("conditions") or []
    return any((one.get("type"), one.get("status")) == ("NetworkUnavailable", "True") for one in conditions)


def relevant_fields(node: Object | None) -> object:
    """Return what matters here: labels, addresses and whether there is a network; all fields of an unreadable node."""
    try:
        return node and (
            node["metadata"].get("labels"),
            (node.get("status") or {}).get("addresses"),
            _lacks_network(node),
        )
    except MALFORMED_OBJECT:
        return node
