"""Writes of the controller that faults add to its own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from lbproof_reference.controller.loop import Controller
    from lbproof_reference.kube import Object

_running: set[asyncio.Task[None]] = set()


def start(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine beside the controller's own work; an error is logged."""

    def end(task: asyncio.Task[None]) -> None:
        _running.discard(task)
        if not task.cancelled() and (error := task.exception()):
            structlog.get_logger().warning("work of the fault failed", error=repr(error))

    task = asyncio.ensure_future(work)
    _running.add(task)
    task.add_done_callback(end)


def status_path(service: Object) -> str:
    """Return the path of a Service's status."""
    meta = service["metadata"]
    return f"/api/v1/namespaces/{meta['namespace']}/services/{meta['name']}/status"


async def empty_status(self: Controller, key: str) -> None:
    """Remove the address from a Service's status; the controller then reads the change and writes it again."""
    if service := self._objects("Service").get(key):
        await self._kube.call("PATCH", status_path(service), {"status": {"loadBalancer": {"ingress": None}}})
