"""When is an address first answered for by ARP, when last, and when does it first serve HTTP with a 200?

A prober asks for addresses again and again until something becomes true of each. What it may spend is bounded: a turn
every few milliseconds, in which a fixed number of addresses are asked in rotation. With few addresses each is asked in
every turn; with many the steps are longer, and how long they were is told with a finding.

ARP requests are packed frames (RFC 826) with an address and a hardware address of the prober's own, so that no kernel
keeps a neighbour entry because of it. Only a unicast reply to that hardware address is an answer, at the kernel's time
of its arrival: an announcement is none. An HTTP attempt is begun whether or not the one before it has ended, since a
connection request that came too early is sent again by the kernel only after a second (RFC 6298), and a client that
waited for that would measure it.

`python -m lbproof_perf.probes.services SOCKET MAC ADDRESS PORT PATH`, in the namespace to ask from; the inherited
socket hears replies to MAC alone (`arp_frames.opened`). It reads `VERB ADDRESS` a line and ends with its input; a
finding is a JSON row.

- `first`: ask by ARP until it is answered: `["first", address, moment, step, mac]`, `step` being the seconds since the
  request before the one that was answered (since the first where that was the one): so much earlier the answerer may
  have been there.
- `last`: ask by ARP until it was silent for a while: the same with `still` when it is first answered, which says that
  it is watched; then `["last", address, moment or null, step]`, `step` being the seconds to the next request, which
  stayed unanswered.
- `http`: ask by HTTP until a 200: `["http", address, moment, step]`, `step` being the seconds from the beginning of the
  attempt that succeeded.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import os
import select
import socket
import sys
import time
from collections import OrderedDict
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TypeVar

from lbproof.witnesses.frames import encode, request
from lbproof_perf.probes.arp_frames import FRAME_BYTES, SENDER, SENDER_MAC, TARGET
from lbproof_perf.probes.attempts import Attempts
from lbproof_perf.probes.timestamps import clock_offset, stamped

ARP_TURN, ARP_BATCH = 0.005, 10
"""Seconds between two turns, and requests a turn at most: 2,000 a second, a few per cent of a core."""
HTTP_TURN, HTTP_BATCH = 0.01, 8
"""Likewise: 800 attempts a second."""
HTTP_LIFE = 0.4
"""Seconds that an attempt may take."""
QUIET, SILENT_ASKS = 0.3, 4
"""Seconds and requests in a row without an answer after which an address is silent."""

K = TypeVar("K")
V = TypeVar("V")


class Turns(OrderedDict[K, V]):
    """Who is asked in the next turn: all keys in rotation, at most so many a turn, none twice in one."""

    def __init__(self, most: int) -> None:
        """`most` are asked in a turn."""
        super().__init__()
        self._most = most

    def add(self, key: K, state: V) -> None:
        """Ask for it too, before the others; one that is in stays where it is."""
        new = key not in self
        self[key] = state
        if new:
            self.move_to_end(key, last=False)

    def turn(self) -> list[K]:
        """Those of the next turn."""
        found = list(itertools.islice(self, self._most))
        for key in found:
            self.move_to_end(key)
        return found


@dataclass(slots=True, kw_only=True)
class _Address:
    """What is known of an address that is asked for."""

    last: bool
    """Its last answer is wanted, else its first."""
    asked: float = 0.0
    asked_before: float = 0.0
    answered: float | None = None
    first_unanswered: float = 0.0
    """The first request since the last answer."""
    unanswered: int = 0


class Asking(Turns[bytes, _Address]):
    """What is asked by ARP and what was found; no socket and no clock in it. Addresses are four bytes."""

    def begin(self, address: bytes, *, last: bool) -> None:
        """Ask for the first answer, or for the last."""
        self.add(address, _Address(last=last))

    def ask(self, now: float) -> tuple[list[bytes], list[tuple[bytes, float | None, float]]]:
        """Whom to ask now, and which have gone silent: (address, its last answer or None, step)."""
        asked: list[bytes] = []
        silent: list[tuple[bytes, float | None, float]] = []
        for address in self.turn():
            state = self[address]
            if state.last and state.unanswered >= SILENT_ASKS and now - state.first_unanswered >= QUIET:
                since = state.first_unanswered if state.answered is None else state.answered
                silent.append((address, state.answered, state.first_unanswered - since))
                del self[address]
                continue
            state.asked_before, state.asked = state.asked, now
            state.first_unanswered = state.first_unanswered if state.unanswered else now
            state.unanswered += 1
            asked.append(address)
        return asked, silent

    def heard(self, address: bytes, now: float) -> tuple[str, float] | None:
        """An answer came; gives what to call it (`first` or `still`) and the step where it was the first."""
        state = self.get(address)
        if state is None:
            return None
        again, state.answered, state.unanswered = state.answered is not None, now, 0
        if not state.last:
            del self[address]
        return None if again else ("still" if state.last else "first", now - (state.asked_before or state.asked))


class ServiceProber:
    """The loop of both protocols, over one epoll."""

    def __init__(self, wire: socket.socket, mac: str, address: str, port: int, path: str) -> None:
        """Ask by ARP at `wire`, from `mac` and `address`, and by HTTP for `path` at `port`."""
        self._wire, self._port = wire, port
        self._frame = encode(request(mac=mac, address=ip_address(address), target=ip_address(address)))
        self._poll = select.epoll()
        self._poll.register(wire, select.EPOLLIN)
        self._arp = Asking(ARP_BATCH)
        self._http: Turns[str, None] = Turns(HTTP_BATCH)
        self._attempts: Attempts[str] = Attempts(self._poll, path, life=HTTP_LIFE)

    def serve(self) -> None:
        """Ask until the end of the standard input."""
        stdin, rest = sys.stdin.fileno(), b""
        os.set_blocking(stdin, False)
        self._poll.register(stdin, select.EPOLLIN)
        arp_due = http_due = time.monotonic()
        while True:
            busy = ((arp_due, self._arp), (http_due, self._http or self._attempts))
            dues = [due for due, asked in busy if asked]
            for descriptor, _ in self._poll.poll(max(0.0, min(dues) - time.monotonic()) if dues else None):
                if descriptor == self._wire.fileno():
                    self._hear_arp()
                elif descriptor != stdin:
                    self._hear_http(descriptor)
                elif chunk := os.read(stdin, 1 << 16):
                    *lines, rest = (rest + chunk).split(b"\n")
                    for line in lines:
                        self._begin(*line.decode().split())
                else:
                    return
            if (now := time.monotonic()) >= arp_due:
                arp_due = now + ARP_TURN
                self._ask_arp(now)
            if now >= http_due:
                http_due = now + HTTP_TURN
                self._ask_http(now)
            sys.stdout.flush()

    def _begin(self, verb: str, address: str) -> None:
        if verb == "http":
            self._http.add(address, None)
        else:
            self._arp.begin(socket.inet_aton(address), last=verb == "last")

    def _ask_arp(self, now: float) -> None:
        asked, silent = self._arp.ask(now)
        for target in asked:
            self._wire.send(self._frame[: TARGET.start] + target + self._frame[TARGET.stop :])
        for target, moment, step in silent:
            tell("last", socket.inet_ntoa(target), moment, step)

    def _hear_arp(self) -> None:
        offset = clock_offset()  # anew each time: a prober lives for hours, in which the wall clock may be set
        with contextlib.suppress(BlockingIOError):  # no more frames wait
            while True:
                frame, at, _ = stamped(self._wire, offset)
                if len(frame) < FRAME_BYTES:
                    continue
                sender = frame[SENDER]
                if found := self._arp.heard(sender, at):
                    verb, step = found
                    tell(verb, socket.inet_ntoa(sender), at, step, frame[SENDER_MAC].hex(":"))

    def _ask_http(self, now: float) -> None:
        self._attempts.expire(now)
        for address in self._http.turn():
            self._attempts.begin(address, address, self._port, now)

    def _hear_http(self, descriptor: int) -> None:
        done = self._attempts.go_on(descriptor)
        if done and not math.isnan(done.answered) and done.key in self._http:
            del self._http[done.key]
            tell("http", done.key, done.answered, done.answered - done.began)


def tell(*row: object) -> None:
    """Write a finding."""
    sys.stdout.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    number, own_mac, own_address, to_port, to_path = sys.argv[1:]
    with socket.socket(fileno=int(number)) as inherited:
        ServiceProber(inherited, own_mac, own_address, int(to_port), to_path).serve()
