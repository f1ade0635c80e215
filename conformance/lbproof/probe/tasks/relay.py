"""Task `relay`: the bytes of one TCP connection from the vantage, for a client of the suite's machine.

Arguments: `host` (address), `port`. Ready when it is connected. Told `{"data": base64}` it sends, and `{"end": true}`
closes its side. Records: the base64 of what arrives. It ends with the connection.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from lbproof.probe.connection import connect
from lbproof.probe.protocol import bytes_of, text_of

if TYPE_CHECKING:
    from lbproof.probe.task import Task

_TIMEOUT = 10.0
"""Seconds to connect, and to send what it was told."""
_CHUNK = 1 << 16


def run(task: Task) -> None:
    """Relay until one side closes, or it is cancelled. Raises `OSError` when it cannot connect."""
    with connect(task.arguments["host"], task.arguments["port"], _TIMEOUT) as remote:
        task.ready()
        while not task.stopping:
            if task.wait(None, remote):
                data = remote.recv(_CHUNK)
                if not data:
                    return
                task.emit(text_of(data))
            for message in task.messages():
                if "data" in message:
                    remote.sendall(bytes_of(message["data"]))
                else:
                    remote.shutdown(socket.SHUT_WR)
