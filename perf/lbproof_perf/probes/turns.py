"""What the probers of Services share: who is asked in which turn, and the loop of their processes.

A prober asks for addresses again and again until something becomes true of each. It is fed line by line: `VERB ADDRESS`
on its standard input, a JSON row a finding on its standard output; it ends with the end of its input. What it may spend
is bounded: a turn every few milliseconds, in which a fixed number of addresses are asked in rotation. With few
addresses each is asked in every turn; with many the steps are longer, and how long they were is told with a finding.
"""

from __future__ import annotations

import itertools
import json
import os
import select
import sys
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_CHUNK = 1 << 16

K = TypeVar("K")


class Turns(Generic[K]):
    """Who is asked in the next turn: all in rotation, at most so many a turn, none twice in one."""

    def __init__(self, most: int) -> None:
        """`most` are asked in a turn."""
        self._most = most
        self._ring: OrderedDict[K, None] = OrderedDict()

    def __len__(self) -> int:
        """How many there are."""
        return len(self._ring)

    def __contains__(self, key: K) -> bool:
        """Whether it is asked for."""
        return key in self._ring

    def add(self, key: K) -> None:
        """Ask for it too, before the others; one that is in stays where it is."""
        if key not in self._ring:
            self._ring[key] = None
            self._ring.move_to_end(key, last=False)

    def drop(self, key: K) -> None:
        """Ask for it no more."""
        self._ring.pop(key, None)

    def turn(self) -> list[K]:
        """Those of the next turn."""
        found = list(itertools.islice(self._ring, self._most))
        for key in found:
            self._ring.move_to_end(key)
        return found


def serve(
    poll: select.epoll,
    period: float,
    *,
    busy: Callable[[], bool],
    asked: Callable[[str, str], None],
    ready: Callable[[int], None],
    turn: Callable[[float], None],
) -> None:
    """Run a prober until the end of its standard input.

    Args:
        poll: knows the sockets; the standard input is added to it.
        period: seconds between two turns.
        busy: whether turns are needed; else it sleeps until something comes.
        asked: takes VERB and ADDRESS of a line.
        ready: takes the descriptor of a socket that something happened at.
        turn: is called each `period` with `time.monotonic()`.
    """
    stdin, rest = sys.stdin.fileno(), b""
    os.set_blocking(stdin, False)
    poll.register(stdin, select.EPOLLIN)
    due = time.monotonic()
    while True:
        for descriptor, _ in poll.poll(max(0.0, due - time.monotonic()) if busy() else None):
            if descriptor != stdin:
                ready(descriptor)
                continue
            if not (chunk := os.read(stdin, _CHUNK)):
                return
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                asked(*line.decode().split(" ", 1))
        if (now := time.monotonic()) >= due:
            due = now + period
            turn(now)
        sys.stdout.flush()


def tell(*row: object) -> None:
    """Write a finding, which `serve` flushes."""
    sys.stdout.write(json.dumps(row) + "\n")
