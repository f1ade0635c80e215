"""The witness HTTP and TCP: a new connection each time, from a vantage, and a name for each way of not being served."""

from __future__ import annotations

import errno
import http.client
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lbproof.witnesses.vantage import Vantage

OK = 200
_KINDS = {
    errno.ECONNREFUSED: "refused",
    errno.ECONNRESET: "reset",
    errno.EPIPE: "reset",
    errno.EHOSTUNREACH: "unreachable",
    errno.ENETUNREACH: "unreachable",
    errno.ETIMEDOUT: "silent",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An HTTP answer."""

    status: int
    body: bytes
    seconds: float
    """From the start of the connection to the end of the body."""

    @property
    def text(self) -> str:
        """The body as text, without the space around it."""
        return self.body.decode(errors="replace").strip()


class Unreached(OSError):  # noqa: N818 - an observation, which checks expect
    """There was no answer; `kind` is `silent`, `refused`, `reset`, `unreachable` or `not-http`."""

    def __init__(self, kind: str, what: str) -> None:
        """`what` is the request, for a reader."""
        super().__init__(f"{what}: {kind}")
        self.kind = kind


def _connect(vantage: Vantage, host: str, port: int, timeout: float) -> socket.socket:
    with vantage.inside():
        opened = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    opened.settimeout(timeout)
    try:
        opened.connect((host, port))
    except BaseException:
        opened.close()
        raise
    return opened


def kind_of(error: OSError) -> str:
    """The name of a way of not being served."""
    return "silent" if isinstance(error, TimeoutError) else _KINDS.get(error.errno or 0, "unreachable")


def get(vantage: Vantage, host: str, port: int, path: str = "/", *, timeout: float = 1.0) -> Answer:
    """Ask by HTTP/1.1 over a new connection. Raises `Unreached`; `timeout` is for connecting and for each read."""
    began = time.monotonic()
    what = f"GET http://{host}:{port}{path} from {vantage.name}"
    connection = http.client.HTTPConnection(host, port, timeout=timeout)
    try:
        connection.sock = _connect(vantage, host, port, timeout)
        connection.request("GET", path, headers={"Connection": "close"})
        response = connection.getresponse()
        return Answer(status=response.status, body=response.read(), seconds=time.monotonic() - began)
    except http.client.HTTPException as error:  # closed without a word included, which is an OSError as well
        raise Unreached("not-http", what) from error
    except OSError as error:
        raise Unreached(kind_of(error), what) from error
    finally:
        connection.close()


def patience() -> Iterator[float]:
    """Timeouts for one attempt after the other at a place that may begin to serve at any moment, in seconds.

    A SYN that came too early is sent again only after a second (RFC 6298), so the first attempts are cut short and
    begun afresh; after two seconds of them, a slow answer has its time.
    """
    yield from (0.1, *(0.25,) * 8)
    while True:
        yield 1.0


def connects(vantage: Vantage, host: str, port: int, *, timeout: float = 0.5) -> str:
    """What becomes of a connection: `open`, or the `kind` of an `Unreached`."""
    try:
        _connect(vantage, host, port, timeout).close()
    except OSError as error:
        return kind_of(error)
    return "open"
