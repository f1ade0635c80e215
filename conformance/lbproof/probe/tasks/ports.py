"""Task `ports`: report the frames that enter at any interface of the vantage, and send given ones from one of them.

At the ports of a bridge, the interface is that of the host that sent the frame. Arguments: `interface`, from which
frames are sent; `filter`, classic BPF as in `frames`, which drops what the vantage sends itself; `ignored`, interfaces
whose frames are not reported.

Told `{"send": [base64, ...]}`, it sends these frames. Told `{"token": N}`, it answers when it has emitted every frame
that has arrived.

Records: `["frame", t, interface, base64]` with the kernel's time of arrival, and `["sent", t]` with the moment after
frames were sent. It runs until it is cancelled.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from lbproof.probe.packets import AllInterfaces, PacketSocket
from lbproof.probe.protocol import bytes_of, text_of

if TYPE_CHECKING:
    from lbproof.probe.task import Task


def run(task: Task) -> None:
    """Report and send until it is cancelled."""
    asked = task.arguments
    ignored = frozenset(asked["ignored"])
    with AllInterfaces(asked["filter"]) as wire, PacketSocket(asked["interface"], 0) as out:
        task.ready()
        while not task.stopping:
            if task.wait(None, wire):
                _emit(task, wire, ignored)
            for message in task.messages():
                if "send" in message:
                    for frame in message["send"]:
                        out.send(bytes_of(frame))
                    task.emit(["sent", time.monotonic()])
                else:
                    _emit(task, wire, ignored)
                    task.ready(message["token"])
        _emit(task, wire, ignored)
        task.dropped = wire.count_dropped()


def _emit(task: Task, wire: AllInterfaces, ignored: frozenset[str]) -> None:
    for t, interface, frame in wire.arrived_at():
        if interface not in ignored:
            task.emit(["frame", t, interface, text_of(frame)])
