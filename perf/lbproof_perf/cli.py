"""The commands `lbproof bench …` and `lbproof compare`. Those of benchmarks are made from their `Benchmark` objects."""
# ruff: noqa: PLC0415 - a benchmark is imported when it is run, so that --help answers at once

from __future__ import annotations

import re
import shlex
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from lbproof.files import write_whole
from lbproof.run.commands.console import fail
from lbproof.run.commands.lab_command import FOLDER, TEXT
from lbproof.spec import BadOption, Exit
from lbproof_perf import benchmarks
from lbproof_perf.benchmarks.base import Size
from lbproof_perf.report.thresholds import FILE
from lbproof_perf.results import ResultStore, new_folder
from lbproof_perf.runner import Task, run
from lbproof_perf.sut import arms as all_arms

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import FrameType

    from lbproof_perf.benchmarks.base import Benchmark

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
_THRESHOLDS = ("--thresholds",)
_THRESHOLDS_HELP = "TOML file: what is allowed of a figure; 1 is the exit code where one is lost"


def _common() -> list[click.Parameter]:
    return [
        click.Option(
            ["--arm", "arms"],
            multiple=True,
            type=TEXT,
            metavar="NAME",
            help="repeatable; `lbproof bench arms` has them",
        ),
        click.Option(
            ["--size"],
            type=click.Choice([size.value for size in Size]),
            default="full",
            show_default=True,
            help="how much",
        ),
        click.Option(
            ["--results"],
            type=FOLDER,
            metavar="DIR",
            default=Path("lbproof-results"),
            show_default=True,
            help="where the run's folder is made",
        ),
        click.Option(
            ["--resume"], type=FOLDER, metavar="RUN", help="go on in this folder, that of a run that was stopped"
        ),
        click.Option([*_THRESHOLDS], type=FOLDER, metavar="FILE", help=_THRESHOLDS_HELP),
        click.Option(["--components"], type=FOLDER, metavar="DIR", help="folder with the Kubernetes programs"),
    ]


class _Benchmarks(click.Group):
    """The commands of this module, and one for each benchmark."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """`all`, the benchmarks in the order in which they are run, then the others."""
        return ["all", *(one.name for one in benchmarks.in_run_order()), *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """One of them."""
        if cmd_name == "all":
            text = "Everything, one after the other, and one report."
            return click.Command("all", params=_common(), callback=_run_all, help=text, context_settings=CONTEXT)
        if (bench := benchmarks.known().get(cmd_name)) is None:
            return super().get_command(ctx, cmd_name)

        def callback(**values: Any) -> None:  # noqa: ANN401 - click's values
            own = {option.name: values.pop(option.name) for option in bench.options if option.name}
            _run([bench], change=bench.change(own), **values)

        params = [*_common(), *bench.options]
        first = re.split(r"(?<=[.?]) ", bench.help)[0]
        return click.Command(
            cmd_name, params=params, callback=callback, help=bench.help, short_help=first, context_settings=CONTEXT
        )


@click.group(cls=_Benchmarks, context_settings=CONTEXT)
def bench() -> None:
    """Measure implementations side by side in one run. `lbproof.run.commands.bench` has the help text."""


def _run_all(**values: Any) -> None:  # noqa: ANN401 - click's values
    _run(benchmarks.in_run_order(), **values)


def _run(
    benches: Sequence[Benchmark],
    *,
    arms: Sequence[str],
    size: str,
    results: Path,
    resume: Path | None,
    thresholds: Path | None,
    components: Path | None,
    change: Mapping[str, Any] | None = None,
) -> NoReturn:
    """Run benchmarks and end the command. `change`: fields of the plan that options set, of one benchmark."""
    tasks = []
    for one in benches:
        chosen = [all_arms.find(arm) for arm in arms or one.arms]
        plan = one.plans[Size(size)]
        tasks.append(Task(bench=one, arms=chosen, plan=replace(plan, **change) if change else plan))
    if resume and not (resume / "environment.json").is_file():
        raise BadOption(f"--resume {resume}: no benchmark's folder; one holds environment.json and trials.ndjson")
    text = _checked(thresholds)
    store = ResultStore(resume or new_folder(results))
    _keep_thresholds(store, text)
    if "command" not in store.environment:
        store.add_environment({"command": shlex.join(["lbproof", *sys.argv[1:]])})
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        code = run(store, tasks, components=components, say=_say)
    except KeyboardInterrupt:
        _say(f"interrupted; go on with --resume {store.folder}")
        sys.exit(int(Exit.INCONCLUSIVE))
    except OSError as error:
        if line := store.lost(error):
            fail(f"{line}; go on with --resume {store.folder}", Exit.NO_ENVIRONMENT)
        raise
    lost = bool(store.trials) and _show(store)
    if code is not Exit.CONFORMANT:
        _say(f"not everything was measured; go on with --resume {store.folder}")
    sys.exit(int(Exit.NOT_CONFORMANT if lost else code))


@bench.command("arms", short_help="List what can be measured.")
def arms_() -> None:
    """What can be measured: implementations as they come, and variants."""
    found = all_arms.known()
    width = max(len(arm.name) for arm in found)
    for arm in found:
        click.echo(f"{arm.name:{width}}  {arm.text}")


@bench.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(*_THRESHOLDS, type=FOLDER, metavar="FILE", help=_THRESHOLDS_HELP)
def report(folder: Path, thresholds: Path | None) -> None:
    """Make the report of a run again from its trials."""
    from lbproof_perf.report.write import write

    store = ResultStore.read(folder)
    _keep_thresholds(store, _checked(thresholds))
    write(store, benchmarks.known())
    if _show(store):
        sys.exit(int(Exit.NOT_CONFORMANT))


def compare(one: Path, other: Path, arms: tuple[str, ...], thresholds: Path | None) -> NoReturn:
    """What `lbproof compare` does; ends the command."""
    from lbproof_perf.report import compare as comparison
    from lbproof_perf.report import thresholds as allowed

    if len(arms) not in {0, 2}:
        raise BadOption(f"--arm was given {len(arms)} times: name two arms, or none")
    pair = (arms[0], arms[1]) if arms else None
    known = benchmarks.known()
    limits = allowed.read(thresholds, known) if thresholds else ()
    found = comparison.compare(ResultStore.read(one), ResultStore.read(other), known, limits, arms=pair)
    for line in comparison.lines(found):
        click.echo(line)
    sys.exit(int(found.exit))


def _checked(thresholds: Path | None) -> str:
    """The text of a thresholds file, read once so that an error ends the command before anything is measured."""
    from lbproof_perf.report.thresholds import read

    if thresholds is None:
        return ""
    read(thresholds, benchmarks.known())
    return thresholds.read_text(encoding="utf-8")


def _keep_thresholds(store: ResultStore, text: str) -> None:
    """Keep thresholds beside the trials, so that a report that is made again shows them too."""
    if text:
        write_whole(store.folder / FILE, text)


def _show(store: ResultStore) -> bool:
    """Print what a run says at its end; whether a threshold was lost."""
    from lbproof_perf.report.terminal import table
    from lbproof_perf.report.thresholds import Outcome
    from lbproof_perf.report.write import read

    found, checked = read(store, benchmarks.known())
    for line in table(found, checked):
        click.echo(line)
    click.echo(f"report: {store.folder / 'report.html'}")
    return any(one.outcome is Outcome.LOST for one in checked)


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _say(line: str) -> None:
    click.echo(line, err=True)
