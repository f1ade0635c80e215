"""Servers and datagrams at a vantage, for checks about ports that are not HTTP's."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from lbproof.probe.protocol import text_of

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
    found = vantage.probe().call("udp", within=0.0, wait=0.0, **asked)
    return sum(record[0] == "sent" for record in found.records)
