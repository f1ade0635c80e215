"""Readiness endpoint in a process with few file descriptors; an error of the event loop ends it, as in the speaker.

`python idle_server.py FILES`: prints its port, then serves until it is killed.
"""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import sys

from lbproof_reference.readiness import serve_ready


def port_of(server: asyncio.Server) -> int:
    """Return the port of the IPv4 socket; each family has a port of its own, and their order varies."""
    return next(int(sock.getsockname()[1]) for sock in server.sockets if sock.family is socket.AF_INET)


async def main(files: int) -> None:
    """Serve with at most `files` open files."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    asyncio.get_running_loop().set_exception_handler(lambda *_: os._exit(70))
    server = await serve_ready("127.0.0.1", 0, lambda: True)
    print(port_of(server), flush=True)  # noqa: T201 - the only output
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
