"""How fast ARP is answered, and how much of it: with one address and with thousands, and beside a flood.

The requester is at the client and asks for addresses of real Services and, in the same rounds, for the announcing
node's own address, which its kernel answers: the physical limit of this machine (arm `kernel`). A round asks one
question after the other (the task `solicit`). Then questions leave on schedule, more and more a second, and the answers
are counted. In the flood each question is for an address that is nobody's: what it costs the announcing process is
measured while nothing else is asked, and what it costs those who ask for somebody's address in floods of their own.

One worker announces everything, so that a figure at so many addresses is one announcer's. Rounds go up and down through
the numbers of addresses (`Stock`), some at each stop, and in each from one responder to the other and back: nobody
is bound to a processor, and an answer that takes the waking of another one costs several times as much, for a second on
end. Each trial tells who ran where. A stop's rounds begin when the implementation has told the API server what it has
to tell of the change before: Events of thousands of addresses take a speaker's time for half a minute.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from ipaddress import IPv4Address
from itertools import product
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from lbproof.adapters.base import WorkloadRole
from lbproof.lab.base import Topology
from lbproof.spec.families import Family
from lbproof.witnesses.wait import EventuallyFailed
from lbproof_perf.benchmarks.base import LATENCY_METRICS, Benchmark, Size, turns
from lbproof_perf.probes.proc import stat
from lbproof_perf.probes.requester import Requester
from lbproof_perf.report import panels
from lbproof_perf.report.spec import Better, metrics
from lbproof_perf.results import TrialId
from lbproof_perf.stats.quantiles import enough, quantile
from lbproof_perf.sut import usage
from lbproof_perf.sut.arp_services import QUIET, Stock

T = TypeVar("T")

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from lbproof.spec.families import IPAddress
    from lbproof_perf.benchmarks.base import BenchContext
    from lbproof_perf.sut.deployment import Deployment

    Floats = NDArray[np.float64]

NAME = "arp"
KERNEL = "kernel"
FLOOD = "flood"
_QUANTILES = {"p50": 0.5, "p99": 0.99}

_REQUESTER, _FLOODER = "02:6c:62:61:72:01", "02:6c:62:61:72:02"
"""Hardware addresses of nobody's: locally administered."""
_OURS = ("p50_seconds", "p99_seconds", "answered_per_second", "answered_share", "cpu_seconds", "p50_over_kernel")
"""Figures of a round of an implementation."""
_STRANGERS = 1000
"""Different addresses that a flood asks for."""
_FAMILY = Family.IPV4
"""Family of the addresses that are asked for: that of the wide pools (`WIDE`)."""
_NOBODYS = "198.19"
"""The half of the block for benchmarks (RFC 2544) that no pool is made of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArpPlan:
    """How much is measured."""

    counts: tuple[int, ...]
    """Numbers of addresses, ascending; each Service with a ready endpoint."""
    wide: int
    """A number of addresses beyond those, or 0; for the arms in `wide_arms`, whose Services then have no endpoint."""
    wide_arms: tuple[str, ...]
    """Those that announce a Service without endpoints and have so many addresses in the time of a run."""
    stops: int
    """At each number of addresses."""
    rounds: int
    """At each stop; of the flood, one."""
    asks: int
    """Questions of a round, to each responder."""
    rates: tuple[float, ...]
    """Questions a second, ascending; figures are those of the last."""
    rate_seconds: float
    flood_rate: float
    """Questions a second for addresses that are nobody's."""
    flood_seconds: float
    quiet_seconds: float
    """Without an announcement, before anything is asked."""
    fill_seconds: float
    """Until all Services have an address."""

    @property
    def trials(self) -> range:
        """Their numbers, at each number of addresses."""
        return range(1, self.stops * self.rounds + 1)


PLANS: Mapping[Size, ArpPlan] = {
    Size.QUICK: ArpPlan(
        counts=(1, 100), wide=0, wide_arms=(), stops=1, rounds=2, asks=2000, rates=(20_000,), rate_seconds=0.25,
        flood_rate=100_000, flood_seconds=1, quiet_seconds=0, fill_seconds=60,
    ),
    Size.FULL: ArpPlan(
        counts=(1, 100), wide=10_000, wide_arms=("reference",), stops=2, rounds=6, asks=5000,
        rates=(20_000, 100_000), rate_seconds=0.25, flood_rate=100_000, flood_seconds=2, quiet_seconds=QUIET,
        fill_seconds=180,
    ),
    Size.NIGHTLY: ArpPlan(
        counts=(1, 100, 1000, 10_000), wide=0, wide_arms=(), stops=10, rounds=10, asks=5000,
        rates=(20_000, 50_000, 100_000), rate_seconds=0.5, flood_rate=100_000, flood_seconds=3, quiet_seconds=QUIET,
        fill_seconds=3600,
    ),
}  # fmt: skip


