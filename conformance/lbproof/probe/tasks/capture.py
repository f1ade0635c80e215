"""Task `capture`: keep the newest frames of one interface at the vantage, and send them when told to.

Arguments: `interface`; `most`, size of the ring buffer in bytes; `snap`, bytes of a frame that are kept.

Told `{"token": N}`, it reads what has arrived until then, emits a record `[t, length, base64]` for each frame that it
keeps, and then
`{"dropped": by the kernel, "overwritten": oldest frames that the ring has lost}`.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from lbproof.probe.packets import PacketSocket
from lbproof.probe.protocol import text_of

if TYPE_CHECKING:
    from lbproof.probe.task import Task

_ALL = 0x0003
"""ETH_P_ALL of <linux/if_ether.h>."""


class _Ring:
    """The newest frames, limited by their size."""

    def __init__(self, most: int, snap: int) -> None:
        """Empty."""
        self.frames: deque[tuple[float, int, bytes]] = deque()
        self.overwritten = 0
        self._most, self._snap, self._bytes = most, snap, 0

    def keep_arrived(self, wire: PacketSocket) -> None:
        """Add the frames that have arrived."""
        for t, _, frame in wire.arrived():
            self.keep(t, frame)

    def keep(self, t: float, frame: bytes) -> None:
        """Add a frame, and forget the oldest ones that are too many."""
        kept = frame[: self._snap]
        self.frames.append((t, len(frame), kept))
        self._bytes += len(kept)
        while self._bytes > self._most:
            self._bytes -= len(self.frames.popleft()[2])
            self.overwritten += 1


def run(task: Task) -> None:
    """Capture until it is cancelled."""
    asked = task.arguments
    ring = _Ring(asked["most"], asked["snap"])
    with PacketSocket(asked["interface"], _ALL) as wire:
        task.ready()
        while not task.stopping:
            if task.wait(None, wire):
                ring.keep_arrived(wire)
            for message in task.messages():
                ring.keep_arrived(wire)
                task.emit(*([t, length, text_of(frame)] for t, length, frame in ring.frames))
                task.emit({"dropped": wire.count_dropped(), "overwritten": ring.overwritten})
                task.ready(message["token"])
        task.dropped = wire.count_dropped()
