"""Readiness endpoint for the kubelet's probe."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_REQUEST_SECONDS = 2.0
_CONNECTIONS = 64
_REQUEST_BYTES = 8192


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


async def serve_ready(host: str, port: int, ready: Callable[[], bool]) -> asyncio.Server:
    """Serve HTTP on one address and port: 200 when ready, 503 otherwise.

    Every host that reaches the address may connect. Above the connection limit the oldest connection is closed, so
    that the kubelet's probe is always answered.
    """
    all_open: dict[_ReadyConnection, None] = {}
    return await asyncio.get_running_loop().create_server(lambda: _ReadyConnection(ready, all_open), host, port)