def run(context: BenchContext, plan: ArpPlan) -> None:
    """Make the trials that are not there yet. Raises `LabError` when a lab cannot be had."""
    for at, arm in enumerate(context.allocating_arms()):
        counts = (*plan.counts, plan.wide) if plan.wide and arm.name in plan.wide_arms else plan.counts
        numbers = {f"addresses-{count}": plan.trials for count in counts} | {FLOOD: range(1, plan.stops + 1)}
        if context.missing(
            TrialId(bench=NAME, arm=arm.name, case=case, number=number)
            for case, each in numbers.items()
            for number in each
        ):
            with context.opened(arm, Topology(workers=1, proxy_mode="nftables", audit=True)) as deployment:
                _measure(context, plan, deployment, counts, first_kernel=at * len(plan.trials))


def _measure(
    context: BenchContext, plan: ArpPlan, deployment: Deployment, counts: Sequence[int], *, first_kernel: int
) -> None:
    client, free, name = deployment.lab.client(), deployment.lab.segment.free_for(_FAMILY), deployment.arm.name
    with (
        Requester(client, mac=_REQUESTER, address=free[-1]) as requester,
        Requester(client, mac=_FLOODER, address=free[-2]) as flooder,
    ):
        rounds = _Rounds(context, plan, deployment, requester, flooder, first_kernel=first_kernel)
        stock = Stock(deployment)
        for at, count in enumerate(counts):
            context.say(f"{name}: {count} Services are made")
            try:
                seconds = stock.add(count, endpoints=count in plan.counts, within=plan.fill_seconds)
            except EventuallyFailed as error:
                rounds.did_not(counts[at:], str(error))
                break
            context.say(f"{name}: {count} Services have their addresses, the last after {seconds:.1f} s")
        flooded = max(stock.counts, key=lambda count: (count in plan.counts, count), default=0)
        for stop, count in turns(stock.counts, plan.stops):
            stock.announce(count, requester, quiet_for=plan.quiet_seconds)
            rounds.begin(stock.addresses(1)[0])
            for number in plan.trials[(stop - 1) * plan.rounds : stop * plan.rounds]:
                rounds.addresses(number, stock.addresses(count))
            if count == flooded:
                rounds.flood(stop, stock.addresses(count))


