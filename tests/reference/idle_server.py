"""The ready port as a process with few file descriptors; any error of the event loop ends it, as in the speaker.

`python idle_server.py FILES`: says its port, then serves until it is ended.
"""

from __future__ import annotations

import asyncio
import os
import resource
import sys

from lbproof_reference.kube import serve_ready


async def main(files: int) -> None:
    """Serve with at most so many files."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    asyncio.get_running_loop().set_exception_handler(lambda *_: os._exit(70))
    server = await serve_ready(0, lambda: True)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201 - its only word
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
