"""`lbproof doctor`: what this machine lacks for a run."""
# ruff: noqa: PLC0415 - imports inside commands keep `lbproof list` and `--help` fast

from __future__ import annotations

import sys
from pathlib import Path

import click

from lbproof.spec import Exit


@click.command()
@click.option("--provider", default="netns", show_default=True, type=click.Choice(["netns", "kind"]), help="which lab")
@click.option(
    "--implementation",
    default="reference",
    show_default=True,
    metavar="NAME",
    help="adapter of the implementation to judge",
)
@click.option("--components", type=click.Path(path_type=Path), help="folder with the Kubernetes programs")
def doctor(provider: str, implementation: str, components: Path | None) -> None:
    """List what a run needs: what this machine has, what it lacks, and how to install it."""
    from lbproof.adapters.base import load, python_modules_of
    from lbproof.lab import doctor as examination
    from lbproof.lab.components import ComponentOptions

    options, modules = (
        ComponentOptions(directory=components),
        python_modules_of(load(implementation, "--implementation")),
    )
    findings = examination.examine_kind(options) if provider == "kind" else examination.examine(options, modules)
    for line in examination.lines(findings):
        click.echo(line)
    sys.exit(int(Exit.CONFORMANT if examination.usable(findings) else Exit.NO_ENVIRONMENT))
