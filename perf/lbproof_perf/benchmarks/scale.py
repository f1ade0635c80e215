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
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from lbproof.context import ingress
from lbproof.context.run import NAMESPACE
from lbproof.lab.netns.topology import NetnsTopology
from lbproof_perf.benchmarks.allocate import allocating
from lbproof_perf.benchmarks.base import BenchContext, Benchmark, Size
from lbproof_perf.benchmarks.service_burst import CEILING, SERVICES, Services, at_pace, service
from lbproof_perf.outage_probe.jitter import JitterLog
from lbproof_perf.report import answers, panels
from lbproof_perf.report.spec import metrics
from lbproof_perf.results import TrialId
from lbproof_perf.sut.deployment import Deployment, opened
from lbproof_perf.sut.service_observer import ServiceObserver
from lbproof_perf.sut.system import SystemUnderTest
from lbproof_perf.sut.usage import PARTS, UsageMeter, rates

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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


PLANS: Mapping[Size, ScalePlan] = {
    Size.QUICK: ScalePlan(services=(10,), nodes=(), restart_at=(), window=2),
    Size.FULL: ScalePlan(services=(10, 100, 1000), nodes=()),
    Size.NIGHTLY: ScalePlan(services=(10, 30, 100, 300, 1000, 3000, 5000), nodes=(3, 10, 25, 50), window=30),
}
_WORKERS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A place to measure at."""

    case: str
    services: int
    restart: bool = False


def run(context: BenchContext, plan: ScalePlan) -> None:
    """Make the trials that are not there yet. Raises `LabError` when a lab cannot be had."""
    by_services = [
        point
        for count in plan.services
        for point in (
            Point(case=f"services-{count}", services=count),
            *([Point(case=f"restart-{count}", services=count, restart=True)] if count in plan.restart_at else []),
        )
    ]
    arms = allocating(context)
    _at(context, arms, plan, _WORKERS, by_services)
    for workers in plan.nodes:
        _at(context, arms, plan, workers, [Point(case=f"nodes-{workers}", services=plan.services_by_node)])


def _at(context: BenchContext, arms: Sequence[Arm], plan: ScalePlan, workers: int, points: Sequence[Point]) -> None:
    """Measure at points of one topology, the arms in turn at each; a lab for each arm, as long as it is needed."""

    def trial_id(arm: Arm, point: Point) -> TrialId:
        return TrialId(bench=NAME, arm=arm.name, case=point.case)

    needed = [arm for arm in arms if not all(context.store.has(trial_id(arm, point)) for point in points)]
    topology = NetnsTopology(workers=workers, proxy_mode=PROXY_MODE, audit=True)
    with ExitStack() as stack:
        systems = {}
        for arm in needed:
            deployment = stack.enter_context(opened(arm, topology, components=context.components, say=context.say))
            systems[arm.name] = stack.enter_context(Growing(deployment, max(point.services for point in points)))
        for turn, point in enumerate(points):
            for arm in needed if turn % 2 == 0 else reversed(needed):
                if context.store.has(trial_id(arm, point)):
                    continue
                system = systems[arm.name]
                system.grow(point.services)
                measured = system.brought_down() if point.restart else system.costs(plan)
                detail = {**measured.detail, "services": point.services, "nodes": workers, "proxy_mode": PROXY_MODE}
                context.store.add(
                    trial_id(arm, point),
                    measured.values,
                    warnings=measured.warnings,
                    detail=detail,
                    arrays=measured.arrays,
                )
                context.say(f"{trial_id(arm, point).key}: {describe_point(measured.values)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What came of a point."""

    values: Mapping[str, float | None]
    warnings: tuple[str, ...] = ()
    detail: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, Any] | None = None


