"""Two hosts on one cable, for measurements that need no cluster; nothing of them outlives this process.

A namespace is held by a process that ends with its standard input and with us, so the kernel removes it whatever
happens.
"""

from __future__ import annotations

import subprocess
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lbproof.lab.base import LabError
from lbproof.lab.common.commands import killed_with_parent
from lbproof.lab.common.vantage import NamespaceVantage

if TYPE_CHECKING:
    from collections.abc import Iterator

NETWORK = "198.51.100"
"""Of TEST-NET-2 (RFC 5737)."""
_WITHIN = 5.0


@contextmanager
def two_hosts() -> Iterator[tuple[NamespaceVantage, NamespaceVantage]]:
    """Two vantages, .1 and .2 of `NETWORK`. Raises `LabError` when this machine cannot have them."""
    with ExitStack() as stack:
        pids = [stack.enter_context(_namespace()) for _ in range(2)]
        _ip(pids[0], f"link add eth0 type veth peer name eth0 netns {pids[1]}")
        made = []
        for number, pid in enumerate(pids, start=1):
            mac = f"02:00:c6:33:64:{number:02x}"
            for words in (
                f"link set eth0 address {mac}",
                f"addr add {NETWORK}.{number}/24 dev eth0",
                "link set eth0 up",
                "link set lo up",
            ):
                _ip(pid, words)
            made.append(
                NamespaceVantage(
                    name=f"host {number}",
                    address=f"{NETWORK}.{number}",
                    mac=mac,
                    netns=f"/proc/{pid}/ns/net",
                    pidns="/proc/self/ns/pid",
                )
            )
        yield made[0], made[1]


@contextmanager
def _namespace() -> Iterator[int]:
    """A new network namespace, by the PID of what holds it."""
    argv = killed_with_parent(["unshare", "--net", "cat"])
    with subprocess.Popen(argv, stdin=subprocess.PIPE) as holder:
        ours, theirs = Path("/proc/self/ns/net").readlink(), Path(f"/proc/{holder.pid}/ns/net")
        deadline = time.monotonic() + _WITHIN
        while holder.poll() is None and theirs.readlink() == ours and time.monotonic() < deadline:
            continue
        if holder.poll() is not None or theirs.readlink() == ours:
            holder.kill()
            raise LabError("no network namespace can be made here: root is needed (see lbproof doctor)")
        yield holder.pid


def _ip(pid: int, words: str) -> None:
    argv = ["nsenter", f"--net=/proc/{pid}/ns/net", "--", "ip", *words.split()]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"`ip {words}` failed: {done.stderr.strip()}")
