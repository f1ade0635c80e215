"""Task `listen`: servers on TCP ports of all addresses, which accept connections and say nothing.

Argument: `ports`. It listens for each family that the host has; a port in use already has a server and is left to it.
Ready when it listens, until it is cancelled. Record: `["listening", port, "IPv4"]`.
"""

from __future__ import annotations

import errno
import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lbproof.probe.task import Task

_FAMILIES = ((socket.AF_INET, "0.0.0.0", "IPv4"), (socket.AF_INET6, "::", "IPv6"))  # noqa: S104 - on purpose
_NONE_HERE = {errno.EADDRINUSE, errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL}
"""The port has a server, or the host does not have the family."""


def run(task: Task) -> None:
    """Listen."""
    with ExitStack() as opened:
        for port in task.arguments["ports"]:
            for family, every_address, label in _FAMILIES:
                try:
                    listening = opened.enter_context(socket.socket(family, socket.SOCK_STREAM))
                    if family == socket.AF_INET6:
                        listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                    listening.bind((every_address, port))
                    listening.listen()
                except OSError as error:
                    if error.errno not in _NONE_HERE:
                        raise
                else:
                    task.emit(["listening", port, label])
        task.ready()
        while not task.stopping:
            task.wait(None)
