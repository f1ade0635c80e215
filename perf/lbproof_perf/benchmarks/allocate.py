"""How soon does a new Service work, and how soon is a deleted one silent?

Services are created alone, at a rate and in bursts; of each is kept when its POST was sent, when its address was in the
status, when the address first answered ARP, when it first answered HTTP with a 200; and when it last answered ARP after
its DELETE. Nothing is left out for being slow. All arms get the same Services in front of the same single backend,
which runs on the control plane's node and is ready before.

kube-proxy is the same for every arm. It runs in its default mode, iptables, but for the bursts of 100 and 1,000 of the
full plan, where that mode costs seconds of both cores of a small machine, so that the figure would be kube-proxy's:
there it is nftables. In both modes it gathers changes for a second by default, which is most of what a user waits for
until the first 200. The cases `…-proxy-10ms` set that period to 10 ms, in iptables mode, to show it apart. In a burst
of more than a hundred Services, a hundred of them, evenly spread, are asked by HTTP and for their silence.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from lbproof.lab.base import Topology
from lbproof_perf.benchmarks.base import BenchContext, Benchmark, Size, turns
from lbproof_perf.report import answers, panels
from lbproof_perf.report.spec import metrics
from lbproof_perf.results import TrialId
from lbproof_perf.sut.services import CEILING, SAMPLE, ServiceBench
from lbproof_perf.sut.usage import RATES, rates

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lbproof_perf.sut.arms import Arm
    from lbproof_perf.sut.usage import Used

NAME = "allocate"
STOCK = "1s"
"""kube-proxy's default period."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One way of making Services."""

    name: str
    services: int
    rate: float = math.inf
    """Services a second; infinite for a burst."""
    alone: bool = False
    """Each is made when everything was seen of the one before."""
    rest: float = 0.0
    """Seconds that the Services are left alone, which is what is measured; 0: their making is."""
    times: int = 1
    """Repetitions of the case, in each arm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """Cases, and the kube-proxy that they meet."""

    proxy_mode: str
    period: str = STOCK
    """For which kube-proxy gathers changes at least; other than the default in iptables mode alone."""
    cases: tuple[Case, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AllocatePlan:
    """What is measured."""

    setups: tuple[Setup, ...]
    """One after the other, each with labs of its own."""


def _alone(services: int, times: int = 1) -> Case:
    return Case(name="alone", services=services, alone=True, times=times)


def _burst(services: int, times: int) -> Case:
    return Case(name=f"burst-{services}", services=services, times=times)


def _default_proxy(*cases: Case) -> Setup:
    return Setup(proxy_mode="iptables", cases=cases)


def _short_period(*cases: Case) -> Setup:
    named = tuple(replace(case, name=f"{case.name}-proxy-10ms") for case in cases)
    return Setup(proxy_mode="iptables", period="10ms", cases=named)


def _many(times: int, rest: float, thousands: int) -> Setup:
    still = Case(name="rest", services=100, rest=rest, times=2)
    return Setup(proxy_mode="nftables", cases=(_burst(100, times), still, _burst(1000, thousands)))


PLANS: Mapping[Size, AllocatePlan] = {
    Size.QUICK: AllocatePlan(setups=(_default_proxy(_alone(1), _burst(10, 1), _burst(100, 1)),)),
    Size.FULL: AllocatePlan(
        setups=(
            _default_proxy(_alone(5), Case(name="rate-10", services=30, rate=10), _burst(10, 2)),
            _short_period(_alone(5), _burst(10, 2)),
            _many(2, rest=15, thousands=2),
        )
    ),
    Size.NIGHTLY: AllocatePlan(
        setups=(
            _default_proxy(_alone(50, 4), Case(name="rate-10", services=300, rate=10, times=2), _burst(10, 50)),
            _short_period(_alone(50, 2), _burst(10, 30)),
            _many(20, rest=60, thousands=10),
        )
    ),
}


def run(context: BenchContext, plan: AllocatePlan) -> None:
    """Make the trials that are not there yet. Raises `LabError` when a lab cannot be had."""
    arms = context.allocating_arms()
    for setup in plan.setups:
        _set_up(context, setup, arms)


def _set_up(context: BenchContext, setup: Setup, arms: Sequence[Arm]) -> None:
    cases = {case.name: case for case in setup.cases}
    todo = context.missing(
        TrialId(bench=NAME, arm=arm.name, case=case.name, number=number)
        for case in setup.cases
        for number, arm in turns(arms, case.times)
    )
    topology = Topology(
        proxy_mode=setup.proxy_mode,
        proxy_args=() if setup.period == STOCK else (f"--iptables-min-sync-period={setup.period}",),
        audit=True,
    )
    with context.service_benches(todo, topology, max(case.services for case in setup.cases)) as benches:
        for trial_id in todo:
            _trial(context, benches[trial_id.arm], setup, cases[trial_id.case], trial_id)


def _trial(context: BenchContext, bench: ServiceBench, setup: Setup, case: Case, trial_id: TrialId) -> None:
    """Make one trial and keep it."""
    bench.deployment.forget_neighbours()
    names = [f"{case.name}-{trial_id.number}-{at}" for at in range(case.services)]
    services = bench.services(names, http=not case.rest)
    begin = bench.meter.snapshot()
    well = services.make(case.rate, alone=case.alone)
    warnings = bench.meter.quiet()
    used = bench.meter.since(begin)
    if not well:
        warnings += (f"not all was seen of all Services within {CEILING:g} s",)
    detail: dict[str, Any] = {
        "proxy": setup.period,
        "proxy_mode": setup.proxy_mode,
        "services": case.services,
        "metered_seconds": max(part.seconds for part in used.values()),
    }
    if case.rest:
        begin = bench.meter.snapshot()
        threading.Event().wait(case.rest)
        used, detail["seconds"] = bench.meter.since(begin), case.rest
        services.unmake()
        context.keep(trial_id, rates(used), shown=_SHOWN, warnings=warnings, detail=detail)
        return
    services.unmake(alone=case.alone)
    times = services.times()
    if case.services > SAMPLE:
        detail["sampled"] = f"{len(times.sampled)} of {case.services} Services are asked by HTTP and for silence"
    values = times.values() | cost(used)
    kept = {"detail": detail, "arrays": times.arrays(), "clocks": bench.observer.clocks}
    context.keep(trial_id, values, shown=_SHOWN, warnings=warnings, **kept)


def cost(used: Mapping[str, Used]) -> dict[str, float | None]:
    """What controller and speakers used, apart and together, until nothing more was asked of the API server.

    Idle time is in it (`detail["metered_seconds"]`): a user waits for kube-proxy meanwhile.
    """
    found: dict[str, float | None] = {
        "api_requests": sum(part.requests for part in used.values()),
        "cpu_seconds": sum(part.cpu_seconds for part in used.values()),
    }
    for name, part in used.items():
        found[f"{name}_api_requests"] = part.requests
        found[f"{name}_cpu_seconds"] = part.cpu_seconds
    return found


STAGES = {
    "created": "POST to its answer",
    "assigned": "POST to the address in the status",
    "arp": "POST to the first ARP answer",
    "http": "POST to the first 200",
    "silent": "DELETE to the last ARP answer",
}
"""Array of a trial → time that it holds of each Service."""
_SHOWN = ("seconds", *(f"{stage}_p50_seconds" for stage in STAGES), "api_requests_per_second")

BENCHMARK = Benchmark(
    name=NAME,
    order=4,
    question="How soon does a new Service work?",
    help="How soon does a new Service work? Alone, at a rate, in bursts: address, first ARP answer, first 200.",
    method="Time runs from the moment that a Service's POST was sent. Nothing is discarded for being slow. What "
    "kube-proxy adds by its own batching shows in the first 200, not in the ARP answer.",
    metrics=metrics(
        seconds="for all of it",
        api_requests="API requests",
        cpu_seconds="CPU time",
        controller_cpu_seconds="CPU time, controller",
        speakers_cpu_seconds="CPU time, speakers",
        controller_api_requests="API requests, controller",
        speakers_api_requests="API requests, speakers",
        **RATES,
        **{f"{stage}_seconds": text for stage, text in STAGES.items()},
        **{f"{stage}_{p}_seconds": f"{text}, {p}" for stage, text in STAGES.items() for p in ("p50", "p99")},
    ),
    main=("assigned_seconds", "arp_seconds", "http_seconds", "silent_seconds", "api_requests_per_second"),
    samples={stage: f"{stage}_seconds" for stage in STAGES},
    cases={"alone": "a Service created alone", "rest": "100 Services at rest"},
    case_plots=(panels.service_stages,),
    answer=answers.service,
    plans=PLANS,
    run=run,
)
