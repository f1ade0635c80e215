"""An outage, read from the raw samples: how long, what it cost, and which part of it was whose. Pure.

It begins with the first UDP probe that was lost from the fault on, by that probe's schedule. The moment of a fault is
known as two readings of the clock, before and after the act, and probes are lost between them: counted from the second
reading, an outage would be too short by as much as the act took.

The parts, from one capture on one clock: until another node gives the first sign that it acts for the address (its
protocol's word, an announcement or an ARP answer), from there to the announcement that a neighbour takes, from there to
the client's first frame to that node, from there to the first answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from lbproof_perf.outage_probe.reading import Heard, Reading, Samples

PARTS = ("detect_seconds", "announce_seconds", "learn_seconds", "answer_seconds")
_ANNOUNCERS = ("two_announcers_seconds", "no_announcer_seconds")
_LATE = 3
"""Questions of the census that may go by until an answer is heard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """The figures of docs/figures.md, in seconds and counts; None where the thing did not happen."""

    first_answer_seconds: float | None
    steady_seconds: float | None
    longest_gap_seconds: float | None
    longest_wait_seconds: float | None
    lost: int
    sent: int
    lost_tcp: int
    sent_tcp: int
    two_announcers_seconds: float | None
    no_announcer_seconds: float | None
    detect_seconds: float | None
    announce_seconds: float | None
    learn_seconds: float | None
    answer_seconds: float | None

    def values(self) -> dict[str, float | None]:
        """By name, without what could not be seen: the parts of no outage, and announcers where there was no census."""
        unseen = set(PARTS) if not self.lost else set()
        unseen |= {name for name in _ANNOUNCERS if getattr(self, name) is None}
        return {name: getattr(self, name) for name in self.__slots__ if name not in unseen}


def gaps(stream: Samples) -> list[tuple[float, float | None]]:
    """Runs of lost samples: from the first that was due to the next answered one that was; None when there is none."""
    lost = stream.lost
    edges = np.diff(np.concatenate([[False], lost, [False]]).astype(np.int8))
    begins, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    return [
        (float(stream.due[a]), float(stream.due[b]) if b < len(stream.due) else None)
        for a, b in zip(begins, ends, strict=True)
    ]


def outage(found: Reading, earliest: float, before: str, until: float = np.inf) -> Outage:
    """What a fault cost until a moment.

    `earliest` is the first moment at which the fault can have taken effect (`Fault.earliest`). Nothing is counted from
    before it but what was under way: a probe that was due up to two periods earlier is part of the outage, which begins
    at `earliest` all the same. `before` is the MAC of the node that announced when it happened.
    """
    udp = found.udp.since(earliest - 2 * found.periods["udp"], until)
    tcp = found.tcp.since(earliest - found.periods["tcp"], until)
    runs = gaps(udp)
    cold = not len(found.udp.since(-np.inf, earliest).due)
    begin = earliest if cold or not runs else max(earliest, runs[0][0])
    lasting = [end - start if end is not None else None for start, end in runs]
    two, none = announcers(found, earliest, until)
    return Outage(
        first_answer_seconds=_first_answer(udp, runs, begin, cold=cold),
        steady_seconds=_steady(found, udp, tcp, begin),
        longest_gap_seconds=None if None in lasting else max((x for x in lasting if x is not None), default=0.0),
        longest_wait_seconds=_longest_wait(udp),
        lost=int(udp.lost.sum()),
        sent=len(udp.due),
        lost_tcp=int(tcp.lost.sum()),
        sent_tcp=len(tcp.due),
        two_announcers_seconds=two,
        no_announcer_seconds=none,
        **_parts(found, udp, runs, (earliest, begin), before),
    )


def _first_answer(udp: Samples, runs: list[tuple[float, float | None]], begin: float, *, cold: bool) -> float | None:
    """Of a cold client, which asked nothing before the fault, the first answer that it got at all."""
    if not runs and not cold:
        return 0.0
    later = udp.answered if cold else udp.answered[udp.due > runs[0][0]]
    later = later[~np.isnan(later)]
    return float(later.min()) - begin if len(later) else None


def _longest_wait(udp: Samples) -> float | None:
    """The longest that an answered probe was waited for; None when none was."""
    waits = (udp.answered - udp.due)[~udp.lost]
    return float(waits.max()) if len(waits) else None


def _steady(found: Reading, udp: Samples, tcp: Samples, begin: float) -> float | None:
    """Until after the last sample that was lost; None when the last of a stream was."""
    last = begin
    for name, stream in (("udp", udp), ("tcp", tcp)):
        lost = stream.due[stream.lost]
        if not len(lost):
            continue
        if stream.lost[-1]:
            return None
        last = max(last, float(lost[-1]) + found.periods[name])
    return last - begin


def announcers(found: Reading, begin: float, end: float = np.inf) -> tuple[float, float] | tuple[None, None]:
    """Seconds in which the census was answered by more than one node, and by none; None where there was no census.

    By more than one: the time from a question to the next one in which two answered. By none: the time between two
    answers, where it is longer than three questions and so no matter of a late answer.
    """
    within = (found.asked >= begin) & (found.asked < end)
    asked = found.asked[within]
    if len(asked) < 2:  # noqa: PLR2004 - a time has two ends
        return None, None
    counts = found.census()[1][within][:-1]
    between = np.diff(np.concatenate([asked[:1], found.answers.since(begin, end).at, asked[-1:]]))
    period = found.periods["census"]
    silent = between[between > _LATE * period] - period
    return float(np.diff(asked)[counts > 1].sum()), float(silent.sum())


def takeovers(found: Reading, begin: float, end: float = np.inf) -> list[tuple[float, str]]:
    """When another node than before began to answer the census, and which; the first that answers is none."""
    heard = found.answers.since(begin, end)
    changed = np.flatnonzero(np.diff(heard.who)) + 1
    return [(float(heard.at[i]), found.macs[heard.who[i]]) for i in changed]


def _first(heard: Heard, after: float, other_than: int) -> tuple[float, int] | None:
    found = np.flatnonzero((heard.at >= after) & (heard.who != other_than))
    return (float(heard.at[found[0]]), int(heard.who[found[0]])) if len(found) else None


def _parts(
    found: Reading, udp: Samples, runs: list[tuple[float, float | None]], since: tuple[float, float], before: str
) -> dict[str, float | None]:
    """The parts from the outage's begin on, which add up to the first answer: what came before its begin took no time.

    `since`: from when on signs of a successor are looked for, and when the outage began.
    """
    earliest, begin = since
    parts: dict[str, float | None] = dict.fromkeys(PARTS)
    old = found.macs.index(before) if before in found.macs else -1
    kinds = (found.answers, found.announced, found.garp_ignored)
    seen = [one for heard in kinds if (one := _first(heard, earliest, old)) is not None]
    if not seen or not runs:
        return parts
    sign, successor = min(seen)
    sign = max(sign, begin)
    parts["detect_seconds"] = sign - begin
    turns = np.flatnonzero((found.turned.at >= earliest) & (found.turned.who == successor))
    if not len(turns):
        return parts
    turn = max(float(found.turned.at[turns[0]]), begin)
    said = found.announced.at[(found.announced.who == successor) & (found.announced.at >= sign)]
    said = said[said <= turn]
    announced = float(said[-1]) if len(said) else sign
    answers = udp.answered[(udp.answered >= turn) & (udp.due > runs[0][0])]
    parts |= {"announce_seconds": announced - sign, "learn_seconds": turn - announced}
    if len(answers):
        parts["answer_seconds"] = float(answers.min()) - turn
    return parts
