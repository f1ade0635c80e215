"""Requests that leave on a schedule, whether or not the earlier ones were answered.

A closed loop waits for each answer before it asks again: while a server stands still it asks nothing, and its
percentiles never hear of it. Here the moments of all requests are settled beforehand, and a latency counts from the
moment that its request was *meant* to leave, so a stall is seen at its full length.

It is as cheap as Python allows: one greenlet drives all connections by an epoll of its own (the kernel's, not
gevent's), and waits in gevent's loop only when nothing is due and nothing has arrived; sockets are the plain ones.
"""

from __future__ import annotations

import contextlib
import errno
import socket  # for its names: once Locust is imported, its class is gevent's
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import gevent  # type: ignore[import-untyped] # it ships no types that mypy reads
from gevent.monkey import get_original  # type: ignore[import-untyped] # likewise
from gevent.socket import wait_read  # type: ignore[import-untyped] # likewise

from lbproof_perf.load.http1 import NotHttpError, answer

if TYPE_CHECKING:
    import select as kernel

    from lbproof_perf.load.recorder import Batches

_socket, _epoll = get_original("socket", "socket"), get_original("select", "epoll")
_IN, _OUT = 0x1, 0x4
"""EPOLLIN and EPOLLOUT: gevent takes their names away with `select.epoll`."""
FOLD = 0.1
"""Seconds after which what was measured is handed on, and unanswered requests are looked at."""
_SHARE = 0.01
"""Seconds that the greenlet runs at most before others of its process have their turn."""
_READ = 1 << 16


class Schedule(ABC):
    """What both protocols share: the moments, the loop, and handing on. A subclass knows its sockets."""

    def __init__(self, *, rate: float, timeout: float, sink: Batches) -> None:
        """`rate` requests a second; one that is not answered `timeout` seconds after it was due has failed."""
        if rate <= 0 or timeout <= 0:
            raise ValueError(f"a rate of {rate:g}/s and a timeout of {timeout:g} s: both must be positive")
        self._period, self._timeout, self._sink = 1 / rate, timeout, sink
        self._latencies: list[float] = []
        self._lags: list[float] = []
        self._bytes = 0
        self._number = 0
        self._poll: kernel.epoll = _epoll()

    def run(self) -> None:
        """Ask until the greenlet is killed; then hand on the rest and close everything."""
        began = folded = rested = time.monotonic()
        try:
            while True:
                now = time.monotonic()
                while (due := began + self._number * self._period) <= now and self._send(due):
                    self._number += 1
                    self._lags.append(now - due)
                    now = time.monotonic()
                full = due <= now
                for fd, _ in self._poll.poll(0):
                    self._arrived(fd)
                    full = False
                if now - folded >= FOLD:
                    self._expire(now)
                    self._fold()
                    folded = now
                wait = began + self._number * self._period - time.monotonic()
                if wait > 0 or full:
                    with contextlib.suppress(TimeoutError):  # others have their turn until something arrives
                        wait_read(self._poll.fileno(), min(wait, FOLD) if wait > 0 else FOLD, TimeoutError())
                    rested = time.monotonic()
                elif now - rested > _SHARE:
                    gevent.sleep(0)
                    rested = time.monotonic()
        finally:
            in_flight = self._close()
            self._fold()
            due_now = int((time.monotonic() - began) / self._period)
            self._sink.left_over(max(0, due_now - self._number), in_flight)
            self._poll.close()

    def _fold(self) -> None:
        if self._latencies or self._lags:
            self._sink.took(self._latencies, self._lags, self._bytes)
            self._latencies, self._lags, self._bytes = [], [], 0

    @abstractmethod
    def _send(self, due: float) -> bool:
        """Let a request leave; False when there is no way out for it before something arrives."""

    @abstractmethod
    def _arrived(self, fd: int) -> None:
        """A socket has something to say; what went wrong is said by reading it."""

    @abstractmethod
    def _expire(self, now: float) -> None:
        """Give up requests that have waited too long."""

    @abstractmethod
    def _close(self) -> int:
        """Close every socket; how many requests have left and are neither answered nor given up."""


@dataclass(slots=True, eq=False)
class _Connection:
    """One connection and the request on it."""

    sock: socket.socket
    due: float
    """When the request on it was due; 0 while there is none."""
    connected: bool = False
    part: bytes = b""
    """What has arrived of a response that is not yet all there."""


