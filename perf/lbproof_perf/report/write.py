"""Every report of a book, written beside it. The same trials give the same files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from lbproof_perf.report import aims, figures, html, metrics, schema

if TYPE_CHECKING:
    from pathlib import Path

    from lbproof_perf.results import ResultStore

PAGE, JSON, SCHEMA, METRICS = "report.html", "bench.json", "bench.schema.json", "metrics.prom"


def write(store: ResultStore) -> list[Path]:
    """Write page, JSON, its schema and metrics into the book's folder, and seal it. Gives the files, the page first.

    Raises `BadOption` or `UnknownName` for a `reasons.toml` that cannot be.
    """
    found = figures.of(store)
    rows = aims.rows(found, aims.read_reasons(store.folder))
    texts = {
        PAGE: html.of(store, found, rows),
        JSON: schema.of(found, rows, store.environment).model_dump_json(indent=1) + "\n",
        SCHEMA: json.dumps(schema.json_schema(), indent=1) + "\n",
        METRICS: metrics.of(found, rows, store.environment),
    }
    for name, text in texts.items():
        half = store.folder / f".{name}.tmp"
        half.write_text(text, encoding="utf-8")
        half.replace(store.folder / name)
    store.seal()
    return [store.folder / name for name in texts]
