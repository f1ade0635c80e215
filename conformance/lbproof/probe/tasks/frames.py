"""Task `frames`: receive the frames of one interface, and send given ones on a schedule.

Arguments: `interface`; `protocol`, an EtherType or 3 for all; `filter`, classic BPF as a list of `[code, jt, jf, k]`,
or empty; `send`, a list of `[seconds after the start, base64]` in order of time; `seconds` until the end, null until it
is cancelled.

Told `{"token": N}`, it answers when it has emitted every frame that has arrived.

Records: `["sent", t, index]`, and `["frame", t, packet type, base64]` with the kernel's time of arrival and, for
instance, 4 for a frame that the vantage itself sends (PACKET_OUTGOING).
"""

from __future__ import annotations

import errno
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
        task.ready()
        began = time.monotonic()
        end = math.inf if asked["seconds"] is None else began + asked["seconds"]
        index = 0
        while not task.stopping and (now := time.monotonic()) < end:
            if index < len(plan) and now >= began + plan[index][0]:
                task.emit(["sent", now, index])
                wire.send(plan[index][1])
                index += 1
                continue
            until = min(end, began + plan[index][0] if index < len(plan) else math.inf)
            if task.wait(None if until == math.inf else until - now, wire):
                _receive(task, wire)
            for told in task.told():
                while _receive(task, wire):
                    pass
                task.ready(told["token"])
        task.dropped = wire.count_dropped()


def _receive(task: Task, wire: PacketSocket) -> bool:
    """Emit the next frame; return whether there was one."""
    try:
        t, kind, frame = wire.receive()
    except OSError as error:  # a fault takes the interface down: the socket goes on when it is up again
        if error.errno not in {errno.ENETDOWN, errno.EAGAIN}:
            raise
        return False
    task.emit(["frame", t, kind, text_of(frame)])
    return True
