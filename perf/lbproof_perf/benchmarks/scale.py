"""How far does an implementation scale: what does it cost with many Services and many nodes, and is it slower then?

For each number of Services (with three workers) and of nodes (with a hundred Services) the controller's and the
speakers' processor time, private memory and API requests are read over two windows: at rest, when every address has
been answered for, and in churn, when Services are deleted and others created at a bounded rate. At the largest number
of Services up to a thousand the announcer of one address loses its power, then all speakers and the controller are
killed at once. The report draws slopes; here are the points.

kube-proxy runs in nftables mode: in iptables mode the 1,000th Service costs it seconds of both cores of a small
machine, which the implementation would wait for. The Services have one ready backend, on the
control plane's node: some implementations announce nothing without.
"""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lbproof.context import ingress
from lbproof.lab.base import Topology
from lbproof_perf.benchmarks.base import BenchContext, Benchmark, Size, turns
from lbproof_perf.outage_probe.jitter import JitterLog
from lbproof_perf.report import answers, panels
from lbproof_perf.report.spec import metrics
from lbproof_perf.results import TrialId
from lbproof_perf.sut.services import CEILING, SERVICES, ServiceBench, at_pace, service
from lbproof_perf.sut.system import SystemUnderTest
from lbproof_perf.sut.usage import RATES, rates

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lbproof_perf.sut.arms import Arm

NAME = "scale"
PROXY_MODE = "nftables"
_SPARE = 50
"""Addresses of the pool beyond the Services: those that are deleted in churn keep theirs for a moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalePlan:
    """What is measured."""

    services: tuple[int, ...]
    """Numbers of Services with three workers, ascending: each is reached from the one before."""
    nodes: tuple[int, ...]
    """Numbers of workers, each with `services_by_node` Services."""
    services_by_node: int = 100
    restart_at: tuple[int, ...] = (1000,)
    """Numbers of Services at which announcer, speakers and controller are brought down."""
    window: float = 8.0
    """Seconds at rest, and as many in churn."""
    churn: float = 10.0
    """Services deleted, and as many created, a second."""


_WORKERS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A place to measure at."""

    case: str
    services: int
    restart: bool = False


def run(context: BenchContext, plan: ScalePlan) -> None:
    """Make the trials that are not there yet. Raises `LabError` when a lab cannot be had."""
    by_services = []
    for count in plan.services:
        by_services.append(Point(case=f"services-{count}", services=count))
        if count in plan.restart_at:
            by_services.append(Point(case=f"restart-{count}", services=count, restart=True))
    arms = context.allocating_arms()
    _at(context, arms, plan, _WORKERS, by_services)
    for workers in plan.nodes:
        _at(context, arms, plan, workers, [Point(case=f"nodes-{workers}", services=plan.services_by_node)])


def _at(context: BenchContext, arms: Sequence[Arm], plan: ScalePlan, workers: int, points: Sequence[Point]) -> None:
    """Measure at points of one topology, the arms in turn at each."""
    by_case = {point.case: point for point in points}
    todo = context.missing(
        TrialId(bench=NAME, arm=arm.name, case=points[turn - 1].case) for turn, arm in turns(arms, len(points))
    )
    topology = Topology(workers=workers, proxy_mode=PROXY_MODE, audit=True)
    most = max((point.services for point in points), default=0) + _SPARE
    with context.service_benches(todo, topology, most) as benches:
        systems = {arm: Growing(bench) for arm, bench in benches.items()}
        for trial_id in todo:
            system, point = systems[trial_id.arm], by_case[trial_id.case]
            system.grow(point.services)
            kept = system.brought_down() if point.restart else system.costs(plan)
            kept["detail"] |= {"services": point.services, "nodes": workers, "proxy_mode": PROXY_MODE}
            shown = [name for name in kept["values"] if "_speakers_api" not in name]
            context.keep(trial_id, **kept, shown=shown)


