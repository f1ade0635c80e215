"""Recorder of Kubernetes Events (the `EventRecorder` of client-go's tools/record)."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import httpx
import structlog

if TYPE_CHECKING:
    from lbproof_reference.kube import Kube, Object

_QUEUED = 1000  # as client-go (tools/record, maxQueuedEvents); the rest is dropped
_MESSAGE_BYTES = 1024  # as the API server allows (core/validation, NoteLengthLimit)
_PAUSE_SECONDS = 0.05  # 20 Events a second leave the process and the API server to more urgent work
_RETRY_SECONDS = 1.0

log = structlog.get_logger()


class EventRecorder:
    """Records Events at low priority: one at a time, with a pause before each.

    One that could not be sent is sent again; one that was rejected, or not answered in time, is not, because it would
    hold back all others. The queue holds 1,000 Events and drops further ones, as client-go does: Events are best
    effort, and sending takes time from other work.
    """

    def __init__(self, kube: Kube, component: str, host: str = "") -> None:
        """Nothing is sent until `run`."""
        self._kube, self._source = kube, {"component": component, "host": host}
        self._waiting: asyncio.Queue[Object] = asyncio.Queue(_QUEUED)
        self._dropped = 0

    def event(self, about: Object, kind: str, reason: str, message: str) -> None:
        """Queue an Event of type `kind` about an object; a long message is cut."""
        meta = about["metadata"]
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        namespace = meta.get("namespace", "default")
        event: Object = {
            "metadata": {"name": f"{meta['name']}.{time.time_ns():x}", "namespace": namespace},
            "involvedObject": {
                "apiVersion": about.get("apiVersion", "v1"),
                "kind": about.get("kind", "Service"),
                "name": meta["name"],
                "namespace": namespace,
                "uid": meta.get("uid", ""),
            },
            "type": kind,
            "reason": reason,
            "message": message.encode(errors="replace")[:_MESSAGE_BYTES].decode(errors="ignore"),
            "source": self._source,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        try:
            self._waiting.put_nowait(event)
        except asyncio.QueueFull:
            self._dropped += 1

    async def run(self) -> None:
        """Send queued Events until cancelled."""
        while True:
            if self._dropped and self._waiting.empty():
                log.warning("events dropped: queue full", count=self._dropped)
                self._dropped = 0
            event = await self._waiting.get()
            await asyncio.sleep(_PAUSE_SECONDS)
            while not await self._send(event):  # noqa: ASYNC110 - retry
                await asyncio.sleep(_RETRY_SECONDS)

    async def _send(self, event: Object) -> bool:
        """Create the Event. Return False if the API server cannot be reached."""
        about = event["involvedObject"]["name"]
        try:
            await self._kube.call("POST", f"/api/v1/namespaces/{event['metadata']['namespace']}/events", event)
        except (httpx.HTTPStatusError, httpx.ReadTimeout) as error:
            log.warning("event rejected or not answered", about=about, error=repr(error))
        except httpx.HTTPError as error:
            log.warning("event delayed", about=about, error=repr(error))
            return False
        return True
