"""Requests that leave on a schedule, whether or not the earlier ones were answered.

A closed loop waits for each answer before it asks again: while a server stands still it asks nothing, and its
percentiles never hear of it. Here the moments of all requests are settled beforehand, and a latency counts from the
moment that its request was *meant* to leave, so a stall is seen at its full length.

It is as cheap as Python allows: one greenlet drives all connections by an epoll of its own (the kernel's, not
gevent's), and waits in gevent's loop only when nothing is due and nothing has arrived; sockets are the plain ones.
"""

from __future__ import annotations

import errno
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Protocol

import gevent  # type: ignore[import-untyped] # it ships no types that mypy reads
from gevent.monkey import get_original  # type: ignore[import-untyped] # likewise

from lbproof_perf.load.http1 import NotHttpError, answer

if TYPE_CHECKING:
    import select as kernel
    import socket as plain
    from collections.abc import Sequence

Socket, _epoll = get_original("socket", "socket"), get_original("select", "epoll")
_IN, _OUT = 0x1, 0x4
"""EPOLLIN and EPOLLOUT: gevent takes their names away with `select.epoll`."""
FOLD = 0.1
"""Seconds after which what was measured is handed on, and unanswered requests are looked at."""
_SHARE = 0.01
"""Seconds that the greenlet runs at most before others of its process have their turn."""
_READ = 1 << 16
_AF_INET, _STREAM, _DATAGRAM = 2, 1, 2
_TCP, _NODELAY = 6, 1


class Sink(Protocol):
    """Where measurements go."""

    def took(self, latencies: Sequence[float], lags: Sequence[float], size: int) -> None:
        """Requests were answered after so many seconds, others left so many seconds late; `size` bytes came."""
        ...

    def failed(self, why: str) -> None:
        """A request was not answered, or not well."""
        ...

    def left_over(self, unsent: int, in_flight: int) -> None:
        """The load ended with requests that had not left, and with some that were under way."""
        ...


class Schedule(ABC):
    """What both protocols share: the moments, the loop, and handing on. A subclass knows its sockets."""

    def __init__(self, *, rate: float, timeout: float, sink: Sink) -> None:
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
                now = self._leave(began)
                for fd, _ in self._poll.poll(0):
                    self._arrived(fd)
                if now - folded >= FOLD:
                    self._expire(now)
                    self._fold()
                    folded = now
                wait = began + self._number * self._period - time.monotonic()
                if wait > 0 or self._full():
                    self._pause(min(wait, FOLD) if wait > 0 else FOLD)
                    rested = time.monotonic()
                elif now - rested > _SHARE:
                    gevent.sleep(0)
                    rested = time.monotonic()
        finally:
            self._close()
            self._fold()
            due = int((time.monotonic() - began) / self._period)
            self._sink.left_over(max(0, due - self._number), self._in_flight())
            self._poll.close()

    def _leave(self, began: float) -> float:
        """Send what is due, as far as there is a way out; gives the moment at which nothing more was."""
        period = self._period
        now = time.monotonic()
        while (due := began + self._number * period) <= now and self._send(due):
            self._number += 1
            self._lags.append(now - due)
            now = time.monotonic()
        return now

    def _pause(self, seconds: float) -> None:
        """Give the others their turn until something arrives or the time is over."""
        hub = gevent.get_hub()
        back = gevent.getcurrent().switch
        arrives, over = hub.loop.io(self._poll.fileno(), 1), hub.loop.timer(seconds)
        arrives.start(back)
        over.start(back, update=True)
        try:
            hub.switch()
        finally:
            arrives.stop()
            over.stop()
            arrives.close()
            over.close()

    def _fold(self) -> None:
        if self._latencies or self._lags:
            self._sink.took(self._latencies, self._lags, self._bytes)
            self._latencies, self._lags, self._bytes = [], [], 0

    @abstractmethod
    def _send(self, due: float) -> bool:
        """Let a request leave; False when there is no way out for it now."""

    @abstractmethod
    def _full(self) -> bool:
        """Whether no request can leave before something arrives."""

    @abstractmethod
    def _arrived(self, fd: int) -> None:
        """A socket has something to say; what went wrong is said by reading it."""

    @abstractmethod
    def _expire(self, now: float) -> None:
        """Give up requests that have waited too long."""

    @abstractmethod
    def _in_flight(self) -> int:
        """Requests that have left and are neither answered nor given up."""

    @abstractmethod
    def _close(self) -> None:
        """Close every socket."""


class _Connection:
    """One connection and the request on it."""

    __slots__ = ("connected", "due", "fd", "part", "socket")

    def __init__(self, opened: plain.socket) -> None:
        self.socket = opened
        self.fd = opened.fileno()
        self.connected = False
        self.due = 0.0
        """When the request on it was due; 0 while there is none."""
        self.part = b""
        """What has arrived of a response that is not yet all there."""


