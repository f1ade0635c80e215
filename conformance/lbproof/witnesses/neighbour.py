"""Who answers for an address on the segment: questions by ARP or NDP, as the address says, with raw frames.

Raw frames are used instead of the kernel's neighbour table. Announcements do not count as answers, since
implementations send them for seconds after an assignment. Only unicast replies to the sender of the request count, and
for a request from the unspecified address, which cannot be answered by unicast in NDP, the reply to all nodes.
"""

from __future__ import annotations

import functools
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from lbproof.probe.protocol import bytes_of, text_of
from lbproof.spec.families import Family, family_of
from lbproof.witnesses import frames, ndp
from lbproof.witnesses.stream import ProbeError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lbproof.spec.families import IPAddress
    from lbproof.witnesses.stream import Stream
    from lbproof.witnesses.vantage import Vantage

Message: TypeAlias = frames.Frame | ndp.Message
"""ARP packet or NDP message."""

WAIT = 0.15
"""Reply timeout in seconds where nothing is judged by it: a reply takes far less than 1 ms on a segment, but tens of ms
on an overloaded machine. Checks wait by the budget `arp_answer`, whose ceiling is Linux's time until it asks again."""
_SHORT = 0.08
"""Reply timeout in seconds of the first looks of a wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """Reply to one of the suite's requests."""

    mac: str
    """Hardware address at which the address is said to be."""
    ether_src: str
    """Ethernet source, equal to `mac` in a correct reply."""
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Request for an address, in one of the ways in which hosts ask."""

    target: IPAddress
    sender: IPAddress | None = None
    """Sender address: the vantage's own by default, the unspecified one for a probe (RFC 5227 section 2.1.1, RFC 4862
    section 5.4.2)."""
    to: str = ""
    """Hardware address to which it is sent, as by a host that confirms an entry; by default it is for all hosts."""
    target_mac: str = ""
    """Target hardware address, which means nothing in an ARP request (RFC 826) and is zero by default; not in NDP."""
    ether_src: str = ""
    """Source of an ARP frame: the vantage's hardware address by default, at which it is answered in any case."""
    bare: bool = False
    """Without the source link-layer address, which a solicitation to one host may lack (RFC 4861 section 4.3)."""
    nonce: bytes = b""
    """Nonce by which a host knows its own duplicate-address probe when that comes back (RFC 7527); not in ARP."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Received:
    """Reply, with the number of the last question before it that it can be the answer to."""

    asked: int
    seconds: float
    """Seconds since the moment before that request was sent."""
    seconds_after: float
    """Seconds since the moment after it was sent; below zero for a reply that arrived in between."""
    message: Message


def ask(
    vantage: Vantage, target: IPAddress, *, wait: float = WAIT, count: int = 1, sender: IPAddress | None = None
) -> list[Reply]:
    """Ask for an address `count` times; return all replies that arrive within `wait` seconds of each request.

    Always waits for the full time, so that a reply of a second node is received too. `sender`: as in `Question`.
    """
    questions = [Question(target=target, sender=sender)] * count
    return [reply for replies in ask_each(vantage, questions, every=wait, within=wait) for reply in replies]


def ask_each(
    vantage: Vantage, questions: Sequence[Question], *, every: float, within: float = WAIT
) -> list[list[Reply]]:
    """Ask questions of one family, one `every` so many seconds; return the replies to each that took at most `within`.

    A reply counts for the last question before it with its target and sender: where `within` is longer than the time
    between two such questions, who replies is exact, and to which of them is not.
    """
    found: list[list[Reply]] = [[] for _ in questions]
    for reply in _ask(vantage, questions, every=every, wait=max(every, within)):
        if reply.seconds_after <= within:
            mac, ether_src = reply.message.sender_mac, reply.message.ether_src
            found[reply.asked].append(Reply(mac=mac, ether_src=ether_src, seconds=reply.seconds))
    return found


def patience(longest: float) -> Iterator[float]:
    """Yield reply timeouts in seconds for successive looks: short ones for about a second, then the longest.

    So who answers at once is seen at once, and who takes longer is seen too.
    """
    yield from (min(_SHORT, longest),) * 12
    while True:
        yield longest


def sweep(vantage: Vantage, targets: Sequence[IPAddress], *, wait: float = WAIT) -> dict[IPAddress, set[str]]:
    """Ask for many addresses at once: address → MACs that answered for it, possibly none."""
    found: dict[IPAddress, set[str]] = {target: set() for target in targets}
    for family in Family:
        asked = [Question(target=target) for target in targets if family_of(target) is family]
        for reply in _ask(vantage, asked, every=0.0, wait=wait) if asked else ():
            found[reply.message.sender_ip].add(reply.message.sender_mac)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """Result of repeated requests for one address."""

    asked: int
    answers: dict[str, int]
    """MAC → number of requests that it answered."""
    unanswered: int
    doubly: int
    """Number of requests that more than one MAC answered."""


def census(vantage: Vantage, target: IPAddress, *, asks: int, over: float, within: float = WAIT) -> Census:
    """Send `asks` requests, spread evenly over `over` seconds, and count replies that take at most `within` seconds.

    A reply counts for the last request before it: where `within` is longer than the time between two requests, MACs are
    exact and the numbers of requests are not.
    """
    return census_of(vantage, [target], asks=asks, over=over, within=within)[target]


def census_of(
    vantage: Vantage, targets: Sequence[IPAddress], *, asks: int, over: float, within: float = WAIT
) -> dict[IPAddress, Census]:
    """Count the replies for several addresses of one family in the same time, as `census` does for one."""
    questions = [Question(target=target) for _ in range(asks) for target in targets]
    replies = ask_each(vantage, questions, every=over / len(questions), within=within) if questions else []
    counted: dict[IPAddress, Census] = {}
    for turn, target in enumerate(targets):
        macs = [{reply.mac for reply in found} for found in replies[turn :: len(targets)]]
        counted[target] = Census(
            asked=asks,
            answers=dict(Counter(mac for who in macs for mac in who)),
            unanswered=sum(not who for who in macs),
            doubly=sum(len(who) > 1 for who in macs),
        )
    return counted


def _ask(vantage: Vantage, questions: Sequence[Question], *, every: float, wait: float) -> Iterator[_Received]:
    """Ask questions of one family, one `every` so many seconds, and yield the replies until `wait` after the last.

    Raises `ProbeError` when the kernel dropped frames.
    """
    family = family_of(questions[0].target)
    own = vantage.address_for(family)
    send = [(every * turn, text_of(_frame(vantage.mac, own, asked))) for turn, asked in enumerate(questions)]
    seconds = every * (len(questions) - 1) + wait
    found = vantage.probe().call("frames", within=seconds, send=send, seconds=seconds, **socket_of(vantage, family))
    if found.dropped:
        raise ProbeError(f"questions at {vantage.name}: the kernel dropped {found.dropped} frames")
    last: dict[tuple[IPAddress, IPAddress | None], tuple[int, float, float]] = {}
    """Target and sender, or any sender → number of the last such question, the moments before and after it was sent."""
    # by time: a reply may be read only after the next request has left
    for kind, t, *rest in sorted(found.records, key=lambda record: record[1]):
        if kind == "sent":
            target = questions[rest[0]].target
            last[target, questions[rest[0]].sender or own] = last[target, None] = (rest[0], t, rest[1])
            continue
        message = decode(family, bytes_of(rest[1]), t)
        asker = _asker(message, vantage.mac) if message else None
        if message and asker is not None:
            # one that names another asker is still a reply that came here
            question = last.get((message.sender_ip, asker)) or last.get((message.sender_ip, None))
            if question:
                asked, before, after = question
                yield _Received(asked=asked, seconds=t - before, seconds_after=t - after, message=message)


def announce(vantage: Vantage, address: IPAddress, *, count: int = 1, every: float = 0.1) -> None:
    """Announce an address at a vantage's hardware address `count` times, whoever has it: gratuitous ARP or NDP.

    An ARP announcement (RFC 5227 section 2.3), or an unsolicited neighbour advertisement (RFC 4861 section 7.2.6).
    """
    if isinstance(address, IPv4Address):
        frame = frames.encode(frames.request(mac=vantage.mac, address=address, target=address))
    else:
        frame = ndp.encode(ndp.announcement(mac=vantage.mac, address=address))
    send = [(every * turn, text_of(frame)) for turn in range(count)]
    seconds = every * count
    vantage.probe().call("frames", within=seconds, send=send, seconds=seconds, **socket_of(vantage, family_of(address)))


def encode(vantage: Vantage, question: Question) -> bytes:
    """Encode a question as a vantage asks it."""
    return _frame(vantage.mac, vantage.address_for(family_of(question.target)), question)


def is_answer_to(message: Message, mac: str) -> bool:
    """Return whether a message answers a question of the host at `mac`; an announcement answers nobody's."""
    return _asker(message, mac) is not None


