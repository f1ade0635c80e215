"""Readiness endpoint for the kubelet's probe."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_REQUEST_SECONDS = 2.0
_REQUEST_BYTES = 8192
_CONNECTIONS = 64


class _Connection(asyncio.Protocol):
    """Connection for one request."""

    def __init__(self, ready: Callable[[], bool], connections: dict[_Connection, None]) -> None:
        """`connections` are those of this server, oldest first."""
        self._ready, self._connections = ready, connections
        self._request = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as of a stream
        """Close this connection at the timeout, and the oldest ones above the limit when what arrived was read."""
        self._transport = transport
        self._connections[self] = None
        loop = asyncio.get_running_loop()
        self._timeout = loop.call_later(_REQUEST_SECONDS, transport.abort)
        loop.call_later(0, self._close_oldest)  # timers run after the sockets that are readable

    def data_received(self, data: bytes) -> None:
        """Answer a complete request; close the connection of one that is too long."""
        self._request += data
        if b"\r\n\r\n" in self._request:
            status = b"200 OK" if self._ready() else b"503 Service Unavailable"
            self._transport.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            self._transport.close()
        elif len(self._request) > _REQUEST_BYTES:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the interface
        """Forget the connection."""
        self._timeout.cancel()
        del self._connections[self]

    def _close_oldest(self) -> None:
        for one in list(self._connections)[: max(len(self._connections) - _CONNECTIONS, 0)]:
            one._transport.abort()  # noqa: SLF001 - of the same class


async def serve_ready(host: str, port: int, ready: Callable[[], bool]) -> asyncio.Server:
    """Serve HTTP on one address and port: 200 when ready, 503 otherwise.

    Every host that reaches the address may connect. Above the connection limit the oldest connections whose request
    has not arrived are closed, so that the kubelet's probe is answered unless it comes in parts during a flood.
    """
    connections: dict[_Connection, None] = {}
    return await asyncio.get_running_loop().create_server(lambda: _Connection(ready, connections), host, port)
