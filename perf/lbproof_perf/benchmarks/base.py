"""What every benchmark is: a name, a question, a plan a size, and a way to make the trials that are missing."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from lbproof_perf.report.spec import BenchmarkReport, Better, metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import click

    from lbproof_perf.results import ResultStore
    from lbproof_perf.sut.arms import Arm
    from lbproof_perf.sut.system import LabPool

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
    """Labs that the benchmarks of outages share; a benchmark that needs others boots its own."""
    components: Path | None = None
    """Folder with the programs of Kubernetes, or None."""


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
