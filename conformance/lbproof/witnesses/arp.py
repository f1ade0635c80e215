"""ARP prober and listener, with raw frames instead of the kernel's neighbour table.

Gratuitous frames do not count as answers, since implementations send them for seconds after an assignment. Only unicast
replies to the sender of the request count.
"""

from __future__ import annotations

import select
import threading
import time
from collections import deque
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from lbproof.spec.families import Family
from lbproof.witnesses.frames import ETHERTYPE_ARP, Frame, Op, decode, encode, request
from lbproof.witnesses.packets import LARGEST, heard, opened

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Sequence

    from lbproof.spec.families import IPAddress
    from lbproof.witnesses.vantage import Vantage

WAIT = 0.15
"""Reply timeout in seconds: a reply takes far less than 1 ms on a segment, but tens of ms on an overloaded machine."""
_KEPT = 20_000
"""Maximum number of frames in a listener; the oldest are dropped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Reply to one of the suite's requests."""

    mac: str
    """Sender hardware address."""
    ether_src: str
    """Ethernet source, equal to `mac` in a correct reply."""
    seconds: float


def _replies(wire: socket.socket, me: str, until: float) -> Iterator[Frame]:
    """Yield unicast replies to this host, without announcements, until a given `time.monotonic()`."""
    while (left := until - time.monotonic()) > 0:
        if not select.select([wire], [], [], left)[0]:
            return
        frame = decode(wire.recv(LARGEST), time.monotonic())
        if frame and frame.op == Op.REPLY and frame.ether_dst == me and not frame.gratuitous:
            yield frame


def ask(
    vantage: Vantage, target: IPAddress, *, wait: float = WAIT, count: int = 1, sender: IPAddress | None = None
) -> list[Answer]:
    """Send `count` ARP requests for an address; return all replies that arrive within `wait` seconds of each.

    Always waits for the full time, so that a reply of a second node is received too. `sender` is the sender address:
    the vantage's own by default, `0.0.0.0` for a probe (RFC 5227).
    """
    found: list[Answer] = []
    asking = encode(request(mac=vantage.mac, address=sender or vantage.address_for(Family.IPV4), target=target))
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


def sweep(vantage: Vantage, targets: Sequence[IPAddress], *, wait: float = WAIT) -> dict[IPAddress, set[str]]:
    """Probe many addresses at once: address → MACs that answered for it, possibly none."""
    found: dict[IPAddress, set[str]] = {target: set() for target in targets}
    own = vantage.address_for(Family.IPV4)
    with closing(opened(vantage, ETHERTYPE_ARP)) as wire:
        for target in targets:
            wire.send(encode(request(mac=vantage.mac, address=own, target=target)))
        for reply in _replies(wire, vantage.mac, time.monotonic() + wait):
            if reply.sender_ip in found:
                found[reply.sender_ip].add(reply.sender_mac)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """Result of repeated ARP requests for one address."""

    asked: int
    answers: dict[str, int]
    """MAC → number of requests that it answered."""
    unanswered: int
    doubly: int
    """Number of requests that more than one MAC answered."""


def census(vantage: Vantage, target: IPAddress, *, asks: int, over: float) -> Census:
    """Send `asks` requests, spread evenly over `over` seconds."""
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
    """Context manager that records every ARP frame at a vantage, in a thread."""

    def __init__(self, vantage: Vantage) -> None:
        """Record nothing before it is entered."""
        self.vantage = vantage
        self._frames: deque[Frame] = deque(maxlen=_KEPT)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._hear, name=f"arp at {vantage.name}", daemon=True)

    @property
    def frames(self) -> list[Frame]:
        """Return the frames recorded so far, in order."""
        return list(self._frames)

    def gratuitous(self, address: IPAddress) -> list[Frame]:
        """Return the recorded announcements of an address."""
        return [frame for frame in self.frames if frame.gratuitous and frame.sender_ip == address]

    def __enter__(self) -> Self:
        """Start to record."""
        self._socket = opened(self.vantage, ETHERTYPE_ARP)
        self._thread.start()
        return self

    def _hear(self) -> None:
        for t, data in heard(self._socket, self._stop):
            if frame := decode(data, t):
                self._frames.append(frame)

    def __exit__(self, *_: object) -> None:
        """Stop; recorded frames stay available."""
        self._stop.set()
        self._thread.join()
        self._socket.close()
