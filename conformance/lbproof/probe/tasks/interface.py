"""Task `interface`: what the kernel tells of an interface.

Argument: `interface`. Record: `{"mac": ..., "index": ...}`.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lbproof.probe.task import Task


def run(task: Task) -> None:
    """Emit one record. Raises `OSError` for an interface that is not there."""
    name = task.arguments["interface"]
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as any_socket:
        any_socket.bind((name, 0))
        mac = any_socket.getsockname()[4]
    task.emit({"mac": mac.hex(":"), "index": socket.if_nametoindex(name)})
