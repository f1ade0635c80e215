"""Queue of items to reconcile, with the semantics of client-go's util/workqueue."""

from __future__ import annotations

import asyncio
from typing import TypeAlias

Item: TypeAlias = tuple[str, str]
"""Kind and key of an object."""

_RETRY_SECONDS = (0.05, 0.2, 1.0, 5.0)


class WorkQueue:
    """Holds each item at most once, gives it to one worker at a time, and delays it after failures."""

    def __init__(self) -> None:
        """Start empty."""
        self._queue: asyncio.Queue[Item] = asyncio.Queue()
        self._waiting: set[Item] = set()
        self._processing: set[Item] = set()
        self._failures: dict[Item, int] = {}

    def add(self, item: Item) -> None:
        """Queue an item, unless it is queued already; one that is being processed is queued when that is done."""
        if item not in self._waiting:
            self._waiting.add(item)
            if item not in self._processing:
                self._queue.put_nowait(item)

    async def get(self) -> Item:
        """Wait for an item; the caller ends with `done`."""
        item = await self._queue.get()
        self._waiting.discard(item)
        self._processing.add(item)
        return item

    def done(self, item: Item, *, failed: bool) -> None:
        """End the processing of an item. A failed one is queued again after a delay that grows with each failure."""
        self._processing.discard(item)
        if item in self._waiting:
            self._queue.put_nowait(item)
        failures = self._failures.pop(item, 0)
        if failed:
            self._failures[item] = failures + 1
            delay = _RETRY_SECONDS[min(failures, len(_RETRY_SECONDS) - 1)]
            asyncio.get_running_loop().call_later(delay, self.add, item)
