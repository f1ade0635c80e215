"""Task `availability`: first and last neighbour reply of addresses, and first HTTP 200.

It asks for addresses again and again until something becomes true of each. What it may spend is bounded: a turn every
few milliseconds, in which a fixed number of addresses are asked in rotation. With few addresses each is asked in every
turn; with many the steps are longer, and how long they were is in the record.

Only a unicast reply to the requests' own hardware address is an answer, at the kernel's time of its arrival: an
announcement is none. An HTTP attempt is begun whether or not the one before it has ended, since the kernel retransmits
a connection request that came too early only after a second (RFC 6298), and a client that waited for that would measure
it.

Arguments: `replies`, a list of objects of `lbproof.probe.replies`, one for each length of an address; `port` and `path`
of the HTTP requests. Ready when its sockets are open, until it is cancelled; it fails (ENOBUFS) when the kernel dropped
replies, since a moment found after that may be wrong. It is told `[verb, address, frame]`, with
the base64 of the neighbour request, or null for `http`.

- `first`: ask until it is answered: `["first", address, moment, step, mac]`, `step` being the seconds since the request
  before the one that was answered (since the first where that was the one): so much earlier it may have been true.
- `last`: ask until it was silent for a while: the same with `still` when it is first answered, which says that it is
  watched; then `["last", address, moment or null, step]`, `step` being the seconds to the next request, which stayed
  unanswered.
- `http`: ask by HTTP until a 200: `["http", address, moment, step]`, `step` being the seconds from the beginning of the
  attempt that succeeded.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import math
import select
import socket
import time
from collections import OrderedDict
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from lbproof.probe import replies
from lbproof.probe.attempts import Attempts
from lbproof.probe.connection import family_of
from lbproof.probe.protocol import bytes_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lbproof.probe.packets import PacketSocket
    from lbproof.probe.task import Task

NEIGHBOUR_TURN, NEIGHBOUR_BATCH = 0.005, 10
"""Seconds between two turns, and requests a turn at most: 2,000 a second, a few per cent of a core."""
HTTP_TURN, HTTP_BATCH = 0.01, 8
"""Likewise: 800 attempts a second."""
HTTP_LIFE = 0.4
"""Seconds that an attempt may take."""
QUIET, SILENT_ASKS = 0.3, 4
"""Seconds and requests in a row without an answer after which an address is silent."""

K = TypeVar("K")
V = TypeVar("V")


class RoundRobin(OrderedDict[K, V]):
    """Keys with a state each, in rotation: batches of limited size, no key twice in a batch."""

    def __init__(self, most: int) -> None:
        """A batch has `most` keys."""
        super().__init__()
        self._most = most

    def add(self, key: K, state: V) -> None:
        """Add a key before the others, or replace the state of one that is there, which keeps its place."""
        new = key not in self
        self[key] = state
        if new:
            self.move_to_end(key, last=False)

    def next_batch(self) -> list[K]:
        """Return the keys of the next batch."""
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


class NeighbourRequests(RoundRobin[bytes, _Address]):
    """Schedule and results of the neighbour requests, without sockets or a clock. Addresses are packed."""

    def begin(self, address: bytes, *, last: bool) -> None:
        """Ask for the first answer, or for the last."""
        self.add(address, _Address(last=last))

    def ask(self, now: float) -> tuple[list[bytes], list[tuple[bytes, float | None, float]]]:
        """Return whom to ask now, and which have gone silent: (address, its last answer or None, step)."""
        asked: list[bytes] = []
        silent: list[tuple[bytes, float | None, float]] = []
        for address in self.next_batch():
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

    def answered(self, address: bytes, now: float) -> tuple[str, float] | None:
        """Take an answer; return what to call it (`first` or `still`) and the step where it was the first."""
        state = self.get(address)
        if state is None:
            return None
        again, state.answered, state.unanswered = state.answered is not None, now, 0
        if not state.last:
            del self[address]
        return None if again else ("still" if state.last else "first", now - (state.asked_before or state.asked))


def run(task: Task) -> None:
    """Ask until it is cancelled."""
    with ExitStack() as opened:
        wires = [(opened.enter_context(replies.opened(row)), row) for row in task.arguments["replies"]]
        poll = opened.enter_context(select.epoll())
        loop = _RequestLoop(task, poll, wires)
        task.ready()
        while not task.stopping:
            loop.turn()


class _RequestLoop:
    """The loop of both protocols, over one epoll."""

    def __init__(self, task: Task, poll: select.epoll, wires: list[tuple[PacketSocket, Mapping[str, Any]]]) -> None:
        self._task, self._poll, self._port = task, poll, task.arguments["port"]
        self._wires = {row["target"][1]: wire for wire, row in wires}
        self._layouts = {wire.fileno(): (wire, replies.Layout.of(row)) for wire, row in wires}
        poll.register(task, select.EPOLLIN)
        for wire in self._wires.values():
            poll.register(wire, select.EPOLLIN)
        self._frames: dict[bytes, bytes] = {}
        self._neighbours = NeighbourRequests(NEIGHBOUR_BATCH)
        self._http: RoundRobin[str, None] = RoundRobin(HTTP_BATCH)
        self._attempts: Attempts[str] = Attempts(poll, task.arguments["path"], life=HTTP_LIFE)
        self._neighbours_due = self._http_due = time.monotonic()

    def turn(self) -> None:
        """Wait for what arrives or is due, and handle it."""
        busy = ((self._neighbours_due, self._neighbours), (self._http_due, self._http or self._attempts))
        dues = [due for due, asked in busy if asked]
        self._task.flush()
        for descriptor, _ in self._poll.poll(max(0.0, min(dues) - time.monotonic()) if dues else None):
            if descriptor in self._layouts:
                self._receive_replies(*self._layouts[descriptor])
            elif descriptor == self._task.fileno():
                for message in self._task.messages():
                    self._begin(*message)
            else:
                self._receive_http(descriptor)
        if (now := time.monotonic()) >= self._neighbours_due:
            self._neighbours_due = now + NEIGHBOUR_TURN
            self._ask_neighbours(now)
        if now >= self._http_due:
            self._http_due = now + HTTP_TURN
            self._ask_http(now)

    def _begin(self, verb: str, address: str, frame: str | None) -> None:
        if verb == "http" or frame is None:
            self._http.add(address, None)
            return
        packed = socket.inet_pton(family_of(address), address)
        self._frames[packed] = bytes_of(frame)
        self._neighbours.begin(packed, last=verb == "last")

    def _ask_neighbours(self, now: float) -> None:
        asked, silent = self._neighbours.ask(now)
        for target in asked:
            self._wires[len(target)].send(self._frames[target])
        for target, moment, step in silent:
            self._task.emit(["last", _text(target), moment, step])

    def _receive_replies(self, wire: PacketSocket, layout: replies.Layout) -> None:
        with contextlib.suppress(BlockingIOError):  # no more frames wait
            while True:
                at, _, frame = wire.receive(replies.REPLY_BYTES)
                target = frame[layout.target]
                if found := self._neighbours.answered(target, at):
                    verb, step = found
                    self._task.emit([verb, _text(target), at, step, frame[layout.mac].hex(":")])
        if dropped := wire.count_dropped():  # after a drop there is always something to read
            raise OSError(errno.ENOBUFS, f"the kernel dropped {dropped} replies")

    def _ask_http(self, now: float) -> None:
        self._attempts.expire(now)
        for address in self._http.next_batch():
            self._attempts.begin(address, address, self._port, now)

    def _receive_http(self, descriptor: int) -> None:
        done = self._attempts.handle_event(descriptor)
        if done and not math.isnan(done.answered) and done.key in self._http:
            del self._http[done.key]
            self._task.emit(["http", done.key, done.answered, done.answered - done.began])


def _text(packed: bytes) -> str:
    return socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)  # noqa: PLR2004 - bytes
