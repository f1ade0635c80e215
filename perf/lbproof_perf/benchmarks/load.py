"""`lbproof bench load`: the four tiers of each arm, side by side, and how honest and how fast each generator is.

All arms are up at once and every round goes through tiers and arms there and back again (A B B A), so that whatever
else the machine does hits all alike. Closed-loop users say how much a path carries, and mostly find their own limit,
which is then marked; users with a schedule say how long a request takes at a rate that is far from any limit.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from lbproof.context.run import NAMESPACE
from lbproof.lab.base import Capability, LabError, Topology
from lbproof.run.commands.lab_command import TEXT
from lbproof.spec import UnknownName
from lbproof_perf.benchmarks.base import LATENCY_METRICS, BenchContext, Benchmark, Size, given, turns
from lbproof_perf.load import freeze, paths, web, wrk
from lbproof_perf.load.paths import Tier
from lbproof_perf.load.run import Load, Outcome, measure
from lbproof_perf.report import answers, panels
from lbproof_perf.report.spec import Better, metrics
from lbproof_perf.results import TrialId
from lbproof_perf.stats.quantiles import enough

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from lbproof_perf.load.paths import Endpoint, Paths
    from lbproof_perf.sut.deployment import Deployment

NAME = "load"
USERS: Mapping[str, str] = {
    "keepalive": "KeepAliveUser",
    "fresh": "FreshUser",
    "connect": "ConnectUser",
    "udp": "UdpUser",
    "body": "BodyUser",
    "schedule": "ScheduleUser",
    "schedule-udp": "ScheduleUdpUser",
}
"""What a case calls a user → the class of the locustfile."""
_GENERATORS = {"HttpUser": "RequestsUser", "FastHttpUser": "KeepAliveUser", "ScheduleUser": "ScheduleUser"}
"""What a case calls a generator → the class of the locustfile."""
TOOLS = (*_GENERATORS, "wrk")
_SHOWN = ("requests_per_second", "p99_seconds", "failures", "truth_p95_seconds", "seen_p95_seconds")
_QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999, "p9999": 0.9999}
_FLAT_OUT = 200_000.0
"""Requests a second that no generator in Python sends: a schedule of it is as fast as it goes."""
_FLAT_OUT_CONNECTIONS = 32
_FREEZE_SECONDS, _STANDSTILL = 10, 2.0
"""Seconds of the load of a freeze test, and of the freeze."""
_FREEZE_RATE, _FREEZE_USERS = 100.0, 10
"""Requests a second of all users together, and stock users."""
_WEB_PORT = 8089
"""Of this machine's loopback."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPlan:
    """How much is measured."""

    tiers: tuple[Tier, ...] = tuple(Tier)
    users: tuple[str, ...] = tuple(USERS)
    """Keys of `USERS`."""
    rounds: int = 2
    """Measurements of each arm, tier and user."""
    seconds: int = 2
    """Of each."""
    processes: int = 1
    """Locust's workers."""
    concurrency: int = 8
    """Users of a closed loop."""
    rate: float = 500.0
    """Requests a second of all users with a schedule together."""
    shape: str = "constant"
    """`constant`, `step`, `spike`, `soak`."""
    tools: tuple[str, ...] = TOOLS
    """Generators that are compared with each other, against the pod of the first arm."""
    tool_rounds: int = 3
    freeze_rounds: int = 2
    """Freeze tests of each kind, on the first arm."""
    web: bool = False
    """Locust's web UI instead of all measurements: on the first arm's LoadBalancer, until it is interrupted."""


