"""Raw frames at a vantage: a socket that hears one interface and no other, and the loop of a thread that reads it.

A thread and a large buffer are enough for what a segment of tests carries; a program apart (tcpdump) would have to be
installed, and could not be asked for its frames while it runs.
"""

from __future__ import annotations

import errno
import select
import socket
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator

    from lbproof.witnesses.vantage import Vantage

LARGEST = 1 << 16
"""Bytes of the largest frame, segments that the kernel has not cut yet included."""
ROOM = 8 << 20
"""Bytes that the kernel holds for a reader that is late; by default it drops after some 300 frames."""
_SO_RCVBUFFORCE = 33
"""<asm-generic/socket.h>; Python has no name for it."""


def opened(vantage: Vantage, protocol: int, prepare: Callable[[socket.socket], None] | None = None) -> socket.socket:
    """A packet socket (packet(7)) for one EtherType or ETH_P_ALL at a vantage's interface; the caller closes it.

    It is made for no protocol, so that it hears nothing before it is bound, least of all another interface; `prepare`
    is called before that.
    """
    with vantage.inside():
        made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    try:
        made.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, ROOM)
        if prepare:
            prepare(made)
        made.bind((vantage.interface, protocol))
        made.setblocking(False)
    except OSError as error:
        made.close()
        raise OSError(error.errno, f"{vantage.interface} at {vantage.name}: {error.strerror}") from error
    return made


def heard(opened: socket.socket, stop: threading.Event) -> Iterator[tuple[float, bytes]]:
    """Each frame and the `time.monotonic()` at which it was read, until `stop` is set.

    A fault that takes the interface down is what is being watched: nothing is heard until it is up again.
    """
    while not stop.is_set():
        if not select.select([opened], [], [], 0.1)[0]:
            continue
        try:
            frame = opened.recv(LARGEST)
        except OSError as error:
            if error.errno != errno.ENETDOWN:
                raise
            continue
        yield time.monotonic(), frame
