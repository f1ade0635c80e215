"""Minimal Kubernetes API client (kubernetes.io/docs/reference/using-api/api-concepts)."""

from __future__ import annotations

import json
import os
import random
import socket
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import httpx

from lbproof_reference.reading import parse

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping

Object: TypeAlias = dict[str, Any]
"""A Kubernetes object as parsed JSON."""

METALLB = "metallb.io/v1beta1"
SERVICES = "/api/v1/services"
NODES = "/api/v1/nodes"
NAMESPACES = "/api/v1/namespaces"
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
WATCH_SECONDS = (300, 600)
"""Shortest and longest duration of a watch; random, as in client-go, so that speakers do not reconnect at once."""
_KEEPALIVE = (  # detects a dead server after 30 s, although a watch never sends
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
)
_TIMEOUT = httpx.Timeout(10, connect=1, read=30)


def watch_seconds() -> int:
    """Return the duration of a new watch."""
    return round(random.uniform(*WATCH_SECONDS))  # noqa: S311 - spread, no secret


def metallb_path(plural: str, namespace: str | None = None) -> str:
    """Return the path of MetalLB objects (`ipaddresspools`, `l2advertisements`), in one namespace or in all."""
    return f"/apis/{METALLB}/{f'namespaces/{namespace}/' if namespace else ''}{plural}"


def key_of(obj: Mapping[str, Any]) -> str:
    """Return `namespace/name`, or `name` for a cluster-scoped object."""
    meta = obj["metadata"]
    return f"{meta['namespace']}/{meta['name']}" if meta.get("namespace") else str(meta["name"])


def labels_of(obj: Mapping[str, Any]) -> dict[str, str]:
    """Return the labels of an object; none if they are not a map."""
    labels = obj["metadata"].get("labels")
    return labels if isinstance(labels, dict) else {}


def status_code(error: Exception) -> int | None:
    """Return the HTTP status code of an error; None if there was no response."""
    return error.response.status_code if isinstance(error, httpx.HTTPStatusError) else None


class Kube:
    """Client of one API server. Methods raise httpx errors."""

    def __init__(self, url: str | None = None, account: Path = ACCOUNT) -> None:
        """Connect to `url` (default: the in-cluster address) with the token and CA certificate in `account`."""
        host, port = os.environ.get("KUBERNETES_SERVICE_HOST", ""), os.environ.get("KUBERNETES_SERVICE_PORT", "443")

        def authorize(request: httpx.Request) -> httpx.Request:  # reads it each time, because the kubelet rotates it
            request.headers["Authorization"] = f"Bearer {(account / 'token').read_text().strip()}"
            return request

        self._client = httpx.AsyncClient(
            base_url=url or f"https://{f'[{host}]' if ':' in host else host}:{port}",
            auth=authorize,
            transport=httpx.AsyncHTTPTransport(
                verify=ssl.create_default_context(cafile=account / "ca.crt"), socket_options=_KEEPALIVE
            ),
            # short connect timeout: a booting node may connect before kube-proxy has written its rules
            timeout=_TIMEOUT,
            trust_env=False,
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def call(self, method: str, path: str, body: Object | None = None, **params: str | int) -> Object:
        """Send one request and return its JSON; a PATCH is a merge patch.

        Raises HTTPStatusError for 4xx and 5xx, DecodingError for an answer that is not JSON.
        """
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        content = None if body is None else json.dumps(body)
        response = await self._client.request(
            method, path, content=content, params=params, headers={"Content-Type": kind}
        )
        response.raise_for_status()
        try:
            answer: Object = await parse(response.content)
        except ValueError as error:
            raise httpx.DecodingError(f"the answer is not JSON: {error}", request=response.request) from error
        return answer

    async def lines(self, path: str, opened: Callable[[], None], **params: str | int) -> AsyncGenerator[Any, None]:
        """Yield the events of a watch until the server ends it; `opened` is called when it has begun.

        Raises ValueError for a line that is not JSON. Lines end at a newline only: httpx's own
        line iterator also splits at U+0085 and others, which annotations may contain.
        """
        patience = httpx.Timeout(**{**_TIMEOUT.as_dict(), "read": max(WATCH_SECONDS) + 15})
        async with self._client.stream("GET", path, params=params, timeout=patience) as response:
            response.raise_for_status()
            opened()
            line: list[bytes] = []
            async for chunk in response.aiter_bytes():
                begin, *more = chunk.split(b"\n")
                line.append(begin)
                for rest in more:
                    yield await parse(b"".join(line))
                    line = [rest]
