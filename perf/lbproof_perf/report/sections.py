"""What the page shows of each benchmark: plots with a table under each, warnings, and where the raw values are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lbproof_perf.report.panels import CaseView, OverviewView, Plot
from lbproof_perf.report.tones import tones

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from lbproof_perf.report.figures import Figures, Summary
    from lbproof_perf.report.spec import BenchmarkReport
    from lbproof_perf.results import ResultStore, Trial


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One case: its pictures, its figures, its trials."""

    case: str
    text: str
    plots: tuple[Plot, ...]
    main: tuple[Summary, ...]
    rest: tuple[Summary, ...]
    trials: tuple[tuple[Trial, str, float | None], ...]
    """Each trial with the name and the value of the metric that is shown of it."""
    warnings: tuple[str, ...]
    """`reference 3: the machine stalled for 120 ms`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One benchmark."""

    about: BenchmarkReport
    plots: tuple[Plot, ...]
    """Those over all cases."""
    blocks: tuple[Block, ...]


def of(store: ResultStore, figures: Figures) -> Iterator[Section]:
    """A section for each benchmark of a run."""
    tone = tones(group.arm for group in figures.groups)
    for bench in figures.benches:
        about = figures.about(bench)
        view = OverviewView(bench=bench, figures=figures, tones=tone)
        yield Section(
            about=about,
            plots=tuple(plot for draw in about.overview_plots for plot in draw(view)),
            blocks=tuple(_block(store, figures, about, case, tone) for case in figures.cases(bench)),
        )


def _block(store: ResultStore, figures: Figures, about: BenchmarkReport, case: str, tone: Mapping[str, str]) -> Block:
    found = figures.of(about.name, case=case)
    main = [one for name in about.main for one in found if one.name == name] or found
    groups = (group for group in figures.groups if (group.bench, group.case) == (about.name, case))
    trials = [trial for group in groups for trial in group.trials]
    first = (*about.main, *(one.name for one in found))
    view = CaseView(
        store=store,
        case=case,
        text=about.case_text(case),
        main=about.main[0] if about.main else "",
        summaries=found,
        trials=trials,
        tones=tone,
    )
    return Block(
        case=case,
        text=view.text,
        plots=tuple(plot for draw in about.case_plots for plot in draw(view)) if found else (),
        main=tuple(main),
        rest=tuple(one for one in found if one not in main),
        trials=tuple((trial, *_shown(trial, first)) for trial in trials),
        warnings=tuple(f"{trial.id.arm} {trial.id.number}: {text}" for trial in trials for text in trial.warnings),
    )


def _shown(trial: Trial, wanted: Iterable[str]) -> tuple[str, float | None]:
    name = next((name for name in wanted if name in trial.values), "")
    return name, trial.values.get(name)
