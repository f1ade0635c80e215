"""Recorder of Kubernetes Events (the `EventRecorder` of client-go's tools/record)."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import httpx
import structlog

from lbproof_reference.reading import MALFORMED_OBJECT

if TYPE_CHECKING:
    from lbproof_reference.kube import Kube, Object

_QUEUED = 1000  # as client-go (tools/record, maxQueuedEvents); the rest is dropped
_MESSAGE_BYTES = 1024  # as the API server allows (core/validation, NoteLengthLimit)
_PAUSE_SECONDS = 0.05  # 20 Events a second leave the process and the API server to more urgent work

log = structlog.get_logger()


class EventRecorder:
    """Records Events at low priority: one at a time, with a pause before each.

    Sending is retried while the API server is unreachable; rejected Events are not retried. The queue holds 1,000
    Events and drops further ones, as client-go does: Events are best effort, and sending takes time from other work.
    """

    def __init__(self, kube: Kube, component: str, host: str = "") -> None:
        """Nothing is sent until `run`."""
        self._kube, self._component, self._host = kube, component, host
        self._waiting: asyncio.Queue[tuple[Object, str, str, str]] = asyncio.Queue(_QUEUED)
        self._dropped = 0

    def event(self, about: Object, kind: str, reason: str, message: str) -> None:
        """Queue an Event of type `kind` about an object; a long message is cut."""
        try:
            self._waiting.put_nowait((about, kind, reason, message))
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
            while not await self._send(*event):  # noqa: ASYNC110 - retry
                await asyncio.sleep(1)

    async def _send(self, about: Object, kind: str, reason: str, message: str) -> bool:
        """Create the Event. Return False if the API server cannot be reached."""
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
            "source": {"component": self._component, "host": self._host},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        try:
            await self._kube.call("POST", f"/api/v1/namespaces/{namespace}/events", event)
        except (httpx.HTTPStatusError, *MALFORMED_OBJECT) as error:
            log.warning("event rejected", about=meta["name"], error=repr(error))
        except httpx.HTTPError as error:
            log.warning("event delayed", about=meta["name"], error=repr(error))
            return False
        return True
