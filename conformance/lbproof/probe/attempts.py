"""HTTP requests over a new connection each, any number of them pending: for tasks that wait for none."""

from __future__ import annotations

import errno
import math
import select
import socket
import time
from dataclasses import dataclass
from typing import Generic, TypeVar

from lbproof.probe.connection import family_of

_STATUS = len("HTTP/1.1 200")
_OK = (b"HTTP/1.0 200", b"HTTP/1.1 200")

K = TypeVar("K")


@dataclass(slots=True, kw_only=True)
class Attempt(Generic[K]):
    """One connection and its request. Times are `time.monotonic()`, NaN for what did not happen."""

    sock: socket.socket
    key: K
    began: float
    connected: float = math.nan
    answered: float = math.nan
    """When the status of an HTTP 200 had arrived."""
    head: bytes = b""


class Attempts(Generic[K]):
    """The attempts of one task, registered with its epoll."""

    def __init__(self, poll: select.epoll, path: str, *, life: float) -> None:
        """Each is a GET of `path`, which is given up `life` seconds after its beginning."""
        self._poll, self._life = poll, life
        self._request = f"GET {path} HTTP/1.0\r\n\r\n".encode()
        self._open: dict[int, Attempt[K]] = {}

    def __len__(self) -> int:
        """Return the number of pending ones."""
        return len(self._open)

    def begin(self, key: K, address: str, port: int, began: float) -> bool:
        """Connect; return False when there is no way there."""
        sock = socket.socket(family_of(address), socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        if sock.connect_ex((address, port)) not in (0, errno.EINPROGRESS):
            sock.close()
            return False
        self._open[sock.fileno()] = Attempt(sock=sock, key=key, began=began)
        self._poll.register(sock, select.EPOLLOUT)
        return True

    def handle_event(self, descriptor: int) -> Attempt[K] | None:
        """Handle an event of a connection; return the attempt when it has ended with that."""
        attempt = self._open.get(descriptor)
        if attempt is None:
            return None
        try:
            if math.isnan(attempt.connected):
                if attempt.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                    return self._end(attempt)
                attempt.connected = time.monotonic()
                attempt.sock.send(self._request)
                self._poll.modify(descriptor, select.EPOLLIN)
                return None
            data = attempt.sock.recv(4096)
        except OSError:  # refused or reset
            return self._end(attempt)
        attempt.head += data
        if attempt.head.startswith(_OK):
            attempt.answered = time.monotonic()
        return self._end(attempt) if not data or len(attempt.head) >= _STATUS else None

    def expire(self, now: float) -> list[Attempt[K]]:
        """Give up those that have taken too long; an infinite `now` gives up all."""
        return [self._end(attempt) for attempt in list(self._open.values()) if now - attempt.began >= self._life]

    def _end(self, attempt: Attempt[K]) -> Attempt[K]:
        del self._open[attempt.sock.fileno()]
        attempt.sock.close()
        return attempt
