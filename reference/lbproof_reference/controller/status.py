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
    message = problem or "the pool is in use"
    if (current.get("message"), current.get("observedGeneration")) == (message, generation):
        return None
    return {
        "type": "Valid",
        "status": "False" if problem else "True",
        "reason": reason if problem else "Accepted",
        "message": message,
        "observedGeneration": generation,
        "lastTransitionTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