class HttpSchedule(Schedule):
    """GET requests over connections that are kept; one request at a time on each, the last used first.

    A request for which no connection is free opens another, up to `connections`; the connecting counts.
    """

    def __init__(
        self, host: str, port: int, path: str, *, rate: float, connections: int, timeout: float, sink: Batches
    ) -> None:
        """Nothing is opened yet. `host` is an IPv4 address."""
        super().__init__(rate=rate, timeout=timeout, sink=sink)
        self._to, self._most = (host, port), connections
        self._request = f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode()
        self._open: dict[int, _Connection] = {}
        self._idle: list[_Connection] = []

    def _send(self, due: float) -> bool:
        if self._idle:
            connection = self._idle.pop()
            connection.due = due
            try:
                connection.sock.send(self._request)
            except OSError as error:
                self._give_up(connection, _reason(error))
            return True
        if len(self._open) >= self._most:
            return False
        opened = _socket(socket.AF_INET, socket.SOCK_STREAM)
        opened.setblocking(False)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = self._open[opened.fileno()] = _Connection(opened, due)
        if (code := opened.connect_ex(self._to)) not in (0, errno.EINPROGRESS):
            self._give_up(connection, errno.errorcode[code])
        else:
            self._poll.register(opened.fileno(), _OUT)
        return True

    def _arrived(self, fd: int) -> None:
        connection = self._open.get(fd)
        if connection is None:
            return  # closed by an earlier event of the same poll
        try:
            if connection.connected:
                self._read(connection)
            else:
                self._connected(connection)
        except (OSError, NotHttpError) as error:
            self._give_up(connection, _reason(error))

    def _connected(self, connection: _Connection) -> None:
        if code := connection.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(code, "")
        connection.connected = True
        self._poll.modify(connection.sock.fileno(), _IN)
        connection.sock.send(self._request)

    def _read(self, connection: _Connection) -> None:
        data = connection.sock.recv(_READ)
        if not data or not connection.due:  # the server closed it, or said something that nobody asked for
            raise ConnectionResetError(errno.ECONNRESET, "")
        if connection.part:
            data = connection.part + data
        whole = answer(data)
        if whole is None:
            connection.part = data
            return
        connection.part = b""
        if whole.status == 200:  # noqa: PLR2004 - HTTP's OK; the enum costs a tenth of a request
            self._latencies.append(time.monotonic() - connection.due)
            self._bytes += whole.size
        else:
            self._sink.failed(f"status {whole.status}")
        connection.due = 0.0
        if whole.keeps:
            self._idle.append(connection)
        else:
            self._forget(connection)

    def _give_up(self, connection: _Connection, why: str) -> None:
        if connection.due:
            self._sink.failed(why)
        else:
            self._idle.remove(connection)
        self._forget(connection)

    def _forget(self, connection: _Connection) -> None:
        del self._open[connection.sock.fileno()]
        connection.sock.close()  # which takes it out of the epoll

    def _expire(self, now: float) -> None:
        for connection in [c for c in self._open.values() if c.due and now - c.due > self._timeout]:
            self._give_up(connection, "timeout")

    def _close(self) -> int:
        for connection in self._open.values():
            connection.sock.close()
        return sum(connection.due > 0 for connection in self._open.values())


class UdpSchedule(Schedule):
    """agnhost's `echo N` as datagrams, over several source ports, since a flow of one is tied to one backend."""

    def __init__(self, host: str, port: int, *, rate: float, connections: int, timeout: float, sink: Batches) -> None:
        """Opens `connections` sockets. `OSError` when that cannot be."""
        super().__init__(rate=rate, timeout=timeout, sink=sink)
        self._sockets: dict[int, socket.socket] = {}
        self._waiting: dict[int, float] = {}
        for _ in range(connections):
            opened = _socket(socket.AF_INET, socket.SOCK_DGRAM)
            opened.setblocking(False)
            opened.connect((host, port))
            self._sockets[opened.fileno()] = opened
            self._poll.register(opened.fileno(), _IN)
        self._ring = list(self._sockets.values())

    def _send(self, due: float) -> bool:
        number = self._number
        self._waiting[number] = due
        try:
            self._ring[number % len(self._ring)].send(b"echo %d" % number)
        except OSError as error:  # a refusal that an earlier datagram met, or no buffer
            del self._waiting[number]
            self._sink.failed(_reason(error))
        return True

    def _arrived(self, fd: int) -> None:
        read = self._sockets[fd].recv
        try:
            while True:
                data = read(2048)
                due = self._waiting.pop(int(data), 0.0) if data.isdigit() else 0.0
                if due:
                    self._latencies.append(time.monotonic() - due)
                    self._bytes += len(data)
        except OSError:
            return  # no more, or an ICMP refusal: whose it was is not told, so its request runs into its timeout

    def _expire(self, now: float) -> None:
        for number, due in list(self._waiting.items()):  # in the order in which they were due
            if due > now - self._timeout:
                return
            del self._waiting[number]
            self._sink.failed("timeout")

    def _close(self) -> int:
        for opened in self._ring:
            opened.close()
        return len(self._waiting)


def _reason(error: Exception) -> str:
    """A name for what went wrong, the same each time."""
    if isinstance(error, OSError) and error.errno:
        return errno.errorcode.get(error.errno, str(error.errno))
    return str(error) or type(error).__name__
