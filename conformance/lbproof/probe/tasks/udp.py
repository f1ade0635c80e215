"""Task `udp`: send datagrams from one socket, and receive what comes back.

Arguments: `host` (address), `port`, `payload` (base64), `count`, `ttl` (hop limit), `wait` (seconds after the last),
`source` (own port, 0 for any), `enough` (datagrams and errors that end the wait, 0 for none).
Records: `["sent", t]`, `["received", t, base64]` with the kernel's time of arrival, and `["failed", t, kind]` for an
error of the network, such as an ICMP port unreachable (`lbproof.probe.connection`).
"""

from __future__ import annotations

import math
import socket
import time
from typing import TYPE_CHECKING

from lbproof.probe.connection import family_of, kind_of
from lbproof.probe.packets import ANCILLARY, SO_TIMESTAMPNS, arrival, realtime_offset
from lbproof.probe.protocol import bytes_of, text_of

if TYPE_CHECKING:
    from lbproof.probe.task import Task


def run(task: Task) -> None:
    """Send all at once, and receive until the time is over."""
    asked = task.arguments
    payload = bytes_of(asked["payload"])
    family = family_of(asked["host"])
    with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as opened:
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, asked["ttl"])
        else:
            opened.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, asked["ttl"])
        opened.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        opened.bind(("", asked["source"]))
        opened.connect((asked["host"], asked["port"]))
        for _ in range(asked["count"]):
            try:
                opened.send(payload)
                task.emit(["sent", time.monotonic()])
            except OSError as error:
                task.emit(["failed", time.monotonic(), kind_of(error)])
        until = time.monotonic() + asked["wait"]
        received, enough = 0, asked["enough"] or math.inf
        while not task.stopping and received < enough and (left := until - time.monotonic()) > 0:
            if task.wait(left, opened):
                received += _receive(task, opened, until)
        _receive(task, opened, until)


def _receive(task: Task, opened: socket.socket, until: float) -> int:
    """Emit what has arrived until a moment; return the number of datagrams and errors."""
    offset = realtime_offset()
    t, received = -math.inf, 0
    while t <= until:
        try:
            data, ancillary, _, _ = opened.recvmsg(1 << 16, ANCILLARY)
        except BlockingIOError:
            break
        except OSError as error:
            t = time.monotonic()
            task.emit(["failed", t, kind_of(error)])
            received += 1
        else:
            t = arrival(ancillary) / 1e9 - offset
            if t <= until:
                task.emit(["received", t, text_of(data)])
                received += 1
    return received
