"""Process of the controller: election, readiness and end."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

from lbproof_reference.controller.leader import LeaderElection
from lbproof_reference.controller.loop import Controller
from lbproof_reference.kube import Kube
from lbproof_reference.readiness import serve_ready

if TYPE_CHECKING:
    import argparse


async def serve(options: argparse.Namespace) -> None:
    """Run until SIGTERM. No cleanup is needed because all state is in the Services' statuses.

    Outside of a Pod no leader is elected.
    """
    kube = Kube(options.api, options.account)
    controller = Controller(
        kube,
        lb_class=options.lb_class,
        namespace=options.namespace,
        ignore_exclude=options.ignore_exclude_lb,
    )
    election = LeaderElection(kube, options.namespace, options.pod, options.pod_uid) if options.pod else None
    server = await serve_ready(
        options.host, options.port, lambda: controller.ready or bool(election and election.is_standby)
    )
    work = asyncio.create_task(election.run(controller.run) if election else controller.run())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, work.cancel)
    async with server:
        await asyncio.wait([work])
    if not work.cancelled():
        work.result()
