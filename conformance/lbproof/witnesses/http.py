"""HTTP and TCP client that opens a new connection from a vantage each time and classifies failures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lbproof.probe.protocol import bytes_of
from lbproof.spec.families import host_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lbproof.spec.families import IPAddress
    from lbproof.witnesses.vantage import Vantage

OK = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
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


def get(vantage: Vantage, host: IPAddress, port: int, path: str = "/", *, timeout: float = 1.0) -> Response:
    """Send an HTTP/1.1 GET over a new connection. Raises `Unreached`; `timeout` is for connect and answer each."""
    asked = {"host": str(host), "port": port, "path": path, "timeout": timeout}
    (found,) = vantage.probe().call("http", within=2 * timeout, **asked).records
    if "kind" in found:
        raise Unreached(found["kind"], f"GET http://{host_port(host, port)}{path} from {vantage.name}")
    return Response(status=found["status"], body=bytes_of(found["body"]), seconds=found["seconds"])


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
    (found,) = vantage.probe().call("connect", within=timeout, host=str(host), port=port, timeout=timeout).records
    return str(found["kind"])
