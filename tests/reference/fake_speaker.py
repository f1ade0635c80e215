"""Real speaker on real links that gets its addresses from its arguments instead of an API server.

`python fake_speaker.py NODE KEY[/PREVIOUS_KEY] ADDRESS... -- ELIGIBLE_NODE...`. It prints "ready" after its
first heartbeats, and announces the addresses after the first line (or the end) of its input.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import signal
import sys
import time
from typing import TYPE_CHECKING

import structlog

from lbproof_reference.logs import set_up
from lbproof_reference.speaker.keys import Keyring
from lbproof_reference.speaker.links import watch_links
from lbproof_reference.speaker.loop import Config, Speaker
from lbproof_reference.speaker.plan import Allowed, Offer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lbproof_reference.speaker.links import Link

INTERVAL = 0.05

log = structlog.get_logger()


async def main(node: str, secret: str, addresses: list[str], nodes: list[str]) -> None:
    """Run a speaker until SIGTERM."""
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    keyring = Keyring()
    key, _, previous = secret.partition("/")
    keyring.update(key.encode(), previous.encode(), time.monotonic())
    speaker = Speaker(
        Config(
            node=node,
            keyring=keyring,
            interval=INTERVAL,
            misses=3,
            on_acquired=lambda key: log.info("took", service=key),
            on_conflict=lambda key, message: log.info("conflict", service=key, message=message),
        )
    )
    allowed = (Allowed(nodes=frozenset(nodes)),)
    offers = {ipaddress.ip_address(a).packed: Offer(service=f"default/{a}", allowed=allowed) for a in addresses}

    def started() -> None:
        loop.remove_reader(sys.stdin)
        speaker.set_desired(offers)

    def up(links: Mapping[str, Link]) -> None:
        speaker.use_links(links)
        loop.call_later(2 * INTERVAL, os.write, 1, b"ready\n")

    watch_links(lambda links: loop.call_soon_threadsafe(up, links), lambda _: os._exit(70))
    loop.add_reader(sys.stdin, started)
    await stopping.wait()
    await speaker.leave()


if __name__ == "__main__":
    set_up()
    with contextlib.suppress(PermissionError):  # as the speaker itself does
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    cut = sys.argv.index("--")
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3:cut], sys.argv[cut + 1 :]))
