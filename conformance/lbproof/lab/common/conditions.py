"""Readiness of nodes, pods and Deployments, read from the objects of the Kubernetes API."""

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


def deployment_state(deployment: Mapping[str, Any]) -> str:
    """Return `ready` when all replicas of a Deployment are of its present generation and ready, else how many are."""
    status, wanted = deployment.get("status", {}), deployment["spec"]["replicas"]
    ready = status.get("readyReplicas", 0)
    current = status.get("observedGeneration") == deployment["metadata"]["generation"]
    return "ready" if current and ready == wanted == status.get("updatedReplicas", 0) else f"{ready} of {wanted} ready"
