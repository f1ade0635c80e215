"""Every report of a run, written into its folder. The same trials give the same files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from lbproof.files import write_whole
from lbproof_perf.report import figures, html, metrics, schema, thresholds

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lbproof_perf.report.figures import Figures
    from lbproof_perf.report.spec import BenchmarkReport
    from lbproof_perf.report.thresholds import Objective
    from lbproof_perf.results import ResultStore

PAGE, JSON, SCHEMA, METRICS = "report.html", "bench.json", "bench.schema.json", "metrics.prom"


def read(store: ResultStore, known: Mapping[str, BenchmarkReport]) -> tuple[Figures, list[Objective]]:
    """The figures of a run, and its thresholds (`thresholds.toml` in its folder) held against them.

    Raises `BadOption` or `UnknownName` for thresholds that cannot be.
    """
    found, path = figures.summarize(store, known), store.folder / thresholds.FILE
    return found, thresholds.check(found, thresholds.read(path, known)) if path.exists() else []


def write(store: ResultStore, known: Mapping[str, BenchmarkReport]) -> list[Path]:
    """Write page, JSON, its schema and metrics into the run's folder, and seal it; gives the files, the page first."""
    found, checked = read(store, known)
    texts = {
        PAGE: html.of(store, found, checked),
        JSON: schema.of(found, checked, store.environment, store.clocks).model_dump_json(indent=1) + "\n",
        SCHEMA: json.dumps(schema.Report.model_json_schema(), indent=1) + "\n",
        METRICS: metrics.of(found, checked, store.environment),
    }
    for name, text in texts.items():
        write_whole(store.folder / name, text)
    store.seal()
    return [store.folder / name for name in texts]
