"""Questions for addresses again and again, so that the longest time without an answer is known, whatever happens.

They leave on a schedule, from a probe of its own, and every question and answer is recorded with its moment. A question
that leaves late is no silence: that lasts from the first question without an answer to the next answer.
"""

from __future__ import annotations

import functools
import itertools
import math
import threading
import time
from collections import defaultdict
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

from lbproof.probe.protocol import bytes_of, text_of
from lbproof.spec.families import Family, family_of
from lbproof.witnesses import neighbour
from lbproof.witnesses.stream import ProbeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lbproof.spec.families import IPAddress
    from lbproof.witnesses.stream import Stream
    from lbproof.witnesses.vantage import Vantage

EVERY = 0.03
"""Seconds between two questions for an address: the resolution."""
LONGEST = 150.0
"""Seconds for which it asks at most: longer than a check's faults take."""
IN_FLIGHT = 0.1
"""Seconds at the end that are not judged: the last answers may be on their way."""


class Asking:
    """Context manager that asks for addresses from a vantage."""

    def __init__(self, vantage: Vantage, addresses: Sequence[IPAddress]) -> None:
        """Ask nothing before it is entered."""
        self._vantage, self._addresses = vantage, list(addresses)
        self._answers: dict[IPAddress, list[tuple[float, str]]] = {address: [] for address in addresses}
        self._asked: dict[IPAddress, list[float]] = {address: [] for address in addresses}
        self._streams: list[Stream] = []
        self._stack = ExitStack()
        self._lock = threading.Lock()
        self._began = 0.0

    def __enter__(self) -> Self:
        """Start to ask. Raises `ProbeError`."""
        with ExitStack() as stack:
            probe = stack.enter_context(self._vantage.start_probe())
            by_family: dict[Family, list[IPAddress]] = defaultdict(list)
            for address in self._addresses:
                by_family[family_of(address)].append(address)

            def keep(family: Family, record: list[Any]) -> None:
                kind, t, *rest = record
                if kind == "sent":
                    asked = by_family[family]
                    with self._lock:
                        self._asked[asked[rest[0] % len(asked)]].append(probe.clock.local(t))
                elif message := neighbour.decode(family, bytes_of(rest[1]), probe.clock.local(t)):
                    self._take(message)

            for family, addresses in by_family.items():
                frames = [text_of(neighbour.encode(self._vantage, neighbour.Question(target=one))) for one in addresses]
                step = EVERY / len(frames)
                send = list(itertools.takewhile(lambda row: row[0] < LONGEST, _schedule(frames, step)))
                asked = neighbour.socket_of(self._vantage, family)
                stream = probe.request("frames", each=functools.partial(keep, family), send=send, seconds=None, **asked)
                self._streams.append(stream)
                stack.enter_context(stream)
                stream.wait_ready()
            self._began = time.monotonic()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop. Raises `ProbeError` when the kernel dropped answers."""
        streams, self._streams = self._streams, []
        dropped = sum(stream.cancel().dropped for stream in streams)
        self._stack.close()
        if dropped:
            raise ProbeError(f"questions at {self._vantage.name}: the kernel dropped {dropped} answers")

    def _take(self, message: neighbour.Message) -> None:
        if message.sender_ip in self._answers and neighbour.is_answer_to(message, self._vantage.mac):
            with self._lock:
                self._answers[message.sender_ip].append((message.t, message.sender_mac))

    def answers(self, address: IPAddress) -> list[tuple[float, str]]:
        """Return moment and MAC of each answer so far. Raises `ProbeError` when some may be missing."""
        if time.monotonic() - self._began > LONGEST:
            raise ProbeError(f"questions at {self._vantage.name}: they ended after {LONGEST:g} s")
        for stream in self._streams:
            stream.exchange()
        with self._lock:
            return sorted(self._answers[address])

    def silences(self, addresses: Iterable[IPAddress], *, since: float, until: float | None = None) -> dict[str, float]:
        """Return the longest time in seconds without an answer of each address between two moments, the second now."""
        end = time.monotonic() - IN_FLIGHT if until is None else until
        found: dict[str, float] = {}
        for address in addresses:
            answered = [t for t, _ in self.answers(address)]
            with self._lock:
                asked = list(self._asked[address])
            found[str(address)] = round(longest_silence(asked, answered, since, end), 3)
        return found


def _schedule(frames: Sequence[str], step: float) -> Iterable[tuple[float, str]]:
    return ((turn * step, frame) for turn, frame in enumerate(itertools.cycle(frames)))


def longest_silence(asked: Iterable[float], answered: Iterable[float], since: float, until: float) -> float:
    """Return the longest time from a first question without an answer to the next answer, or to the last moment.

    Questions before the first moment, and questions and answers after the last one, do not count.
    """
    longest, waiting = 0.0, math.inf
    moments = sorted([*((t, True) for t in asked if t >= since), *((t, False) for t in answered)])
    for t, is_question in moments:
        if t > until:
            break
        if is_question:
            waiting = min(waiting, t)
        else:
            longest, waiting = max(longest, t - waiting), math.inf
    return max(longest, until - waiting, 0.0)
