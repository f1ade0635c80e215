"""A server whose outages are known: it echoes UDP, answers HTTP, and is deaf when told to, to the microsecond.

`python -m lbproof_perf.outage_probe.echo ADDRESS PORT` says `ready`, reads `SECONDS` from its standard input, lets
nothing through for so long, and says when it began and ended. It ends with its input.
"""

from __future__ import annotations

import asyncio
import select
import socket
import sys
import threading
import time

_ANSWER = b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readline()
    writer.write(_ANSWER)
    writer.close()


async def _http(address: str, port: int) -> None:
    async with await asyncio.start_server(_answer, address, port) as server:
        await server.serve_forever()


def main(address: str, port: int) -> None:
    """Serve until the input ends: UDP as agnhost's netexec does (`echo TEXT` gets TEXT), HTTP in a thread."""
    threading.Thread(target=lambda: asyncio.run(_http(address, port)), daemon=True).start()
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind((address, port))
    print("ready", flush=True)  # noqa: T201 - its only output
    deaf_until = 0.0
    while True:
        ready = select.select([udp, sys.stdin], [], [])[0]
        if udp in ready:
            data, back = udp.recvfrom(64)
            if time.monotonic() >= deaf_until:
                udp.sendto(data.partition(b" ")[2], back)
        if sys.stdin in ready:
            if not (line := sys.stdin.readline()):
                return
            began = time.monotonic()
            deaf_until = began + float(line)
            print(began, deaf_until, flush=True)  # noqa: T201 - likewise


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
