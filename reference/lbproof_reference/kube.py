"""Minimal Kubernetes client: list, watch, patch, Events, and the readiness endpoint.

An `Informer` keeps a copy of one resource and reports the keys that changed. It survives an unavailable API server: its
objects stay, and a resource version that is too old (410) only causes a new list. Paths, verbs and status codes:
kubernetes.io/docs/reference/using-api/api-concepts.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
import ssl
import time
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import httpx
import structlog

from lbproof_reference.reading import MALFORMED_OBJECT, SkipLog, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

Object: TypeAlias = dict[str, Any]
"""A Kubernetes object as parsed JSON."""

METALLB = "metallb.io/v1beta1"
SERVICES = "/api/v1/services"
NODES = "/api/v1/nodes"
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_WATCH_SECONDS = (300, 600)  # random, as in client-go, so that speakers do not reconnect at once
_KEEPALIVE = (  # detects a dead server after 30 s, although a watch never sends
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
)
_TIMEOUT = httpx.Timeout(10, connect=1, read=30)
_PAGE = 100  # parsing a page takes milliseconds, in which no heartbeat is sent
_RETRY_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0)
_GONE = 410
_EVENTS_WAITING = 1000  # as client-go (tools/record, maxQueuedEvents); the rest is dropped
_EVENT_QUIET_SECONDS = 0.2
_EVENT_LATEST_SECONDS = 3.0
_EVENT_PAUSE_SECONDS = 0.02
_REQUEST_SECONDS = 2.0
_CONNECTIONS = 64
_REQUEST_BYTES = 8192

log = structlog.get_logger()


def pools_of(namespace: str) -> str:
    """Return the path of the IPAddressPools in the LoadBalancer's own namespace; all others are ignored."""
    return f"/apis/{METALLB}/namespaces/{namespace}/ipaddresspools"


def advertisements_of(namespace: str) -> str:
    """Return the path of the L2Advertisements in the same namespace."""
    return f"/apis/{METALLB}/namespaces/{namespace}/l2advertisements"


class _Token(httpx.Auth):
    """Bearer token, read from its file for each request because kubelet rotates it."""

    def __init__(self, file: Path) -> None:
        """Store the path of the token file."""
        self._file = file

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = f"Bearer {self._file.read_text().strip()}"
        yield request


