"""Task `http`: one GET over a new connection.

Arguments: `host` (address), `port`, `path`, `timeout` (seconds, for the connection and for the whole answer).
Record: `{"status": 200, "body": base64, "seconds": ...}`, or `{"kind": ...}` without a valid answer: a kind of
`lbproof.probe.connection`, or `not-http`.
"""

from __future__ import annotations

import http.client
import socket
import time
from typing import TYPE_CHECKING, Any

from lbproof.probe.connection import connect, kind_of
from lbproof.probe.protocol import text_of

if TYPE_CHECKING:
    from lbproof.probe.task import Task


class _Connection(socket.socket):
    """Connection whose reads end at a deadline, however often a few bytes arrive."""

    def __init__(self, opened: socket.socket, seconds: float) -> None:
        """Take over an open one, of which reads may take so long in total."""
        super().__init__(fileno=opened.detach())
        self.settimeout(seconds)
        self._deadline = time.monotonic() + seconds

    def recv_into(self, *arguments: Any) -> int:  # noqa: ANN401 - as of the base class
        """Read as `http.client` does. Raises `TimeoutError`."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self.settimeout(left)
        return super().recv_into(*arguments)


def run(task: Task) -> None:
    """Send the request, and emit one record."""
    asked = task.arguments
    began = time.monotonic()
    connection = http.client.HTTPConnection(asked["host"], asked["port"], timeout=asked["timeout"])
    try:
        connection.sock = _Connection(connect(asked["host"], asked["port"], asked["timeout"]), asked["timeout"])
        connection.request("GET", asked["path"], headers={"Connection": "close"})
        response = connection.getresponse()
        body = text_of(response.read())
        task.emit({"status": response.status, "body": body, "seconds": time.monotonic() - began})
    except http.client.HTTPException:  # includes a connection closed without data, which is an OSError as well
        task.emit({"kind": "not-http"})
    except OSError as error:
        task.emit({"kind": kind_of(error)})
    finally:
        connection.close()
