"""The asker for HTTP: when is a place first served with a 200?

An attempt is begun whether or not the one before it has ended, since a connection request that came too early is sent
again by the kernel only after a second (RFC 6298), and a client that waited for that would measure it.

`python -m lbproof_perf.probes.service_http PORT PATH`, in the namespace to ask from. Verb: `first ADDRESS`. Finding:
`["first", address, moment, step]`, `step` being the seconds from the beginning of the attempt that succeeded.
"""

from __future__ import annotations

import select
import socket
import sys
import time
from dataclasses import dataclass, field

from lbproof_perf.probes.prober import Lines, Turns, tell

BATCH = 8
"""Attempts a turn at most: 800 a second."""
TURN = 0.01
"""Seconds between two attempts at one place, where few are asked."""
LIFE = 0.4
"""Seconds that an attempt may take."""


@dataclass(slots=True, kw_only=True)
class _Attempt:
    """A connection that is being made, or a request under way."""

    wire: socket.socket
    address: str
    began: float
    sent: bool = False
    head: bytes = b""


@dataclass(slots=True, kw_only=True)
class _Client:
    """All attempts of one process."""

    port: int
    request: bytes
    poll: select.poll = field(default_factory=select.poll)
    turns: Turns[str] = field(default_factory=lambda: Turns(BATCH))
    attempts: dict[int, _Attempt] = field(default_factory=dict)

    def begin(self, address: str, now: float) -> None:
        """Connect to a place."""
        wire = socket.socket()
        wire.setblocking(False)
        try:
            wire.connect((address, self.port))
        except BlockingIOError:
            pass  # it is under way
        except OSError:  # no way there now; the next attempt may find one
            wire.close()
            return
        self.attempts[wire.fileno()] = _Attempt(wire=wire, address=address, began=now)
        self.poll.register(wire, select.POLLOUT)

    def go_on(self, descriptor: int, now: float) -> None:
        """Something happened at a connection."""
        attempt = self.attempts[descriptor]
        try:
            if not attempt.sent:
                attempt.wire.send(self.request.replace(b"HOST", attempt.address.encode()))
                attempt.sent = True
                self.poll.modify(descriptor, select.POLLIN)
                return
            data = attempt.wire.recv(4096)
        except BlockingIOError:
            return
        except OSError:  # refused or reset: not yet
            self.end(descriptor)
            return
        attempt.head += data
        if b"\r\n" not in attempt.head:
            if not data:
                self.end(descriptor)
            return
        self.end(descriptor)
        if attempt.head.split(maxsplit=2)[1:2] == [b"200"] and attempt.address in self.turns:
            self.turns.drop(attempt.address)
            tell("first", attempt.address, now, now - attempt.began)

    def end(self, descriptor: int) -> None:
        """Give an attempt up, or be done with it."""
        attempt = self.attempts.pop(descriptor)
        self.poll.unregister(descriptor)
        attempt.wire.close()

    def tidy(self, now: float) -> None:
        """End what took too long or is wanted no more."""
        for descriptor, attempt in list(self.attempts.items()):
            if now - attempt.began > LIFE or attempt.address not in self.turns:
                self.end(descriptor)


def serve(port: int, path: str) -> None:
    """Ask until the end of stdin."""
    lines = Lines(sys.stdin.fileno())
    client = _Client(port=port, request=f"GET {path} HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n".encode())
    client.poll.register(sys.stdin, select.POLLIN)
    due = time.monotonic()
    while not lines.ended:
        idle = not client.turns and not client.attempts
        ready = client.poll.poll(None if idle else max(0.0, due - time.monotonic()) * 1000)
        now = time.monotonic()
        for descriptor, _ in ready:
            if descriptor == sys.stdin.fileno():
                for _, address in lines.ready():
                    client.turns.add(address)
            elif descriptor in client.attempts:
                client.go_on(descriptor, now)
        if now >= due:
            due = now + TURN
            client.tidy(now)
            for address in client.turns.turn():
                client.begin(address, now)
        sys.stdout.flush()


if __name__ == "__main__":
    serve(int(sys.argv[1]), sys.argv[2])
