"""ARP latency and rate: a process of its own that sends one request after the other, or many on a schedule.

Closed loop for the latency: one request is out at a time, and its answer counts from the moment before it is sent to
the kernel's own stamp of the answer's arrival (SO_TIMESTAMPNS), so that the prober's waking up is no part of it. Open
loop for the rate: requests leave on schedule in volleys, answered or not, and the kernel counts the answers. They are
counted at a socket that is never read, since answers come faster than they could be read.

`python -m lbproof_perf.probes.arp_requests TALK COUNT MAC ADDRESS` is given two sockets (`arp_frames.opened`) by
number. It reads a JSON command a line, answers each with a line, and ends with its standard input.
"""

from __future__ import annotations

import ctypes
import json
import math
import os
import select
import socket
import struct
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from lbproof.witnesses.frames import encode, request
from lbproof_perf.probes.arp_frames import FRAME_BYTES, SENDER, TARGET, opened
from lbproof_perf.probes.prober import Prober
from lbproof_perf.probes.timestamps import ROOM, arrived

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from lbproof.spec.families import IPAddress
    from lbproof.witnesses.vantage import Vantage

PATIENCE = 0.25
"""Seconds after which a request is unanswered."""
TICK = 0.001
"""Seconds between two volleys."""
AFTER = 0.05
"""Seconds after the last volley in which answers still count."""
_MOST_AT_ONCE = 1024
"""Messages that sendmmsg(2) takes in one call (UIO_MAXIOV)."""
_MESSAGE_WORDS = 8
"""`struct mmsghdr` of a 64-bit machine in words: the third is the place of its vector, the fourth how many it has."""
_TIMEVAL = struct.Struct("@ll")
_SOL_PACKET, _PACKET_STATISTICS = 263, 6  # linux/socket.h, linux/if_packet.h
_COUNTS = struct.Struct("=II")
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Volleys:
    """What came of requests on a schedule."""

    sent: int
    answered: int
    seconds: float
    """From the first volley to the end of the last."""


class ArpRequester:
    """Context manager that sends ARP requests from a vantage."""

    def __init__(self, vantage: Vantage, *, mac: str, address: IPAddress) -> None:
        """Requests come from `mac` and `address`, which must be nobody else's. Nothing is started yet."""
        self._vantage, self._mac, self._address = vantage, mac, address

    def __enter__(self) -> Self:
        """Open the sockets at the vantage, and start the process that uses them. `OSError` when that cannot be."""
        with ExitStack() as until_started:
            descriptors = [until_started.enter_context(opened(self._vantage, self._mac)).fileno() for _ in range(2)]
            arguments = [*map(str, descriptors), self._mac, str(self._address)]
            name = f"arp_requests at {self._vantage.name}"
            self._prober = Prober(__name__, arguments, name=name, descriptors=descriptors).__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        """End it, whatever it is doing."""
        self._prober.__exit__()

    @property
    def pid(self) -> int:
        """Of its process."""
        return self._prober.process.pid

    def ask(
        self, targets: Sequence[IPAddress], *, within: float = math.inf, patience: float = PATIENCE, stop: bool = False
    ) -> NDArray[np.float64]:
        """Ask for each address in turn; seconds to each answer, NaN where none came within `patience` seconds.

        No more is asked after `within` seconds in all, or with `stop` after the first that is unanswered. Raises
        `LabError` when the process has ended.
        """
        self._say(do="ask", targets=list(map(str, targets)), within=within, patience=patience, stop=stop)
        return np.array(self._prober.hear()["took"], dtype=np.float64)

    def begin_volleys(self, targets: Sequence[IPAddress], *, rate: float, seconds: float) -> None:
        """Begin to ask for the addresses in turn, over and over: `rate` requests a second, for so many seconds."""
        self._say(do="volleys", targets=list(map(str, targets)), rate=rate, seconds=seconds)

    def end_volleys(self) -> Volleys:
        """Wait for the last volley, and tell."""
        return Volleys(**self._prober.hear())

    def _say(self, **command: Any) -> None:  # noqa: ANN401 - it is JSON
        self._prober.say(json.dumps(command))


def patience(sock: socket.socket, seconds: float) -> None:
    """Let a blocking read end with BlockingIOError after so long: without the poll(2) that Python's timeout costs."""
    whole = int(seconds)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TIMEVAL.pack(whole, int((seconds - whole) * 1e6)))


