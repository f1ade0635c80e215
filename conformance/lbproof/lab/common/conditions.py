"""Readiness of nodes and pods, read from the objects of the Kubernetes API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_NODE_TAINTS = "node.kubernetes.io/"
"""Prefix of the taints that the node controller and the kubelet set while a node has a problem."""


def is_ready(found: Mapping[str, Any]) -> bool:
    """Whether the condition Ready of a Node or a Pod is True; False while it has no conditions."""
    rows = found.get("status", {}).get("conditions", [])
    return any(row["type"] == "Ready" and row["status"] == "True" for row in rows)


def is_node_usable(node: Mapping[str, Any]) -> bool:
    """Whether a Node is Ready and has no taint of a node problem; the taint of its role does not count."""
    taints = node.get("spec", {}).get("taints", [])
    return is_ready(node) and not any(taint["key"].startswith(_NODE_TAINTS) for taint in taints)