def send(vantage: Vantage, family: Family, raw: Sequence[bytes], *, every: float, wait: float) -> None:
    """Send frames as they are, one `every` so many seconds, and wait so many seconds for what they provoke."""
    rows = [(every * turn, text_of(frame)) for turn, frame in enumerate(raw)]
    seconds = every * len(rows) + wait
    vantage.probe().call("frames", within=seconds, send=rows, seconds=seconds, **socket_of(vantage, family))


def _frame(mac: str, own: IPAddress, question: Question) -> bytes:
    target, sender = question.target, question.sender or own
    if isinstance(target, IPv4Address):
        asks = frames.request(mac=mac, address=sender, target=target)
        to, target_mac = question.to or asks.ether_dst, question.target_mac or asks.target_mac
        return frames.encode(replace(asks, ether_dst=to, ether_src=question.ether_src or mac, target_mac=target_mac))
    if not isinstance(sender, IPv6Address) or question.target_mac or question.ether_src:
        raise TypeError(f"NDP has no such question from {sender} for {target}")
    solicits = ndp.solicitation(mac=mac, address=sender, target=target)
    if question.to:  # reachability confirmation (RFC 4861 section 7.3.1)
        solicits = replace(solicits, ether_dst=question.to, destination=target)
    if question.bare:
        solicits = replace(solicits, link_layer="")
    if question.nonce:
        solicits = replace(solicits, nonce=question.nonce)
    return ndp.encode(solicits)


