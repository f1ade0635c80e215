"""`lbproof compare`: whether one side is worse than another by more than noise, for each figure that both have.

Within one run, arms are compared by their figures. Between two runs only the ratio to each run's control arm is
judged, since absolute figures are those of a machine; a figure without a control arm is shown and not judged. Every
chance is corrected for the number of figures (Holm), so that of a hundred comparisons of equals none stands out.

A figure is worse where the difference is larger than noise, in the direction that is worse for it. A threshold allows
a figure to be so many times worse; it is broken where the figure is worse than that and the difference is no noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from lbproof.spec import Exit
from lbproof_perf.report import figures, objectives
from lbproof_perf.report.formatting import ratio_text, value_text
from lbproof_perf.report.spec import Better
from lbproof_perf.stats import differences, quantiles
from lbproof_perf.stats.differences import Side
from lbproof_perf.stats.quantiles import Interval

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from lbproof_perf.report.figures import Figures, Summary
    from lbproof_perf.report.spec import BenchmarkReport
    from lbproof_perf.report.thresholds import Threshold
    from lbproof_perf.results import ResultStore

CHANCE = 0.05
"""A corrected chance above it is noise."""
FEW = 5
"""Values that each side takes: with fewer no shuffle is rare enough to say anything. A quantile may take more
(`quantiles.needed`)."""


_UNDEFINED = Interval(low=math.nan, value=math.nan, high=math.nan)


class Verdict(StrEnum):
    """What is said of a figure."""

    BETTER = "better"
    WORSE = "worse"
    SAME = "same"
    """No difference beyond noise."""
    TOO_FEW = "too few"
    """Too few values on a side to say anything."""
    SHOWN = "shown"
    """Not judged: it has no control arm in both runs, says how a trial was made, or its values are samples of a trial,
    which are no independent ones."""


class Held(StrEnum):
    """How a threshold fared."""

    HELD = "held"
    BROKEN = "broken"
    UNDECIDED = "undecided"
    """Not measured on both sides, too few values, or beyond what is allowed by no more than noise."""


_HELD = {
    objectives.Outcome.HELD: Held.HELD,
    objectives.Outcome.LOST: Held.BROKEN,
    objectives.Outcome.NOT_MEASURED: Held.UNDECIDED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure on both sides."""

    key: str
    """`failover.reference.power-cut.first_answer_seconds.p50`; where arms are compared, `reference/metallb`."""
    called: frozenset[str]
    """What a threshold may call it: its key, and where arms are compared that of either arm."""
    name: str
    better: Better
    counts: tuple[int, int]
    values: tuple[float, float]
    """The figure itself, on both sides."""
    texts: tuple[str, str]
    """The same with its unit; of too few values for the quantile, the worst of them: `max of 3: 144 ms`."""
    enough: bool
    """Whether both sides have as many values as the quantile takes; where one has not, nothing is judged."""
    control: str
    """The arm that both were divided by; empty within a run."""
    ratio: Interval
    """The second side over the first, both divided by their control where there is one."""
    chance: float
    """Of so large a difference between equals, corrected; 1 where it was not judged."""
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A threshold and one figure that it covers."""

    threshold: Threshold
    key: str
    """Empty where no figure on both sides is covered."""
    text: str
    held: Held


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two sides, figure by figure."""

    sides: tuple[str, str]
    """What each is, in words."""
    rows: tuple[Row, ...]
    checked: tuple[Checked, ...]

    @property
    def exit(self) -> Exit:
        """0: no figure is worse beyond noise and every threshold holds; 1: one is, or does not; 2: too little to say.

        A figure that a threshold covers is judged by the threshold alone.
        """
        covered = {one.key for one in self.checked if one.key}
        if any(row.verdict is Verdict.WORSE and row.key not in covered for row in self.rows):
            return Exit.NOT_CONFORMANT
        if any(one.held is Held.BROKEN for one in self.checked):
            return Exit.NOT_CONFORMANT
        judged = any(row.verdict in {Verdict.BETTER, Verdict.WORSE, Verdict.SAME} for row in self.rows)
        if not judged or any(one.held is Held.UNDECIDED for one in self.checked):
            return Exit.INCONCLUSIVE
        return Exit.CONFORMANT


