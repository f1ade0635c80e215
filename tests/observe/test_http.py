"""How a connection ends, seen from a host of a real segment: each way has its name."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import contextmanager
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import pytest
from tests.observe.places import PORT

from lbproof.lab.common.netns import entered
from lbproof.witnesses import http

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

    from lbproof.lab.common.vantage import NamespaceVantage

CLOSED, OTHER = 9, 8001
RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""struct linger: on, no time: close sends RST."""


@contextmanager
def answering(web: NamespaceVantage, answer: Callable[[socket.socket], object]) -> Iterator[None]:
    """A server on `web` that takes one connection and treats it like this."""
    with entered(web.netns):
        listening = socket.create_server((str(web.address), OTHER))

    def serve() -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(1024)
            answer(connection)

    thread = threading.Thread(target=serve)
    with listening:
        thread.start()
        yield
        thread.join(5)


@pytest.mark.usefixtures("server")
def test_an_answer_has_status_body_and_time(client: NamespaceVantage, web: NamespaceVantage) -> None:
    """What the server said, over a connection of its own."""
    found = http.get(client, web.address, PORT, "/hostname")
    missing = http.get(client, web.address, PORT, "/nothing-here")

    assert (found.status, found.body) == (http.OK, b"web\n")
    assert 0 < found.seconds < 1
    assert missing.status == 404


def test_a_closed_port_refuses(client: NamespaceVantage, web: NamespaceVantage) -> None:
    """A host that is there and does not listen says so at once, and the error says who asked what."""
    with pytest.raises(http.Unreached) as seen:
        http.get(client, web.address, CLOSED)

    assert seen.value.kind == "refused"
    assert str(seen.value) == f"GET http://{web.address}:{CLOSED}/ from client: refused"


def test_an_address_that_nobody_has_is_silent(client: NamespaceVantage) -> None:
    """The kernel asks by ARP for three seconds; the client gives up before."""
    with pytest.raises(http.Unreached) as seen:
        http.get(client, IPv4Address("10.77.0.99"), PORT, timeout=0.2)

    assert seen.value.kind == "silent"


def test_a_network_with_no_route_is_unreachable(client: NamespaceVantage) -> None:
    """A host with no router knows at once."""
    with pytest.raises(http.Unreached) as seen:
        http.get(client, IPv4Address("192.0.2.1"), PORT)

    assert seen.value.kind == "unreachable"


def test_a_server_that_says_nothing_is_silent(client: NamespaceVantage, web: NamespaceVantage) -> None:
    """A connection alone is no answer."""
    done = threading.Event()
    with answering(web, lambda _: done.wait(5)):
        with pytest.raises(http.Unreached) as seen:
            http.get(client, web.address, OTHER, timeout=0.2)
        done.set()

    assert seen.value.kind == "silent"


def test_a_connection_that_is_reset_is_reset(client: NamespaceVantage, web: NamespaceVantage) -> None:
    """As when a conntrack entry is gone."""

    def reset(connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)

    with answering(web, reset), pytest.raises(http.Unreached) as seen:
        http.get(client, web.address, OTHER)

    assert seen.value.kind == "reset"


def test_a_connection_that_is_closed_without_a_word_is_not_http(
    client: NamespaceVantage, web: NamespaceVantage
) -> None:
    """It was served to its end, and nothing was said."""
    with answering(web, lambda _: None), pytest.raises(http.Unreached) as seen:
        http.get(client, web.address, OTHER)

    assert seen.value.kind == "not-http"


def test_another_protocol_is_not_http(client: NamespaceVantage, web: NamespaceVantage) -> None:
    """As of an SSH server that answers where the Service should."""
    with (
        answering(web, lambda connection: connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")),
        pytest.raises(http.Unreached) as seen,
    ):
        http.get(client, web.address, OTHER)

    assert seen.value.kind == "not-http"


@pytest.mark.usefixtures("server")
def test_a_connection_is_judged_without_a_request(client: NamespaceVantage, web: NamespaceVantage) -> None:
    """Open, refused, silent or unreachable."""
    seen = [
        http.connects(client, web.address, PORT),
        http.connects(client, web.address, CLOSED),
        http.connects(client, IPv4Address("10.77.0.99"), PORT, timeout=0.1),
        http.connects(client, IPv4Address("192.0.2.1"), PORT),
    ]

    assert seen == ["open", "refused", "silent", "unreachable"]


def test_a_server_that_was_frozen_is_asked_on_a_new_connection(
    client: NamespaceVantage, web: NamespaceVantage, server: subprocess.Popen[bytes]
) -> None:
    """No connection outlives its request, so the next answer is of the server as it is then."""
    assert http.get(client, web.address, PORT, "/hostname").status == http.OK
    server.kill()
    server.wait()

    with pytest.raises(http.Unreached, match="refused"):
        http.get(client, web.address, PORT, "/hostname")


def test_an_answer_that_drips_is_silent(client: NamespaceVantage, web: NamespaceVantage) -> None:
    """Each read is in time, the answer is not: that is the server's fault, not the probe's."""

    def drip(connection: socket.socket) -> None:
        connection.settimeout(5)
        over = threading.Event()
        try:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n")
            while not over.wait(0.02):
                connection.sendall(b".")
        except ConnectionError:  # the client has gone
            over.set()

    with answering(web, drip), pytest.raises(http.Unreached) as seen:
        http.get(client, web.address, OTHER, timeout=0.3)

    assert seen.value.kind == "silent"
