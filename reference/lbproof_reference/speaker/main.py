"""Process of the speaker: priority, readiness and orderly end."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from lbproof_reference.kube import Kube
from lbproof_reference.readiness import serve_ready
from lbproof_reference.speaker.keys import Keyring, read_keys
from lbproof_reference.speaker.links import watch_links
from lbproof_reference.speaker.loop import Config, Speaker
from lbproof_reference.speaker.source import Source

if TYPE_CHECKING:
    import argparse

log = structlog.get_logger()


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


async def serve(options: argparse.Namespace) -> None:
    """Run until SIGTERM, then hand over the addresses."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_exit_on_error)
    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    kube = Kube(options.api, options.account)
    keyring = Keyring()
    keyring.update(*read_keys(options.secret_file), time.monotonic())
    if not keyring.keys(time.monotonic()):
        log.info("waiting for the heartbeat key", file=str(options.secret_file))
    while not stopping.is_set() and not keyring.keys(time.monotonic()):
        await asyncio.sleep(0.2)
        keyring.update(*read_keys(options.secret_file), time.monotonic())
    source = Source(
        kube,
        node=options.node,
        lb_class=options.lb_class,
        namespace=options.namespace,
        ignore_exclude=options.ignore_exclude_lb,
    )
    speaker = Speaker(
        Config(
            node=options.node,
            keyring=keyring,
            interval=options.heartbeat,
            misses=options.misses,
            on_acquired=source.record_announcement,
            on_conflict=source.record_conflict,
            on_unannounced=source.record_unannounced,
            is_outdated=lambda: source.is_outdated,
            interfaces=options.interface,
        )
    )
    server = await serve_ready(options.host, options.port, lambda: source.synced)
    watch_links(
        lambda links: loop.call_soon_threadsafe(speaker.use_links, links),
        lambda error: links_lost(error, ending=loop.is_closed()),
    )
    async with server:
        work = [
            asyncio.create_task(source.run(speaker.set_desired, _set_realtime_priority)),
            asyncio.create_task(_follow_keys(keyring, options.secret_file)),
        ]
        stop = asyncio.create_task(stopping.wait())
        await asyncio.wait([*work, stop], return_when=asyncio.FIRST_COMPLETED)
        await speaker.leave()
        for task in work:
            task.cancel()
        await asyncio.wait(work)
    for task in work:
        if not task.cancelled():
            task.result()


async def _follow_keys(keyring: Keyring, file: Path) -> None:
    """Read the keys again each second: the kubelet replaces them when the Secret changes."""
    while True:
        await asyncio.sleep(1)
        keyring.update(*read_keys(file), time.monotonic())


def _exit_on_error(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Exit at once: a speaker that claims addresses and does not answer is worse than none."""
    log.error("unhandled error", message=context["message"], error=repr(context.get("exception")))
    os._exit(70)


def links_lost(error: Exception, *, ending: bool) -> None:
    """Exit at once unless the process is ending: changes of links would go unnoticed."""
    if not ending:
        log.error("fatal: links are no longer watched", error=repr(error))
        os._exit(70)
