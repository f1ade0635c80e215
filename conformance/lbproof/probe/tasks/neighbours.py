"""Task `neighbours`: read or change one entry of the kernel's neighbour table.

Arguments: `interface`, `address`, and `do`: `show`, `set` with `mac` and `state`, or `forget`.
Record of `show`, if there is an entry: `{"mac": ..., "states": [...]}`.
"""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING

from lbproof.probe import netlink

if TYPE_CHECKING:
    from lbproof.probe.task import Task


def run(task: Task) -> None:
    """Do it. Raises `OSError`, such as EPERM without CAP_NET_ADMIN, and `ValueError` for a wrong argument."""
    asked = task.arguments
    interface, address = asked["interface"], asked["address"]
    match asked["do"]:
        case "show":
            _show(task, interface, address)
        case "set":
            netlink.replace(interface, address, bytes.fromhex(asked["mac"].replace(":", "")), asked["state"])
        case "forget":
            _forget(interface, address)
        case unknown:
            raise ValueError(f"no action {unknown!r}")


def _show(task: Task, interface: str, address: str) -> None:
    family, data = netlink.packed(address)
    index = socket.if_nametoindex(interface)
    for entry in netlink.entries(family):
        if (entry.interface, entry.address) == (index, data):
            task.emit({"mac": entry.link_layer.hex(":"), "states": entry.states})


def _forget(interface: str, address: str) -> None:
    try:
        netlink.delete(interface, address)
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise
