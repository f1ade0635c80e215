"""`lbproof bench load`: the four tiers of each arm, side by side, and how honest and how fast each generator is.

All arms are up at once and every round goes through tiers and arms there and back again (A B B A), so that whatever
else the machine does hits all alike. Closed-loop users say how much a path carries, and mostly find their own limit,
which is then marked; users with a schedule say how long a request takes at a rate that is far from any limit.
"""

from __future__ import annotations

import itertools
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from lbproof.lab.base import Topology
from lbproof_perf import scene
from lbproof_perf.bench import Hands, Size
from lbproof_perf.book import Step
from lbproof_perf.load import freeze, meter, paths, web, wrk
from lbproof_perf.load.paths import Tier
from lbproof_perf.load.run import Load, Outcome, measure
from lbproof_perf.statistics import enough

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from lbproof_perf.load.paths import Door, Paths
    from lbproof_perf.scene import Scene

NAME = "load"
QUESTION = "How fast is each tier, and is the figure the LoadBalancer's or the client's?"
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
TOOLS = ("HttpUser", "FastHttpUser", "ScheduleUser", "wrk")
_TOOLS = {"HttpUser": "RequestsUser", "FastHttpUser": "KeepAliveUser", "ScheduleUser": "ScheduleUser"}
_QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999, "p9999": 0.9999}
_FLAT_OUT = 200_000.0
"""Requests a second that no generator in Python sends: a schedule of it is as fast as it goes."""
_FLAT_OUT_CONNECTIONS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
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
    freeze: bool = True
    """Whether the freeze test is made, on the first arm."""
    freeze_rounds: int = 2
    freeze_seconds: int = 10
    freeze_standstill: float = 2.0
    freeze_rate: float = 100.0
    web: bool = False
    """Locust's web UI instead of all measurements: on the first arm's LoadBalancer, until it is interrupted."""
    web_port: int = 8089
    """Of this machine's loopback; 0 takes a free one."""
    topology: Topology = field(default_factory=Topology)


PLANS: Mapping[Size, Plan] = {
    Size.QUICK: Plan(
        users=("schedule",),
        tiers=(Tier.POD, Tier.LOAD_BALANCER),
        rounds=1,
        seconds=1,
        tools=("FastHttpUser", "ScheduleUser"),
        tool_rounds=1,
        freeze=False,
    ),
    Size.FULL: Plan(users=("keepalive", "schedule"), tool_rounds=2),
    Size.NIGHTLY: Plan(rounds=5, seconds=5, tool_rounds=10, freeze_rounds=5),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ready:
    """An arm whose doors are open."""

    scene: Scene
    paths: Paths
    servers: list[int]


def run(hands: Hands, plan: Plan) -> None:
    """Make the trials that are not in the book yet; with `plan.web`, serve Locust's web UI instead.

    Raises `LabError` when a lab cannot be had or Locust fails.
    """
    wanted = list(steps(plan, [arm.name for arm in hands.arms], tools(plan, hands)))
    if not plan.web and all(hands.book.has(step) for step in wanted):
        return
    with ExitStack() as stack:
        ready: dict[str, _Ready] = {}
        for arm in hands.arms[:1] if plan.web else hands.arms:
            made = stack.enter_context(scene.opened(arm, plan.topology, components=hands.components, say=hands.say))
            laid = paths.laid(made.check)
            ready[arm.name] = _Ready(scene=made, paths=laid, servers=meter.processes_at([laid.pod]))
        first = ready[hands.arms[0].name]
        if plan.web:
            door = first.paths.doors[Tier.LOAD_BALANCER]
            web.serve(first.scene.lab.client(), _load(plan, "keepalive", door), plan.web_port, hands.say)
            return
        for step in wanted:
            if not hands.book.has(step):
                _made(hands, plan, step, ready.get(step.arm, first))


def steps(plan: Plan, arms: Sequence[str], tools: Sequence[str]) -> Iterator[Step]:
    """All that is to be measured, in the order in which it is: rounds go there and back again."""
    cells = [(arm, f"{tier}-{user}") for user in plan.users for tier in plan.tiers for arm in arms]
    for number in range(1, plan.rounds + 1):
        for arm, case in cells if number % 2 else cells[::-1]:
            yield Step(bench=NAME, arm=arm, case=case, number=number)
    for number in range(1, plan.tool_rounds + 1):
        for tool in tools if number % 2 else tools[::-1]:
            yield Step(bench=NAME, arm=tool, case="ceiling", number=number)
    if plan.freeze and arms:
        for number in range(1, plan.freeze_rounds + 1):
            for case in ("freeze-stock", "freeze-schedule"):
                yield Step(bench=NAME, arm=arms[0], case=case, number=number)


def tools(plan: Plan, hands: Hands) -> list[str]:
    """The generators that are compared; wrk where there is one, else a line that says so."""
    if "wrk" in plan.tools and not wrk.program():
        hands.say("load: no ceiling by wrk, which is not on this machine (Debian's package is wrk)")
        return [tool for tool in plan.tools if tool != "wrk"]
    return list(plan.tools)


def _made(hands: Hands, plan: Plan, step: Step, ready: _Ready) -> None:
    if step.case == "ceiling":
        _ceiling(hands, plan, step, ready)
    elif step.case.startswith("freeze-"):
        _freeze(hands, plan, step, ready)
    else:
        tier, _, user = step.case.partition("-")
        door = ready.paths.doors[Tier(tier)]
        _keep(hands, step, measure(ready.scene.lab.client(), _load(plan, user, door), servers=ready.servers), ready)


def _load(plan: Plan, user: str, door: Door) -> Load:
    made = Load(
        user=USERS[user],
        host=door.host,
        port=door.port,
        udp_port=door.udp_port,
        seconds=plan.seconds,
        processes=plan.processes,
        users=plan.concurrency,
        shape=plan.shape,
    )
    if not made.scheduled:
        return made
    # one schedule a worker spreads its requests evenly; a shape takes users to come and go
    users = plan.processes if plan.shape == "constant" else plan.concurrency
    return replace(made, users=users, rate=plan.rate / users)


def _ceiling(hands: Hands, plan: Plan, step: Step, ready: _Ready) -> None:
    door, client = ready.paths.doors[Tier.POD], ready.scene.lab.client()
    if step.arm == "wrk":
        url = f"http://{door.host}:{door.port}/hostname"
        values = wrk.measure(
            client, url, seconds=plan.seconds, connections=_FLAT_OUT_CONNECTIONS, servers=ready.servers
        )
        hands.book.add(step, values, detail={"connections": _FLAT_OUT_CONNECTIONS, "server": ready.scene.arm.name})
        hands.say(f"load: wrk: {values['requests_per_second'] or 0:.0f} requests/s")
        return
    load = replace(_load(plan, "keepalive", door), user=_TOOLS[step.arm], processes=1, shape="constant")
    if load.scheduled:
        load = replace(load, users=1, rate=_FLAT_OUT, connections=_FLAT_OUT_CONNECTIONS)
    else:
        load = replace(load, users=_FLAT_OUT_CONNECTIONS)
    _keep(hands, step, measure(client, load, servers=ready.servers), ready)


def _freeze(hands: Hands, plan: Plan, step: Step, ready: _Ready) -> None:
    """The pod's node stands still, asked by way of the pod: no LoadBalancer takes part, so none can move away."""
    lab, door = ready.scene.lab, ready.paths.doors[Tier.POD]
    load = replace(_load(plan, "schedule", door), seconds=plan.freeze_seconds, processes=1, shape="constant")
    if step.case == "freeze-stock":
        users = 10
        load = replace(load, user="PacedUser", users=users, throughput=plan.freeze_rate / users)
    else:
        load = replace(load, users=1, rate=plan.freeze_rate)
    outcome, must, said = freeze.frozen(
        lab.client(),
        load,
        lambda: lab.freeze(ready.paths.backend),
        standstill=plan.freeze_standstill,
        servers=ready.servers,
    )
    more = {"truth_p95_seconds": must, "seen_p95_seconds": None if np.isnan(said) else said}
    _keep(hands, step, outcome, ready, more)
    hands.say(f"load: {step.case}: p95 {said * 1000:.0f} ms where the truth is {must * 1000:.0f} ms")


def _keep(
    hands: Hands, step: Step, outcome: Outcome, ready: _Ready, more: Mapping[str, float | None] | None = None
) -> None:
    """Put a load into the book, and say it."""
    marks = outcome.marks()
    hands.book.add(
        step,
        {**values(outcome), **(more or {})},
        marks=marks,
        detail={
            "user": outcome.load.user,
            "users": outcome.load.users,
            "processes": outcome.load.processes,
            "seconds": outcome.load.seconds,
            "shape": outcome.load.shape,
            "rate": outcome.load.rate * outcome.load.users if outcome.load.scheduled else None,
            "failures": dict(outcome.tally.failures),
            "unsent": outcome.tally.unsent,
            "in_flight": outcome.tally.in_flight,
            "busy_cores": outcome.use.busy if outcome.use else None,
            "steal_cores": outcome.use.steal if outcome.use else None,
            "backend": ready.paths.backend,
            "announcer": ready.paths.announcer,
            "proxy": ready.scene.lab.topology.proxy_mode,
        },
        arrays=arrays(outcome),
    )
    p99 = values(outcome).get("p99_seconds")
    shown = "-" if p99 is None else f"{p99 * 1000:.2f} ms"
    hands.say(
        f"load: {step.arm}: {step.case} {step.number}: {outcome.rate:.0f} requests/s, p99 {shown}"
        + "".join(f"; {mark}" for mark in marks)
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
        "schedule_lag_p99_seconds": tally.lag.quantile(0.99) if outcome.load.scheduled else None,
    }


def arrays(outcome: Outcome) -> dict[str, NDArray[np.float64] | NDArray[np.int64]]:
    """The histogram's bars: upper bounds in seconds, and counts."""
    bounds, counts = outcome.tally.latency.bars()
    return {
        "histogram_seconds": np.fromiter(itertools.chain(bounds), np.float64),
        "histogram_count": np.array(counts, dtype=np.int64),
    }
