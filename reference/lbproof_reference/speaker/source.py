"""Where the speaker learns what to announce, and where it says that it does: the API server, never waited for."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING

import httpx
import structlog

from lbproof_reference.kube import ADVERTISEMENTS, NODES, POOLS, SERVICES, Kube, Mirror
from lbproof_reference.speaker.offers import offers

if TYPE_CHECKING:
    from collections.abc import Callable

    from lbproof_reference.speaker.plan import Offer

COMPONENT = "lbproof-speaker"
SLICES = "/apis/discovery.k8s.io/v1/endpointslices"
_GATHER_SECONDS = 0.005
_EVENTS_WAITING = 10_000

log = structlog.get_logger()


class Source:
    """Calls `want` with all offers, soon after an object behind them changed."""

    def __init__(self, kube: Kube, *, node: str, lb_class: str | None) -> None:
        """Nothing happens until `run`."""
        self._kube, self._node, self._class = kube, node, lb_class
        self._want: Callable[[dict[bytes, Offer]], None] | None = None
        self._gathering = False
        self._events: asyncio.Queue[str] = asyncio.Queue(_EVENTS_WAITING)
        self._mirrors = {
            path: Mirror(kube, path, self._changed) for path in (SERVICES, ADVERTISEMENTS, POOLS, NODES, SLICES)
        }

    @property
    def synced(self) -> bool:
        """Whether everything has been listed once."""
        return all(mirror.synced.is_set() for mirror in self._mirrors.values())

    async def run(self, want: Callable[[dict[bytes, Offer]], None]) -> None:
        """Follow the API server for ever."""
        self._want = want
        async with asyncio.TaskGroup() as group:
            for mirror in self._mirrors.values():
                group.create_task(mirror.run())
            for mirror in self._mirrors.values():
                await mirror.synced.wait()
            gc.freeze()  # what was listed stays: walking it at each collection would delay heartbeats
            self._changed("")
            await self._tell()

    def took(self, service: str) -> None:
        """Note that this node announces the Service now; it is told when the API server listens."""
        try:
            self._events.put_nowait(service)
        except asyncio.QueueFull:
            log.warning("event dropped: too many wait", service=service)

    def _changed(self, _: str) -> None:
        if self.synced and not self._gathering:
            self._gathering = True
            asyncio.get_running_loop().call_later(_GATHER_SECONDS, self._gather)

    def _gather(self) -> None:
        self._gathering = False
        if self._want is None:
            return
        services, advertisements, pools, nodes, slices = (mirror.objects for mirror in self._mirrors.values())
        self._want(
            offers(
                services=services,
                advertisements=advertisements.values(),
                pools=pools.values(),
                nodes=nodes.values(),
                slices=slices.values(),
                lb_class=self._class,
            )
        )

    async def _tell(self) -> None:
        message = f'announcing from node "{self._node}" with protocol "layer2"'
        while True:
            key = await self._events.get()
            service = self._mirrors[SERVICES].objects.get(key)
            while service is not None:
                try:
                    await self._kube.event(
                        service,
                        component=COMPONENT,
                        kind="Normal",
                        reason="nodeAssigned",
                        message=message,
                        host=self._node,
                    )
                    break
                except httpx.HTTPStatusError as error:
                    log.warning("event refused", service=key, error=repr(error))
                    break
                except httpx.HTTPError as error:
                    log.warning("event waits", service=key, error=repr(error))
                    await asyncio.sleep(1)
