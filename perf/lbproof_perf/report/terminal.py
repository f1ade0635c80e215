"""What a run says at its end: the thresholds, then the main figures in a table that fits a terminal; the page has all.

A quantile that there are too few values for is `-` (`statistics.needed`); the longest is always there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof_perf import marks
from lbproof_perf.report import figures, thresholds
from lbproof_perf.report.formatting import ratio_text, value_text
from lbproof_perf.report.thresholds import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lbproof_perf.report.figures import Figures, Group, Summary
    from lbproof_perf.report.thresholds import Objective

GLYPHS = {Outcome.HELD: "+", Outcome.LOST: "-", Outcome.NOT_MEASURED: "?"}
_HEADS = ("figure", "arm", "n", "never", "p50", "p90", "p99", "longest", "of the control")


def table(found: Figures, checked: Sequence[Objective]) -> list[str]:
    """The thresholds of a run, then its main figures, a line each, below their benchmark and case."""
    if not found.groups:
        return ["nothing was measured yet"]
    rows = [("head", _HEADS), *_rows(found)]
    cells = [row for kind, row in rows if kind != "case"]
    widths = [max(len(row[at]) for row in cells) for at in range(len(_HEADS))]
    asked, left = thresholds.of_run(checked, found)
    first = [*map(_format_objective, asked), *filter(None, [left])]
    return [*first, "", *(row[0] if kind == "case" else _aligned(row, widths) for kind, row in rows)]


def _format_objective(one: Objective) -> str:
    return f"{GLYPHS[one.outcome]} {one.outcome}: {one.text}: {one.seen or 'nothing'} ({one.limit})"


def _rows(found: Figures) -> Iterator[tuple[str, tuple[str, ...]]]:
    for bench in found.benches:
        for case in found.cases(bench):
            yield "case", ("; ".join([f"{bench}, {case}", *_marks(found.groups_of(bench, case))]),)
            for one in found.of(bench, case=case):
                if one.name in found.about(bench).main:
                    yield "row", _cells(one)


def _marks(groups: Sequence[Group]) -> Iterator[str]:
    """What is left out of a case's figures, and by which figures nothing is judged."""
    for group in groups:
        if group.left_out:
            yield f"{group.arm}: {group.left_out} of {len(group.trials)} trials left out"
        if mark := marks.against(group.trials):
            yield f"{group.arm}: not judged ({mark})"


def _cells(one: Summary) -> tuple[str, ...]:
    quantiles = (value_text(one.at(label), one.name) if label in one.quantiles else "-" for label in figures.QUANTILES)
    ratio = one.median_ratio
    against = f"{ratio_text(ratio.value.value)} of {ratio.to}" if ratio else ""
    return (f"  {one.metric.text}", one.arm, str(one.count), str(one.without or ""), *quantiles, against)


def _aligned(row: tuple[str, ...], widths: list[int]) -> str:
    left = 2
    cells = [
        cell.ljust(width) if at < left else cell.rjust(width)
        for at, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()
