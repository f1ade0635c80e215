"""The open-loop probe: one process that asks on a schedule, whatever becomes of what it asked before.

Three streams to one address: UDP echo, new TCP connections with an HTTP request each, and an ARP census. Every sample
carries the moment at which it was meant to leave, so that a stall, of the server or of the probe itself, is seen at its
full length. The census asks from a hardware and an IP address of its own: its answers touch no neighbour table, least
of all that of the client whose traffic is being measured.

`python -m lbproof_perf.outage_probe.sender ADDRESS …` writes records (`records.py`) until SIGTERM; it then waits for
what is under way, at most the timeout.
"""

from __future__ import annotations

import argparse
import errno
import math
import os
import select
import signal
import socket
import time
from dataclasses import dataclass, field
from typing import IO

from lbproof.witnesses.frames import ETHERTYPE_ARP, decode, encode, request
from lbproof_perf.outage_probe.records import RECORD, Kind
from lbproof_perf.probes.timestamps import ROOM, arrived, clock_offset, stamp

TIMEOUT = 1.0
"""Seconds after which a probe counts as lost."""
_LONGEST = 3600.0
_FLUSH = 0.02
"""Seconds that a record waits for others."""
_PENDING = frozenset({errno.EINPROGRESS, errno.EAGAIN})
_NEVER = (math.nan, math.nan, math.nan)


class Out:
    """Records on their way to the standard output, a batch at a time."""

    def __init__(self, file: IO[bytes]) -> None:
        """Nothing is written yet."""
        self._file = file
        self._buffer = bytearray()
        self._flushed = 0.0

    def put(self, kind: Kind, index: int, *moments: float, who: int = -1) -> None:
        """Add one, with up to three moments."""
        self._buffer += RECORD.pack(kind, who, index, *moments, *_NEVER[len(moments) :])

    def flush(self, now: float, *, force: bool = False) -> None:
        """Write what has waited long enough."""
        if self._buffer and (force or now - self._flushed >= _FLUSH):
            self._file.write(self._buffer)
            self._file.flush()
            self._buffer.clear()
            self._flushed = now


class Numbers:
    """Hardware addresses by number, told to the reader when first met."""

    def __init__(self, out: Out) -> None:
        """None is known."""
        self._out = out
        self._known: dict[bytes, int] = {}

    def of(self, mac: bytes) -> int:
        """The number of a hardware address of six bytes."""
        number = self._known.get(mac)
        if number is None:
            number = self._known[mac] = len(self._known)
            self._out.put(Kind.NEW, int.from_bytes(mac[:4]), float(int.from_bytes(mac[4:])), who=number)
        return number


def stamped(sock: socket.socket, offset: float, size: int = 2048) -> tuple[bytes, float, int]:
    """One frame of a packet socket that stamps: its bytes, the monotonic moment of arrival, its packet type."""
    data, ancillary, _, address = sock.recvmsg(size, ROOM)
    return data, arrived(ancillary) / 1e9 - offset, address[2]


def packet_socket(interface: str, ethertype: int) -> socket.socket:
    """A packet socket with the kernel's time stamps, deaf until it is bound."""
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    stamp(made)
    made.bind((interface, ethertype))
    return made


