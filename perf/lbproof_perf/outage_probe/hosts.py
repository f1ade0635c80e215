"""Two hosts on one cable, for measurements that need no cluster; nothing of them outlives this process.

A namespace is held by a process that ends with its standard input and with us, so the kernel removes it whatever
happens.
"""

from __future__ import annotations

import select
import subprocess
from contextlib import ExitStack, contextmanager
from ipaddress import ip_address
from typing import TYPE_CHECKING

from lbproof.lab.base import LabError
from lbproof.lab.common.commands import killed_with_parent, output
from lbproof.lab.common.probes import Probes
from lbproof.lab.common.vantage import NamespaceVantage
from lbproof.witnesses.wait import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

NETWORK = "198.51.100"
"""Of TEST-NET-2 (RFC 5737)."""
NETWORK_6 = "2001:db8:c633:64:"
"""Of the block for documentation (RFC 3849)."""


_MADE = 10.0
"""Timeout in seconds for a namespace to be made."""
_READY = 10.0
"""Seconds until the kernels have noticed that the cable is there."""


@contextmanager
def two_hosts() -> Iterator[tuple[NamespaceVantage, NamespaceVantage]]:
    """Two vantages, .1 and .2 of `NETWORK`, :1 and :2 of `NETWORK_6`. Raises `LabError` when there can be none here."""
    with ExitStack() as stack:
        probes = Probes()
        stack.callback(probes.close)
        paths = [stack.enter_context(_namespace()) for _ in range(2)]
        output(["ip", *f"link add eth0 type veth peer name eth0 netns {paths[1]}".split()], netns=paths[0])
        made = []
        for number, path in enumerate(paths, start=1):
            mac = f"02:00:c6:33:64:{number:02x}"
            output(["sysctl", "-qw", "net.ipv6.conf.eth0.accept_dad=0"], netns=path)
            for words in (
                f"link set eth0 address {mac}",
                f"addr add {NETWORK}.{number}/24 dev eth0",
                f"addr add {NETWORK_6}:{number}/64 dev eth0 nodad",
                "link set eth0 up",
                "link set lo up",
            ):
                output(["ip", *words.split()], netns=path)
            made.append(
                NamespaceVantage(
                    name=f"host {number}",
                    addresses=(ip_address(f"{NETWORK}.{number}"), ip_address(f"{NETWORK_6}:{number}")),
                    mac=mac,
                    netns=path,
                    pidns="/proc/self/ns/pid",
                    probes=probes,
                )
            )
        eventually(
            lambda: [output(["ip", "-6", "-o", "addr", "show", "scope", "link"], netns=path) for path in paths],
            lambda seen: all(seen) and not any("tentative" in text for text in seen),
            what="both kernels have their IPv6 addresses",
            within=_READY,
        )
        yield made[0], made[1]


@contextmanager
def _namespace() -> Iterator[str]:
    """A new network namespace, by its path."""
    argv = killed_with_parent(["unshare", "--net", "sh", "-c", "echo made; exec cat"])
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None  # noqa: S101 - it was asked for
        try:
            readable, _, _ = select.select([holder.stdout], [], [], _MADE)
            if not readable:
                raise LabError(f"no network namespace was made here within {_MADE:g} s")
            if not holder.stdout.readline():
                raise LabError("no network namespace can be made here: root is needed (see lbproof doctor)")
            yield f"/proc/{holder.pid}/ns/net"
        finally:
            holder.kill()
