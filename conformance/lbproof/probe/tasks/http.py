"""Task `http`: one GET over a new connection.

Arguments: `host` (address), `port`, `path`, `timeout` (seconds, for the connection and for each read).
Record: `{"status": 200, "body": base64, "seconds": ...}`, or `{"kind": ...}` without a valid answer: a kind of
`lbproof.probe.connection`, or `not-http`.
"""

from __future__ import annotations

import http.client
import time
from typing import TYPE_CHECKING

from lbproof.probe.connection import connect, kind_of
from lbproof.probe.protocol import text_of

if TYPE_CHECKING:
    from lbproof.probe.task import Task


def run(task: Task) -> None:
    """Send the request, and emit one record."""
    asked = task.arguments
    began = time.monotonic()
    connection = http.client.HTTPConnection(asked["host"], asked["port"], timeout=asked["timeout"])
    try:
        connection.sock = connect(asked["host"], asked["port"], asked["timeout"])
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
