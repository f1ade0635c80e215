"""Packet capture of all frames at a vantage, kept there in memory and fetched only when needed.

A failed verdict comes with its frames; a passed one writes no file. The ring buffer is bounded and keeps the newest
frames. The format is libpcap's classic one (link type 1, Ethernet), which every tool reads.
"""

from __future__ import annotations

import struct
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from lbproof.probe.protocol import bytes_of
from lbproof.witnesses.neighbour import decode
from lbproof.witnesses.stream import ProbeError

if TYPE_CHECKING:
    from pathlib import Path

    from lbproof.spec.families import Family
    from lbproof.witnesses.neighbour import Message
    from lbproof.witnesses.stream import Stream
    from lbproof.witnesses.vantage import Vantage

MOST = 16 << 20
"""Size of the ring buffer in bytes."""
SNAP = 256
"""Snap length in bytes: headers and the beginning of the payload."""
WHOLE = 65535
"""Snap length with which no frame is cut."""
FETCH = 30.0
"""Timeout in seconds to fetch a full ring buffer."""

_FILE = struct.Struct("<IHHiIII")
"""Magic number, version 2.4, time zone, accuracy, snap length, link type."""
_RECORD = struct.Struct("<IIII")
"""Seconds, microseconds, bytes kept, bytes on the wire."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    """Frames of a capture, in order."""

    rows: tuple[tuple[float, int, bytes], ...] = ()
    """Time (`time.monotonic()`), length on the wire in bytes, and the frame cut at `SNAP` bytes."""
    lost: int = 0
    """Number of frames that the kernel dropped, or that were forgotten for newer ones."""

    def neighbour_messages(self, family: Family) -> list[Message]:
        """Return the ARP packets or NDP messages among them."""
        found = [decode(family, frame, t) for t, _, frame in self.rows]
        return [message for message in found if message]

    def write(self, path: Path) -> None:
        """Write them as a pcap."""
        with path.open("wb") as file:
            file.write(_FILE.pack(0xA1B2C3D4, 2, 4, 0, 0, SNAP, 1))
            wall = time.time() - time.monotonic()
            for t, length, frame in self.rows:
                seconds, fraction = divmod(t + wall, 1)
                file.write(_RECORD.pack(int(seconds), int(fraction * 1e6), len(frame), length) + frame)


class Capture:
    """Captures frames at a vantage in both directions; as a context manager, or from `open` to `close`."""

    def __init__(self, vantage: Vantage, *, most: int = MOST, snap: int = SNAP) -> None:
        """Capture nothing before it is opened. `most`: size of the ring buffer in bytes; `snap`: of a frame in it."""
        self.vantage, self._most, self._snap = vantage, most, snap
        self._stream: Stream | None = None
        self._kept = Captured()

    def open(self) -> None:
        """Start to capture."""
        self._probe = self.vantage.probe()
        self._stream = self._probe.request(
            "capture", interface=self.vantage.interface, most=self._most, snap=self._snap
        )
        self._stream.wait_ready()

    def close(self) -> None:
        """Stop, and forget what was captured. Raises `ProbeError` when the capture has failed."""
        stream, self._stream = self._stream, None
        if stream:
            stream.cancel()

    def __enter__(self) -> Self:
        """Start to capture."""
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop; captured frames stay available."""
        try:
            self._kept = self.captured()
        finally:
            self.close()

    def captured(self) -> Captured:
        """Return what was captured so far, also what a full buffer has left of it: for evidence."""
        if self._stream is None:
            return self._kept
        *rows, counts = self._stream.exchange(FETCH)
        local = self._probe.clock.local
        return Captured(
            rows=tuple((local(t), length, bytes_of(frame)) for t, length, frame in rows),
            lost=counts["dropped"] + counts["overwritten"],
        )

    def frames(self) -> list[tuple[float, bytes]]:
        """Return all frames so far for a verdict: time (`time.monotonic()`), and the frame cut at the snap length.

        Raises `ProbeError` when frames were lost.
        """
        found = self.captured()
        if found.lost:
            raise ProbeError(f"capture at {self.vantage.name}: {found.lost} frames were lost")
        return [(t, frame) for t, _, frame in found.rows]