def ask_each(
    talk: socket.socket, frame: bytearray, targets: Sequence[bytes], *, within: float, stop: bool
) -> list[float]:
    """Seconds from each request to its answer; NaN where none came within the socket's patience."""
    took: list[float] = []
    buffer = bytearray(2048)
    until = time.monotonic() + within
    for target in targets:
        frame[TARGET] = target
        began = time.clock_gettime_ns(time.CLOCK_REALTIME)
        talk.send(frame)
        try:
            while True:
                count, ancillary, _, _ = talk.recvmsg_into([buffer], ROOM)
                if count >= FRAME_BYTES and buffer[SENDER] == target:  # else it answers a request before
                    break
            took.append((arrived(ancillary) - began) / 1e9)
        except BlockingIOError:
            took.append(math.nan)
            if stop:
                break
        if time.monotonic() >= until:
            break
    return took


class _Volley:
    """Frames laid out in memory, to be sent many with one call: 2 us a frame, where a call for each takes 3."""

    def __init__(self, sock: socket.socket, frames: Sequence[bytes]) -> None:
        """All of one length."""
        self._fd, self._count, self._next = sock.fileno(), len(frames), 0
        self._bytes = np.frombuffer(b"".join(frames), dtype=np.uint8)
        at = np.arange(len(frames), dtype=np.uint64)
        self._vectors = np.empty((len(frames), 2), dtype=np.uint64)
        self._vectors[:, 0] = self._bytes.ctypes.data + at * len(frames[0])
        self._vectors[:, 1] = len(frames[0])
        self._messages = np.zeros((len(frames), _MESSAGE_WORDS), dtype=np.uint64)
        self._messages[:, 2] = self._vectors.ctypes.data + at * 16
        self._messages[:, 3] = 1

    def send(self, count: int) -> int:
        """Send the next `count` frames, or as many as lie in a row; gives how many. `OSError` when none can be."""
        number = min(count, self._count - self._next, _MOST_AT_ONCE)
        place = self._messages[self._next :].ctypes.data
        sent = int(_libc.sendmmsg(self._fd, ctypes.c_void_p(place), number, 0))
        if sent < 0:
            code = ctypes.get_errno()
            raise OSError(code, f"sendmmsg of {number} frames: {os.strerror(code)}")
        self._next = (self._next + sent) % self._count
        return sent


def send_volleys(
    talk: socket.socket, count: socket.socket, frames: Sequence[bytes], *, rate: float, seconds: float
) -> Volleys:
    """Send `rate` frames a second. What is late is sent as soon as it can be, until the time is over."""
    _answers(count)
    pace, volley = threading.Event(), _Volley(talk, frames)
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
    until = time.monotonic() + AFTER
    while select.select([talk], [], [], max(0.0, until - time.monotonic()))[0]:
        talk.recv(FRAME_BYTES)  # it is the other socket that counts
    return Volleys(sent=sent, answered=_answers(count), seconds=took)


def _answers(sock: socket.socket) -> int:
    """Frames that passed the socket's filter since this was last asked, read or not (packet(7), PACKET_STATISTICS)."""
    packets, _ = _COUNTS.unpack(sock.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, _COUNTS.size))
    return int(packets)


def main(talk: socket.socket, count: socket.socket, mac: str, address: str) -> None:
    """Do what is said on the standard input, until it ends."""
    talk.setblocking(True)
    count.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)  # it is never read
    frame = bytearray(encode(request(mac=mac, address=ip_address(address), target=ip_address(address))))
    for line in sys.stdin:
        said = json.loads(line)
        packed = [socket.inet_aton(target) for target in said["targets"]]
        if said["do"] == "ask":
            patience(talk, said["patience"])
            answer: dict[str, Any] = {"took": ask_each(talk, frame, packed, within=said["within"], stop=said["stop"])}
        else:
            frames = [bytes(frame[: TARGET.start] + target + frame[TARGET.stop :]) for target in packed]
            answer = asdict(send_volleys(talk, count, frames, rate=said["rate"], seconds=said["seconds"]))
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as talker, socket.socket(fileno=int(sys.argv[2])) as counter:
        main(talker, counter, *sys.argv[3:])