class Kube:
    """Client of one API server. Methods raise httpx errors."""

    def __init__(self, url: str | None = None, account: Path = ACCOUNT) -> None:
        """Connect to `url` (default: the in-cluster address) with the token and CA certificate in `account`."""
        host, port = os.environ.get("KUBERNETES_SERVICE_HOST", ""), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
        self._client = httpx.AsyncClient(
            base_url=url or f"https://{f'[{host}]' if ':' in host else host}:{port}",
            auth=_Token(account / "token"),
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
        """Send one request and return its JSON; a PATCH is a merge patch. Raises HTTPStatusError for 4xx and 5xx."""
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        content = None if body is None else json.dumps(body)
        response = await self._client.request(
            method, path, content=content, params=params, headers={"Content-Type": kind}
        )
        response.raise_for_status()
        answer: Object = parse(response.content)
        return answer

    async def lines(self, path: str, **params: str | int) -> Any:  # noqa: ANN401 - an async generator of objects
        """Yield the events of a watch until the server ends it. Raises ValueError for a line that is not JSON.

        Lines end at a newline only. httpx's own line iterator also splits at U+0085 and others, which
        annotations may contain.
        """
        patience = httpx.Timeout(**{**_TIMEOUT.as_dict(), "read": max(_WATCH_SECONDS) + 15})
        async with self._client.stream("GET", path, params=params, timeout=patience) as response:
            response.raise_for_status()
            line: list[bytes] = []
            async for chunk in response.aiter_bytes():
                begin, *more = chunk.split(b"\n")
                line.append(begin)
                for rest in more:
                    yield parse(b"".join(line))
                    line = [rest]

    async def event(
        self, about: Object, *, component: str, kind: str, reason: str, message: str, host: str = ""
    ) -> None:
        """Create an Event of type `kind` about an object."""
        meta = about["metadata"]
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        namespace = meta.get("namespace", "default")
        await self.call(
            "POST",
            f"/api/v1/namespaces/{namespace}/events",
            {
                "metadata": {"name": f"{meta['name']}.{time.time_ns():x}", "namespace": namespace},
                "involvedObject": {
                    "apiVersion": about.get("apiVersion", "v1"),
                    "kind": about.get("kind", "Service"),
                    "name": meta["name"],
                    "namespace": namespace,
                    "uid": meta.get("uid", ""),
                    "resourceVersion": meta.get("resourceVersion", ""),
                },
                "type": kind,
                "reason": reason,
                "message": message,
                "source": {"component": component, "host": host},
                "reportingComponent": component,
                "reportingInstance": host or component,
                "firstTimestamp": now,
                "lastTimestamp": now,
                "count": 1,
            },
        )


def key_of(obj: Mapping[str, Any]) -> str:
    """Return `namespace/name`, or `name` for a cluster-scoped object."""
    meta = obj["metadata"]
    return f"{meta['namespace']}/{meta['name']}" if meta.get("namespace") else str(meta["name"])


class Informer:
    """Local copy of one resource, updated by `run`; calls `changed(key, before)` after each change of an object."""

    def __init__(self, kube: Kube, path: str, changed: Callable[[str, Object | None], None]) -> None:
        """Start empty; `synced` is set after the first list."""
        self.objects: dict[str, Object] = {}
        self.synced = asyncio.Event()
        self._kube = kube
        self._path = path
        self._changed = changed
        self._version = ""
        self._skip_log = SkipLog()

    async def run(self) -> None:
        """List, then watch, until cancelled; list again after a malformed response."""
        failures = 0
        while True:
            try:
                if not self._version:
                    await self._list()
                await self._watch()
                failures = 0
            except (httpx.HTTPError, OSError, *MALFORMED_OBJECT) as error:
                gone = isinstance(error, httpx.HTTPStatusError) and error.response.status_code == _GONE
                if gone or isinstance(error, MALFORMED_OBJECT):
                    self._version = ""
                pause = _RETRY_SECONDS[min(failures, len(_RETRY_SECONDS) - 1)]
                failures += 1
                what = "malformed response" if isinstance(error, MALFORMED_OBJECT) else "API server unavailable"
                log.warning(what, path=self._path, error=repr(error), retry_seconds=pause)
                await asyncio.sleep(pause)

    async def _list(self) -> None:
        found: dict[str, Object] = {}
        more: dict[str, str] = {}
        while True:
            page = await self._kube.call("GET", self._path, None, limit=_PAGE, **more)
            found |= {key_of(item): _strip(item) for item in page["items"]}
            if not (token := page["metadata"].get("continue")):
                break
            more["continue"] = token
        before, self.objects = self.objects, found
        self._version = page["metadata"]["resourceVersion"]
        self.synced.set()
        for key in before.keys() | found.keys():
            if _differ(before.get(key), found.get(key)):
                self._notify(key, before.get(key))

    async def _watch(self) -> None:
        events = self._kube.lines(
            self._path,
            watch=1,
            resourceVersion=self._version,
            allowWatchBookmarks="true",
            timeoutSeconds=round(random.uniform(*_WATCH_SECONDS)),  # noqa: S311 - spread, no secret
        )
        async with aclosing(events):  # closes the connection however the loop ends
            async for event in events:
                item = event["object"]
                if event["type"] == "ERROR":
                    log.info("watch expired: listing again", path=self._path, message=item.get("message"))
                    self._version = ""
                    return
                self._version = item["metadata"]["resourceVersion"]
                if event["type"] == "BOOKMARK":
                    continue
                key = key_of(item)
                before = self.objects.pop(key, None)
                if event["type"] != "DELETED":
                    self.objects[key] = _strip(item)
                self._notify(key, before)

    def _notify(self, key: str, before: Object | None) -> None:
        with self._skip_log.reading(self._path, key):
            self._changed(key, before)


def _strip(obj: Object) -> Object:
    """Remove `managedFields`, which is about half of an object and not used."""
    obj["metadata"].pop("managedFields", None)
    return obj


def _differ(one: Object | None, other: Object | None) -> bool:
    """Whether two objects differ; True if they are nested too deeply to be compared."""
    try:
        return one != other
    except RecursionError:
        return True


class EventRecorder:
    """Records Events at low priority: one at a time, after a short time without more urgent work.

    Sending is retried while the API server is unreachable; rejected Events are not retried. The queue holds 1,000
    Events and drops further ones, as client-go does: Events are best effort, and sending takes time from other work.
    """

    def __init__(self, kube: Kube, component: str, host: str = "") -> None:
        """Nothing is sent until `run`."""
        self._kube, self._component, self._host = kube, component, host
        self._waiting: asyncio.Queue[tuple[float, Object, str, str, str]] = asyncio.Queue(_EVENTS_WAITING)
        self._quiet_at = 0.0
        self._dropped = 0

    def defer(self) -> None:
        """Delay queued Events for a short time, because more urgent work may follow."""
        self._quiet_at = time.monotonic() + _EVENT_QUIET_SECONDS

    def event(self, about: Object, kind: str, reason: str, message: str) -> None:
        """Queue an Event of type `kind` about an object."""
        try:
            self._waiting.put_nowait((time.monotonic() + _EVENT_LATEST_SECONDS, about, kind, reason, message))
        except asyncio.QueueFull:
            self._dropped += 1

    async def run(self) -> None:
        """Send queued Events until cancelled."""
        while True:
            if self._dropped and self._waiting.empty():
                log.warning("events dropped: queue full", count=self._dropped)
                self._dropped = 0
            latest, about, kind, reason, message = await self._waiting.get()
            while (left := min(self._quiet_at, latest) - time.monotonic()) > 0:  # noqa: ASYNC110 - waits for a time
                await asyncio.sleep(left)
            source = {"component": self._component, "host": self._host}
            while not await self._send(about, kind=kind, reason=reason, message=message, **source):  # noqa: ASYNC110 - retry
                await asyncio.sleep(1)
            await asyncio.sleep(_EVENT_PAUSE_SECONDS)

    async def _send(self, about: Object, **source: str) -> bool:
        try:
            await self._kube.event(about, **source)
        except httpx.HTTPStatusError as error:
            log.warning("event rejected", about=key_of(about), error=repr(error))
        except httpx.HTTPError as error:
            log.warning("event delayed", about=key_of(about), error=repr(error))
            return False
        return True


class _ReadyConnection(asyncio.Protocol):
    """Connection to the readiness port; closed after the response, or on timeout."""

    def __init__(self, ready: Callable[[], bool], all_open: dict[_ReadyConnection, None]) -> None:
        self._ready, self._all_open = ready, all_open
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - of a TCP server
        self._transport = transport
        self._timer = asyncio.get_running_loop().call_later(_REQUEST_SECONDS, transport.abort)
        if len(self._all_open) >= _CONNECTIONS:
            next(iter(self._all_open)).abort()
        self._all_open[self] = None

    def data_received(self, data: bytes) -> None:
        self._received += data
        if b"\r\n\r\n" in self._received:
            status = b"200 OK" if self._ready() else b"503 Service Unavailable"
            self._transport.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            self._transport.close()
        elif len(self._received) > _REQUEST_BYTES:
            self.abort()

    def connection_lost(self, _: Exception | None) -> None:
        self._timer.cancel()
        self._all_open.pop(self, None)

    def abort(self) -> None:
        self._all_open.pop(self, None)
        self._transport.abort()


async def serve_ready(port: int, ready: Callable[[], bool]) -> asyncio.Server:
    """Serve HTTP on `port`: 200 when ready, 503 otherwise.

    Every host that reaches the node may connect. Above the connection limit the oldest connection is closed, so
    that the kubelet's probe is always answered.
    """
    all_open: dict[_ReadyConnection, None] = {}
    return await asyncio.get_running_loop().create_server(lambda: _ReadyConnection(ready, all_open), port=port)
