"""Watch the links of the current network namespace while the kernel drops netlink events.

`unshare -n python link_watcher.py addresses|veths`: creates a link and prints its hardware address at each callback.
During the first callback so many changes occur (of addresses, or of 150 veth pairs as of pods that come and go), the
last one of the hardware address, that events are dropped (ENOBUFS).
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

from lbproof_reference.logs import set_up
from lbproof_reference.speaker.links import watch_links

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lbproof_reference.speaker.links import Link

SETUP = """link add d0 type veth peer name d1
link set d1 up
link set d0 address 02:00:00:00:00:01 up
addr add 10.9.0.1/24 dev d0
"""
ADDRESSES = "".join(
    f"addr {verb} 10.9.1.{host}/32 dev d0\n" for _ in range(8) for verb in ("add", "del") for host in range(1, 255)
)
VETHS = "".join(
    [f"link add p{pod} type veth peer name q{pod}\nlink set p{pod} up\nlink set q{pod} up\n" for pod in range(150)]
    + [f"link del p{pod}\n" for pod in range(150)]
)
CHANGES = {"addresses": ADDRESSES, "veths": VETHS}


def ip(batch: str) -> None:
    """Run `ip -batch`."""
    subprocess.run(["ip", "-batch", "-"], input=batch, check=True, text=True)


def main() -> None:
    """Print the watched hardware addresses until killed. Exit with 70 when the watch fails."""
    set_up()
    ip(SETUP)
    first = threading.Event()

    def changed(links: Mapping[str, Link]) -> None:
        if "d0" not in links:  # no carrier yet
            return
        print(links["d0"].mac.hex(":"), flush=True)  # noqa: T201 - the output of this program
        if not first.is_set():
            first.set()
            ip(CHANGES[sys.argv[1]] + "link set d0 address 02:00:00:00:00:02\n")

    watch_links(changed, lambda _: os._exit(70))
    threading.Event().wait()


if __name__ == "__main__":
    main()
