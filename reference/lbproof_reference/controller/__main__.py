"""`python -m lbproof_reference.controller`."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from lbproof_reference.controller.loop import Controller
from lbproof_reference.kube import ACCOUNT, Kube, serve_ready
from lbproof_reference.logs import set_up


def main(argv: list[str]) -> int:
    """Run until SIGTERM; nothing needs to be put away, for all that matters stands in the statuses."""
    parser = argparse.ArgumentParser(prog="lbproof_reference controller", description="Gives addresses to Services.")
    parser.add_argument("--lb-class", help="serve Services of this class alone (default: those of none or of our own)")
    parser.add_argument(
        "--namespace",
        default="metallb-system",
        help="where the pools are that count, and the heartbeat's Secret (default %(default)s)",
    )
    parser.add_argument("--api", help="URL of the API server (default: the cluster's own)")
    parser.add_argument(
        "--account", type=Path, default=ACCOUNT, help="folder with token and ca.crt (default %(default)s)"
    )
    parser.add_argument("--port", type=int, default=8080, help="of /readyz (default 8080)")
    options = parser.parse_args(argv)
    set_up()
    asyncio.run(_serve(options))
    return 0


async def _serve(options: argparse.Namespace) -> None:
    kube = Kube(options.api, options.account)
    controller = Controller(kube, lb_class=options.lb_class, namespace=options.namespace)
    server = await serve_ready(options.port, lambda: controller.ready)
    work = asyncio.create_task(controller.run())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, work.cancel)
    async with server:
        await asyncio.wait([work])
    if not work.cancelled():
        work.result()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