def compare(
    one: ResultStore,
    other: ResultStore,
    known: Mapping[str, BenchmarkReport],
    thresholds: Iterable[Threshold] = (),
    *,
    arms: tuple[str, str] | None = None,
) -> Comparison:
    """Judge the second side against the first: two runs, or two arms (`arms`) of one run or of two.

    Where both books are of one folder the figures are compared as they are, else as ratios to each run's control arm.
    """
    within = one.folder.resolve() == other.folder.resolve()
    wanted = tuple(thresholds)
    found = figures.summarize(one, known), figures.summarize(one if within else other, known)
    rows = _corrected([_row(pair, found, within=within) for pair in _pairs(found, arms, wanted)])
    words = [store.folder.name for store in (one, other)]
    sides = tuple(f"{arm} of {word}" for arm, word in zip(arms, words, strict=True)) if arms else tuple(words)
    return Comparison(sides=(sides[0], sides[1]), rows=tuple(rows), checked=tuple(_checked(rows, wanted, found[1])))


def lines(comparison: Comparison) -> list[str]:
    """A comparison for a terminal: what differs and what was broken first, then all figures."""
    text_lines = [f"{comparison.sides[1]}, judged against {comparison.sides[0]}"]
    text_lines += [f"threshold {one.held}: {one.text}" for one in comparison.checked]
    counts = {verdict: sum(row.verdict is verdict for row in comparison.rows) for verdict in Verdict}
    text_lines.append(
        ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count) or "nothing in common"
    )
    order = [Verdict.WORSE, Verdict.BETTER, Verdict.SAME, Verdict.TOO_FEW, Verdict.SHOWN]
    text_lines += [_format_row(row) for row in sorted(comparison.rows, key=lambda row: order.index(row.verdict))]
    return text_lines


_Pair = tuple["Summary", "Summary", str]


def _pairs(
    found: tuple[Figures, Figures], arms: tuple[str, str] | None, thresholds: Sequence[Threshold]
) -> Iterator[_Pair]:
    """The figures that both sides have, with the quantile that is compared."""
    others = {(one.bench, one.arm, one.case, one.name): one for one in found[1].summaries}
    for one in found[0].summaries:
        if arms and one.arm != arms[0]:
            continue
        other = others.get((one.bench, arms[1] if arms else one.arm, one.case, one.name))
        if other is None:
            continue
        for quantile in figures.QUANTILES:
            asked = any(threshold.covers(key) for threshold in thresholds for key in _keys(one, other, quantile))
            enough = quantiles.enough(min(one.count, other.count), figures.QUANTILES[quantile])
            if asked or quantile == "p50" or (quantile == "p99" and enough):
                yield one, other, quantile


def _keys(one: Summary, other: Summary, quantile: str) -> list[str]:
    """What a figure is called, then by which names a threshold may cover it too."""
    arm = one.arm if one.arm == other.arm else f"{one.arm}/{other.arm}"
    return [f"{one.bench}.{arm}.{one.case}.{one.name}.{quantile}", f"{one.key}.{quantile}", f"{other.key}.{quantile}"]


def _row(pair: _Pair, found: tuple[Figures, Figures], *, within: bool) -> Row:
    one, other, quantile = pair
    q = figures.QUANTILES[quantile]
    control = "" if within else _control(pair, found)
    sides = [
        Side(values=np.array(mine.values), control=_values(figured, mine, control))
        for mine, figured in zip((one, other), found, strict=True)
    ]
    enough = quantiles.enough(min(one.count, other.count), q)
    judged = _judged(pair, control, sides, q, within=within)
    keys = _keys(one, other, quantile)
    return Row(
        key=keys[0],
        called=frozenset(keys),
        name=one.name,
        better=one.metric.better,
        counts=(one.count, other.count),
        values=(one.at(quantile), other.at(quantile)),
        texts=(one.text(quantile), other.text(quantile)),
        enough=enough,
        control=control,
        ratio=differences.ratio(sides[1], sides[0], q) if enough else _UNDEFINED,
        chance=differences.chance(sides[1], sides[0], q) if judged is Verdict.SAME else 1.0,
        verdict=judged,
    )


def _control(pair: _Pair, found: tuple[Figures, Figures]) -> str:
    """The arm that both runs measured the same figure of, to divide by; empty where there is none."""
    one = pair[0]
    there = [{summary.arm for summary in figured.of(one.bench, case=one.case, name=one.name)} for figured in found]
    control = found[0].about(one.bench).control_of(there[0] & there[1])
    return "" if control in {one.arm, pair[1].arm} else control


