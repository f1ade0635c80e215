"""Record of the addresses that Services keep although no pool contains them any more.

A status may be written by others than the controller, so an address outside every pool needs another proof after a
restart: the ConfigMap `lbproof-retained` in the LoadBalancer's own namespace, which only the controller writes. It is
empty as long as every assigned address is in a pool. Speakers read it once, when they start.
It cannot be written while the controller is away: the address of a pool that is removed then is replaced afterwards.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx
import structlog

from lbproof_reference.pools import parse_ip

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lbproof_reference.kube import Kube
    from lbproof_reference.pools import IP
    from lbproof_reference.reading import SkipLog

RECORD = "lbproof-retained"
_RETRY_SECONDS = 1.0
_NOT_FOUND = 404

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Retained:
    """Service (by uid), its address, and the pool that contained it; formatted as a value of the ConfigMap."""

    uid: str
    ip: IP
    pool: str

    def __str__(self) -> str:
        """Return the value of the ConfigMap."""
        return f"{self.uid} {self.ip} {self.pool}"


def record_path(namespace: str) -> str:
    """Return the path of the ConfigMap."""
    return f"/api/v1/namespaces/{namespace}/configmaps/{RECORD}"


def record_key(service_key: str) -> str:
    """Return the key in the ConfigMap of a Service (`namespace/name`); no namespace contains a dot."""
    return service_key.replace("/", ".", 1)


def parse_record(data: Mapping[str, str], skip_log: SkipLog) -> dict[str, Retained]:
    """Return the readable entries of the record, by Service (`namespace/name`)."""
    found: dict[str, Retained] = {}
    for name, value in data.items():
        with skip_log.reading(RECORD, name):
            uid, ip, pool = value.split(" ")
            found[name.replace(".", "/", 1)] = Retained(uid=uid, ip=parse_ip(ip), pool=pool)
    return found


async def read_record(kube: Kube, namespace: str) -> dict[str, str]:
    """Return the data of the record; empty if it does not exist. Any other answer is no record and is retried."""
    while True:
        try:
            data: dict[str, str] = (await kube.call("GET", record_path(namespace))).get("data") or {}
        except httpx.HTTPError as error:
            if isinstance(error, httpx.HTTPStatusError) and error.response.status_code == _NOT_FOUND:
                return {}
            log.warning("record of retained addresses not read", error=repr(error))
            await asyncio.sleep(_RETRY_SECONDS)
        else:
            return data


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
