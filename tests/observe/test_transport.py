"""UDP seen from a host of a real segment: an answer, none, and a port that refuses."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import pytest

from lbproof.lab.common.netns import entered
from lbproof.witnesses import http, transport

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lbproof.lab.common.vantage import NamespaceVantage

PORT, CLOSED, SOURCE = 8053, 9, 23456
WAIT = 5.0


@contextmanager
def answering(web: NamespaceVantage, times: int) -> Iterator[list[int]]:
    """A server on `web` that answers some datagrams with their own text; yield the ports that they came from."""
    with entered(web.netns):
        listening = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        listening.bind((str(web.address), PORT))
    ports: list[int] = []

    def serve() -> None:
        for _ in range(times):
            data, back = listening.recvfrom(64)
            ports.append(back[1])
            listening.sendto(b"I am " + data + b"\n", back)

    thread = threading.Thread(target=serve)
    with listening:
        thread.start()
        yield ports
        thread.join(WAIT)


def test_the_first_answer_ends_the_question(client: NamespaceVantage, web: NamespaceVantage) -> None:
    """Long before its time is over; a client may ask again and again from one port."""
    with answering(web, 3) as ports:
        found = [transport.ask(client, web.address, PORT, "web", timeout=60, source=SOURCE) for _ in range(2)]
        transport.ask(client, web.address, PORT, "web", timeout=60)

    assert found == ["I am web"] * 2
    assert ports[:2] == [SOURCE] * 2
    assert ports[2] != SOURCE


def test_what_has_no_answer_has_a_kind(client: NamespaceVantage, web: NamespaceVantage) -> None:
    """A port that nobody has is refused by ICMP; an address that nobody has is silent."""
    refused, silent = (web.address, CLOSED, "refused", WAIT), (IPv4Address("10.77.0.99"), PORT, "silent", 0.2)
    for address, port, kind, timeout in (refused, silent):
        with pytest.raises(http.Unreached) as seen:
            transport.ask(client, address, port, "hostname", timeout=timeout)
        assert seen.value.kind == kind
        assert str(seen.value) == f"hostname to {address}:{port}/UDP from client: {kind}"
