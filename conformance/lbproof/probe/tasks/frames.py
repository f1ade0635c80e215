"""Task `frames`: receive the frames of one interface, and send given ones on a schedule.

Arguments: `interface`; `protocol`, an EtherType or 3 for all; `filter`, classic BPF as a list of `[code, jt, jf, k]`,
or empty; `send`, a list of `[seconds after the start, base64]` in order of time; `seconds` until the end, null until it
is cancelled. A frame that is sent late delays the rest of the schedule and the end by as much: the time after a frame
is never shorter than planned.

Told `{"token": N}`, it answers when it has emitted every frame that has arrived. At the end it emits those that arrived
in time by the kernel's clock, also when the task itself was late.

Records: `["sent", t, index, t]` with the moments before and after the call that sends, and `["frame", t, packet type,
base64]` with the kernel's time of arrival and, for instance, 4 for a frame that the vantage itself sends
(PACKET_OUTGOING).
"""

from __future__ import annotations

import itertools
import math
import time
from typing import TYPE_CHECKING

from lbproof.probe.packets import PacketSocket
from lbproof.probe.protocol import bytes_of, text_of

if TYPE_CHECKING:
    from lbproof.probe.task import Task


def run(task: Task) -> None:
    """Receive and send until the time is over."""
    asked = task.arguments
    plan = [(after, bytes_of(frame)) for after, frame in asked["send"]]
    with PacketSocket(asked["interface"], asked["protocol"], asked["filter"]) as wire:
        began = time.monotonic()
        task.ready()
        end = math.inf if asked["seconds"] is None else began + asked["seconds"]
        index = 0
        while not task.stopping and ((now := time.monotonic()) < end or index < len(plan)):
            due = began + plan[index][0] if index < len(plan) else math.inf
            if now >= due:
                wire.send(plan[index][1])
                sent = time.monotonic()
                task.emit(["sent", now, index, sent])
                began, end, index = began + sent - due, end + sent - due, index + 1
                continue
            until = min(end, due) if index == len(plan) else due
            if task.wait(None if until == math.inf else until - now, wire):
                for frame in itertools.islice(wire.arrived(), 1):  # one, since a frame to be sent may be due
                    _emit(task, frame)
            for message in task.messages():
                for frame in wire.arrived():
                    _emit(task, frame)
                task.ready(message["token"])
        for frame in wire.arrived():
            if frame[0] <= end:
                _emit(task, frame)
        task.dropped = wire.count_dropped()


def _emit(task: Task, frame: tuple[float, int, bytes]) -> None:
    t, kind, data = frame
    task.emit(["frame", t, kind, text_of(data)])
