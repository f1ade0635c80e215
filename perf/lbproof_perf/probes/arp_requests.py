"""The ARP asker: a process of its own that asks one question after the other, or many on a schedule.

Closed loop for the latency: one question is out at a time, and its answer counts from the moment before it is sent to
the kernel's own stamp of the answer's arrival (SO_TIMESTAMPNS), so that the asker's waking up is no part of it. Open
loop for the rate: questions leave on schedule in volleys, answered or not, and the kernel counts the answers.

`python -m lbproof_perf.probes.arp_requests TALK COUNT MAC ADDRESS` is given two sockets (`arp_frames.opened`) by
number. It reads a JSON command a line, answers each with a line, and ends with its standard input.
"""

from __future__ import annotations

import json
import math
import select
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from lbproof.lab.base import LabError
from lbproof_perf.probes.arp_frames import (
    FRAME_BYTES,
    SENDER,
    TARGET,
    Volley,
    counted,
    opened,
    patience,
    question,
)
from lbproof_perf.probes.timestamps import ROOM, arrived

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from lbproof.witnesses.vantage import Vantage

PATIENCE = 0.25
"""Seconds after which a question is unanswered."""
TICK = 0.001
"""Seconds between two volleys."""
AFTER = 0.05
"""Seconds after the last volley in which answers still count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Volleys:
    """What came of questions on a schedule."""

    sent: int
    answered: int
    seconds: float
    """From the first volley to the end of the last."""


class ArpRequester:
    """An asker at a vantage, while it is entered."""

    def __init__(self, vantage: Vantage, *, mac: str, address: str) -> None:
        """It asks from `mac` and `address`, which must be nobody else's. Nothing is started yet."""
        self._vantage, self._mac, self._address = vantage, mac, address

    def __enter__(self) -> Self:
        """Open the sockets at the vantage, and start the process that uses them. `OSError` when that cannot be."""
        with ExitStack() as until_started:
            sockets = [until_started.enter_context(opened(self._vantage, self._mac)) for _ in range(2)]
            numbers = [str(sock.fileno()) for sock in sockets]
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, *numbers, self._mac, self._address],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=[sock.fileno() for sock in sockets],
                text=True,
                start_new_session=True,  # an interrupt from the terminal ends it by the end of its input
            )
        return self

    def __exit__(self, *_: object) -> None:
        """End it, whatever it is doing."""
        self._process.kill()
        self._process.communicate()

    @property
    def pid(self) -> int:
        """Of its process."""
        return self._process.pid

    def ask(
        self, targets: Sequence[str], *, within: float = math.inf, patience: float = PATIENCE, stop: bool = False
    ) -> NDArray[np.float64]:
        """Ask for each address in turn; seconds to each answer, NaN where none came within `patience` seconds.

        No more is asked after `within` seconds in all, or with `stop` after the first that is unanswered.
        """
        self.begin_ask(targets, within=within, patience=patience, stop=stop)
        return self.end_ask()

    def begin_ask(
        self, targets: Sequence[str], *, within: float = math.inf, patience: float = PATIENCE, stop: bool = False
    ) -> None:
        """Begin what `end_ask` waits for."""
        limit = within if math.isfinite(within) else None
        self._say({"do": "ask", "targets": list(targets), "within": limit, "patience": patience, "stop": stop})

    def end_ask(self) -> NDArray[np.float64]:
        """Seconds to each answer, as `ask` gives them."""
        return np.array([math.nan if took is None else took for took in self._hear()["took"]], dtype=np.float64)

    def begin_volleys(self, targets: Sequence[str], *, rate: float, seconds: float) -> None:
        """Begin to ask for the addresses in turn, over and over: `rate` questions a second, for so many seconds."""
        self._say({"do": "volleys", "targets": list(targets), "rate": rate, "seconds": seconds})

    def end_volleys(self) -> Volleys:
        """Wait for the last volley, and tell."""
        return Volleys(**self._hear())

    def _say(self, command: dict[str, Any]) -> None:
        assert self._process.stdin is not None  # noqa: S101 - it was asked for
        try:
            self._process.stdin.write(json.dumps(command) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._ended() from None

    def _hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None  # noqa: S101 - it was asked for
        line = self._process.stdout.readline()
        if not line:
            raise self._ended()
        found: dict[str, Any] = json.loads(line)
        return found

    def _ended(self) -> LabError:
        return LabError(f"the ARP asker at {self._vantage.name} ended with {self._process.wait()}")


def ask_each(
    talk: socket.socket, frame: bytearray, targets: Sequence[bytes], *, within: float, stop: bool
) -> list[float | None]:
    """Seconds from each question to its answer; None where none came within the socket's patience."""
    took: list[float | None] = []
    buffer = bytearray(2048)
    until = time.monotonic() + within
    for target in targets:
        frame[TARGET] = target
        began = time.clock_gettime_ns(time.CLOCK_REALTIME)
        talk.send(frame)
        try:
            while True:
                count, ancillary, _, _ = talk.recvmsg_into([buffer], ROOM)
                if count >= FRAME_BYTES and buffer[SENDER] == target:  # else it answers a question before
                    break
            took.append((arrived(ancillary) - began) / 1e9)
        except BlockingIOError:
            took.append(None)
            if stop:
                break
        if time.monotonic() >= until:
            break
    return took


def send_volleys(talk: socket.socket, count: socket.socket, volley: Volley, *, rate: float, seconds: float) -> Volleys:
    """Send `rate` frames a second. What is late is sent as soon as it can be, until the time is over."""
    counted(count)
    pace = threading.Event()
    began = time.monotonic()
    sent, now = 0, began
    while now < began + seconds:
        due = int((now - began) * rate) + 1
        while sent < due and now < began + seconds:
            sent += volley.send(due - sent)
            now = time.monotonic()
        pace.wait(max(0.0, TICK - (time.monotonic() - began) % TICK))
        now = time.monotonic()
    took = time.monotonic() - began
    _drain(talk, AFTER)
    return Volleys(sent=sent, answered=counted(count), seconds=took)


def _drain(sock: socket.socket, seconds: float) -> None:
    """Forget the answers that wait, and those that come within so many seconds."""
    until = time.monotonic() + seconds
    while select.select([sock], [], [], max(0.0, until - time.monotonic()))[0]:
        sock.recv(FRAME_BYTES)


def main(argv: Sequence[str]) -> None:
    """Do what is said on the standard input, until it ends."""
    talk_number, count_number, mac, address = argv
    with socket.socket(fileno=int(talk_number)) as talk, socket.socket(fileno=int(count_number)) as count:
        count.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)  # it is never read
        for line in sys.stdin:
            said = json.loads(line)
            packed = [socket.inet_aton(target) for target in said["targets"]]
            if said["do"] == "ask":
                talk.setblocking(True)
                patience(talk, said["patience"])
                within = math.inf if said["within"] is None else said["within"]
                frame = question(mac, address, address)
                answer: dict[str, Any] = {"took": ask_each(talk, frame, packed, within=within, stop=said["stop"])}
            else:
                frames = [bytes(question(mac, address, target)) for target in said["targets"]]
                done = send_volleys(talk, count, Volley(talk, frames), rate=said["rate"], seconds=said["seconds"])
                answer = {"sent": done.sent, "answered": done.answered, "seconds": done.seconds}
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
