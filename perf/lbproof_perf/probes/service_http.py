"""The prober for HTTP: when is a place first served with a 200?

An attempt is begun whether or not the one before it has ended, since a connection request that came too early is sent
again by the kernel only after a second (RFC 6298), and a client that waited for that would measure it.

`python -m lbproof_perf.probes.service_http PORT PATH`, in the namespace to ask from. Verb: `first ADDRESS`. Finding:
`["first", address, moment, step]`, `step` being the seconds from the beginning of the attempt that succeeded.
"""

from __future__ import annotations

import math
import select
import sys

from lbproof_perf.probes.attempts import Attempts
from lbproof_perf.probes.turns import Turns, serve, tell

BATCH = 8
"""Attempts a turn at most: 800 a second."""
TURN = 0.01
"""Seconds between two attempts at one place, where few are asked."""
LIFE = 0.4
"""Seconds that an attempt may take."""


def main(port: int, path: str) -> None:
    """Ask until the end of stdin."""
    poll = select.epoll()
    turns: Turns[str] = Turns(BATCH)
    attempts: Attempts[str] = Attempts(poll, path, life=LIFE)

    def ready(descriptor: int) -> None:
        done = attempts.go_on(descriptor)
        if done and not math.isnan(done.answered) and done.key in turns:
            turns.drop(done.key)
            tell("first", done.key, done.answered, done.answered - done.began)

    def turn(now: float) -> None:
        attempts.expire(now)
        for address in turns.turn():
            attempts.begin(address, address, port, now)

    serve(
        poll,
        TURN,
        busy=lambda: bool(turns or attempts),
        asked=lambda _, address: turns.add(address),
        ready=ready,
        turn=turn,
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
