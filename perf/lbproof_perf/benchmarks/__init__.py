"""One module a benchmark: its `BENCHMARK` names everything that runner, command and report know of it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lbproof_perf.benchmarks.base import Benchmark

MODULES = {
    "ruler": "outage_probe",
    "failover": "failover",
    "moves": "planned_handover",
    "hogs": "cpu_stress",
    "allocate": "allocate",
    "allocator": "allocator",
    "scale": "scale",
    "arp": "arp",
    "load": "load",
}
"""Name of a benchmark, as in the files of a run → its module, in the order in which they are run."""
REPORT_ORDER = ("failover", "moves", "hogs", "allocate", "allocator", "scale", "arp", "load", "ruler")


def find(name: str) -> Benchmark:
    """Import the benchmark of that name."""
    found: Benchmark = importlib.import_module(f"{__name__}.{MODULES[name]}").BENCHMARK
    return found


def known() -> dict[str, Benchmark]:
    """Every benchmark by name, in the order of the report. Imports all of them."""
    return {name: find(name) for name in REPORT_ORDER}
