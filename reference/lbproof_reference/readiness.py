"""Readiness endpoint for the kubelet's probe."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_REQUEST_SECONDS = 2.0
_REQUEST_BYTES = 8192
_CONNECTIONS = 64


async def serve_ready(host: str, port: int, ready: Callable[[], bool]) -> asyncio.Server:
    """Serve HTTP on one address and port: 200 when ready, 503 otherwise.

    Every host that reaches the address may connect. Above the connection limit the oldest connection is closed, so
    that the kubelet's probe is always answered.
    """
    connections: dict[asyncio.StreamWriter, None] = {}

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections[writer] = None
        if len(connections) > _CONNECTIONS:
            oldest = next(iter(connections))
            del connections[oldest]
            oldest.transport.abort()
        try:
            await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _REQUEST_SECONDS)
            status = b"200 OK" if ready() else b"503 Service Unavailable"
            writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            writer.close()
        except (EOFError, OSError, asyncio.LimitOverrunError):  # TimeoutError is an OSError
            writer.transport.abort()
        finally:
            connections.pop(writer, None)

    return await asyncio.start_server(answer, host, port, limit=_REQUEST_BYTES)
