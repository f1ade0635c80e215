"""Record of the addresses that Services keep although no pool contains them any more.

A status may be written by others than the controller, so an address outside every pool needs another proof after a
restart: the ConfigMap `lbproof-retained` in the LoadBalancer's own namespace, which only the controller writes. It is
empty as long as every assigned address is in a pool. Speakers read it once, when they start.
It cannot be written while the controller is away: the address of a pool that is removed then is replaced afterwards.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

import httpx
import structlog

from lbproof_reference.kube import status_code
from lbproof_reference.pools import parse_ip

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lbproof_reference.kube import Kube
    from lbproof_reference.pools import IP
    from lbproof_reference.reading import SkipLog

RECORD = "lbproof-retained"
_RETRY_SECONDS = 1.0
_FORBIDDEN = 403
_NOT_FOUND = 404

log = structlog.get_logger()


class Retained(NamedTuple):
    """Service (by uid), its address, and the pool that contained it; formatted as in the value of the ConfigMap."""

    uid: str
    ip: IP
    pool: str

    def __str__(self) -> str:
        """Return the value of the ConfigMap; of a Service with two addresses, they are joined by a comma."""
        return f"{self.uid} {self.ip} {self.pool}"


def record_path(namespace: str) -> str:
    """Return the path of the ConfigMap."""
    return f"/api/v1/namespaces/{namespace}/configmaps/{RECORD}"


def record_key(service_key: str) -> str:
    """Return the key in the ConfigMap of a Service (`namespace/name`); no namespace contains a dot."""
    return service_key.replace("/", ".", 1)


def parse_record(data: Mapping[str, str], skip_log: SkipLog) -> dict[str, tuple[Retained, ...]]:
    """Return the readable entries of the record, by Service (`namespace/name`)."""
    found: dict[str, tuple[Retained, ...]] = {}
    for name, value in data.items():
        with skip_log.reading(RECORD, name):
            entries = [(uid, parse_ip(ip), pool) for uid, ip, pool in (one.split(" ") for one in value.split(","))]
            found[name.replace(".", "/", 1)] = tuple(Retained(*entry) for entry in entries)
    return found


async def read_record(kube: Kube, namespace: str, *, required: bool = False) -> dict[str, str]:
    """Return the data of the record; empty if it does not exist. Any other answer is no record and is retried.

    The controller requires it: without the right to read it, the controller assigns nothing and is not ready, because
    it would replace recorded addresses. A speaker without the right announces the addresses of pools alone.
    """
    while True:
        try:
            data: dict[str, str] = (await kube.call("GET", record_path(namespace))).get("data") or {}
        except httpx.HTTPError as error:
            code = status_code(error)
            if code == _FORBIDDEN:
                rule = f"{{apiGroups: [''], resources: [configmaps], resourceNames: [{RECORD}], verbs: [get]}}"
                effect = "not ready until it is there" if required else "addresses outside pools are not announced"
                log.warning("missing rule in the account's Role", namespace=namespace, rule=rule, effect=effect)
            if code == _NOT_FOUND or (code == _FORBIDDEN and not required):
                return {}
            log.warning("record of retained addresses not read", error=repr(error))
            await asyncio.sleep(_RETRY_SECONDS)
        else:
            return data


async def write_record(kube: Kube, namespace: str, before: Mapping[str, str], now: dict[str, str]) -> None:
    """Change the ConfigMap, or create it if it does not exist. Raises httpx errors."""
    path = record_path(namespace)
    try:
        await kube.call("PATCH", path, {"data": dict.fromkeys(before) | now})
    except httpx.HTTPStatusError as error:
        if status_code(error) != _NOT_FOUND:
            raise
        await kube.call("POST", path.removesuffix(f"/{RECORD}"), {"metadata": {"name": RECORD}, "data": now})
