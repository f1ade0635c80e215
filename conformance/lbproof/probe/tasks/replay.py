"""Task `replay`: send the frames of some hosts again as they arrive, and the last of each kind again and again.

A kind is what goes to one destination by one EtherType. Frames of other hosts are left alone, and so are those that the
vantage itself sends, and those longer than Ethernet's (segments that the kernel has merged).

Arguments: `interface`; `hosts`, hardware addresses (hexadecimal) whose frames are sent again; `source`, the hardware
address from which that is done, empty for the original one; `after`, seconds between a frame and its copy; `every`,
seconds between two copies of the last frames, 0 for none; `first`, frames in base64 that count as heard before; `skip`,
a list of `[[offset, hexadecimal], ...]`: a frame is left out that has all bytes of one of them.

So that it ends, and two of them do not answer each other without end: `seconds` and `most`, after so much time and so
many copies nothing is sent any more; `rate`, copies a second at most; and a frame that arrives is no news while this
task has sent the same one within `HELD` seconds.

Ready when it hears, until it is cancelled. At the end: `heard`, frames of the hosts; `sent`, copies; and `withheld`,
copies that one of the bounds forbade.
"""

from __future__ import annotations

import math
import socket
import time
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Any

from lbproof.probe.packets import PacketSocket
from lbproof.probe.protocol import bytes_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lbproof.probe.task import Task

HELD = 1.0
"""Seconds for which a frame that was sent is known: another host sends it back sooner."""
KINDS = 64
"""Kinds of which the last frame is sent again: those heard last."""
_ALL = 0x0003
"""ETH_P_ALL of <linux/if_ether.h>."""
_LONGEST = 1514
"""Bytes of an Ethernet frame without its checksum."""


class Copies:
    """Which frames are sent again, and when, without a socket or a clock."""

    def __init__(self, asked: Mapping[str, Any], now: float) -> None:
        """`asked`: arguments of the task."""
        self.heard = self.sent = self.withheld = 0
        self._hosts = {bytes.fromhex(mac) for mac in asked["hosts"]}
        self._source = bytes.fromhex(asked["source"])
        self._skip = [[(at, bytes.fromhex(value)) for at, value in parts] for parts in asked["skip"]]
        self._after, self._every = asked["after"], asked["every"] or math.inf
        self._until: float = now + asked["seconds"]
        self._left: int = asked["most"]
        self._rate: int = asked["rate"]
        self._tokens, self._counted = float(self._rate), now  # token bucket: a second's copies may go at once
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._last: OrderedDict[tuple[bytes, bytes], bytes] = OrderedDict()
        self._known: dict[bytes, float] = {}  # copies, and until when they are known
        self._forget = now + HELD
        self._again = now if asked["every"] else math.inf
        for frame in map(bytes_of, asked["first"]):
            if self._is_wanted(frame):
                self._keep(self._copy(frame))

    @property
    def due(self) -> float:
        """Moment of the next copy; infinite when there is none."""
        return min(self._waiting[0][0] if self._waiting else math.inf, self._again if self._last else math.inf)

    def hear(self, frame: bytes, now: float) -> None:
        """Take a frame that has arrived."""
        if not self._is_wanted(frame):
            return
        self.heard += 1
        if self._known.get(frame, -math.inf) < now and self._may(now):
            copy = self._copy(frame)
            self._known[copy] = now + self._after + HELD
            self._waiting.append((now + self._after, copy))

    def take(self, now: float) -> list[bytes]:
        """Return the frames to send now."""
        found = []
        while self._waiting and self._waiting[0][0] <= now:
            found.append(self._waiting.popleft()[1])
            self._keep(found[-1])
        if self._is_over(now):
            self._last.clear()
        if self._last and self._again <= now:
            found += [frame for frame in self._last.values() if frame not in found and self._may(now)]
            self._again = now + self._every
        if now >= self._forget:
            self._known = {frame: until for frame, until in self._known.items() if until >= now}
            self._forget = now + HELD
        self._known |= dict.fromkeys(found, now + HELD)
        self.sent += len(found)
        return found

    def _is_wanted(self, frame: bytes) -> bool:
        if frame[6:12] not in self._hosts or len(frame) > _LONGEST:
            return False
        return not any(all(frame[at : at + len(value)] == value for at, value in parts) for parts in self._skip)

    def _copy(self, frame: bytes) -> bytes:
        return frame[:6] + (self._source or frame[6:12]) + frame[12:]

    def _keep(self, frame: bytes) -> None:
        """Remember a copy as the last of its kind."""
        kind = frame[:6], frame[12:14]
        self._last[kind] = frame
        self._last.move_to_end(kind)
        if len(self._last) > KINDS:
            self._last.popitem(last=False)

    def _is_over(self, now: float) -> bool:
        return now >= self._until or self._left <= 0

    def _may(self, now: float) -> bool:
        """Return whether one more copy is within the bounds, and count it."""
        self._tokens = min(self._rate, self._tokens + (now - self._counted) * self._rate)
        self._counted = now
        if self._is_over(now) or self._tokens < 1:
            self.withheld += 1
            return False
        self._tokens -= 1
        self._left -= 1
        return True


def run(task: Task) -> dict[str, int]:
    """Send copies until it is cancelled."""
    with PacketSocket(task.arguments["interface"], _ALL) as wire:
        copies = Copies(task.arguments, time.monotonic())
        task.ready()
        while not task.stopping:
            for frame in copies.take(time.monotonic()):
                wire.send(frame)
            left = copies.due - time.monotonic()
            if task.wait(None if left == math.inf else left, wire):
                for _, kind, frame in wire.arrived():
                    if kind != socket.PACKET_OUTGOING:
                        copies.hear(frame, time.monotonic())
        task.dropped = wire.count_dropped()
        return {"heard": copies.heard, "sent": copies.sent, "withheld": copies.withheld}