class HttpSchedule(Schedule):
    """GET requests over connections that are kept; one request at a time on each, the last used first.

    A request for which no connection is free opens another, up to `connections`; the connecting counts.
    """

    def __init__(
        self, host: str, port: int, path: str, *, rate: float, connections: int, timeout: float, sink: Sink
    ) -> None:
        """Nothing is opened yet. `host` is an IPv4 address."""
        super().__init__(rate=rate, timeout=timeout, sink=sink)
        self._to, self._most = (host, port), connections
        self._request = f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode()
        self._open: dict[int, _Connection] = {}
        self._idle: list[_Connection] = []

    def _send(self, due: float) -> bool:
        if not self._idle:
            return self._connect(due)
        connection = self._idle.pop()
        connection.due = due
        try:
            connection.socket.send(self._request)
        except OSError as error:
            self._give_up(connection, _reason(error))
        return True

    def _connect(self, due: float) -> bool:
        if len(self._open) >= self._most:
            return False
        opened = Socket(_AF_INET, _STREAM)
        opened.setblocking(False)
        opened.setsockopt(_TCP, _NODELAY, 1)
        connection = _Connection(opened)
        connection.due = due
        self._open[connection.fd] = connection
        code = opened.connect_ex(self._to)
        if code not in (0, errno.EINPROGRESS):
            self._give_up(connection, _reason(OSError(code, "")), registered=False)
            return True
        self._poll.register(connection.fd, _OUT)
        return True

    def _full(self) -> bool:
        return not self._idle and len(self._open) >= self._most

    def _arrived(self, fd: int) -> None:
        connection = self._open.get(fd)
        if connection is None:
            return  # closed by an earlier event of the same poll
        try:
            if not connection.connected:
                self._connected(connection)
            else:
                self._read(connection)
        except (OSError, NotHttpError) as error:
            self._give_up(connection, _reason(error))

    def _connected(self, connection: _Connection) -> None:
        if code := connection.socket.getsockopt(1, 4):  # SOL_SOCKET, SO_ERROR: how the connecting ended
            raise OSError(code, "")
        connection.connected = True
        self._poll.modify(connection.fd, _IN)
        connection.socket.send(self._request)

    def _read(self, connection: _Connection) -> None:
        data = connection.socket.recv(_READ)
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

    def _give_up(self, connection: _Connection, why: str, *, registered: bool = True) -> None:
        if connection.due:
            self._sink.failed(why)
        elif connection in self._idle:
            self._idle.remove(connection)
        self._forget(connection, registered=registered)

    def _forget(self, connection: _Connection, *, registered: bool = True) -> None:
        if registered:
            self._poll.unregister(connection.fd)
        del self._open[connection.fd]
        connection.socket.close()

    def _expire(self, now: float) -> None:
        for connection in [c for c in self._open.values() if c.due and now - c.due > self._timeout]:
            self._give_up(connection, "timeout")

    def _in_flight(self) -> int:
        return sum(connection.due > 0 for connection in self._open.values())

    def _close(self) -> None:
        for connection in self._open.values():
            connection.socket.close()


class UdpSchedule(Schedule):
    """agnhost's `echo N` as datagrams, over several source ports, since a flow of one is tied to one backend."""

    def __init__(self, host: str, port: int, *, rate: float, connections: int, timeout: float, sink: Sink) -> None:
        """Opens `connections` sockets. `OSError` when that cannot be."""
        super().__init__(rate=rate, timeout=timeout, sink=sink)
        self._sockets: dict[int, plain.socket] = {}
        self._ring: list[plain.socket] = []
        self._waiting: dict[int, float] = {}
        for _ in range(connections):
            opened = Socket(_AF_INET, _DATAGRAM)
            opened.setblocking(False)
            opened.connect((host, port))
            self._sockets[opened.fileno()] = opened
            self._ring.append(opened)
            self._poll.register(opened.fileno(), _IN)

    def _send(self, due: float) -> bool:
        number = self._number
        self._waiting[number] = due
        try:
            self._ring[number % len(self._ring)].send(b"echo %d" % number)
        except OSError as error:  # a refusal that an earlier datagram met, or no buffer
            del self._waiting[number]
            self._sink.failed(_reason(error))
        return True

    def _full(self) -> bool:
        return False

    def _arrived(self, fd: int) -> None:
        read = self._sockets[fd].recv
        try:
            while True:
                data = read(2048)
                due = self._waiting.pop(int(data), 0.0) if data.isdigit() else 0.0
                if due:
                    self._latencies.append(time.monotonic() - due)
                    self._bytes += len(data)
        except BlockingIOError:
            return
        except OSError:
            return  # an ICMP refusal: whose it was is not told, so its request runs into its timeout

    def _expire(self, now: float) -> None:
        late = now - self._timeout
        for number, due in list(self._waiting.items()):  # in the order in which they were due
            if due > late:
                return
            del self._waiting[number]
            self._sink.failed("timeout")

    def _in_flight(self) -> int:
        return len(self._waiting)

    def _close(self) -> None:
        for opened in self._ring:
            opened.close()


def _reason(error: Exception) -> str:
    """A name for what went wrong, the same each time."""
    if isinstance(error, OSError) and error.errno:
        return errno.errorcode.get(error.errno, str(error.errno))
    return str(error) or type(error).__name__
