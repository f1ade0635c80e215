"""Condition `Valid` in the status of IPAddressPools, and Events about objects that are not used."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import httpx
import structlog

from lbproof_reference.kube import METALLB, Object, key_of, metallb_path
from lbproof_reference.reading import SkipLog

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lbproof_reference.events import EventRecorder
    from lbproof_reference.informer import Informer
    from lbproof_reference.kube import Kube

_RETRY_SECONDS = 1.0
_SERVER_ERROR = 500

log = structlog.get_logger()


class ObjectStatus:
    """Reports to the authors of objects; `skip_log` records an Event about each object that it logs."""

    def __init__(self, kube: Kube, recorder: EventRecorder, informers: Mapping[str, Informer]) -> None:
        """Look objects up in `informers`, by kind."""
        self._kube, self._recorder, self._informers = kube, recorder, informers
        self.skip_log = SkipLog(lambda kind, key, why: self.warn(kind, key, "Ignored", why))

    def warn(self, kind: str, key: str, reason: str, message: str) -> None:
        """Record a Warning about an object that is still there."""
        if obj := self._informers[kind].objects.get(key.partition(" ")[0]):
            group = "v1" if kind in {"Service", "Node"} else METALLB
            self._recorder.event({**obj, "kind": kind, "apiVersion": group}, "Warning", reason, message)

    async def set_valid(self, pool: Object, reason: str, problem: str | None) -> None:
        """Write the condition of a pool, until it is written or the pool changed; `reason` applies to a problem."""
        key = key_of(pool)
        with self.skip_log.reading("IPAddressPool", key):
            while self._informers["IPAddressPool"].objects.get(key) is pool:
                try:
                    await self._set_valid(pool, reason, problem)
                except httpx.HTTPError as error:
                    log.warning("pool status not written", pool=key, error=repr(error))
                    if isinstance(error, httpx.HTTPStatusError) and error.response.status_code < _SERVER_ERROR:
                        return
                    await asyncio.sleep(_RETRY_SECONDS)
                else:
                    return

    async def _set_valid(self, pool: Object, reason: str, problem: str | None) -> None:
        meta = pool["metadata"]
        conditions = (pool.get("status") or {}).get("conditions") or []
        current: Object = next((c for c in conditions if c["type"] == "Valid"), {})
        message = problem or "the pool is in use"
        if current.get("message") == message and current.get("observedGeneration") == meta["generation"]:
            return
        condition = {
            "type": "Valid",
            "status": "False" if problem else "True",
            "reason": reason if problem else "Accepted",
            "message": message,
            "observedGeneration": meta["generation"],
            "lastTransitionTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        path = f"{metallb_path('ipaddresspools', meta['namespace'])}/{meta['name']}/status"
        await self._kube.call("PATCH", path, {"status": {"conditions": [condition]}})
        if problem:
            log.warning("pool not used", pool=key_of(pool), reason=problem)
            self.warn("IPAddressPool", key_of(pool), reason, problem)
