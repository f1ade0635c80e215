"""Keep the record of retained addresses (see `lbproof_reference.retained`) up to date."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx
import structlog

from lbproof_reference.retained import RECORD, read_record, record_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from lbproof_reference.kube import Kube

_RETRY_SECONDS = 1.0
_NOT_FOUND = 404

log = structlog.get_logger()


class RetainedRecord:
    """The ConfigMap as last read or written; `changed` is set when it may have to be written."""

    def __init__(self, kube: Kube, namespace: str) -> None:
        """Nothing is read or written until `load`."""
        self._kube, self._namespace = kube, namespace
        self.data: dict[str, str] = {}
        self.changed = asyncio.Event()

    async def load(self) -> None:
        """Read the ConfigMap."""
        self.data = await read_record(self._kube, self._namespace)

    async def run(self, wanted: Callable[[], dict[str, str]]) -> None:
        """Write `wanted()` when `changed` is set and it differs, until cancelled."""
        while True:
            await self.changed.wait()
            self.changed.clear()
            data = wanted()
            if data == self.data:
                continue
            try:
                await self._write(data)
            except httpx.HTTPError as error:
                log.warning("record of retained addresses not written", error=repr(error))
                await asyncio.sleep(_RETRY_SECONDS)
                self.changed.set()
            else:
                self.data = data

    async def _write(self, data: dict[str, str]) -> None:
        """Change the ConfigMap, or create it if it does not exist."""
        path = record_path(self._namespace)
        try:
            await self._kube.call("PATCH", path, {"data": dict.fromkeys(self.data) | data})
        except httpx.HTTPStatusError as error:
            if error.response.status_code != _NOT_FOUND:
                raise
            await self._kube.call("POST", path.removesuffix(f"/{RECORD}"), {"metadata": {"name": RECORD}, "data": data})
