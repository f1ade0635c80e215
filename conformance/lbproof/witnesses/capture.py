"""Packet capture of all frames at a vantage, kept in memory and written as a pcap only when needed.

A failed verdict comes with its frames; a passed one writes no file. The ring buffer is bounded and keeps the newest
frames. The format is libpcap's classic one (link type 1, Ethernet), which every tool reads.
"""

from __future__ import annotations

import struct
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Self

from lbproof.witnesses.frames import decode
from lbproof.witnesses.packets import heard, opened

if TYPE_CHECKING:
    from pathlib import Path

    from lbproof.witnesses.frames import Frame
    from lbproof.witnesses.vantage import Vantage

ALL = 0x0003
"""ETH_P_ALL of <linux/if_ether.h>."""
MOST = 16 << 20
"""Size of the ring buffer in bytes."""
SNAP = 256
"""Snap length in bytes: headers and the beginning of the payload."""

_FILE = struct.Struct("<IHHiIII")
"""Magic number, version 2.4, time zone, accuracy, snap length, link type."""
_RECORD = struct.Struct("<IIII")
"""Seconds, microseconds, bytes kept, bytes on the wire."""


class Capture:
    """Context manager that captures frames at a vantage in both directions."""

    def __init__(self, vantage: Vantage) -> None:
        """Capture nothing before it is entered."""
        self.vantage = vantage
        self._ring: deque[tuple[float, int, bytes]] = deque()
        self._bytes = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"capture at {vantage.name}", daemon=True)

    def __enter__(self) -> Self:
        """Start to capture."""
        self._socket = opened(self.vantage, ALL)
        self._thread.start()
        return self

    def _keep(self) -> None:
        for t, frame in heard(self._socket, self._stop):
            self._ring.append((t, len(frame), frame[:SNAP]))
            self._bytes += len(frame[:SNAP])
            while self._bytes > MOST:
                self._bytes -= len(self._ring.popleft()[2])

    def __exit__(self, *_: object) -> None:
        """Stop; captured frames stay available."""
        self._stop.set()
        self._thread.join()
        self._socket.close()

    def frames(self) -> list[tuple[float, bytes]]:
        """Return captured frames in order: time (`time.monotonic()`), and the frame cut at `SNAP` bytes."""
        return [(t, frame) for t, _, frame in list(self._ring)]

    def arp(self) -> list[Frame]:
        """Return the captured ARP packets."""
        return [found for t, frame in self.frames() if (found := decode(frame, t))]

    def write(self, path: Path) -> None:
        """Write the frames captured so far as a pcap."""
        with path.open("wb") as file:
            file.write(_FILE.pack(0xA1B2C3D4, 2, 4, 0, 0, SNAP, 1))
            wall = time.time() - time.monotonic()
            for t, length, frame in list(self._ring):
                seconds, fraction = divmod(t + wall, 1)
                file.write(_RECORD.pack(int(seconds), int(fraction * 1e6), len(frame), length) + frame)
