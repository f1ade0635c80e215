"""Locust's web UI: the load at the client in the lab, its page on this machine's loopback.

Master and workers run at the client, where Locust listens on its own loopback. A door here pipes to it: the listening
socket is this machine's, and what it leads to is opened at the client.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from lbproof.lab.common import api_proxy
from lbproof.witnesses import http
from lbproof.witnesses.wait import eventually
from lbproof_perf.load.run import START, started, wait_for

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

    from lbproof.witnesses.vantage import Vantage
    from lbproof_perf.load.run import Load

_PORT = 8089
_LISTENS = "Starting web interface at"


def serve(vantage: Vantage, load: Load, port: int, say: Callable[[str], None]) -> None:
    """Serve the UI until Locust ends or Ctrl-C. Raises `LabError` when the port is taken or Locust fails."""
    with opened(vantage, load, port) as (url, wait):
        say(f"load: Locust's web UI is at {url}; Ctrl-C ends it")
        with contextlib.suppress(KeyboardInterrupt):
            wait()


@contextlib.contextmanager
def opened(vantage: Vantage, load: Load, port: int) -> Iterator[tuple[str, Callable[[], object]]]:
    """The UI inside the block: its address here, and a way to wait for Locust's end."""
    with (
        tempfile.TemporaryDirectory(prefix="lbproof-web-") as made,
        api_proxy.listening(port) as listener,
        started(vantage, load.argv(Path(made), "--web-host", "127.0.0.1", "--web-port", str(_PORT)), Path(made, "log"))
        as process,
    ):  # fmt: skip
        wait_for(process, Path(made, "log"), _LISTENS)
        eventually(  # it says so a little before it does
            lambda: http.connects(vantage, "127.0.0.1", _PORT),
            lambda seen: seen == "open",
            what="Locust's web UI listens",
            within=START,
        )
        with _door(vantage, listener):
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", process.wait


@contextlib.contextmanager
def _door(vantage: Vantage, listener: socket.socket) -> Iterator[None]:
    """What comes to the socket reaches the place's loopback inside the block."""
    begun = threading.Event()
    loops: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def piping() -> None:
        over = asyncio.Event()
        loops.append((asyncio.get_running_loop(), over))
        begun.set()
        pipes = asyncio.create_task(api_proxy.serve(listener, "127.0.0.1", _PORT))
        await over.wait()
        pipes.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await pipes

    def inside() -> None:
        with vantage.inside():  # this thread alone: what it connects to is at the place
            asyncio.run(piping())

    thread = threading.Thread(target=inside, name="web-door", daemon=True)
    thread.start()
    begun.wait()
    try:
        yield
    finally:
        loop, over = loops[0]
        loop.call_soon_threadsafe(over.set)
        thread.join()
