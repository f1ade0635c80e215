"""One module a benchmark: each that has a `BENCHMARK` is found, by runner, command and report."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lbproof_perf.benchmarks.base import Benchmark


@functools.cache
def known() -> dict[str, Benchmark]:
    """Every benchmark by name, in the order of the report. Imports all modules of this package."""
    modules = (importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__))
    found: list[Benchmark] = [module.BENCHMARK for module in modules if hasattr(module, "BENCHMARK")]
    return {one.name: one for one in sorted(found, key=lambda one: (one.checks_probe, one.order, one.name))}


def in_run_order() -> list[Benchmark]:
    """Every benchmark in the order of a run: as in the report, but what checks a probe comes first."""
    return sorted(known().values(), key=lambda one: not one.checks_probe)
