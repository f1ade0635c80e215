"""`lbproof bench` and `lbproof compare`: run benchmarks and compare their results.

The implementation is `lbproof_perf`, which may not be installed; it is imported when one of the commands is called.
"""
# ruff: noqa: PLC0415 - see above

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lbproof.run.commands.lab_command import FOLDER, TEXT

if TYPE_CHECKING:
    from types import ModuleType


class _Perf(click.Group):
    """Command group whose subcommands are those of `lbproof_perf.cli.bench`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the subcommands."""
        commands: click.Group = _perf().bench
        return commands.list_commands(ctx)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a subcommand; None if there is none of that name."""
        commands: click.Group = _perf().bench
        return commands.get_command(ctx, cmd_name)


def _perf() -> ModuleType:
    from lbproof.lab.base import LabError

    try:
        import lbproof_perf.cli
    except ImportError as error:
        raise LabError(f"benchmarks need additional packages ({error}): pip install 'lbproof[perf]'") from None
    return lbproof_perf.cli


@click.group(cls=_Perf)
def bench() -> None:
    """Measure implementations side by side in one run.

    \b
      lbproof bench all                            all benchmarks, in about an hour on two cores
      lbproof bench all --size quick               a short test of all benchmarks, in under five minutes
      lbproof bench failover --arm reference --arm acme
      lbproof bench all --resume lbproof-results/bench-latest

    Each run has a folder: report.html (one file, opens offline), bench.json, metrics.prom, the trials and their raw
    data. docs/figures.md explains each figure. Exit codes: 0 everything was measured, 1 a threshold was not met
    (--thresholds), 2 a measurement failed or was interrupted (--resume continues the run), 64 usage, 69 no usable
    environment, 70 a bug in lbproof.
    """  # noqa: D301 - click does not rewrap a paragraph marked with \b


@click.command(short_help="Decide whether a benchmark is worse than another.")
@click.argument("one", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("other", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--arm", "arms", type=TEXT, multiple=True, metavar="NAME", help="give it twice: an arm of ONE, an arm of OTHER"
)
@click.option(
    "--thresholds",
    type=FOLDER,
    metavar="FILE",
    help="TOML file with the allowed change of each figure",
)
def compare(one: Path, other: Path, arms: tuple[str, ...], thresholds: Path | None) -> None:
    """Decide whether the benchmark run OTHER is worse than ONE by more than noise.

    ONE and OTHER are folders of runs; with --arm, two arms are compared, which may be of the same run. Between two
    runs, the ratios to the control arm of each run are compared. Exit codes: 0 not worse, 1 worse, 2 not enough data.
    """
    _perf().compare(one, other, arms, thresholds)
