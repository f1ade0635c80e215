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
from lbproof_perf.report.figures import QUANTILES, summarize
from lbproof_perf.report.formatting import ratio_text, value_text
from lbproof_perf.report.spec import Better
from lbproof_perf.report.thresholds import Outcome, check, too_little
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


class Verdict(StrEnum):
    """What is said of a figure, in the order in which they are listed."""

    WORSE = "worse"
    BETTER = "better"
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


_HELD = {Outcome.HELD: Held.HELD, Outcome.LOST: Held.BROKEN, Outcome.NOT_MEASURED: Held.UNDECIDED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A quantile of one figure on both sides."""

    one: Summary
    other: Summary
    quantile: str
    control: str
    """The arm that both were divided by; empty within a run."""
    ratio: Interval
    """The second side over the first, both divided by their control where there is one; NaN of too few values."""
    chance: float
    """Of so large a difference between equals, corrected; 1 where it was not judged."""
    verdict: Verdict

    @property
    def key(self) -> str:
        """`failover.reference.power-cut.first_answer_seconds.p50`; where arms are compared, `reference/metallb`."""
        return _keys(self.one, self.other, self.quantile)[0]

    @property
    def times_worse(self) -> float:
        """How many times worse the second side is: the ratio, or its inverse where more is better."""
        if self.one.better is not Better.MORE:
            return self.ratio.value
        return math.inf if self.ratio.value == 0 else 1 / self.ratio.value

    def covered_by(self, threshold: Threshold) -> bool:
        """Whether a threshold is of this figure: by its key, and where arms are compared by that of either arm."""
        return any(threshold.covers(key) for key in _keys(self.one, self.other, self.quantile))


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A threshold and one figure that it covers."""

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
        covered = {one.key for one in self.checked}
        held = {one.held for one in self.checked}
        if Held.BROKEN in held or any(row.verdict is Verdict.WORSE and row.key not in covered for row in self.rows):
            return Exit.NOT_CONFORMANT
        judged = any(row.verdict not in {Verdict.TOO_FEW, Verdict.SHOWN} for row in self.rows)
        return Exit.CONFORMANT if judged and Held.UNDECIDED not in held else Exit.INCONCLUSIVE


def compare(
    one: ResultStore,
    other: ResultStore,
    known: Mapping[str, BenchmarkReport],
    thresholds: Sequence[Threshold] = (),
    *,
    arms: tuple[str, str] | None = None,
) -> Comparison:
    """Judge the second side against the first: two runs, or two arms (`arms`) of one run or of two.

    Where both books are of one folder the figures are compared as they are, else as ratios to each run's control arm.
    """
    within = one.folder.resolve() == other.folder.resolve()
    found = summarize(one, known), summarize(one if within else other, known)
    rows = _corrected([_row(pair, found, within=within) for pair in _pairs(found, arms, thresholds)])
    names = one.folder.name, other.folder.name
    sides = (f"{arms[0]} of {names[0]}", f"{arms[1]} of {names[1]}") if arms else names
    return Comparison(sides=sides, rows=tuple(rows), checked=tuple(_checked(rows, thresholds, found[1])))


def lines(comparison: Comparison) -> list[str]:
    """A comparison for a terminal: what differs and what was broken first, then all figures."""
    verdicts = [row.verdict for row in comparison.rows]
    counts = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in Verdict if verdict in verdicts)
    order = list(Verdict)
    return [
        f"{comparison.sides[1]}, judged against {comparison.sides[0]}",
        *(f"threshold {one.held}: {one.text}" for one in comparison.checked),
        counts or "nothing in common",
        *map(_format_row, sorted(comparison.rows, key=lambda row: order.index(row.verdict))),
    ]


_Pair = tuple["Summary", "Summary", str]


def _pairs(
    found: tuple[Figures, Figures], arms: tuple[str, str] | None, thresholds: Iterable[Threshold]
) -> Iterator[_Pair]:
    """The figures that both sides have, with the quantile that is compared."""
    for one in found[0].summaries:
        other = found[1].find(one.bench, arms[1] if arms else one.arm, one.case, one.name)
        if other is None or (arms and one.arm != arms[0]):
            continue
        for quantile, q in QUANTILES.items():
            asked = any(threshold.covers(key) for threshold in thresholds for key in _keys(one, other, quantile))
            if asked or quantile == "p50" or (quantile == "p99" and quantiles.enough(_fewer(one, other), q)):
                yield one, other, quantile


def _keys(one: Summary, other: Summary, quantile: str) -> list[str]:
    """What a figure is called, then by which names a threshold may cover it too."""
    arm = one.arm if one.arm == other.arm else f"{one.arm}/{other.arm}"
    return [f"{one.bench}.{arm}.{one.case}.{one.name}.{quantile}", f"{one.key}.{quantile}", f"{other.key}.{quantile}"]


def _fewer(one: Summary, other: Summary) -> int:
    return min(one.count, other.count)


