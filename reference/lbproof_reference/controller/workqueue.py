"""Queue of keys to reconcile, with the semantics of client-go's util/workqueue."""

from __future__ import annotations

import asyncio

_RETRY_SECONDS = (0.05, 0.2, 1.0, 5.0)


class WorkQueue:
    """Holds each key at most once, gives it to one worker at a time, and delays it after failures."""

    def __init__(self) -> None:
        """Start empty."""
        self._keys: asyncio.Queue[str] = asyncio.Queue()
        self._queued: set[str] = set()
        self._processing: set[str] = set()
        self._failures: dict[str, int] = {}

    def add(self, key: str) -> None:
        """Queue a key, unless it is queued already."""
        if key not in self._queued:
            self._queued.add(key)
            self._keys.put_nowait(key)

    async def get(self) -> str:
        """Wait for a key that no other worker is processing; the caller ends with `done`."""
        while True:
            key = await self._keys.get()
            self._queued.discard(key)
            if key not in self._processing:
                self._processing.add(key)
                return key
            self._add_after(key, _RETRY_SECONDS[0])

    def done(self, key: str) -> None:
        """Let the key be processed again."""
        self._processing.discard(key)

    def forget(self, key: str) -> None:
        """Reset the delay of a key after a success."""
        self._failures.pop(key, None)

    def retry(self, key: str) -> float:
        """Queue a key after a delay that grows with each failure; return the delay in seconds."""
        failures = self._failures[key] = self._failures.get(key, -1) + 1
        delay = _RETRY_SECONDS[min(failures, len(_RETRY_SECONDS) - 1)]
        self._add_after(key, delay)
        return delay

    def _add_after(self, key: str, seconds: float) -> None:
        asyncio.get_running_loop().call_later(seconds, self.add, key)
