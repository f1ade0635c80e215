"""Status of IPAddressPools: the condition `Valid`, and how many addresses are assigned and available."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lbproof_reference.kube import Object

USAGE = ("assignedIPv4", "assignedIPv6", "availableIPv4", "availableIPv6")


def changed_status(pool: Object, reason: str, problem: str | None, usage: Mapping[str, int]) -> Object:
    """Return a merge patch of the status of a pool; `usage` has no field of a pool that is not used."""
    condition, status = valid_condition(pool, reason, problem), pool.get("status") or {}
    patch: Object = {field: usage.get(field) for field in USAGE if status.get(field) != usage.get(field)}
    return patch | ({"conditions": [condition]} if condition else {})


def valid_condition(pool: Object, reason: str, problem: str | None) -> Object | None:
    """Return the condition of a pool, with `reason` if there is a problem; None if its status has it already."""
    generation = pool["metadata"]["generation"]
    conditions = (pool.get("status") or {}).get("conditions") or []
    current: Object = next((c for c in conditions if c["type"] == "Valid"), {})
    condition = {
        "type": "Valid",
        "status": "False" if problem else "True",
        "reason": reason if problem else "Accepted",
        "message": problem or "the pool is in use",
        "observedGeneration": generation,
    }
    if condition.items() <= current.items():
        return None
    is_same = current.get("status") == condition["status"]
    since = current.get("lastTransitionTime") if is_same else None
    return {**condition, "lastTransitionTime": since or datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
