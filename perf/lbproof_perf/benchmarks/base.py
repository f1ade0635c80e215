"""What every benchmark is: a name, a question, a plan a size, and a way to make the trials that are missing."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

from lbproof_perf.report.formatting import unit_of, value_text
from lbproof_perf.report.spec import BenchmarkReport, Better, metrics
from lbproof_perf.sut import deployment
from lbproof_perf.sut.services import ServiceBench, service_bench

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    import click
    from numpy.typing import NDArray

    from lbproof.lab.base import Topology
    from lbproof.witnesses.clock import Clock
    from lbproof_perf.results import ResultStore, TrialId
    from lbproof_perf.sut.arms import Arm
    from lbproof_perf.sut.deployment import Deployment
    from lbproof_perf.sut.system import LabPool

T = TypeVar("T")

PAIR = ("reference", "metallb")
"""Default arms of most benchmarks."""


class Size(StrEnum):
    """How much is measured."""

    QUICK = "quick"
    """All benchmarks in under five minutes: to see that they work."""
    FULL = "full"
    """All in about an hour on two cores: what is published."""
    NIGHTLY = "nightly"
    """As long as it takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchContext:
    """What a benchmark is given."""

    store: ResultStore
    """Where its trials go; those in it are not made again."""
    arms: Sequence[Arm]
    say: Callable[[str], None]
    """Print a line of progress."""
    labs: LabPool
    """Labs that the benchmarks of outages share; a benchmark that needs others boots its own (`opened`)."""
    components: Path | None = None
    """Folder with the programs of Kubernetes, or None."""

    def missing(self, trial_ids: Iterable[TrialId]) -> list[TrialId]:
        """Those of the trials that are not made yet, in their order."""
        return [trial_id for trial_id in trial_ids if not self.store.has(trial_id)]

    def keep(
        self,
        trial_id: TrialId,
        values: Mapping[str, float | None],
        *,
        shown: Sequence[str],
        warnings: tuple[str, ...] = (),
        detail: Mapping[str, Any] | None = None,
        arrays: Mapping[str, NDArray[Any]] | None = None,
        clocks: Mapping[str, Clock] | None = None,
    ) -> None:
        """Keep a trial, and say of it the values that are named in `shown`, and its warnings."""
        self.store.add(trial_id, values, warnings=warnings, detail=detail, arrays=arrays, clocks=clocks)
        texts = ", ".join(f"{_label(name)} {value_text(values[name], name)}" for name in shown if name in values)
        self.say("; ".join([f"{trial_id.key}: {texts}", *warnings]))

    def opened(self, arm: Arm, topology: Topology) -> AbstractContextManager[Deployment]:
        """A lab of the benchmark's own with the arm installed, while it is entered. Raises `LabError`."""
        return deployment.opened(arm, topology, components=self.components, say=self.say)

    @contextmanager
    def service_benches(
        self, todo: Sequence[TrialId], topology: Topology, most: int
    ) -> Iterator[dict[str, ServiceBench]]:
        """By arm a lab in which `most` Services can be made at a time, for each arm that the trials name."""
        with ExitStack() as stack:
            benches = {}
            for arm in self.arms:
                if any(trial_id.arm == arm.name for trial_id in todo):
                    made = stack.enter_context(self.opened(arm, topology))
                    benches[arm.name] = stack.enter_context(service_bench(made, most))
            yield benches

    def allocating_arms(self) -> list[Arm]:
        """The arms that have a controller which gives addresses; says which have none."""
        found = []
        for arm in self.arms:
            if isinstance(arm.make(), deployment.Exposes):
                self.say(f"{arm.name}: has no controller that gives addresses, so there is nothing to measure here")
            else:
                found.append(arm)
        return found


def _label(name: str) -> str:
    """A figure's name for a reader, without a unit that stands with its value (`value_text`)."""
    unit = unit_of(name)
    stands_with_value = unit in {"seconds", "bytes", "per_second", "share"}
    return (name.removesuffix(f"_{unit}") if stands_with_value else name).replace("_", " ")


def turns(items: Sequence[T], times: int) -> Iterator[tuple[int, T]]:
    """(repetition from 1, item): there and back again (A B B A …), so that a drift of the machine hits all alike."""
    for number in range(1, times + 1):
        yield from ((number, item) for item in (items if number % 2 else reversed(items)))


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a plan that command line options of the same names set."""
    return {name: value for name, value in options.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark(BenchmarkReport):
    """One benchmark: how it is run, and what the report must know of it."""

    help: str
    """Of its command: a sentence or two."""
    plans: Mapping[Size, Any]
    """What is measured at each size: a dataclass of the benchmark's own."""
    run: Callable[[BenchContext, Any], None]
    """Make the trials that are missing. Raises `LabError` when a lab cannot be had."""
    order: int = 100
    """Place among the benchmarks of a run and of a report, ascending."""
    checks_probe: bool = False
    """Whether it measures the outage probe and no arm: it is run before the others and shown after them."""
    arms: tuple[str, ...] = PAIR
    """Arms that are measured when none is asked for."""
    shares_labs: bool = False
    """Whether it uses `BenchContext.labs`; all others have the machine to themselves."""
    options: tuple[click.Option, ...] = ()
    """Options of its command besides the common ones."""
    change: Callable[[Mapping[str, Any]], dict[str, Any]] = given
    """Values of its options → fields of the plan."""


OUTAGE_METRICS = (
    *metrics(
        first_answer_seconds="to the first answer",
        steady_seconds="until nothing was lost any more",
        longest_gap_seconds="longest gap",
        longest_wait_seconds="longest wait for an answer",
        lost="UDP probes lost",
        lost_tcp="TCP requests lost",
        two_announcers_seconds="two nodes answered",
        no_announcer_seconds="no node answered",
        detect_seconds="part: detect",
        announce_seconds="part: announce",
        learn_seconds="part: neighbour learns",
        answer_seconds="part: answer",
    ),
    *metrics(
        Better.NEITHER,
        sent="UDP probes sent",
        sent_tcp="TCP requests sent",
        worst_stall_seconds="worst stall of the machine",
        fault_bracket_seconds="the fault took effect within",
    ),
)
"""Of every trial that the outage probe makes."""
LATENCY_METRICS = metrics(
    p50_seconds="p50", p90_seconds="p90", p99_seconds="p99", p999_seconds="p99.9", p9999_seconds="p99.99"
)
"""Quantiles within a trial."""
