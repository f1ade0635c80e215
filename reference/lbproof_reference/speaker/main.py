"""`python -m lbproof_reference.speaker`."""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog

from lbproof_reference.kube import ACCOUNT, Kube, serve_ready
from lbproof_reference.logs import set_up
from lbproof_reference.speaker.loop import Speaker
from lbproof_reference.speaker.source import Source
from lbproof_reference.speaker.wire import watch_links

PROFILES = {"default": (0.05, 3), "fast": (0.01, 3)}
"""Heartbeat interval (s), and number of missed heartbeats after which a speaker is dead."""

log = structlog.get_logger()


def milliseconds(text: str) -> float:
    """Convert a text such as `50ms` to seconds. Raises ArgumentTypeError."""
    if not re.fullmatch(r"[1-9]\d{0,3}ms", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a time from 1ms to 9999ms")
    return int(text.removesuffix("ms")) / 1000


def main(argv: list[str]) -> int:
    """Run until SIGTERM, then hand over the addresses."""
    parser = argparse.ArgumentParser(
        prog="lbproof_reference speaker", description="Answers ARP requests for assigned addresses."
    )
    parser.add_argument("--node", default=os.environ.get("NODE_NAME"), help="this node's name (default: $NODE_NAME)")
    parser.add_argument(
        "--lb-class", help="serve only Services of this class (default: no class, or lbproof.dev/reference)"
    )
    parser.add_argument(
        "--namespace",
        default="metallb-system",
        help="namespace of the pools and advertisements (default %(default)s)",
    )
    parser.add_argument(
        "--profile",
        choices=PROFILES,
        default="default",
        help="default: heartbeat every 50ms; fast: every 10ms, for an idle segment; 3 missed heartbeats mean dead",
    )
    parser.add_argument("--heartbeat", type=milliseconds, help="heartbeat interval, such as 50ms (default: by profile)")
    parser.add_argument("--misses", type=int, help="missed heartbeats until a speaker is dead (default: by profile)")
    parser.add_argument(
        "--secret-file",
        type=Path,
        default=Path("/etc/lbproof/heartbeat/key"),
        help="file with the heartbeat key (default %(default)s)",
    )
    parser.add_argument("--api", help="URL of the API server (default: in-cluster address)")
    parser.add_argument(
        "--account", type=Path, default=ACCOUNT, help="folder with token and ca.crt (default %(default)s)"
    )
    parser.add_argument("--port", type=int, default=7473, help="port of /readyz (default %(default)s)")
    options = parser.parse_args(argv)
    if not options.node:
        parser.error("--node is missing and $NODE_NAME is not set")
    heartbeat, misses = PROFILES[options.profile]
    options.heartbeat, options.misses = options.heartbeat or heartbeat, options.misses or misses
    set_up()
    asyncio.run(_serve(options))
    return 0


def _set_realtime_priority() -> None:
    """Give every thread real-time priority, because a delayed heartbeat causes a false failover.

    Called after the first list, which takes processor time that another speaker may need. Without CAP_SYS_NICE the
    priority stays as it is. In a cgroup v1 container without a real-time budget only the nice value is set
    (sched(7), "The nice value and group scheduling").
    """
    try:
        for thread in Path("/proc/self/task").iterdir():
            os.sched_setscheduler(int(thread.name), os.SCHED_FIFO, os.sched_param(1))
    except PermissionError as error:
        log.info("no real-time priority", error=str(error))
        with suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, 0, -20)


async def _serve(options: argparse.Namespace) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_exit_on_error)
    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    kube = Kube(options.api, options.account)
    if not (secret := _read(options.secret_file)):
        log.info("waiting for the heartbeat key", file=str(options.secret_file))
    while not stopping.is_set() and not secret:
        await asyncio.sleep(0.2)
        secret = _read(options.secret_file)
    source = Source(kube, node=options.node, lb_class=options.lb_class, namespace=options.namespace)
    speaker = Speaker(
        node=options.node,
        secret=secret,
        interval=options.heartbeat,
        misses=options.misses,
        on_acquired=source.record_announcement,
    )
    server = await serve_ready(options.port, lambda: source.synced)
    watch_links(
        lambda links: loop.call_soon_threadsafe(speaker.use_links, links),
        lambda error: links_lost(error, ending=loop.is_closed()),
    )
    async with server:
        work = asyncio.create_task(source.run(speaker.set_desired, _set_realtime_priority))
        stop = asyncio.create_task(stopping.wait())
        await asyncio.wait([work, stop], return_when=asyncio.FIRST_COMPLETED)
        await speaker.leave()
        work.cancel()
        await asyncio.wait([work])
    if not work.cancelled():
        work.result()


def _exit_on_error(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Exit at once: a speaker that claims addresses and does not answer is worse than none."""
    log.error("unhandled error", message=context["message"], error=repr(context.get("exception")))
    os._exit(70)


def links_lost(error: Exception, *, ending: bool) -> None:
    """Exit at once unless the process is ending: changes of links would go unnoticed."""
    if not ending:
        log.error("fatal: links are no longer watched", error=repr(error))
        os._exit(70)


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return b""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