def decode(family: Family, data: bytes, t: float) -> Message | None:
    """Decode an ARP packet or an NDP message; None for any other frame."""
    return frames.decode(data, t) if family is Family.IPV4 else ndp.decode(data, t)


def _asker(message: Message, mac: str) -> IPAddress | None:
    """Return the address of the host that a message answers, if that is at `mac`; None when it answers nobody there."""
    if not message.is_reply:
        return None
    if isinstance(message, ndp.Message) and message.gratuitous:
        return ndp.UNSPECIFIED if message.destination == ndp.ALL_NODES else None
    return message.target_ip if message.ether_dst == mac and not message.gratuitous else None


def socket_of(vantage: Vantage, family: Family) -> dict[str, Any]:
    """Return the arguments of `frames` for the questions and answers of a family."""
    if family is Family.IPV4:
        return {"interface": vantage.interface, "protocol": frames.ETHERTYPE_ARP, "filter": ()}
    return {"interface": vantage.interface, "protocol": ndp.ETHERTYPE_IPV6, "filter": ndp.FILTER}


def row(message: Message) -> dict[str, Any]:
    """Return a message as a row of the event `exchange`, without `t` and `node`; NDP in the terms of ARP."""
    return {
        "op": "reply" if message.is_reply else "request",
        "sender_mac": message.sender_mac,
        "sender_ip": str(message.sender_ip),
        "target_mac": message.target_mac,
        "target_ip": str(message.target_ip),
        "ether_src": message.ether_src,
        "ether_dst": message.ether_dst,
    }


class Listener:
    """Context manager that records every ARP packet and NDP message at a vantage, of the families that it has."""

    def __init__(self, vantage: Vantage) -> None:
        """Record nothing before it is entered."""
        self.vantage = vantage
        self._streams: list[Stream] = []
        self._ending = ExitStack()
        self._dropped = 0
        self._messages: list[Message] = []

    @property
    def messages(self) -> list[Message]:
        """Return what has arrived so far, in order of time. Raises `ProbeError` when something may be missing."""
        for stream in self._streams:
            stream.exchange()
        return sorted(self._messages, key=lambda message: message.t)

    def announcements(self, address: IPAddress) -> list[Message]:
        """Return the recorded announcements of an address: gratuitous ARP, unsolicited advertisements."""
        return [message for message in self.messages if message.gratuitous and message.sender_ip == address]

    def __enter__(self) -> Self:
        """Start to record."""
        probe = self.vantage.probe()

        def keep(family: Family, record: list[Any]) -> None:
            t, _, data = record[1:]
            if message := decode(family, bytes_of(data), probe.clock.local(t)):
                self._messages.append(message)

        with ExitStack() as ending:
            for family in self.vantage.families:
                each = functools.partial(keep, family)
                asked = socket_of(self.vantage, family)
                stream = probe.request("frames", each=each, send=(), seconds=None, **asked)
                ending.callback(self._end, stream)
                self._streams.append(stream)
            for stream in self._streams:
                stream.wait_ready()
            self._ending = ending.pop_all()
        return self

    def _end(self, stream: Stream) -> None:
        self._streams.remove(stream)
        self._dropped += stream.cancel().dropped

    def __exit__(self, *_: object) -> None:
        """Stop. Raises `ProbeError` when frames were lost; recorded ones stay available otherwise."""
        self._ending.close()
        if self._dropped:
            raise ProbeError(f"listener at {self.vantage.name}: the kernel dropped {self._dropped} frames")
