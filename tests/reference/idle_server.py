"""The ready port as a process with few file descriptors; any error of the event loop ends it, as in the speaker.

`python idle_server.py FILES`: says its port, then serves until it is ended.
"""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import sys

from lbproof_reference.kube import serve_ready


def port_of(server: asyncio.Server) -> int:
    """The port of its IPv4 socket: a free one is chosen for each family apart, and their order varies."""
    return next(int(sock.getsockname()[1]) for sock in server.sockets if sock.family is socket.AF_INET)


async def main(files: int) -> None:
    """Serve with at most so many files."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    asyncio.get_running_loop().set_exception_handler(lambda *_: os._exit(70))
    server = await serve_ready(0, lambda: True)
    print(port_of(server), flush=True)  # noqa: T201 - its only word
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
