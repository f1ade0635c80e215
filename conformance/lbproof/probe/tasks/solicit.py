"""Task `solicit`: latency and rate of the replies to neighbour requests.

Closed loop for the latency: one request is out at a time, and its reply counts from the moment before it is sent to the
kernel's time of the reply's arrival, so that the task's waking up is no part of it. Open loop for the rate: requests
leave on schedule in volleys, answered or not, and the kernel counts the replies. They are counted at a socket that is
never read, since replies come faster than they could be read.

Arguments: the object of `lbproof.probe.replies`. Ready when its sockets are open, until it is cancelled. It is told
`{"do": "ask", "targets": [[address in hex, base64 of the request], ...], "order": [index, ...], "within": seconds or
null, "patience": seconds, "stop": bool}`: ask for each in turn, until `within` is over or, with `stop`, up to the first
that is unanswered after `patience`; the record is `{"took": [seconds or null, ...], "core": processor that it ran on
last, "dropped": replies that the kernel dropped}`. Or `{"do": "volleys", "targets": ..., "order": ..., "rate": requests
a second, "seconds": ...}`: the record is `{"sent": count, "answered": count, "seconds": from the first to the last}`.
"""

from __future__ import annotations

import ctypes
import os
import select
import socket
import struct
import time
from array import array
from typing import TYPE_CHECKING, Any

from lbproof.probe import replies
from lbproof.probe.packets import ANCILLARY, arrival
from lbproof.probe.protocol import bytes_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lbproof.probe.packets import PacketSocket
    from lbproof.probe.task import Task

TICK = 0.001
"""Seconds between two volleys."""
AFTER = 0.05
"""Seconds after the last volley in which replies still count."""
_MOST_AT_ONCE = 1024
"""Messages that sendmmsg(2) takes in one call (UIO_MAXIOV)."""
_WORD = 8
"""Bytes of an address, and of every member of `struct iovec` and `struct mmsghdr` of a 64-bit machine."""
_MESSAGE_WORDS = 8
"""Words of `struct mmsghdr`: the third is the place of its vector, the fourth the number of buffers in that."""
_TIMEVAL = struct.Struct("@ll")
_libc = ctypes.CDLL(None, use_errno=True)


def run(task: Task) -> None:
    """Do what it is told, until it is cancelled."""
    with replies.opened(task.arguments) as talk, replies.opened(task.arguments) as counter:
        counter.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)  # it is never read
        layout = replies.Layout.of(task.arguments)
        task.ready()
        while not task.stopping:
            task.wait(None)
            for message in task.messages():
                targets = [(bytes.fromhex(address), bytes_of(frame)) for address, frame in message["targets"]]
                asked = [targets[index] for index in message["order"]]
                if message["do"] == "ask":
                    task.emit(_ask(task, talk, layout, asked, message))
                else:
                    frames = [frame for _, frame in asked]
                    task.emit(
                        _send_volleys(task, talk, counter, frames, rate=message["rate"], seconds=message["seconds"])
                    )


def _ask(
    task: Task,
    talk: PacketSocket,
    layout: replies.Layout,
    asked: Iterable[tuple[bytes, bytes]],
    message: dict[str, Any],
) -> dict[str, Any]:
    _drain(talk)
    dropped = talk.count_dropped()
    talk.socket.setblocking(True)
    try:
        patience(talk.socket, message["patience"])
        took = ask_each(talk.socket, layout, asked, task, within=message["within"], stop=message["stop"])
    finally:
        talk.socket.setblocking(False)
    return {"took": took, "core": _libc.sched_getcpu(), "dropped": talk.count_dropped() - dropped}


def patience(sock: socket.socket, seconds: float) -> None:
    """Let a blocking read end with `BlockingIOError` after so long: without the poll(2) that Python's timeout costs."""
    whole = int(seconds)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TIMEVAL.pack(whole, int((seconds - whole) * 1e6)))


def ask_each(
    talk: socket.socket,
    layout: replies.Layout,
    asked: Iterable[tuple[bytes, bytes]],
    task: Task,
    *,
    within: float | None,
    stop: bool,
) -> list[float | None]:
    """Return the seconds from each request to its reply; None where none came within the socket's patience."""
    took: list[float | None] = []
    buffer = bytearray(replies.REPLY_BYTES)
    until = None if within is None else time.monotonic() + within
    for target, frame in asked:
        began = time.clock_gettime_ns(time.CLOCK_REALTIME)
        talk.send(frame)
        try:
            while True:
                count, ancillary, _, _ = talk.recvmsg_into([buffer], ANCILLARY)
                if count >= layout.target.stop and buffer[layout.target] == target:  # else it answers an earlier one
                    break
            took.append((arrival(ancillary) - began) / 1e9)
        except BlockingIOError:
            took.append(None)
            if stop:
                break
        if task.stopping or (until is not None and time.monotonic() >= until):
            break
    return took


class _Volley:
    """Frames laid out in memory, to be sent many with one call: 2 µs a frame, where a call for each takes 3."""

    def __init__(self, sock: socket.socket, frames: Sequence[bytes]) -> None:
        """All of one length."""
        self._fd, self._count, self._next = sock.fileno(), len(frames), 0
        size = len(frames[0])
        self._bytes = array("B", b"".join(frames))
        start = self._bytes.buffer_info()[0]
        self._vectors = array("Q", [word for at in range(len(frames)) for word in (start + at * size, size)])
        place = self._vectors.buffer_info()[0]
        self._messages = array("Q", bytes(len(frames) * _MESSAGE_WORDS * _WORD))
        for at in range(len(frames)):
            self._messages[at * _MESSAGE_WORDS + 2] = place + at * 2 * _WORD
            self._messages[at * _MESSAGE_WORDS + 3] = 1

    def send(self, count: int) -> int:
        """Send the next `count` frames, or as many as lie in a row; return how many. Raises `OSError` for none."""
        number = min(count, self._count - self._next, _MOST_AT_ONCE)
        place = self._messages.buffer_info()[0] + self._next * _MESSAGE_WORDS * _WORD
        sent = int(_libc.sendmmsg(self._fd, ctypes.c_void_p(place), number, 0))
        if sent < 0:
            code = ctypes.get_errno()
            raise OSError(code, f"sendmmsg of {number} frames: {os.strerror(code)}")
        self._next = (self._next + sent) % self._count
        return sent


def _send_volleys(
    task: Task, talk: PacketSocket, counter: PacketSocket, frames: Sequence[bytes], *, rate: float, seconds: float
) -> dict[str, Any]:
    """Send `rate` frames a second. What is late is sent as soon as it can be, until the time is over."""
    counter.count()
    volley = _Volley(talk.socket, frames)
    began = time.monotonic()
    sent, now = 0, began
    while now < began + seconds and not task.stopping:
        due = int((now - began) * rate) + 1
        while sent < due and now < began + seconds:
            sent += volley.send(due - sent)
            now = time.monotonic()
        select.select([task], [], [], max(0.0, TICK - (time.monotonic() - began) % TICK))
        now = time.monotonic()
    took = time.monotonic() - began
    until = time.monotonic() + AFTER
    while (left := until - time.monotonic()) > 0 and not task.stopping:
        if task.wait(left, talk):
            _drain(talk)  # it is the other socket that counts
    return {"sent": sent, "answered": counter.count(), "seconds": took}


def _drain(wire: PacketSocket) -> None:
    """Forget the replies that have arrived."""
    try:
        while True:
            wire.socket.recv(1)
    except BlockingIOError:
        return
