"""What every benchmark is: a name, a question, a plan a size, and a way to make the trials that are not there yet."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from lbproof_perf.results import ResultStore
    from lbproof_perf.sut.arms import Arm
    from lbproof_perf.sut.system import LabPool


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
    """Where its trials go; what is in it already is not measured again."""
    arms: Sequence[Arm]
    say: Callable[[str], None]
    """A line for the one who waits: what was just measured, and what of it is known so far."""
    labs: LabPool
    """Labs that the benchmarks of outages share, one after the other; a benchmark that wants others boots its own."""
    components: Path | None = None
    """Folder that holds Kubernetes' programs, or None."""
