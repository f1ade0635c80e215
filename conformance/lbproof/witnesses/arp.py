"""The witness ARP: who answers for an address, asked with frames of our own and not of the kernel.

A gratuitous frame is no answer: implementations send them for seconds after an assignment. What counts is a unicast
reply to the one who asked.
"""

from __future__ import annotations

import select
import threading
import time
from collections import deque
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from lbproof.witnesses.frames import ETHERTYPE_ARP, Frame, Op, decode, encode, request
from lbproof.witnesses.packets import LARGEST, heard, opened

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Sequence

    from lbproof.witnesses.vantage import Vantage

WAIT = 0.15
"""Seconds that an answer is waited for: on a segment it takes far under a millisecond, on a starved machine tens."""
_KEPT = 20_000
"""Frames that a listener keeps at the most; the oldest go first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A reply to a request of ours."""

    mac: str
    """Sender hardware address."""
    ether_src: str
    """Ethernet source, which is the same in a sound reply."""
    seconds: float


def _replies(wire: socket.socket, me: str, until: float) -> Iterator[Frame]:
    """Unicast replies to me that are no announcement, until a moment of `time.monotonic()`."""
    while (left := until - time.monotonic()) > 0:
        if not select.select([wire], [], [], left)[0]:
            return
        frame = decode(wire.recv(LARGEST), time.monotonic())
        if frame and frame.op == Op.REPLY and frame.ether_dst == me and not frame.gratuitous:
            yield frame


def ask(
    vantage: Vantage, target: str, *, wait: float = WAIT, count: int = 1, sender: str | None = None
) -> list[Answer]:
    """Ask `count` times who has an address, and give every answer that comes within `wait` seconds of each.

    All the time is waited for, so that a second node that answers is heard too. `sender` is the address that is asked
    from: the vantage's own by default, `0.0.0.0` for a probe (RFC 5227).
    """
    found: list[Answer] = []
    asking = encode(request(mac=vantage.mac, address=sender or vantage.address, target=target))
    with closing(opened(vantage, ETHERTYPE_ARP)) as wire:
        for _ in range(count):
            asked = time.monotonic()
            wire.send(asking)
            found += [
                Answer(mac=reply.sender_mac, ether_src=reply.ether_src, seconds=reply.t - asked)
                for reply in _replies(wire, vantage.mac, asked + wait)
                if reply.sender_ip == target
            ]
    return found


def sweep(vantage: Vantage, targets: Sequence[str], *, wait: float = WAIT) -> dict[str, set[str]]:
    """Ask for many addresses at once: address → the MACs that answered for it, empty where nobody did."""
    found: dict[str, set[str]] = {target: set() for target in targets}
    with closing(opened(vantage, ETHERTYPE_ARP)) as wire:
        for target in targets:
            wire.send(encode(request(mac=vantage.mac, address=vantage.address, target=target)))
        for reply in _replies(wire, vantage.mac, time.monotonic() + wait):
            if reply.sender_ip in found:
                found[reply.sender_ip].add(reply.sender_mac)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """Who answered when an address was asked for again and again."""

    asked: int
    answers: dict[str, int]
    """MAC → how many of the asks it answered."""
    unanswered: int
    doubly: int
    """Asks that more than one MAC answered."""


def census(vantage: Vantage, target: str, *, asks: int, over: float) -> Census:
    """Ask `asks` times, spread evenly over `over` seconds."""
    answers: dict[str, int] = {}
    unanswered = doubly = 0
    began = time.monotonic()
    for turn in range(asks):
        due = began + over * turn / asks
        macs = {answer.mac for answer in ask(vantage, target)}
        for mac in macs:
            answers[mac] = answers.get(mac, 0) + 1
        unanswered += not macs
        doubly += len(macs) > 1
        threading.Event().wait(max(0.0, due + over / asks - time.monotonic()))
    return Census(asked=asks, answers=answers, unanswered=unanswered, doubly=doubly)


class Listener:
    """Hears every ARP frame at a vantage, in a thread, while it is entered."""

    def __init__(self, vantage: Vantage) -> None:
        """Nothing is heard before it is entered."""
        self.vantage = vantage
        self._frames: deque[Frame] = deque(maxlen=_KEPT)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._hear, name=f"arp at {vantage.name}", daemon=True)

    @property
    def frames(self) -> list[Frame]:
        """What was heard so far, in order."""
        return list(self._frames)

    def gratuitous(self, address: str) -> list[Frame]:
        """The announcements of an address that were heard."""
        return [frame for frame in self.frames if frame.gratuitous and frame.sender_ip == address]

    def __enter__(self) -> Self:
        """Listen from now on."""
        self._socket = opened(self.vantage, ETHERTYPE_ARP)
        self._thread.start()
        return self

    def _hear(self) -> None:
        for t, data in heard(self._socket, self._stop):
            if frame := decode(data, t):
                self._frames.append(frame)

    def __exit__(self, *_: object) -> None:
        """Listen no more; what was heard stays."""
        self._stop.set()
        self._thread.join()
        self._socket.close()
