"""Watches links in the network namespace that it is started in, and is too busy for a while to hear of changes.

`unshare -n python link_watcher.py`: makes a link, and says its hardware address each time the watch tells of it. While
the first is told, so much changes that the kernel drops events (ENOBUFS), the hardware address among it.
"""

from __future__ import annotations

import os
import subprocess
import threading
from typing import TYPE_CHECKING

from lbproof_reference.logs import set_up
from lbproof_reference.speaker.wire import watch_links

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lbproof_reference.speaker.wire import Link

SETUP = """link add d0 type veth peer name d1
link set d1 up
link set d0 address 02:00:00:00:00:01 up
addr add 10.9.0.1/24 dev d0
"""
STORM = "".join(
    f"addr {verb} 10.9.1.{host}/32 dev d0\n" for _ in range(8) for verb in ("add", "del") for host in range(1, 255)
)


def ip(batch: str) -> None:
    """Do what `ip -batch` does."""
    subprocess.run(["ip", "-batch", "-"], input=batch, check=True, text=True)


def main() -> None:
    """Say what the watch tells until this process is ended; 70 when the watch fails."""
    set_up()
    ip(SETUP)
    first = threading.Event()

    def changed(links: Mapping[str, Link]) -> None:
        if "d0" not in links:  # without carrier yet
            return
        print(links["d0"].mac.hex(":"), flush=True)  # noqa: T201 - what it is for
        if not first.is_set():
            first.set()
            ip(STORM + "link set d0 address 02:00:00:00:00:02\n")

    watch_links(changed, lambda _: os._exit(70))
    threading.Event().wait()


if __name__ == "__main__":
    main()