class Growing:
    """One arm with a growing number of Services."""

    def __init__(self, bench: ServiceBench) -> None:
        """Make the Service whose outage is measured.

        It is the first, for its pool is one of its own: an implementation may look at all Services anew when a pool is
        added, and take minutes for a thousand.
        """
        self._bench, self._run, self._kube = bench, bench.deployment.run, bench.deployment.check.cluster
        self._outage = bench.deployment.expose("outage", {"app": bench.backend})
        self._names: list[str] = []
        self._numbers = itertools.count()
        self._well = True

    def grow(self, count: int) -> None:
        """Have so many Services, every one answered for on the wire, or `CEILING` is over, which marks the trial."""
        self._well = True
        if (missing := count - len(self._names)) > 0:
            new = self._new(missing)
            self._well = self._bench.services(new, http=False).make()
            self._names += new

    def _new(self, count: int) -> list[str]:
        return [f"scale-{next(self._numbers)}" for _ in range(count)]

    def costs(self, plan: ScalePlan) -> dict[str, Any]:
        """What is kept of a window at rest and one in churn."""
        meter = self._bench.meter
        warnings = meter.quiet()
        begin = meter.snapshot()
        threading.Event().wait(plan.window)
        values = rates(meter.since(begin), "rest_")
        count = round(plan.churn * plan.window)
        begin = meter.snapshot()
        self._churn(count, plan.churn)
        took = time.monotonic() - begin.at
        used = meter.since(begin)
        warnings += meter.quiet()
        made = meter.since(begin)  # what is said late, Events mostly, is part of what churn costs
        values |= rates({part: replace(used[part], requests=made[part].requests) for part in used}, "churn_")
        if not self._well:
            warnings += (f"not every address was answered for within {CEILING:g} s",)
        if took > plan.window * 1.1:
            warnings += (f"churn was {count / took:.1f} a second instead of {plan.churn:g}",)
        return {"values": values, "warnings": warnings, "detail": {"churned": count, "churn_seconds": took}}

    def _churn(self, count: int, rate: float) -> None:
        """Create a new Service and delete the oldest one, so many times and so often a second."""
        names, kept = self._names + self._new(count), len(self._names)

        def one(at: int) -> None:
            self._kube.create(SERVICES, service(self._run, names[kept + at], self._bench.backend))
            self._kube.discard(f"{SERVICES}/{names[at]}")

        at_pace(range(count), one, rate)
        self._names = names[count:]

    def brought_down(self) -> dict[str, Any]:
        """What is kept of a power cut of an announcer, after which all speakers and the controller are killed."""
        names = set(self._names)
        found = [row for row in self._kube.list(SERVICES) if row["metadata"]["name"] in names]
        addresses = [str(address) for row in found for address in ingress(row)]
        with JitterLog(self._bench.deployment.lab.client()) as jitter:
            system = SystemUnderTest(deployment=self._bench.deployment, address=self._outage, jitter=jitter)
            (seen,) = system.watch("power-cut")
        cost = seen.outage
        restart, arrays = self._restart(addresses)
        outage = {"outage_seconds": cost.first_answer_seconds, "steady_seconds": cost.steady_seconds}
        return {
            "values": outage | restart,
            "warnings": seen.warnings,
            "detail": {"addresses": len(addresses)},
            "arrays": arrays,
            "clocks": seen.found.clocks,
        }

    def _restart(self, addresses: Sequence[str]) -> tuple[dict[str, float | None], dict[str, Any]]:
        """Kill speakers and controller; when is the last address answered for again, and a new Service given one?"""
        run, observer = self._run, self._bench.observer
        (name,) = self._new(1)
        observer.begin([name], [])
        for _, namespace, pod in run.workloads.running(*(one for one in run.workloads.all if one.roles)):
            run.lab.kill(namespace, pod)
        began = time.monotonic()
        observer.expect_answer(addresses)
        self._kube.create(SERVICES, service(self._run, name, self._bench.backend))
        self._names.append(name)
        wanted = set(addresses)
        observer.until(lambda seen: name in seen.assigned and wanted <= seen.arp.keys(), began + CEILING)
        seen = observer.seen
        arp = np.array([seen.arp[address].at - began if address in seen.arp else np.nan for address in addresses])
        values = {
            "restart_seconds": None if np.isnan(arp).any() else float(arp.max(initial=0.0)),
            "controller_restart_seconds": seen.assigned[name].at - began if name in seen.assigned else None,
        }
        return values, {"restart_arp": arp}


BENCHMARK = Benchmark(
    name=NAME,
    order=6,
    question="How far does it scale?",
    help="How far does it scale? Services and nodes: CPU, memory and API requests, at rest and in churn.",
    method="The slope says more than a value: what a thousand more cost.",
    metrics=metrics(
        outage_seconds="outage",
        steady_seconds="until nothing was lost any more",
        restart_seconds="restart",
        controller_restart_seconds="restart, to the address of a new Service",
        **{
            f"{phase}_{name}": f"{text}, {when}"
            for phase, when in (("rest", "at rest"), ("churn", "in churn"))
            for name, text in RATES.items()
        },
    ),
    main=("rest_controller_cpu_cores", "churn_controller_cpu_cores", "outage_seconds", "restart_seconds"),
    overview_plots=(panels.slopes("services-", "Services"), panels.slopes("nodes-", "nodes")),
    answer=answers.scale,
    paired_plots=True,
    plans={
        Size.QUICK: ScalePlan(services=(10,), nodes=(), restart_at=(), window=2),
        Size.FULL: ScalePlan(services=(10, 100, 1000), nodes=()),
        Size.NIGHTLY: ScalePlan(services=(10, 30, 100, 300, 1000, 3000, 5000), nodes=(3, 10, 25, 50), window=30),
    },
    run=run,
)
