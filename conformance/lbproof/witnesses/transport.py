"""Servers and datagrams at a vantage, for checks about ports that are not HTTP's."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from lbproof.probe.protocol import bytes_of, text_of
from lbproof.spec.families import host_port
from lbproof.witnesses.http import Unreached

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lbproof.spec.families import IPAddress
    from lbproof.witnesses.vantage import Vantage


@contextmanager
def listening(vantage: Vantage, ports: Sequence[int]) -> Iterator[None]:
    """Run servers on TCP ports of all addresses of a vantage; a port in use already has one."""
    with vantage.probe().request("listen", ports=ports) as servers:
        servers.wait_ready()
        yield


def send_datagrams(vantage: Vantage, host: IPAddress, port: int, payload: bytes, *, count: int, ttl: int = 64) -> int:
    """Send the same UDP datagram `count` times, with a TTL or hop limit; return how many the kernel took."""
    asked = {"host": str(host), "port": port, "payload": text_of(payload), "count": count, "ttl": ttl}
    found = vantage.probe().call("udp", within=0.0, wait=0.0, source=0, enough=0, **asked)
    return sum(record[0] == "sent" for record in found.records)


def ask(vantage: Vantage, host: IPAddress, port: int, question: str, *, timeout: float, source: int = 0) -> str:
    """Send one UDP datagram and return the first that comes back. Raises `Unreached`; `source`: own port.

    Of agnhost's `netexec`, `hostname` asks for the pod, `clientip` for the address and port that it sees.
    """
    asked = {"host": str(host), "port": port, "payload": text_of(question.encode()), "count": 1, "ttl": 64}
    found = vantage.probe().call("udp", within=timeout, wait=timeout, source=source, enough=1, **asked)
    for kind, _, *rest in found.records:
        if kind == "received":
            return bytes_of(rest[0]).decode(errors="replace").strip()
    kinds = [rest[0] for kind, _, *rest in found.records if kind == "failed"]
    raise Unreached(kinds[-1] if kinds else "silent", f"{question} to {host_port(host, port)}/UDP from {vantage.name}")
