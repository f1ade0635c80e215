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
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from lbproof.context.run import NAMESPACE
from lbproof.lab.netns.topology import NetnsTopology
from lbproof_perf.benchmarks.base import BenchContext, Benchmark, Size
from lbproof_perf.benchmarks.service_burst import CEILING, SAMPLE, Services, ServiceTimes
from lbproof_perf.report import answers, panels
from lbproof_perf.report.spec import metrics
from lbproof_perf.results import TrialId
from lbproof_perf.stats.quantiles import enough, quantile
from lbproof_perf.sut.deployment import WIDE, Deployment, Exposes, ip_at, opened
from lbproof_perf.sut.service_observer import ServiceObserver
from lbproof_perf.sut.usage import PARTS, UsageMeter, rates

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lbproof_perf.sut.arms import Arm
    from lbproof_perf.sut.usage import Used

NAME = "allocate"
SHORT = "10ms"
STOCK = "1s"
"""kube-proxy's default."""


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


def _burst(services: int, times: int) -> Case:
    return Case(name=f"burst-{services}", services=services, times=times)


def _alone(services: int, times: int = 1) -> Case:
    return Case(name="alone", services=services, alone=True, times=times)


def _rate(services: int, times: int = 1) -> Case:
    return Case(name="rate-10", services=services, rate=10, times=times)


def _rest(services: int, seconds: float, times: int = 2) -> Case:
    return Case(name="rest", services=services, rest=seconds, times=times)


def _shortly(*cases: Case) -> Setup:
    named = tuple(replace(case, name=f"{case.name}-proxy-{SHORT}") for case in cases)
    return Setup(proxy_mode="iptables", period=SHORT, cases=named)


PLANS: Mapping[Size, AllocatePlan] = {
    Size.QUICK: AllocatePlan(setups=(Setup(proxy_mode="iptables", cases=(_alone(1), _burst(10, 1), _burst(100, 1))),)),
    Size.FULL: AllocatePlan(
        setups=(
            Setup(proxy_mode="iptables", cases=(_alone(5), _rate(30), _burst(10, 2))),
            _shortly(_alone(5), _burst(10, 2)),
            Setup(proxy_mode="nftables", cases=(_burst(100, 2), _rest(100, seconds=15), _burst(1000, 2))),
        )
    ),
    Size.NIGHTLY: AllocatePlan(
        setups=(
            Setup(proxy_mode="iptables", cases=(_alone(50, 4), _rate(300, 2), _burst(10, 50))),
            _shortly(_alone(50, 2), _burst(10, 30)),
            Setup(proxy_mode="nftables", cases=(_burst(100, 20), _rest(100, seconds=60), _burst(1000, 10))),
        )
    ),
}


def run(context: BenchContext, plan: AllocatePlan) -> None:
    """Make the trials that are not there yet. Raises `LabError` when a lab cannot be had."""
    arms = allocating(context)
    for setup in plan.setups:
        _set_up(context, setup, arms)


def allocating(context: BenchContext) -> list[Arm]:
    """The arms that have a controller which gives addresses; says which have none."""
    found = []
    for arm in context.arms:
        if isinstance(arm.make(), Exposes):
            context.say(f"{arm.name}: gives no addresses, so there is nothing to measure here")
        else:
            found.append(arm)
    return found


def turns(arms: Sequence[Arm], times: int) -> Iterator[tuple[int, Arm]]:
    """Number of the repetition, and the arm: there and back again (A B B A …), so that a drift hits all alike."""
    for number in range(1, times + 1):
        yield from ((number, arm) for arm in (arms if number % 2 else reversed(arms)))


def _set_up(context: BenchContext, setup: Setup, arms: Sequence[Arm]) -> None:
    wanted = [
        (case, arm, TrialId(bench=NAME, arm=arm.name, case=case.name, number=number))
        for case in setup.cases
        for number, arm in turns(arms, case.times)
    ]
    wanted = [row for row in wanted if not context.store.has(row[2])]
    most = max(case.services for case in setup.cases)
    topology = NetnsTopology(
        proxy_mode=setup.proxy_mode,
        proxy_args=() if setup.period == STOCK else (f"--iptables-min-sync-period={setup.period}",),
        audit=True,
    )
    with ExitStack() as stack:
        benches: dict[str, _Bench] = {}
        for arm in arms:
            if any(row[1] is arm for row in wanted):
                deployment = stack.enter_context(opened(arm, topology, components=context.components, say=context.say))
                benches[arm.name] = stack.enter_context(_Bench(deployment, most))
        for case, arm, trial_id in wanted:
            context.say(benches[arm.name].trial(context, case, trial_id, setup))


