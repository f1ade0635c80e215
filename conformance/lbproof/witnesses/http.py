"""HTTP and TCP client that opens a new connection from a vantage each time and classifies failures."""

from __future__ import annotations

import errno
import http.client
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lbproof.spec.families import Family, family_of, host_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lbproof.spec.families import IPAddress
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
    """HTTP response."""

    status: int
    body: bytes
    seconds: float
    """Time from the start of the connection to the end of the body."""

    @property
    def text(self) -> str:
        """Return the body as text, without surrounding whitespace."""
        return self.body.decode(errors="replace").strip()


class Unreached(OSError):  # noqa: N818 - an observation, which checks expect
    """No valid answer; `kind` is `silent`, `refused`, `reset`, `unreachable` or `not-http`."""

    def __init__(self, kind: str, what: str) -> None:
        """`what` describes the request in the message."""
        super().__init__(f"{what}: {kind}")
        self.kind = kind


def _connect(vantage: Vantage, host: IPAddress, port: int, timeout: float) -> socket.socket:
    with vantage.inside():
        opened = socket.socket(socket.AF_INET6 if family_of(host) is Family.IPV6 else socket.AF_INET)
    opened.settimeout(timeout)
    try:
        opened.connect((str(host), port))
    except BaseException:
        opened.close()
        raise
    return opened


def kind_of(error: OSError) -> str:
    """Classify a failure, as `Unreached.kind`."""
    return "silent" if isinstance(error, TimeoutError) else _KINDS.get(error.errno or 0, "unreachable")


def get(vantage: Vantage, host: IPAddress, port: int, path: str = "/", *, timeout: float = 1.0) -> Answer:
    """Send an HTTP/1.1 GET over a new connection. Raises `Unreached`; `timeout` applies to connect and each read."""
    began = time.monotonic()
    what = f"GET http://{host_port(host, port)}{path} from {vantage.name}"
    connection = http.client.HTTPConnection(str(host), port, timeout=timeout)
    try:
        connection.sock = _connect(vantage, host, port, timeout)
        connection.request("GET", path, headers={"Connection": "close"})
        response = connection.getresponse()
        return Answer(status=response.status, body=response.read(), seconds=time.monotonic() - began)
    except http.client.HTTPException as error:  # includes a connection closed without data, which is an OSError as well
        raise Unreached("not-http", what) from error
    except OSError as error:
        raise Unreached(kind_of(error), what) from error
    finally:
        connection.close()


def patience() -> Iterator[float]:
    """Yield timeouts in seconds for successive attempts at an address that may begin to serve at any time.

    A lost SYN is retransmitted only after one second (RFC 6298), so the first attempts are short and start anew; after
    two seconds of them, the timeout is long enough for a slow answer.
    """
    yield from (0.1, *(0.25,) * 8)
    while True:
        yield 1.0


def connects(vantage: Vantage, host: IPAddress, port: int, *, timeout: float = 0.5) -> str:
    """Try to connect; return `open`, or the `kind` of an `Unreached`."""
    try:
        _connect(vantage, host, port, timeout).close()
    except OSError as error:
        return kind_of(error)
    return "open"
