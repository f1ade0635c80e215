"""What the page shows of each benchmark and of each of its cases: plots, figures, trials, warnings."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from lbproof_perf.report.figures import Figures, Group, Summary
    from lbproof_perf.report.spec import BenchmarkReport
    from lbproof_perf.results import ResultStore, Trial, TrialId

TONES: Mapping[str, int] = {
    "reference": 0,
    "metallb": 1,
    "keepalived": 2,
    "reference-fast": 3,
    "kernel": 5,
    "arm-a": 0,
    "arm-b": 1,
}
"""Arm → colour; the same on every page. Others take what is left over."""
_COLOURS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """A picture and its caption."""

    caption: str
    svg: str


@dataclass(frozen=True, kw_only=True)
class CaseView:
    """One case of a benchmark."""

    store: ResultStore
    about: BenchmarkReport
    case: str
    summaries: list[Summary]
    groups: list[Group]
    tones: Mapping[str, str]
    """Arm → CSS class of its colour."""

    @property
    def text(self) -> str:
        """The case for a reader."""
        return self.about.case_text(self.case)

    @property
    def trials(self) -> list[Trial]:
        """All trials, of each arm in their order."""
        return [trial for group in self.groups for trial in group.trials]

    @cached_property
    def _counted(self) -> set[TrialId]:
        return {trial.id for group in self.groups for trial in group.counted}

    @property
    def arms(self) -> list[str]:
        """The arms that were measured, in their order."""
        return list(dict.fromkeys(trial.id.arm for trial in self.trials))

    @cached_property
    def main(self) -> list[Summary]:
        """The figures that are shown first; all of a benchmark that names none."""
        return [one for name in self.about.main for one in self.named(name)] or self.summaries

    @property
    def rest(self) -> list[Summary]:
        """All other figures."""
        return [one for one in self.summaries if one not in self.main]

    @property
    def warnings(self) -> list[str]:
        """`reference 3: the machine stalled for 120 ms`, of a trial that no figure has with `(left out)`."""
        return [
            f"{trial.id.arm} {trial.id.number}: {text}{'' if trial.id in self._counted else ' (left out)'}"
            for trial in self.trials
            for text in trial.warnings
        ]

    @property
    def plots(self) -> list[Plot]:
        """The benchmark's plots of one case."""
        return [plot for draw in self.about.case_plots for plot in draw(self)] if self.summaries else []

    def named(self, metric: str) -> list[Summary]:
        """The summaries of a metric, one an arm."""
        return [one for one in self.summaries if one.name == metric]

    def shown(self, trial: Trial) -> str:
        """Name of the metric that the list of raw values shows of a trial; empty where it has none."""
        names = (*self.about.main, *(one.name for one in self.summaries))
        return next((name for name in names if name in trial.values), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkView:
    """One benchmark of a run."""

    about: BenchmarkReport
    figures: Figures
    cases: list[CaseView]
    tones: Mapping[str, str]

    @property
    def plots(self) -> list[Plot]:
        """Those over all cases."""
        return [plot for draw in self.about.overview_plots for plot in draw(self)]


def of(store: ResultStore, figures: Figures) -> Iterator[BenchmarkView]:
    """A view of each benchmark of a run."""
    colours = tones(trial.id.arm for trial in store.trials)
    for bench in figures.benches:
        about = figures.about(bench)
        cases = [
            CaseView(
                store=store,
                about=about,
                case=case,
                summaries=figures.of(bench, case=case),
                groups=figures.groups_of(bench, case),
                tones=colours,
            )
            for case in figures.cases(bench)
        ]
        yield BenchmarkView(about=about, figures=figures, cases=cases, tones=colours)


def tones(arms: Iterable[str]) -> dict[str, str]:
    """Arm → CSS class of its colour."""
    found: dict[str, str] = {}
    free = [number for number in range(_COLOURS) if number not in TONES.values()]
    for arm in dict.fromkeys(arms):
        number = TONES[arm] if arm in TONES else free.pop(0) if free else len(found) % _COLOURS
        found[arm] = f"arm{number}"
    return found
