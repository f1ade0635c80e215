"""The open-loop probe: one process that asks on a schedule, whatever becomes of what it asked before.

Three streams to one address: UDP echo, new TCP connections with an HTTP request each, and an ARP census. Every sample
carries the moment at which it was meant to leave, so that a stall, of the server or of the probe itself, is seen at its
full length. The census asks from a hardware and an IP address of its own: its answers touch no neighbour table, least
of all that of the client whose traffic is being measured.

`python -m lbproof_perf.outage_probe.sender JSON`, the fields of `Sending`, writes records (`records.py`) until SIGTERM;
it then waits for what is under way, at most the timeout.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import select
import signal
import socket
import sys
import time
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING

from lbproof.witnesses.frames import encode, request
from lbproof_perf.outage_probe.records import Kind, Out
from lbproof_perf.probes.arp_frames import FRAME_BYTES, SENDER, SENDER_MAC
from lbproof_perf.probes.attempts import Attempt, Attempts
from lbproof_perf.probes.timestamps import clock_offset, stamped

if TYPE_CHECKING:
    from collections.abc import Callable

TIMEOUT = 1.0
"""Seconds after which a probe counts as lost."""
_LONGEST = 3600.0
_LOOK = 0.02
"""Seconds between two looks at what has waited too long, where nothing is due."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """What is asked. Periods are seconds between two samples; 0 leaves a stream out."""

    address: str
    port: int
    begin: float
    """`time.monotonic()` of the first probe; 0 for at once."""
    udp: float
    tcp: float
    census: float
    census_from: tuple[str, str] | None = None
    """MAC and IPv4 address that the census asks from."""
    descriptor: int = 0
    """Socket that hears ARP replies to that MAC (`arp_frames.opened`)."""


@dataclass(slots=True, kw_only=True)
class _Stream:
    """When one stream is due."""

    ask: Callable[[int, float], None]
    """Sends the sample of a number and a moment."""
    period: float
    due: float
    index: int = 0


class Probe:
    """The three streams."""

    def __init__(self, asked: Sending, out: Out) -> None:
        """Open the sockets; the first probe leaves a moment later."""
        self._asked, self._out, self._poll = asked, out, select.epoll()
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._udp.connect((asked.address, asked.port))
        self._poll.register(self._udp, select.EPOLLIN)
        self._waiting: dict[int, tuple[float, float]] = {}
        self._tcp: Attempts[int] = Attempts(self._poll, "/hostname", life=TIMEOUT)
        self._arp: socket.socket | None = None
        if asked.census_from:
            self._arp = socket.socket(fileno=asked.descriptor)
            self._poll.register(self._arp, select.EPOLLIN)
            mac, address = asked.census_from
            target = ip_address(asked.address)
            self._target = target.packed
            self._question = encode(request(mac=mac, address=ip_address(address), target=target))
        self._offset = clock_offset()
        begin = max(asked.begin, time.monotonic() + 0.01)
        streams = ((asked.udp, self._ask_udp), (asked.tcp, self._ask_tcp), (asked.census, self._ask_arp))
        self._streams = [
            _Stream(ask=ask, period=period, due=begin + at * 0.000_37)
            for at, (period, ask) in enumerate(streams)
            if period and (self._arp or ask != self._ask_arp)
        ]
        self._stopping = False

    def run(self) -> None:
        """Ask until SIGTERM, or for an hour; then wait for what is under way."""
        signal.signal(signal.SIGTERM, self._stop)
        until = time.monotonic() + _LONGEST
        while not self._stopping and time.monotonic() < until:
            self._turn(asking=True)
        until = time.monotonic() + TIMEOUT
        while (self._waiting or self._tcp) and time.monotonic() < until:
            self._turn(asking=False)
        self._expire(math.inf)
        self._out.flush(0, force=True)

    def _stop(self, *_: object) -> None:
        self._stopping = True

    def _turn(self, *, asking: bool) -> None:
        now = time.monotonic()
        due = now + _LOOK
        for stream in self._streams if asking else ():
            while stream.due <= now:
                stream.ask(stream.index, stream.due)
                stream.index += 1
                stream.due += stream.period
            due = min(due, stream.due)
        for descriptor, _ in self._poll.poll(max(0.0, due - time.monotonic())):
            if descriptor == self._udp.fileno():
                self._hear_udp()
            elif self._arp and descriptor == self._arp.fileno():
                self._hear_arp(self._arp)
            elif done := self._tcp.go_on(descriptor):
                self._tcp_done(done)
        now = time.monotonic()
        self._expire(now)
        self._out.flush(now)

    def _ask_udp(self, index: int, due: float) -> None:
        self._waiting[index] = (due, time.monotonic())
        with contextlib.suppress(OSError):  # no route, or an earlier one was refused: unanswered, which is counted
            self._udp.send(b"echo %d" % index)

    def _hear_udp(self) -> None:
        while True:
            try:
                data = self._udp.recv(64)
            except BlockingIOError:
                return
            except OSError:
                continue  # an ICMP error of an earlier probe
            now = time.monotonic()
            if data.isdigit() and (found := self._waiting.pop(int(data), None)):
                self._out.put(Kind.UDP, *found, now)

    def _ask_tcp(self, index: int, due: float) -> None:
        if not self._tcp.begin(index, self._asked.address, self._asked.port, due):
            self._out.put(Kind.TCP, due)

    def _tcp_done(self, done: Attempt[int]) -> None:
        self._out.put(Kind.TCP, done.began, done.connected, done.answered)

    def _ask_arp(self, _: int, due: float) -> None:
        self._out.put(Kind.ASK, due, time.monotonic())
        with contextlib.suppress(OSError):  # our own link is down: nobody answers
            if self._arp:
                self._arp.send(self._question)

    def _hear_arp(self, wire: socket.socket) -> None:
        with contextlib.suppress(OSError):  # no more wait, or our own link is down
            while True:
                data, at, _ = stamped(wire, self._offset)
                if len(data) >= FRAME_BYTES and data[SENDER] == self._target:
                    self._out.put(Kind.ANSWER, at, mac=data[SENDER_MAC])

    def _expire(self, now: float) -> None:
        for index, (due, sent) in list(self._waiting.items()):  # in the order in which they left
            if now - sent < TIMEOUT:
                break
            del self._waiting[index]
            self._out.put(Kind.UDP, due, sent)
        for done in self._tcp.expire(now):
            self._tcp_done(done)


def hurry() -> None:
    """Come before other work, as far as this user may: a probe that waits its turn is noise of the machine's."""
    with contextlib.suppress(PermissionError):  # the jitter log beside it says what that costs
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(2))


if __name__ == "__main__":
    hurry()
    with os.fdopen(1, "wb", closefd=False) as stdout:
        Probe(Sending(**json.loads(sys.argv[1])), Out(stdout)).run()
