"""Task `requests`: an open-loop client, which sends HTTP requests on a fixed schedule to measure outages.

Each request carries its scheduled time, and the next one is sent on schedule whether or not this one was answered, so
that a stall is measured in full length (no coordinated omission).

Arguments: `host` (address), `port`, `path`, `period` (seconds between two requests), `timeout` (seconds of a request),
`longest` (seconds until it ends by itself). When it is cancelled, it waits for the pending requests.
Records, at the end of each request: `[due, took, who]`, where `due` is a moment, `took` the seconds from then to the
answer or null, and `who` the first line of the body, a kind of `lbproof.probe.connection`, or `not-http`.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from lbproof.probe.connection import kind_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lbproof.probe.task import Task


def run(task: Task) -> None:
    """Send requests until it is cancelled."""
    asyncio.run(_requests(task))


async def _requests(task: Task) -> None:
    asked = task.arguments
    running: set[asyncio.Task[None]] = set()

    async def one(due: float) -> None:
        task.emit(await _ask(asked, due))
        task.flush()

    stop = asyncio.Event()
    asyncio.get_running_loop().add_reader(task.fileno(), stop.set)
    stopped = asyncio.create_task(stop.wait())
    began = time.monotonic()
    for turn in range(int(asked["longest"] / asked["period"])):
        due = began + turn * asked["period"]
        await asyncio.wait([stopped], timeout=max(0.0, due - time.monotonic()))
        if stopped.done():
            break
        request = asyncio.create_task(one(due))
        running.add(request)
        request.add_done_callback(running.discard)
    asyncio.get_running_loop().remove_reader(task.fileno())
    stopped.cancel()
    await asyncio.gather(*running)


async def _ask(asked: Mapping[str, Any], due: float) -> list[Any]:
    host = f"[{asked['host']}]" if ":" in asked["host"] else asked["host"]
    try:
        async with asyncio.timeout(asked["timeout"]):
            reader, writer = await asyncio.open_connection(asked["host"], asked["port"])
            try:
                writer.write(f"GET {asked['path']} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
                answer = await reader.read(-1)
            finally:
                writer.close()
    except OSError as error:
        return [due, None, kind_of(error)]
    head, _, body = answer.partition(b"\r\n\r\n")
    if b" 200 " not in head[:20]:
        return [due, None, "not-http"]
    who = body.decode(errors="replace").strip().partition("\n")[0][:80]
    return [due, time.monotonic() - due, who]