class _Bench:
    """An arm's lab, ready for trials, while it is entered."""

    def __init__(self, deployment: Deployment, most: int) -> None:
        """A pool of so many addresses and a backend are made when it is entered."""
        self._deployment, self._most = deployment, most
        self._count = 0

    def __enter__(self) -> Self:
        """Make them."""
        deployment = self._deployment
        self._backend = deployment.check.web("backend", nodes=[deployment.lab.nodes[0].name])
        deployment.wide_pool(self._most)
        self._meter = UsageMeter(deployment)
        self._observer = ServiceObserver(deployment, NAMESPACE)
        self._observer.__enter__()
        return self

    def __exit__(self, *details: object) -> None:
        """The lab goes with the pool."""
        self._observer.__exit__(*details)

    def trial(self, context: BenchContext, case: Case, trial_id: TrialId, setup: Setup) -> str:
        """Make one trial and keep it; gives a line about it."""
        forget_neighbours(self._deployment)
        self._count += 1
        names = [f"{case.name}-{self._count}-{at}" for at in range(case.services)]
        services = Services(self._deployment.check.cluster, self._observer, names, self._backend, http=not case.rest)
        begin = self._meter.snapshot()
        well = services.make_one_by_one() if case.alone else services.make(case.rate)
        warnings = self._meter.quiet()
        used = self._meter.since(begin)
        detail: dict[str, Any] = {
            "proxy": setup.period,
            "proxy_mode": setup.proxy_mode,
            "services": case.services,
            "metered_seconds": used["controller"].seconds,
        }
        if not well:
            warnings += (f"not all was seen of all Services within {CEILING:g} s",)
        if case.rest:
            begin = self._meter.snapshot()
            threading.Event().wait(case.rest)
            used = self._meter.since(begin)
            services.unmake()
            values = rates(used)
            context.store.add(trial_id, values, warnings=warnings, detail=detail | {"seconds": case.rest})
            return f"{trial_id.key}: {values['api_requests_per_second']:.2f} API requests a second"
        if case.alone:
            services.unmake_one_by_one()
        else:
            services.unmake()
        times = services.times()
        if case.services > SAMPLE:
            detail["sampled"] = f"{len(times.sampled)} of {case.services} Services are asked by HTTP and for silence"
        values = times.values() | cost(used)
        context.store.add(trial_id, values, warnings=warnings, detail=detail, arrays=times.arrays())
        return describe_trial(trial_id, times)


def forget_neighbours(deployment: Deployment) -> None:
    """Have the client's kernel forget who had the wide pool's addresses. Raises `LabError`."""
    client = deployment.lab.client()
    ip_at(client, "neigh", "flush", "to", str(WIDE), "dev", client.interface)


def cost(used: Mapping[str, Used]) -> dict[str, float | None]:
    """What controller and speakers used, apart and together, until nothing more was asked of the API server.

    Idle time is in it (`detail["metered_seconds"]`): a user waits for kube-proxy meanwhile.
    """
    found: dict[str, float | None] = {
        "api_requests": sum(part.requests for part in used.values()),
        "cpu_seconds": sum(part.cpu_seconds for part in used.values()),
    }
    for part in PARTS:
        found[f"{part}_api_requests"] = used[part].requests
        found[f"{part}_cpu_seconds"] = used[part].cpu_seconds
    return found


def describe_trial(trial_id: TrialId, times: ServiceTimes) -> str:
    """The medians of a trial, for the one who waits; of too few Services for one, the longest."""
    few = not enough(len(times.arp), 0.5)

    def shown(name: str) -> str:
        row = getattr(times, name)
        value = quantile(row, 1.0 if few else 0.5) if len(row) else math.inf
        return f"{name} {f'{value * 1000:.0f} ms' if math.isfinite(value) else 'never'}"

    told = f"max of {len(times.arp)}" if few else "p50"
    return f"{trial_id.key}: {told} {', '.join(map(shown, ('assigned', 'arp', 'http', 'silent')))}"


STAGES = {
    "created": "POST to its answer",
    "assigned": "POST to the address in the status",
    "arp": "POST to the first ARP answer",
    "http": "POST to the first 200",
    "silent": "DELETE to the last ARP answer",
}
"""Array of a trial → time that it holds of each Service."""

BENCHMARK = Benchmark(
    name=NAME,
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
        api_requests_per_second="API requests a second",
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
