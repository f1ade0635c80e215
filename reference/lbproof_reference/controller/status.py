"""Condition `Valid` in the status of IPAddressPools."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lbproof_reference.kube import Object


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
