"""Task `streams`: three open-loop streams of samples to one address, each sent on schedule, answered or not.

UDP echo, new TCP connections with an HTTP request each, and a census: neighbour requests. Every sample has the moment
at which it was due, so that a stall, of the server or of the task itself, is measured at its full length. The census
asks from addresses of its own: its replies change no neighbour table, least of all that of the vantage.

Arguments: `host` (address), `port`, `path`; `begin`, the moment of the first samples, 0 for at once; `udp`, `tcp` and
`census`, seconds between two samples, 0 for none; `question` and `replies`, the frame of the census in base64 and the
object of `lbproof.probe.replies`, null without a census; `timeout`, seconds after which a sample is lost.
Records: rows of the first four kinds of `lbproof.probe.rows`. Ready when the sockets are open. When it is cancelled, it
waits for the pending samples. Runs with real-time priority.
"""

from __future__ import annotations

import contextlib
import math
import select
import socket
import struct
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lbproof.probe import replies
from lbproof.probe.attempts import Attempt, Attempts
from lbproof.probe.connection import family_of
from lbproof.probe.priority import real_time
from lbproof.probe.protocol import bytes_of
from lbproof.probe.rows import Kind, Rows

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lbproof.probe.packets import PacketSocket
    from lbproof.probe.task import Task

_LOOK = 0.02
"""Seconds between two looks at what has waited too long, where nothing is due."""
_APART = 0.000_37
"""Seconds between the schedules of the streams, which would be due at the same moments otherwise."""
_ROOM = 4 << 20
"""Receive buffer of the UDP socket in bytes; the kernel's default overflows after a stall of 0.3 s."""
_SO_RCVBUFFORCE, _SO_MEMINFO = 33, 55  # <asm-generic/socket.h>
_MEMINFO = struct.Struct("=9I")
"""The last one is the number of datagrams that the kernel dropped (SK_MEMINFO_DROPS of <linux/sock_diag.h>)."""


@dataclass(slots=True, kw_only=True)
class _Schedule:
    """When one stream is due."""

    ask: Callable[[int, float], None]
    """Send the sample of a number and a moment."""
    period: float
    due: float
    index: int = 0


def run(task: Task) -> None:
    """Send until it is cancelled, then wait for the pending samples."""
    real_time()
    with ExitStack() as opened:
        asked = task.arguments
        wire = opened.enter_context(replies.opened(asked["replies"])) if asked["replies"] else None
        udp = opened.enter_context(_udp_socket(asked["host"], asked["port"]))
        poll = opened.enter_context(select.epoll())
        streams = _Streams(task, poll, udp, wire)
        task.ready()
        while not task.stopping:
            streams.turn(asking=True)
        poll.unregister(task.fileno())
        until = time.monotonic() + asked["timeout"]
        while streams.pending and time.monotonic() < until:
            streams.turn(asking=False)
        streams.turn(asking=False)  # what has arrived in time when the task itself was late
        streams.end()
        task.dropped = _MEMINFO.unpack(udp.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size))[-1]
        task.dropped += wire.count_dropped() if wire else 0


def _udp_socket(host: str, port: int) -> socket.socket:
    made = socket.socket(family_of(host), socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        made.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _ROOM)
        made.connect((host, port))
    except BaseException:
        made.close()
        raise
    return made


class _Streams:
    """State of the three streams."""

    def __init__(self, task: Task, poll: select.epoll, udp: socket.socket, wire: PacketSocket | None) -> None:
        asked: Mapping[str, Any] = task.arguments
        self._host, self._port, self._timeout = asked["host"], asked["port"], asked["timeout"]
        self._rows, self._poll, self._udp, self._wire = Rows(task), poll, udp, wire
        self._waiting: dict[int, tuple[float, float]] = {}
        self._tcp: Attempts[int] = Attempts(poll, asked["path"], life=self._timeout)
        for file in (task, udp, *((wire,) if wire else ())):
            poll.register(file, select.EPOLLIN)
        if wire:
            self._question, self._layout = bytes_of(asked["question"]), replies.Layout.of(asked["replies"])
            family = family_of(self._host)
            self._target = socket.inet_pton(family, self._host)
        begin = max(asked["begin"], time.monotonic() + 0.01)
        kinds = (("udp", self._ask_udp), ("tcp", self._ask_tcp), ("census", self._ask_neighbour))
        self._schedules = [
            _Schedule(ask=ask, period=asked[name], due=begin + at * _APART)
            for at, (name, ask) in enumerate(kinds)
            if asked[name] and (wire or name != "census")
        ]

    @property
    def pending(self) -> bool:
        """Whether a sample may still be answered."""
        return bool(self._waiting or self._tcp)

    def turn(self, *, asking: bool) -> None:
        """Send what is due, and handle what arrives until the next sample is."""
        now = time.monotonic()
        due = now + _LOOK
        for schedule in self._schedules if asking else ():
            while schedule.due <= now:
                schedule.ask(schedule.index, schedule.due)
                schedule.index += 1
                schedule.due += schedule.period
            due = min(due, schedule.due)
        for descriptor, _ in self._poll.poll(max(0.0, due - time.monotonic())):
            if descriptor == self._udp.fileno():
                self._receive_udp()
            elif self._wire and descriptor == self._wire.fileno():
                self._receive_replies(self._wire)
            elif done := self._tcp.handle_event(descriptor):
                self._end_tcp(done)
        self._expire(time.monotonic())
        self._rows.flush()

    def end(self) -> None:
        """Give up what is still pending."""
        self._expire(math.inf)
        self._rows.flush(force=True)

    def _ask_udp(self, index: int, due: float) -> None:
        self._waiting[index] = (due, time.monotonic())
        with contextlib.suppress(OSError):  # no route, or an earlier one was refused: unanswered, which is counted
            self._udp.send(b"echo %d" % index)

    def _receive_udp(self) -> None:
        while True:
            try:
                data = self._udp.recv(64)
            except BlockingIOError:
                return
            except OSError:
                continue  # an ICMP error of an earlier probe
            now = time.monotonic()
            if data.isdigit() and (found := self._waiting.pop(int(data), None)):
                self._rows.put(Kind.UDP, *found, now)

    def _ask_tcp(self, index: int, due: float) -> None:
        if not self._tcp.begin(index, self._host, self._port, due):
            self._rows.put(Kind.TCP, due)

    def _end_tcp(self, done: Attempt[int]) -> None:
        self._rows.put(Kind.TCP, done.began, done.connected, done.answered)

    def _ask_neighbour(self, _: int, due: float) -> None:
        self._rows.put(Kind.ASK, due, time.monotonic())
        with contextlib.suppress(OSError):  # the vantage's own link is down: nobody answers
            if self._wire:
                self._wire.send(self._question)

    def _receive_replies(self, wire: PacketSocket) -> None:
        with contextlib.suppress(OSError):  # no more wait, or the vantage's own link is down
            while True:
                at, _, data = wire.receive(replies.REPLY_BYTES)
                if data[self._layout.target] == self._target:
                    self._rows.put(Kind.ANSWER, at, mac=data[self._layout.mac])

    def _expire(self, now: float) -> None:
        for index, (due, sent) in list(self._waiting.items()):  # in the order in which they left
            if now - sent < self._timeout:
                break
            del self._waiting[index]
            self._rows.put(Kind.UDP, due, sent)
        for done in self._tcp.expire(now):
            self._end_tcp(done)
