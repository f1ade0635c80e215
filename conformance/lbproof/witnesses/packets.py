"""Raw frames at a vantage: a packet socket for exactly one interface, and the receive loop of its thread.

A thread and a large buffer suffice for the traffic of a test segment; a separate program (tcpdump) would have to be
installed, and its frames could not be read while it runs.
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

ALL = 0x0003
"""ETH_P_ALL of <linux/if_ether.h>."""
LARGEST = 1 << 16
"""Size of the largest frame in bytes, including segments that the kernel has not split yet."""
ROOM = 8 << 20
"""Receive buffer in bytes; the kernel's default overflows after some 300 frames."""
_SO_RCVBUFFORCE = 33
"""<asm-generic/socket.h>; Python has no name for it."""


def opened(vantage: Vantage, protocol: int, prepare: Callable[[socket.socket], None] | None = None) -> socket.socket:
    """Open a packet socket (packet(7)) for one EtherType or ETH_P_ALL at a vantage's interface; the caller closes it.

    It is created with protocol 0, so that it receives nothing, in particular from other interfaces, before it is bound;
    `prepare` is called before the bind.
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
    """Yield each frame with the `time.monotonic()` at which it was read, until `stop` is set.

    Faults may take the interface down: the loop then continues when it is up again.
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
