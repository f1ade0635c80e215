"""Task `echo`: a server whose outages are known, to the microsecond.

It echoes UDP as agnhost's netexec does (`echo TEXT` gets TEXT), and answers HTTP with an empty 200. Told `{"deaf":
seconds}`, it drops all datagrams for so long.

Arguments: `host` (address), `port`. Ready when it serves, until it is cancelled. Record: `[began, ends]`, the moments
between which it is deaf.
"""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from lbproof.probe.connection import family_of

if TYPE_CHECKING:
    from lbproof.probe.task import Task

_ANSWER = b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"
_BACKLOG = 128
_BATCH = 256
"""Datagrams that are echoed in a row before anything else."""


def run(task: Task) -> None:
    """Serve until it is cancelled."""
    family, where = family_of(task.arguments["host"]), (task.arguments["host"], task.arguments["port"])
    connections: set[socket.socket] = set()
    deaf_until = 0.0
    with ExitStack() as opened:
        udp = opened.enter_context(socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK))
        udp.bind(where)
        listening = opened.enter_context(socket.create_server(where, family=family, backlog=_BACKLOG))
        listening.setblocking(False)
        task.ready()
        while not task.stopping:
            for file in task.wait(None, udp, listening, *connections):
                if file is udp:
                    _echo(udp, deaf_until)
                elif file is listening:
                    _accept(listening, connections)
                elif isinstance(file, socket.socket):
                    connections.remove(file)
                    _answer(file)
            for message in task.messages():
                began = time.monotonic()
                deaf_until = began + message["deaf"]
                task.emit([began, deaf_until])
        for connection in connections:
            connection.close()


def _echo(udp: socket.socket, deaf_until: float) -> None:
    try:
        for _ in range(_BATCH):
            data, back = udp.recvfrom(64)
            if time.monotonic() >= deaf_until:
                udp.sendto(data.partition(b" ")[2], back)
    except BlockingIOError:  # no more wait
        return


def _accept(listening: socket.socket, connections: set[socket.socket]) -> None:
    try:
        made, _ = listening.accept()
    except (BlockingIOError, ConnectionError):  # it was closed before it was accepted
        return
    made.setblocking(False)
    connections.add(made)


def _answer(connection: socket.socket) -> None:
    with connection:
        try:
            if connection.recv(4096):
                connection.send(_ANSWER)
        except (BlockingIOError, ConnectionError):  # its client is gone
            return