class _Rounds:
    """One arm's rounds."""

    def __init__(
        self,
        context: BenchContext,
        plan: ArpPlan,
        deployment: Deployment,
        requester: Requester,
        flooder: Requester,
        *,
        first_kernel: int,
    ) -> None:
        self._context, self._plan, self._deployment = context, plan, deployment
        self._requester, self._flooder = requester, flooder
        self._arm, self._first_kernel = deployment.arm.name, first_kernel
        self._detail: dict[str, Any] = {"beside": self._arm, "received": "SO_TIMESTAMPNS"}
        self._meter = usage.UsageMeter(deployment)

    def begin(self, address: IPAddress) -> None:
        """Find the announcing node, and wait until the API server is told nothing any more.

        Raises `EventuallyFailed` when not exactly one node answers for the address.
        """
        self._node = self._deployment.check.announcer(address, budget="one_answerer")
        self._warnings = self._meter.quiet()

    def did_not(self, counts: Sequence[int], why: str) -> None:
        """Keep that there were never so many addresses: nothing of it is known, and it is not left out."""
        self._context.say(f"{self._arm}: {why}")
        for count, number in product(counts, self._plan.trials):
            trial_id = self._trial_id(self._arm, f"addresses-{count}", number)
            if not self._context.store.has(trial_id):
                self._context.store.add(trial_id, dict.fromkeys(_OURS), warnings=(why,), detail=self._detail)

    def addresses(self, number: int, ours: Sequence[IPAddress]) -> None:
        """A round: the latencies there and back, then the rates; of these addresses and of the kernel's own."""
        case = f"addresses-{len(ours)}"
        if self._made(case, number):
            return
        targets = self._targets(ours)
        seconds: dict[str, list[Floats]] = {name: [] for name in targets}
        cpu = dict.fromkeys(targets, 0.0)
        cores: dict[str, list[list[int]]] = {name: [] for name in targets}
        begin = self._meter.snapshot()
        for half, name in turns(list(targets), 2):
            before = self._reading()
            found = self._requester.ask(targets[name][half - 1 :: 2])
            seconds[name].append(found.took)
            cpu[name] += self._since(before)
            cores[name].append([found.core, *self._cores()])
        requests = sum(part.requests for part in self._meter.since(begin).values())
        took = {name: np.concatenate(halves) for name, halves in seconds.items()}
        for name, asked in targets.items():
            rates = [self._rate(asked[:_STRANGERS], rate) for rate in self._plan.rates]
            values = _latencies(took[name]) | {
                figure: rates[-1][figure] for figure in ("answered_per_second", "answered_share")
            }
            if name == self._arm:
                values["cpu_seconds"] = cpu[name]
                if enough(min(len(row) for row in took.values()), 0.5):
                    values["p50_over_kernel"] = values["p50_seconds"] / quantile(took[KERNEL], 0.5)
            detail = {
                "rates": rates,
                "endpoints": len(ours) in self._plan.counts,
                "cores": cores[name],
                "api_requests": requests,
            }
            self._keep(self._trial_id(name, case, number), values, took[name], detail)

    def flood(self, number: int, ours: Sequence[IPAddress]) -> None:
        """Questions for nobody's addresses: what they cost the announcer, and those who ask for somebody's."""
        if self._made(FLOOD, number):
            return
        rate, seconds = self._plan.flood_rate, self._plan.flood_seconds
        foreign = [IPv4Address(f"{_NOBODYS}.{at // 250}.{at % 250 + 1}") for at in range(_STRANGERS)]
        before = self._reading()
        threading.Event().wait(seconds)  # what else it does: its heartbeats, what it still tells the API
        otherwise = self._since(before) / seconds
        before = self._reading()
        self._flooder.begin_volleys(foreign, rate=rate, seconds=seconds)
        done = self._flooder.end_volleys()
        gross = self._since(before) / done.seconds
        for name, asked in self._targets(ours).items():
            self._flooder.begin_volleys(foreign, rate=rate, seconds=seconds)
            took = self._requester.ask(asked, within=seconds).took
            self._flooder.end_volleys()
            values = _latencies(took) | {"answered_share": float(np.isfinite(took).mean())}
            if name == self._arm:
                values["flood_cpu_cores"] = max(0.0, gross - otherwise)
            detail = {"foreign_per_second": done.sent / done.seconds, "gross_cores": gross}
            self._keep(self._trial_id(name, FLOOD, number), values, took, detail)

    def _targets(self, ours: Sequence[IPAddress]) -> dict[str, list[IPAddress]]:
        """Responder → the addresses that it is asked for in a round."""
        asks = self._plan.asks
        return {self._arm: spread(ours, asks), KERNEL: [self._node.address_for(_FAMILY)] * asks}

    def _rate(self, targets: Sequence[IPAddress], rate: float) -> dict[str, float]:
        self._requester.begin_volleys(targets, rate=rate, seconds=self._plan.rate_seconds)
        done = self._requester.end_volleys()
        return {
            "asked_per_second": done.sent / done.seconds,
            "answered_per_second": done.answered / done.seconds,
            "answered_share": done.answered / done.sent,
        }

    def _keep(self, trial_id: TrialId, values: Mapping[str, float], took: Floats, detail: Mapping[str, Any]) -> None:
        finite = {figure: value if np.isfinite(value) else None for figure, value in values.items()}
        self._context.keep(
            trial_id,
            finite,
            shown=("p50_seconds", "p99_seconds"),
            warnings=self._warnings,
            detail={**self._detail, **detail},
            arrays={"seconds": took},
        )

    def _trial_id(self, name: str, case: str, number: int) -> TrialId:
        return TrialId(bench=NAME, arm=name, case=case, number=number + (self._first_kernel if name == KERNEL else 0))

    def _made(self, case: str, number: int) -> bool:
        return not self._context.missing(self._trial_id(name, case, number) for name in (self._arm, KERNEL))

    def _cores(self) -> list[int]:
        """The processors that the announcer ran on last, each of its processes by its first thread."""
        return [stat((one / "stat").read_text(encoding="utf-8", errors="replace")).core for one in self._processes()]

    def _reading(self) -> usage.ProcessUsage:
        """The processor time of the announcing pod's processes so far."""
        return usage.read(self._processes())

    def _since(self, before: usage.ProcessUsage) -> float:
        """Seconds of it since then."""
        return usage.cpu_between(before, self._reading())

    def _processes(self) -> list[Path]:
        deployment = self._deployment
        return deployment.lab.pod_processes(*deployment.run.workloads.pod_on(WorkloadRole.ANNOUNCER, self._node.name))


def _latencies(took: Floats) -> dict[str, float]:
    """The quantiles of a round, without one that there were too few questions for."""
    return {f"{name}_seconds": quantile(took, q) for name, q in _QUANTILES.items() if enough(len(took), q)}


def spread(addresses: Sequence[T], asks: int) -> list[T]:
    """So many questions over the addresses, none of them twice before all had their turn, far ones in a row."""
    stride = max(1, int(len(addresses) * 0.618))
    while np.gcd(stride, len(addresses)) != 1:
        stride += 1
    return [addresses[at * stride % len(addresses)] for at in range(asks)]


BENCHMARK = Benchmark(
    name=NAME,
    order=7,
    question="How fast is a request for the address answered?",
    help="How fast is ARP answered? With few addresses and with many, and the kernel's own answer beside it.",
    method="One request after the other. The kernel's own answer is the physical limit.",
    metrics=(
        *LATENCY_METRICS,
        *metrics(
            answered_seconds="request to reply",
            flood_cpu_cores="cores under the flood",
            p50_over_kernel="request to reply, p50, times the kernel's",
            cpu_seconds="CPU time",
        ),
        *metrics(Better.MORE, answered_per_second="answered a second", answered_share="share answered"),
    ),
    main=("answered_seconds", "answered_per_second", "answered_share"),
    controls=("kernel", "metallb"),
    samples={"seconds": "answered_seconds"},
    cases={"flood": "a flood of requests for foreign addresses"},
    case_plots=(panels.percentile_curve("answered_seconds"),),
    plans=PLANS,
    run=run,
)