PLANS: Mapping[Size, LoadPlan] = {
    Size.QUICK: LoadPlan(
        users=("schedule",),
        tiers=(Tier.POD, Tier.LOAD_BALANCER),
        rounds=1,
        seconds=1,
        tools=("FastHttpUser", "ScheduleUser"),
        tool_rounds=1,
        freeze_rounds=0,
    ),
    Size.FULL: LoadPlan(users=("keepalive", "schedule"), tool_rounds=2),
    Size.NIGHTLY: LoadPlan(rounds=5, seconds=5, tool_rounds=10, freeze_rounds=5),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ready:
    """An arm whose tiers can be asked."""

    deployment: Deployment
    paths: Paths
    servers: list[Path]
    """Folders in a /proc of the pod's processes."""

    def there(self, argv: Sequence[str]) -> list[str]:
        """Return the command line that runs a program at the client."""
        return self.deployment.lab.exec_argv("client", argv)


def run(context: BenchContext, plan: LoadPlan) -> None:
    """Make the trials that are not there yet; with `plan.web`, serve Locust's web UI instead.

    Raises `LabError` when a lab cannot be had or Locust fails.
    """
    todo = context.missing(trial_ids(plan, [arm.name for arm in context.arms], tools(plan, context)))
    if not plan.web and not todo:
        return
    with ExitStack() as stack:
        ready: dict[str, _Ready] = {}
        for arm in context.arms[:1] if plan.web else context.arms:
            made = stack.enter_context(context.opened(arm, Topology()))
            laid = paths.laid(made.check)
            ready[arm.name] = _Ready(deployment=made, paths=laid, servers=_servers(made, laid))
        first = ready[context.arms[0].name]
        if plan.web:
            load = _load(plan, USERS["keepalive"], first.paths.endpoints[Tier.LOAD_BALANCER])
            web.serve(first.there, first.deployment.lab.client(), load, _WEB_PORT, context.say)
            return
        for trial_id in todo:
            if trial_id.case == "ceiling":
                _ceiling(context, plan, trial_id, first)
            elif trial_id.case.startswith("freeze-"):
                _freeze(context, plan, trial_id, first)
            else:
                _tier(context, plan, trial_id, ready[trial_id.arm])


def _servers(deployment: Deployment, laid: Paths) -> list[Path]:
    lab = deployment.lab
    if not lab.can(Capability.POD_PROCESSES):
        raise LabError(f"lab {lab.name}: what the server uses cannot be read without {Capability.POD_PROCESSES}")
    return lab.pod_processes(NAMESPACE, laid.pod)


def trial_ids(plan: LoadPlan, arms: Sequence[str], tools: Sequence[str]) -> Iterator[TrialId]:
    """All that is to be measured, in the order in which it is: rounds go there and back again."""
    cells = [(arm, f"{tier}-{user}") for user in plan.users for tier in plan.tiers for arm in arms]
    for number, (arm, case) in turns(cells, plan.rounds):
        yield TrialId(bench=NAME, arm=arm, case=case, number=number)
    for number, tool in turns(tools, plan.tool_rounds):
        yield TrialId(bench=NAME, arm=tool, case="ceiling", number=number)
    for number in range(1, plan.freeze_rounds + 1):
        for case in ("freeze-stock", "freeze-schedule"):
            yield TrialId(bench=NAME, arm=arms[0], case=case, number=number)


def tools(plan: LoadPlan, context: BenchContext) -> list[str]:
    """The generators that are compared; wrk where there is one, else a line that says so."""
    if "wrk" in plan.tools and not wrk.program():
        context.say("load: no ceiling by wrk, which is not on this machine (Debian's package is wrk)")
        return [tool for tool in plan.tools if tool != "wrk"]
    return list(plan.tools)


def _load(plan: LoadPlan, user: str, endpoint: Endpoint, **changed: Any) -> Load:  # noqa: ANN401 - fields of `Load`
    made = Load(
        user=user,
        **asdict(endpoint),
        seconds=plan.seconds,
        processes=plan.processes,
        users=plan.concurrency,
        shape=plan.shape,
    )
    if made.scheduled:
        # one schedule a worker spreads its requests evenly; a shape takes users to come and go
        users = plan.processes if plan.shape == "constant" else plan.concurrency
        made = replace(made, users=users, rate=plan.rate / users)
    return replace(made, **changed)


def _tier(context: BenchContext, plan: LoadPlan, trial_id: TrialId, ready: _Ready) -> None:
    tier, _, user = trial_id.case.partition("-")
    load = _load(plan, USERS[user], ready.paths.endpoints[Tier(tier)])
    _keep(context, trial_id, measure(ready.there, load, servers=ready.servers), ready)


def _ceiling(context: BenchContext, plan: LoadPlan, trial_id: TrialId, ready: _Ready) -> None:
    endpoint = ready.paths.endpoints[Tier.POD]
    if trial_id.arm != "wrk":
        user = _GENERATORS[trial_id.arm]
        load = _load(plan, user, endpoint, users=_FLAT_OUT_CONNECTIONS, processes=1, shape="constant")
        if load.scheduled:
            load = replace(load, users=1, rate=_FLAT_OUT, connections=_FLAT_OUT_CONNECTIONS)
        _keep(context, trial_id, measure(ready.there, load, servers=ready.servers), ready)
        return
    url = f"http://{endpoint.host}:{endpoint.port}/hostname"
    values = wrk.measure(
        ready.there, url, seconds=plan.seconds, connections=_FLAT_OUT_CONNECTIONS, servers=ready.servers
    )
    detail = {"connections": _FLAT_OUT_CONNECTIONS, "server": ready.deployment.arm.name}
    context.keep(trial_id, values, shown=_SHOWN, detail=detail)


def _freeze(context: BenchContext, plan: LoadPlan, trial_id: TrialId, ready: _Ready) -> None:
    """The pod's node stands still, asked by way of the pod: no LoadBalancer takes part, so none can move away."""
    lab, endpoint = ready.deployment.lab, ready.paths.endpoints[Tier.POD]
    stock = trial_id.case == "freeze-stock"
    load = _load(
        plan,
        "PacedUser" if stock else USERS["schedule"],
        endpoint,
        seconds=_FREEZE_SECONDS,
        processes=1,
        shape="constant",
        users=_FREEZE_USERS if stock else 1,
        rate=_FREEZE_RATE,
        throughput=_FREEZE_RATE / _FREEZE_USERS,
    )
    outcome, must, said = freeze.frozen(
        ready.there,
        load,
        lambda: lab.freeze(ready.paths.backend),
        standstill=_STANDSTILL,
        servers=ready.servers,
    )
    more = {"truth_p95_seconds": must, "seen_p95_seconds": None if np.isnan(said) else said}
    _keep(context, trial_id, outcome, ready, more)


def _keep(
    context: BenchContext,
    trial_id: TrialId,
    outcome: Outcome,
    ready: _Ready,
    more: Mapping[str, float | None] | None = None,
) -> None:
    """Keep what came of a load, and say it. `more`: values besides those of every load."""
    load, tally, use = outcome.load, outcome.tally, outcome.use
    bounds, counts = tally.latency.bars()
    context.keep(
        trial_id,
        {**values(outcome), **(more or {})},
        shown=_SHOWN,
        warnings=outcome.warnings(),
        detail={
            "user": load.user,
            "users": load.users,
            "processes": load.processes,
            "seconds": load.seconds,
            "shape": load.shape,
            "rate": load.rate * load.users if load.scheduled else None,
            "failures": dict(tally.failures),
            "unsent": tally.unsent,
            "in_flight": tally.in_flight,
            "busy_cores": use.busy if use else None,
            "steal_cores": use.steal if use else None,
            "backend": ready.paths.backend,
            "announcer": ready.paths.announcer,
            "proxy": ready.deployment.lab.topology.proxy_mode,
        },
        # the histogram's bars: upper bounds in seconds, and counts
        arrays={
            "histogram_seconds": np.array(bounds, dtype=np.float64),
            "histogram_count": np.array(counts, dtype=np.int64),
        },
    )


def values(outcome: Outcome) -> dict[str, float | None]:
    """The figures of a load. A failure took longer than any answer: a quantile that falls among them is None.

    A quantile that there were too few requests for is left out.
    """
    tally, use = outcome.tally, outcome.use
    return {
        "requests_per_second": outcome.rate,
        "requests_per_second_per_core": outcome.rate_per_core,
        **{
            f"{name}_seconds": tally.latency.quantile(q, lost=tally.failed)
            for name, q in _QUANTILES.items()
            if enough(tally.latency.count + tally.failed, q)
        },
        "failures": float(tally.failed),
        "generator_cores": use.generator if use else None,
        "server_cores": use.servers if use else None,
        **({"schedule_lag_p99_seconds": tally.lag.quantile(0.99)} if enough(tally.lag.count, 0.99) else {}),
    }


def _change(options: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of the plan that the options set. Raises `UnknownName`."""
    change = {name: value for name, value in given(options).items() if value != ()}
    for name, known, option in (("tiers", [*Tier], "--tier"), ("users", [*USERS], "--user")):
        if unknown := set(change.get(name, ())) - set(known):
            raise UnknownName(option.strip("-"), min(unknown), option, known, "lbproof bench load --help")
    if "tiers" in change:
        change["tiers"] = tuple(map(Tier, change["tiers"]))
    if change.keys() & {"tiers", "users"}:
        change |= {"tools": (), "freeze_rounds": 0}
    return change


BENCHMARK = Benchmark(
    name=NAME,
    order=8,
    question="How fast is each tier?",
    help="How fast is each tier? Locust against pod, ClusterIP, NodePort and LoadBalancer; how honest each client is.",
    method="The same client, the tiers interleaved. Latency runs from the moment that a request was meant to leave.",
    metrics=(
        *LATENCY_METRICS,
        *metrics(
            Better.MORE,
            requests_per_second="requests a second",
            requests_per_second_per_core="requests a second and core of the client",
        ),
        *metrics(failures="failed requests", seen_p95_seconds="p95, as the tool saw it"),
        *metrics(
            Better.NEITHER,
            generator_cores="cores of the client",
            server_cores="cores of the server",
            schedule_lag_p99_seconds="lag of the schedule, p99",
            truth_p95_seconds="p95, true",
        ),
    ),
    main=("requests_per_second", "requests_per_second_per_core", "p50_seconds", "p99_seconds", "failures"),
    cases={"ceiling": "the fastest client that there is, against the pod"},
    case_plots=(panels.latency_histogram,),
    overview_plots=(panels.tier_rates,),
    answer=answers.tiers,
    options=(
        click.Option(["--tier", "tiers"], type=TEXT, multiple=True, metavar="NAME", help="this tier alone; repeatable"),
        click.Option(
            ["--user", "users"],
            type=TEXT,
            multiple=True,
            metavar="NAME",
            help="this kind of Locust user alone; repeatable",
        ),
        click.Option(["--shape"], type=click.Choice(["constant", "step", "spike", "soak"]), help="of the load"),
        click.Option(["--seconds"], type=click.IntRange(1, 86_400), help="of each measurement"),
        click.Option(
            ["--rate"], type=click.FloatRange(1), help="requests a second of all users with a schedule together"
        ),
        click.Option(["--processes"], type=click.IntRange(1, 64), help="Locust's workers"),
        click.Option(
            ["--web"], is_flag=True, default=None, help="open Locust's web UI on this machine's loopback instead"
        ),
    ),
    change=_change,
    plans=PLANS,
    run=run,
)