def _values(found: Figures, of: Summary, control: str) -> quantiles.Floats | None:
    summary = found.find(of.bench, control, of.case, of.name) if control else None
    return None if summary is None else np.array(summary.values)


def _judged(pair: _Pair, control: str, sides: Sequence[Side], q: float, *, within: bool) -> Verdict:
    """`same` where a test may say more; else why none is made."""
    one, other, _ = pair
    if one.samples or one.metric.better is Better.NEITHER or not (within or control):
        return Verdict.SHOWN
    divisors = [quantiles.quantile(side.control, q) for side in sides if side.control is not None]
    if any(not 0 < divisor < math.inf for divisor in divisors):
        return Verdict.SHOWN
    counts = [one.count, other.count, *(len(side.control) for side in sides if side.control is not None)]
    return Verdict.SAME if min(counts) >= FEW and quantiles.enough(min(counts), q) else Verdict.TOO_FEW


def _corrected(rows: Sequence[Row]) -> list[Row]:
    """The rows with their chances corrected for the number of tests, and the verdicts that follow."""
    tested = [row for row in rows if row.verdict is Verdict.SAME]
    corrected = dict(zip((row.key for row in tested), differences.holm([row.chance for row in tested]), strict=True))
    return [_decided(row, corrected[row.key]) if row.key in corrected else row for row in rows]


def _decided(row: Row, chance: float) -> Row:
    verdict = Verdict.SAME
    if chance <= CHANCE and row.ratio.value != 1:
        verdict = Verdict.WORSE if times_worse(row) > 1 else Verdict.BETTER
    return replace(row, chance=chance, verdict=verdict)


def times_worse(row: Row) -> float:
    """How many times worse the second side is: the ratio, or its inverse where more is better."""
    if row.better is not Better.MORE:
        return row.ratio.value
    return math.inf if row.ratio.value == 0 else 1 / row.ratio.value


def _checked(rows: Sequence[Row], thresholds: Sequence[Threshold], side: Figures) -> Iterator[Checked]:
    for threshold in thresholds:
        if threshold.least is not None or threshold.times is not None:
            for one in objectives.check(side, [replace(threshold, most=None)]):
                text = f"{one.key} is {one.seen or 'not measured'}, {one.limit}"
                yield Checked(threshold=threshold, key=one.key, text=text, held=_HELD[one.outcome])
            if threshold.most is None and threshold.ratio is None:
                continue
        covered = [row for row in rows if any(threshold.covers(key) for key in row.called)]
        if not covered:
            text = f"{threshold.pattern}: no figure of that name on both sides"
            yield Checked(threshold=threshold, key="", text=text, held=Held.UNDECIDED)
        for row in covered:
            if threshold.most is not None:
                held = Held.HELD if row.values[1] <= threshold.most else Held.BROKEN
                q = figures.QUANTILES[row.key.rpartition(".")[2]]
                held = held if quantiles.enough(row.counts[1], q) else Held.UNDECIDED
                text = f"{row.key} is {row.texts[1]}, at most {value_text(threshold.most, row.name)}"
                yield Checked(threshold=threshold, key=row.key, text=text, held=held)
            if threshold.ratio is not None:
                seen = f"{ratio_text(times_worse(row))} as bad" if row.enough else f"of too few values ({row.texts[1]})"
                text = f"{row.key} is {seen}, at most {ratio_text(threshold.ratio)}"
                yield Checked(threshold=threshold, key=row.key, text=text, held=_allowed(row, threshold.ratio))


def _allowed(row: Row, ratio: float) -> Held:
    if row.verdict in {Verdict.TOO_FEW, Verdict.SHOWN} or math.isnan(row.ratio.value):
        return Held.UNDECIDED
    if times_worse(row) <= ratio:
        return Held.HELD
    return Held.BROKEN if row.verdict is Verdict.WORSE else Held.UNDECIDED


def _format_row(row: Row) -> str:
    before, after = row.texts
    text = f"{row.verdict:>8}  {row.key}: {before} → {after} (n {row.counts[0]}, {row.counts[1]})"
    if math.isnan(row.ratio.value):
        return text
    low, value, high = (ratio_text(number) for number in (row.ratio.low, row.ratio.value, row.ratio.high))
    text += f", {value} ({low} to {high})" + (f" relative to {row.control}" if row.control else "")
    return text + (f", p {row.chance:.2g}" if row.verdict not in {Verdict.SHOWN, Verdict.TOO_FEW} else "")
