"""The freeze test: a server stands still for two seconds, and each way of asking says how long requests took.

What a client must have seen is no opinion: it follows from the schedule and from when the server stood still. A tool
that is far from it hides outages. (Gil Tene's "coordinated omission".)
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import numpy as np

from lbproof_perf.load.run import Load, Outcome, measure
from lbproof_perf.stats.quantiles import quantile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from lbproof.lab.fault import Fault
    from lbproof_perf.load.run import ExecArgv

BEFORE = 2.0
"""Seconds of load before the freeze."""
_TOLD = 0.95


def truth(*, began: float, rate: float, seconds: float, frozen: float, thawed: float, usual: float, q: float) -> float:
    """Seconds that a share `q` of the requests of a schedule did not exceed.

    `rate` requests a second are due from `began` for `seconds`; those that are due while the server stands still, from
    `frozen` to `thawed`, are answered when it goes on; all take `usual` seconds besides.
    """
    due = began + np.arange(round(rate * seconds)) / rate
    waited = np.where((due >= frozen) & (due < thawed), thawed - due, 0.0)
    return quantile(waited + usual, q)


def frozen(
    there: ExecArgv, load: Load, freeze: Callable[[], Fault], *, standstill: float, servers: Iterable[Path] = ()
) -> tuple[Outcome, float, float]:
    """A load during which the server is frozen; what came of it, the truth's p95, and what the tool says of it.

    Users with a schedule are asked for their own histogram, stock users for Locust's report: what their readers see.
    """
    moments: list[float] = []

    def during() -> None:
        never = threading.Event()
        never.wait(BEFORE)  # part of the experiment's course: nothing is waited for
        fault = freeze()
        try:
            never.wait(standstill)
        finally:
            fault.undo()
        moments.extend((fault.began, fault.ended or time.monotonic()))

    outcome = measure(there, load, servers=servers, during=during)
    rate = load.rate if load.scheduled else load.throughput * load.users
    must = truth(
        began=outcome.tally.began,
        rate=rate,
        seconds=outcome.tally.seconds,
        frozen=moments[0],
        thawed=moments[1],
        usual=outcome.tally.latency.quantile(0.5) or 0.0,
        q=_TOLD,
    )
    said = outcome.tally.latency.quantile(_TOLD) if load.scheduled else outcome.locust_quantile(_TOLD)
    return outcome, must, said if said is not None else float("nan")