def hurry() -> None:
    """Come before other work, as far as this user may: a probe that waits its turn is noise of the machine's."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(2))
    except PermissionError:
        return  # the jitter log beside it says what that costs


@dataclass(slots=True)
class _Beat:
    """When a stream is due."""

    period: float
    due: float
    index: int = 0

    def step(self) -> None:
        self.index += 1
        self.due += self.period


@dataclass(slots=True)
class _Connection:
    """A TCP request under way."""

    sock: socket.socket
    index: int
    due: float
    connected: float = math.nan
    answer: bytearray = field(default_factory=bytearray)


class Probe:
    """The three streams."""

    def __init__(self, asked: argparse.Namespace, out: Out) -> None:
        """Open the sockets; the first probe leaves a moment later."""
        self._asked, self._out = asked, out
        self._to = (asked.address, asked.port)
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._udp.connect(self._to)
        self._waiting: dict[int, tuple[float, float]] = {}
        self._connections: dict[int, _Connection] = {}
        self._poll = select.epoll()
        self._arp: socket.socket | None = None
        if asked.census:
            self._arp = packet_socket(asked.interface, ETHERTYPE_ARP)
            mac, address = asked.census.split(",")
            self._mac = mac
            self._question = encode(request(mac=mac, address=address, target=asked.address))
        self._numbers = Numbers(out)
        self._offset = clock_offset()
        begin = max(asked.begin, time.monotonic() + 0.01)
        periods = (asked.udp_period, asked.tcp_period, asked.census_period if asked.census else 0.0)
        self._beats = [_Beat(period, begin + at * 0.000_37) if period else None for at, period in enumerate(periods)]

    def run(self) -> None:
        """Ask until `stop`, then wait for what is under way."""
        self._stopping = False
        signal.signal(signal.SIGTERM, self.stop)
        until = time.monotonic() + _LONGEST
        while not self._stopping and time.monotonic() < until:
            self._turn(asking=True)
        until = time.monotonic() + TIMEOUT
        while (self._waiting or self._connections) and time.monotonic() < until:
            self._turn(asking=False)
        self._expire(math.inf)
        self._out.flush(0, force=True)

    def stop(self, *_: object) -> None:
        """Ask no more."""
        self._stopping = True

    def _turn(self, *, asking: bool) -> None:
        now = time.monotonic()
        due = now + _FLUSH
        if asking:
            for beat, ask in zip(self._beats, (self._ask_udp, self._ask_tcp, self._ask_arp), strict=True):
                while beat and beat.due <= now:
                    ask(beat)
                    beat.step()
                if beat:
                    due = min(due, beat.due)
        listening: list[socket.socket | select.epoll] = [self._udp, self._poll, *([self._arp] if self._arp else [])]
        ready = select.select(listening, [], [], max(0.0, due - time.monotonic()))[0]
        if self._udp in ready:
            self._hear_udp()
        if self._arp in ready:
            self._hear_arp()
        if self._poll in ready:
            self._hear_tcp()
        now = time.monotonic()
        self._expire(now)
        self._out.flush(now)

    def _ask_udp(self, beat: _Beat) -> None:
        self._waiting[beat.index] = (beat.due, time.monotonic())
        try:
            self._udp.send(b"echo %d" % beat.index)
        except OSError:
            return  # no route, or a refusal of an earlier one: it stays unanswered, which is what is counted

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
                self._out.put(Kind.UDP, int(data), *found, now)

    def _ask_tcp(self, beat: _Beat) -> None:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        code = sock.connect_ex(self._to)
        if code and code not in _PENDING:
            sock.close()
            self._out.put(Kind.TCP, beat.index, beat.due)
            return
        self._connections[sock.fileno()] = _Connection(sock, beat.index, beat.due)
        self._poll.register(sock, select.EPOLLOUT)

    def _hear_tcp(self) -> None:
        for number, _ in self._poll.poll(0):
            one = self._connections.get(number)
            if one is None:
                continue
            try:
                self._go_on(one, number)
            except OSError:
                self._close(one, math.nan)

    def _go_on(self, one: _Connection, number: int) -> None:
        if math.isnan(one.connected):
            if code := one.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise OSError(code, os.strerror(code))
            one.connected = time.monotonic()
            one.sock.send(b"GET /hostname HTTP/1.0\r\n\r\n")
            self._poll.modify(number, select.EPOLLIN)
            return
        data = one.sock.recv(4096)
        one.answer += data
        if one.answer.startswith((b"HTTP/1.0 200", b"HTTP/1.1 200")):
            self._close(one, time.monotonic())
        elif not data:
            self._close(one, math.nan)

    def _close(self, one: _Connection, answered: float) -> None:
        del self._connections[one.sock.fileno()]
        one.sock.close()
        self._out.put(Kind.TCP, one.index, one.due, one.connected, answered)

    def _ask_arp(self, beat: _Beat) -> None:
        if self._arp:
            self._out.put(Kind.ASK, beat.index, beat.due, time.monotonic())
            try:
                self._arp.send(self._question)
            except OSError:
                return  # our own link is down: nobody answers

    def _hear_arp(self) -> None:
        while self._arp:
            try:
                data, at, _ = stamped(self._arp, self._offset)
            except OSError:
                return
            frame = decode(data)
            if frame and frame.sender_ip == self._asked.address and frame.ether_dst == self._mac:
                mac = bytes.fromhex(frame.sender_mac.replace(":", ""))
                self._out.put(Kind.ANSWER, 0, at, who=self._numbers.of(mac))

    def _expire(self, now: float) -> None:
        for index, (due, sent) in list(self._waiting.items()):  # in the order in which they left
            if now - sent < TIMEOUT:
                break
            del self._waiting[index]
            self._out.put(Kind.UDP, index, due, sent)
        for one in list(self._connections.values()):
            if now - one.due < TIMEOUT:
                break
            self._close(one, math.nan)


def main() -> None:
    """Probe until SIGTERM, or for an hour."""
    parser = argparse.ArgumentParser(description="Ask an address all the time, on a schedule.")
    parser.add_argument("address")
    parser.add_argument("--port", type=int, default=80)
    parser.add_argument("--interface", default="eth0")
    parser.add_argument("--udp-period", type=float, default=0.001, help="seconds between two UDP probes; 0: none")
    parser.add_argument("--tcp-period", type=float, default=0.01, help="seconds between two connections; 0: none")
    parser.add_argument("--census-period", type=float, default=0.01, help="seconds between two ARP requests")
    parser.add_argument("--census", default="", help="MAC,IP that the ARP requests come from; empty: none are sent")
    parser.add_argument("--begin", type=float, default=0.0, help="time.monotonic() of the first probe")
    asked = parser.parse_args()
    hurry()
    with os.fdopen(1, "wb", closefd=False) as file:
        Probe(asked, Out(file)).run()


if __name__ == "__main__":
    main()
