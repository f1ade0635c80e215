"""Task `classify`: report the frames of one interface that rules describe, without their contents.

Arguments: `interface`; `rules`, as in `lbproof.probe.rules`. Records: rows of `lbproof.probe.rows`, of the kinds that
the rules give, with the kernel's time of arrival. Runs with real-time priority, until it is cancelled.
"""

from __future__ import annotations

import select
import socket
from typing import TYPE_CHECKING

from lbproof.probe.packets import PacketSocket
from lbproof.probe.priority import real_time
from lbproof.probe.rows import Rows
from lbproof.probe.rules import Rules

if TYPE_CHECKING:
    from lbproof.probe.task import Task

_ALL = 0x0003
"""ETH_P_ALL of <linux/if_ether.h>."""
_SNAP = 128
"""Bytes of a frame that rules may look at."""
_FLUSH = 0.05
"""Seconds after which rows leave where no frame arrives."""


def run(task: Task) -> None:
    """Report until it is cancelled."""
    real_time()
    rules, rows = Rules(task.arguments["rules"]), Rows(task)
    with PacketSocket(task.arguments["interface"], _ALL) as wire, select.epoll() as poll:
        for file in (task, wire):
            poll.register(file, select.EPOLLIN)
        task.ready()
        while not task.stopping:
            poll.poll(_FLUSH)
            _receive(wire, rules, rows)
            rows.flush()
        _receive(wire, rules, rows)
        rows.flush(force=True)
        task.dropped = wire.count_dropped()


def _receive(wire: PacketSocket, rules: Rules, rows: Rows) -> None:
    for at, kind, frame in wire.arrived(_SNAP):
        if found := rules.find(frame, outgoing=kind == socket.PACKET_OUTGOING):
            rows.put(found[0], at, mac=found[1])
