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
    """Run until SIGTERM. No cleanup is needed because all state is in the Services' statuses."""
    parser = argparse.ArgumentParser(
        prog="lbproof_reference controller", description="Assigns addresses of pools to Services."
    )
    parser.add_argument(
        "--lb-class", help="serve only Services of this class (default: no class, or lbproof.dev/reference)"
    )
    parser.add_argument(
        "--namespace",
        default="metallb-system",
        help="namespace of the pools and of the heartbeat's Secret (default %(default)s)",
    )
    parser.add_argument("--api", help="URL of the API server (default: in-cluster address)")
    parser.add_argument(
        "--account", type=Path, default=ACCOUNT, help="folder with token and ca.crt (default %(default)s)"
    )
    parser.add_argument("--port", type=int, default=8080, help="port of /readyz (default %(default)s)")
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