def _row(pair: _Pair, found: tuple[Figures, Figures], *, within: bool) -> Row:
    one, other, quantile = pair
    q = QUANTILES[quantile]
    control = "" if within else _control(one, other, found)
    divisors = [figured.find(one.bench, control, one.case, one.name) if control else None for figured in found]
    sides = [
        Side(values=np.array(mine.values), control=None if divisor is None else np.array(divisor.values))
        for mine, divisor in zip((one, other), divisors, strict=True)
    ]
    used = [*zip(found, (one, other), strict=True), *zip(found, divisors, strict=True)]
    marked = any(figured.mark(figure) for figured, figure in used if figure)
    verdict = Verdict.SHOWN if marked else _judgeable(one, sides, q, within=within)
    return Row(
        one=one,
        other=other,
        quantile=quantile,
        control=control,
        ratio=differences.ratio(sides[1], sides[0], q)
        if quantiles.enough(_fewer(one, other), q)
        else Interval(low=math.nan, value=math.nan, high=math.nan),
        chance=differences.chance(sides[1], sides[0], q) if verdict is Verdict.SAME else 1.0,
        verdict=verdict,
    )


def _control(one: Summary, other: Summary, found: tuple[Figures, Figures]) -> str:
    """The arm that both runs measured the same figure of, to divide by; empty where there is none."""
    there = [{summary.arm for summary in figured.of(one.bench, case=one.case, name=one.name)} for figured in found]
    control = found[0].about(one.bench).control_of(there[0] & there[1])
    return "" if control in {one.arm, other.arm} else control


def _judgeable(one: Summary, sides: Sequence[Side], q: float, *, within: bool) -> Verdict:
    """`same` where a test may say more; else why none is made."""
    controls = [side.control for side in sides if side.control is not None]
    if one.of_samples or one.better is Better.NEITHER or not (within or controls):
        return Verdict.SHOWN
    if any(not 0 < quantiles.quantile(control, q) < math.inf for control in controls):
        return Verdict.SHOWN
    fewest = min(map(len, [*controls, *(side.values for side in sides)]))
    return Verdict.SAME if fewest >= FEW and quantiles.enough(fewest, q) else Verdict.TOO_FEW


def _corrected(rows: Sequence[Row]) -> list[Row]:
    """The rows with their chances corrected for the number of tests, and the verdicts that follow."""
    corrected = iter(differences.holm([row.chance for row in rows if row.verdict is Verdict.SAME]))
    return [_decided(row, next(corrected)) if row.verdict is Verdict.SAME else row for row in rows]


def _decided(row: Row, chance: float) -> Row:
    verdict = Verdict.SAME
    if chance <= CHANCE and row.ratio.value != 1:
        verdict = Verdict.WORSE if row.times_worse > 1 else Verdict.BETTER
    return replace(row, chance=chance, verdict=verdict)


def _checked(rows: Sequence[Row], thresholds: Iterable[Threshold], side: Figures) -> Iterator[Checked]:
    for threshold in thresholds:
        if threshold.least is not None or threshold.times is not None:
            for one in check(side, [threshold.model_copy(update={"most": None})]):
                text = f"{one.key} is {one.seen or 'not measured'}, {one.limit}"
                yield Checked(key=one.key, text=text, held=_HELD[one.outcome])
            if threshold.most is None and threshold.ratio is None:
                continue
        covered = [row for row in rows if row.covered_by(threshold)]
        if not covered:
            text = f"{threshold.pattern}: no figure of that name on both sides"
            yield Checked(key="", text=text, held=Held.UNDECIDED)
        for row in covered:
            if threshold.most is not None:
                held = Held.HELD if row.other.at(row.quantile) <= threshold.most else Held.BROKEN
                held = held if row.quantile in row.other.quantiles else Held.UNDECIDED
                seen = row.other.text(row.quantile)
                if why := too_little(side, threshold, row.other, held=held is Held.HELD):
                    held, seen = Held.UNDECIDED, f"{seen}: {why}"
                text = f"{row.key} is {seen}, at most {value_text(threshold.most, row.other.name)}"
                yield Checked(key=row.key, text=text, held=held)
            if threshold.ratio is not None:
                few = f"of too few values ({row.other.text(row.quantile)})"
                enough = quantiles.enough(_fewer(row.one, row.other), QUANTILES[row.quantile])
                seen = f"{ratio_text(row.times_worse)} as bad" if enough else few
                text = f"{row.key} is {seen}, at most {ratio_text(threshold.ratio)}"
                yield Checked(key=row.key, text=text, held=_allowed(row, threshold.ratio))


def _allowed(row: Row, ratio: float) -> Held:
    if row.verdict in {Verdict.TOO_FEW, Verdict.SHOWN} or math.isnan(row.ratio.value):
        return Held.UNDECIDED
    if row.times_worse <= ratio:
        return Held.HELD
    return Held.BROKEN if row.verdict is Verdict.WORSE else Held.UNDECIDED


def _format_row(row: Row) -> str:
    before, after = row.one.text(row.quantile), row.other.text(row.quantile)
    text = f"{row.verdict:>8}  {row.key}: {before} → {after} (n {row.one.count}, {row.other.count})"
    if math.isnan(row.ratio.value):
        return text
    low, value, high = (ratio_text(number) for number in (row.ratio.low, row.ratio.value, row.ratio.high))
    text += f", {value} ({low} to {high})" + (f" relative to {row.control}" if row.control else "")
    return text + (f", p {row.chance:.2g}" if row.verdict not in {Verdict.SHOWN, Verdict.TOO_FEW} else "")
