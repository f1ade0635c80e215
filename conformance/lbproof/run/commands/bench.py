"""The commands of the benchmarks, as `lbproof --help` shows them. The work is in `lbproof_perf`, which may be missing.

It is imported when one of them is called.
"""
# ruff: noqa: PLC0415 - see above

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from types import ModuleType


class _Perf(click.Group):
    """The commands of the benchmarks, which are a part of their own."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Their names."""
        commands: click.Group = _perf().bench
        return commands.list_commands(ctx)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """One of them."""
        commands: click.Group = _perf().bench
        return commands.get_command(ctx, cmd_name)


def _perf() -> ModuleType:
    from lbproof.lab.base import LabError

    try:
        import lbproof_perf.cli
    except ImportError as error:
        raise LabError(f"benchmarks take more packages ({error}): pip install 'lbproof[perf]'") from None
    return lbproof_perf.cli


@click.group(cls=_Perf)
def bench() -> None:
    """Measure implementations side by side in one run.

    \b
      lbproof bench all                            everything, in under an hour on two cores
      lbproof bench all --size quick               in under five minutes, to see that it works
      lbproof bench failover --arm reference --arm acme
      lbproof bench all --resume lbproof-results/bench-latest

    One folder a run: report.html (one file, opens offline), bench.json, metrics.prom, the trials and their raw data.
    docs/figures.md says what each figure means. Exit codes: 0 all was measured, 1 a threshold was lost (--thresholds),
    2 something broke off or was interrupted (--resume goes on with it), 64 usage, 69 no usable environment, 70 a bug
    of ours.
    """  # noqa: D301 - the mark of a block that click leaves as it is


@click.command()
@click.argument("one", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("other", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--arm", "arms", multiple=True, metavar="NAME", help="twice: this arm of ONE, and that of OTHER")
@click.option("--thresholds", type=click.Path(path_type=Path), help="TOML file: how much worse a figure may be")
def compare(one: Path, other: Path, arms: tuple[str, ...], thresholds: Path | None) -> None:
    """Is OTHER worse than ONE by more than noise? Two benchmarks' folders, or two arms of one.

    Between two runs, ratios to each run's control arm are compared. Exit codes: 0 no, 1 yes, 2 too little to say.
    """
    _perf().compare(one, other, arms, thresholds)
