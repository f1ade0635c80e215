"""Proxy of the API server: pipes a listening socket of the machine's namespace to an address inside the lab.

Runs as a separate process, so that the suite's requests do not wait for the supervisor's interpreter. The starter makes
the socket before the lab's namespaces exist and passes it as a file descriptor.
"""

from __future__ import annotations

import asyncio
import socket
import sys

from lbproof.lab.base import LabError


def listening(port: int) -> socket.socket:
    """Return a listening socket of this machine's loopback. Raises `LabError` when the port is taken."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        listener.close()
        raise LabError(f"port {port} is taken: choose another for the API server, or 0 for any free one") from error
    listener.listen(128)
    return listener


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(1 << 16):
            sink.write(data)
            await sink.drain()
    except OSError:
        pass  # one side has closed its connection: close the other
    finally:
        sink.close()


async def serve(listener: socket.socket, host: str, port: int) -> None:
    """Pipe connections of a socket to an address in this thread's namespace, until cancelled."""

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection(host, port)
        except OSError:
            writer.transport.abort()  # refuse the connection, as the target did
            return
        await asyncio.gather(_copy(reader, back), _copy(there, writer))

    async with await asyncio.start_server(pipe, sock=listener) as server:
        await server.serve_forever()


if __name__ == "__main__":
    descriptor, to_host, to_port = sys.argv[1:]
    asyncio.run(serve(socket.socket(fileno=int(descriptor)), to_host, int(to_port)))
