"""Task `flood`: send frames that no host should send, as fast as it can: good ones that are changed at random.

Some bytes are changed, or the frame is cut, made longer, or has another payload altogether. The Ethernet header is left
alone, since a switch learns from it who is where, and so are the bytes `kept`: under the address of another host in
them, all hosts would send that one's packets here.

Arguments: `interface`; `protocol`, an EtherType; `good`, a list of base64; `kept`, `[offset, length]`; `seed`; `count`.
At the end: `sent`, the number of frames.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from lbproof.probe.packets import PacketSocket
from lbproof.probe.protocol import bytes_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lbproof.probe.task import Task

_HEADER = 14
_LONGEST = 120
_NOTHING = ((0x06, 0, 0, 0),)
"""Classic BPF program that accepts no frame."""
_FLIPS = 6


def run(task: Task) -> dict[str, int]:
    """Send until all are sent."""
    asked = task.arguments
    at, length = asked["kept"]
    rng = random.Random(asked["seed"])  # noqa: S311 - no secret
    frames = changed_frames(rng, [bytes_of(one) for one in asked["good"]], slice(at, at + length))
    sent = 0
    with PacketSocket(asked["interface"], asked["protocol"], _NOTHING) as wire:
        task.ready()
        while sent < asked["count"] and not task.stopping:
            wire.send(next(frames))
            sent += 1
    return {"sent": sent}


def changed_frames(rng: random.Random, good: Sequence[bytes], kept: slice) -> Iterator[bytes]:
    """Yield good frames that are changed at random, without end."""
    while True:
        was = rng.choice(good)
        frame, way = bytearray(was), rng.randrange(4)
        if way == 0:
            for _ in range(rng.randint(1, _FLIPS)):
                frame[rng.randrange(_HEADER, len(frame))] = rng.randrange(256)
        elif way == 1:
            del frame[rng.randrange(_HEADER, len(frame)) :]
        else:
            payload = rng.randbytes(rng.randint(1, _LONGEST))
            frame[_HEADER if way == 2 else len(frame) :] = payload  # noqa: PLR2004 - the third way
        there = len(frame[kept])
        frame[kept.start : kept.start + there] = was[kept][:there]
        yield bytes(frame)
