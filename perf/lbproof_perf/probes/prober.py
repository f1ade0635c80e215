"""Askers: processes that ask for addresses again and again until something becomes true of each.

Each is a program of its own, so that it shares no interpreter with the threads that create Services, and is fed line by
line: `VERB ADDRESS` on its stdin, a JSON row a finding on its stdout; it ends with the end of its stdin. What it may
spend is bounded: a turn every few milliseconds, in which a fixed number of addresses are asked in rotation. With few
addresses each is asked in every turn; with many the steps are longer, and how long they were is told with a finding.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import threading
from collections import OrderedDict
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from lbproof.lab.base import LabError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

TURN = 0.005
"""Seconds between two turns."""
_END = 5.0
"""Seconds that an asker may take to end."""
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


class Lines:
    """Whole lines of a descriptor that is read without waiting."""

    def __init__(self, descriptor: int) -> None:
        """The descriptor is made non-blocking."""
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._rest = b""
        self.ended = False

    def ready(self) -> Iterator[tuple[str, str]]:
        """`VERB`, `ADDRESS` of each line that has arrived."""
        try:
            chunk = os.read(self._descriptor, _CHUNK)
        except BlockingIOError:
            return
        self.ended = not chunk
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            verb, _, address = line.decode().partition(" ")
            yield verb, address


def tell(*row: object) -> None:
    """Say a finding."""
    sys.stdout.write(json.dumps(row) + "\n")


class Prober:
    """An asker as its starter holds it, while it is entered."""

    def __init__(
        self,
        module: str,
        arguments: Sequence[str],
        told: Callable[[list[Any]], None],
        *,
        descriptors: Sequence[int] = (),
        inside: AbstractContextManager[None] | None = None,
    ) -> None:
        """`told` gets each finding, in a thread; `inside` is entered while the process starts, which inherits it."""
        self._argv = [sys.executable, "-P", "-m", module, *arguments]
        self._told = told
        self._descriptors = descriptors
        self._inside = inside or nullcontext()
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        """Start it."""
        with self._inside:
            self._process = subprocess.Popen(
                self._argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=self._descriptors,
                start_new_session=True,  # Ctrl-C is for its starter, which ends it by the end of its stdin
            )
        self._reader = threading.Thread(target=self._read, name=f"reader of {self._argv[3]}", daemon=True)
        self._reader.start()
        return self

    def _read(self) -> None:
        for line in self._process.stdout or ():
            self._told(json.loads(line))

    def ask(self, verb: str, address: str) -> None:
        """Have it ask for an address. Raises `LabError` when it has ended."""
        assert self._process.stdin is not None  # noqa: S101 - it was asked for
        try:
            with self._lock:
                self._process.stdin.write(f"{verb} {address}\n".encode())
                self._process.stdin.flush()
        except (BrokenPipeError, ValueError) as error:
            raise LabError(f"the asker {self._argv[3]} ended by itself ({self._process.poll()})") from error

    def __exit__(self, *_: object) -> None:
        """End it."""
        process = self._process
        try:
            if process.stdin:
                process.stdin.close()
            process.wait(_END)
        except (BrokenPipeError, subprocess.TimeoutExpired):
            process.kill()
            process.wait()
        self._reader.join(_END)
        if process.stdout:
            process.stdout.close()
