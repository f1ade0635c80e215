"""What a run says at its end: the aims, then the main figures in a table that fits a terminal; the page has all.

A quantile that there are too few values for is `-` (`statistics.needed`); the longest is always there.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from lbproof_perf.report import aims, figures, names
from lbproof_perf.report.judges import Outcome
from lbproof_perf.report.names import ratio_text, value_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lbproof_perf.report.figures import Figures, Summary
    from lbproof_perf.results import ResultStore

GLYPHS = {Outcome.HELD: "+", Outcome.LOST: "-", Outcome.NOT_MEASURED: "?"}
_HEADS = ("figure", "arm", "n", "never", "p50", "p90", "p99", "longest", "of the control")


def lines(store: ResultStore) -> list[str]:
    """The main figures of a book, a line each, below their benchmark and case; the aims first."""
    return table(figures.of(store), aims.read_reasons(store.folder))


def table(found: Figures, reasons: dict[str, str]) -> list[str]:
    """The same of figures that were made already."""
    if not found.groups:
        return ["nothing was measured yet"]
    rows = [("head", _HEADS), *_rows(found)]
    cells = [row for kind, row in rows if kind != "case"]
    widths = [max(len(row[at]) for row in cells) for at in range(len(_HEADS))]
    asked, left = aims.of_run(aims.rows(found, reasons), found)
    told = [*map(_told, asked), *filter(None, [left])]
    return [*told, "", *(row[0] if kind == "case" else _aligned(row, widths) for kind, row in rows)]


def _told(row: aims.Row) -> str:
    seen = row.seen or "nothing"
    return f"{GLYPHS[row.outcome]} {row.outcome}: {row.aim.text}: {seen} (aim: {row.aim.aim})" + (
        f"; {row.reason}" if row.reason else ""
    )


def _rows(found: Figures) -> Iterator[tuple[str, tuple[str, ...]]]:
    for bench in found.benches:
        for case in found.cases(bench):
            yield "case", (f"{bench}, {case}",)
            for one in found.of(bench, case=case):
                if one.name in figures.MAIN[bench]:
                    yield "row", _cells(one)


def _cells(one: Summary) -> tuple[str, ...]:
    quantiles = (value_text(one.at(label), one.name) if label in one.quantiles else "-" for label in figures.QUANTILES)
    ratio = one.ratios.get("p50")
    against = f"{ratio_text(ratio.value.value)} of {ratio.to}" if ratio and not math.isnan(ratio.value.value) else ""
    return (f"  {names.words(one.name)}", one.arm, str(one.count), str(one.missing or ""), *quantiles, against)


def _aligned(row: tuple[str, ...], widths: list[int]) -> str:
    left = 2
    cells = [
        cell.ljust(width) if at < left else cell.rjust(width)
        for at, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()