class Growing:
    """One arm with a growing number of Services, while it is entered."""

    def __init__(self, deployment: Deployment, most: int) -> None:
        """`most` Services at a time."""
        self._deployment, self._most = deployment, most
        self._names: list[str] = []
        self._numbers = itertools.count()

    def __enter__(self) -> Self:
        """Make the backend, the Service whose outage is measured, the pool of the others, and what watches."""
        deployment = self._deployment
        self._backend = deployment.check.web("backend", nodes=[deployment.lab.nodes[0].name])
        # now, for its pool is one of its own: an implementation may look at all Services anew when a pool is added, and
        # take minutes for a thousand
        self._watched = deployment.expose("outage", {"app": self._backend})
        deployment.wide_pool(self._most + _SPARE)
        self._meter = UsageMeter(deployment)
        with ExitStack() as stack:
            self._observer = stack.enter_context(ServiceObserver(deployment, NAMESPACE))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """The Services go with the lab."""
        self._stack.close()

    def grow(self, count: int) -> None:
        """Have so many Services, every one answered for on the wire (or the ceiling is over: see the mark)."""
        self._well = True
        if missing := count - len(self._names):
            new = self._new(missing)
            self._well = Services(self._deployment.check.cluster, self._observer, new, self._backend, http=False).make()
            self._names += new

    def _new(self, count: int) -> list[str]:
        return [f"scale-{next(self._numbers)}" for _ in range(count)]

    def costs(self, plan: ScalePlan) -> Measured:
        """A window at rest, and one in churn."""
        warnings = self._meter.quiet()
        begin = self._meter.snapshot()
        threading.Event().wait(plan.window)
        values = rates(self._meter.since(begin), "rest_")
        count = round(plan.churn * plan.window)
        new = self._new(count)
        begin = self._meter.snapshot()
        self._churn(new, plan.churn)
        took = time.monotonic() - begin.at
        used = self._meter.since(begin)
        warnings += self._meter.quiet()
        made = self._meter.since(begin)  # what is said late, Events mostly, is part of what churn costs
        values |= rates({part: replace(used[part], requests=made[part].requests) for part in PARTS}, "churn_")
        if not self._well:
            warnings += (f"not every address was answered for within {CEILING:g} s",)
        if took > plan.window * 1.1:
            warnings += (f"churn was {count / took:.1f} a second instead of {plan.churn:g}",)
        return Measured(values=values, warnings=warnings, detail={"churned": count, "churn_seconds": took})

    def _churn(self, new: Sequence[str], rate: float) -> None:
        """Delete the oldest Service and create a new one, so often a second."""
        kube = self._deployment.check.cluster
        old = self._names[: len(new)] if len(new) <= len(self._names) else self._names + list(new)
        self._names = (self._names + list(new))[len(new) :]

        def one(at: int) -> None:
            kube.create(SERVICES, service(new[at], self._backend))
            kube.discard(f"{SERVICES}/{old[at]}")

        at_pace(range(len(new)), one, rate)

    def brought_down(self) -> Measured:
        """The announcer of an address loses its power; then all speakers and the controller are killed."""
        addresses = self._answered()
        values, warnings = self._power_cut()
        restart, arrays = self._restart(addresses)
        return Measured(values=values | restart, warnings=warnings, arrays=arrays, detail={"addresses": len(addresses)})

    def _answered(self) -> list[str]:
        """The addresses of all Services of ours."""
        found = self._deployment.check.cluster.list(SERVICES)
        names = set(self._names)
        return [address for row in found if row["metadata"]["name"] in names for address in ingress(row)]

    def _power_cut(self) -> tuple[dict[str, float | None], tuple[str, ...]]:
        """What the cut cost, by the ruler's UDP probe, and why to look twice."""
        with JitterLog() as jitter:
            (seen,) = SystemUnderTest(deployment=self._deployment, address=self._watched, jitter=jitter).watch(
                "power-cut"
            )
        cost = seen.outage
        return {"outage_seconds": cost.first_answer_seconds, "steady_seconds": cost.steady_seconds}, seen.warnings

    def _restart(self, addresses: Sequence[str]) -> tuple[dict[str, float | None], dict[str, Any]]:
        """Kill speakers and controller; when is the last address answered for again, and a new Service given one?"""
        run, lab = self._deployment.run, self._deployment.lab
        (name,) = self._new(1)
        self._observer.begin([name], [])
        for workload in (run.adapter.announcer, run.adapter.controller):
            for pod in run.pods(workload).values():
                lab.kill(workload.namespace, pod)
        began = time.monotonic()
        self._observer.expect_answer(addresses)
        run.cluster.create(SERVICES, service(name, self._backend))
        self._names.append(name)
        wanted = set(addresses)
        self._observer.until(lambda seen: name in seen.assigned and wanted <= seen.arp.keys(), began + CEILING)
        seen = self._observer.seen
        arp = np.array([seen.arp[address].at - began if address in seen.arp else np.nan for address in addresses])
        last = float(arp.max()) if len(arp) else 0.0
        values: dict[str, float | None] = {
            "restart_seconds": None if np.isnan(last) else last,
            "controller_restart_seconds": seen.assigned[name].at - began if name in seen.assigned else None,
        }
        return values, {"restart_arp": arp}


def describe_point(values: Mapping[str, float | None]) -> str:
    """The figures of a point, for the one who waits."""

    def shown(name: str, value: float | None) -> str:
        if value is None:
            return f"{name} never"
        return f"{name} {value / (1 << 20):.0f} MiB" if name.endswith("_bytes") else f"{name} {value:.3f}"

    return ", ".join(shown(name, value) for name, value in values.items() if "_speakers_api" not in name)


BENCHMARK = Benchmark(
    name=NAME,
    question="How far does it scale?",
    help="How far does it scale? Services and nodes: CPU, memory and API requests, at rest and in churn.",
    method="The slope says more than a value: what a thousand more cost.",
    metrics=metrics(
        outage_seconds="outage",
        steady_seconds="until nothing was lost any more",
        restart_seconds="restart",
        **{
            f"{phase}_{name}": f"{text}, {when}"
            for phase, when in (("rest", "at rest"), ("churn", "in churn"))
            for name, text in {
                "controller_cpu_cores": "cores of the controller",
                "speakers_cpu_cores": "cores of the speakers",
                "controller_bytes": "memory of the controller",
                "speakers_bytes": "memory of the speakers",
                "api_requests_per_second": "API requests a second",
            }.items()
        },
    ),
    main=("rest_controller_cpu_cores", "churn_controller_cpu_cores", "outage_seconds", "restart_seconds"),
    overview_plots=(panels.slopes("services-", "Services"), panels.slopes("nodes-", "nodes")),
    answer=answers.scale,
    paired_plots=True,
    plans=PLANS,
    run=run,
)
