"""How long an address is away when its node dies: several implementations, side by side in one run.

Every arm has a lab of its own, all are up at once, and the cuts go round (A B B A …), so that whatever else the
machine does hits all alike. A cut is the power cut of the announcing node while a client asks every 10 ms on a
schedule. The backend lives on the control plane, which never announces, so that a figure is the LoadBalancer's alone
and not that of a dead endpoint. An outage runs from the moment that the first unanswered request was due to the moment
that the next answered one was due. Nothing is discarded for being slow: a cut without recovery within the budget is
kept as such.
"""

from __future__ import annotations

import functools
import json
import statistics
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lbproof.adapters.base import load
from lbproof.lab import provide
from lbproof.lab.base import Ability, Topology
from lbproof.observe.journal import Journal
from lbproof.observe.kube import Kube
from lbproof.observe.prober import Prober, first_outage, steady
from lbproof.observe.wait import Waiter, WaitFailed
from lbproof.stage import Ground, Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

PERIOD = 0.01
"""Seconds between two requests."""


@dataclass(slots=True, kw_only=True)
class Arm:
    """One implementation's cuts."""

    implementation: str
    version: str
    outages: list[float | None] = field(default_factory=list)
    """Seconds, in the order of the cuts; None when the address did not come back within the budget."""

    @property
    def ended(self) -> list[float]:
        """The outages that ended."""
        return [seconds for seconds in self.outages if seconds is not None]

    @property
    def median(self) -> float | None:
        """Seconds, of the outages that ended."""
        return statistics.median(self.ended) if self.ended else None

    @property
    def longest(self) -> float | None:
        """Seconds, of the outages that ended."""
        return max(self.ended, default=None)

    @property
    def lost(self) -> int:
        """Cuts without recovery within the budget."""
        return len(self.outages) - len(self.ended)


def order(arms: int, cuts: int) -> Iterator[int]:
    """Which arm is cut next: there and back again (A B B A …), so that a drift of the machine hits all alike."""
    for turn in range(cuts):
        yield from range(arms) if turn % 2 == 0 else reversed(range(arms))


def measure(
    implementations: Sequence[str], *, cuts: int, components: Path | None, progress: Callable[[str], None]
) -> list[Arm]:
    """Cut the power of each implementation's announcing node so many times; one `Arm` for each, in the order given.

    Raises `LabError` when a lab cannot be had, `UnknownName` for an implementation that there is not.
    """
    adapters = [load(name, "--implementation") for name in implementations]
    arms = [Arm(implementation=adapter.name, version=adapter.version) for adapter in adapters]
    with ExitStack() as stack:
        scenes = []
        for adapter in adapters:
            wanted = provide.Wanted(programs=adapter.components, files=adapter.files, components=components)
            lab, programs = provide.boot(Topology(), wanted, progress, lifeline=True)
            stack.callback(lab.down)
            journal = Journal(None)
            ground = Ground(
                lab=lab,
                cluster=Kube(lab.kubeconfig),
                adapter=adapter,
                journal=journal,
                waiter=Waiter(
                    journal, {**adapter.budgets, "failover": 40.0, "one_answerer": 120.0, "node_back": 120.0}
                ),
                programs=programs,
            )
            ground.install(progress)
            stage, address = _scene(ground)
            stack.callback(stage.close)
            scenes.append((stage, address))
        for at in order(len(arms), cuts):
            arm = arms[at]
            arm.outages.append(_cut(*scenes[at]))
            seconds = arm.outages[-1]
            shown = "no recovery" if seconds is None else f"{seconds * 1000:.0f} ms"
            progress(f"{arm.implementation}: cut {len(arm.outages)} of {cuts}: {shown}")
    return arms


def _scene(ground: Ground) -> tuple[Stage, str]:
    """A Service whose backend survives every cut, and its address."""
    stage = Stage(ground, "bench")
    backend = stage.web("backend", nodes=[ground.lab.nodes[0].name])
    stage.pool(1)
    service = stage.service(serving=True, selector={"app": backend})
    address = stage.assigned(service)
    stage.serves(stage.client, address)
    return stage, address


def _cut(stage: Stage, address: str) -> float | None:
    """Seconds that the address was away when its node's power was cut; None when it did not come back in time."""
    announcer = stage.announcer(address, budget="one_answerer")
    with Prober(stage.client, address, period=PERIOD) as prober:
        stage.wait.settles(
            lambda: steady(prober.samples),
            bool,
            what="half a second of requests is answered",
            budget="serves",
            show=lambda well: "answered" if well else "not yet answered without a gap",
        )
        with stage.fault(Ability.POWER_CUT, functools.partial(stage.lab.power_cut, announcer.name)) as fault:
            try:
                away = stage.wait.settles(
                    lambda: first_outage(prober.samples, fault.began),
                    lambda seconds: seconds is not None,
                    what=f"{address} answers again",
                    budget="failover",
                )
            except WaitFailed:
                away = None
    stage.ground.nodes_ready()
    stage.ground.rolled_out(stage.ground.adapter.announcer)
    return away


def table(arms: Sequence[Arm]) -> list[str]:
    """The figures as lines of text, in milliseconds: medians, maxima, and every raw value in the order of the cuts."""

    def shown(seconds: float | None) -> str:
        return "-" if seconds is None else f"{seconds * 1000:.0f}"

    lines = [f"{'implementation':24} {'cuts':>5} {'lost':>5} {'median':>8} {'longest':>8}   outage of each cut, ms"]
    for arm in arms:
        raw = " ".join("lost" if value is None else shown(value) for value in arm.outages)
        who = f"{arm.implementation} {arm.version}"
        lines.append(
            f"{who:24} {len(arm.outages):>5} {arm.lost:>5} {shown(arm.median):>8} {shown(arm.longest):>8}   {raw}"
        )
    return lines


def to_json(arms: Sequence[Arm]) -> str:
    """The figures for a program: seconds, the raw values in the order of the cuts."""
    rows: list[dict[str, Any]] = [
        {
            "implementation": arm.implementation,
            "version": arm.version,
            "period_seconds": PERIOD,
            "outages_seconds": arm.outages,
            "median_seconds": arm.median,
            "longest_seconds": arm.longest,
            "without_recovery": arm.lost,
        }
        for arm in arms
    ]
    return json.dumps({"benchmark": "failover", "fault": "power-cut", "arms": rows}, indent=1)
