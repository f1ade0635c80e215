"""`lbproof doctor`: what this machine lacks for a run."""
# ruff: noqa: PLC0415 - imports inside commands keep `lbproof list` and `--help` fast

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from lbproof.run.commands.lab_command import FOLDER, TEXT, LabCommand, lab_options
from lbproof.run.flags import doctor_flags
from lbproof.spec import Exit

if TYPE_CHECKING:
    from pathlib import Path


@click.command(cls=LabCommand, lab_flags=doctor_flags, short_help="List what this machine lacks for a run.")
@click.option(
    "--implementation",
    default="reference",
    show_default=True,
    type=TEXT,
    metavar="NAME",
    help="adapter of the implementation to judge",
)
@click.option("--components", type=FOLDER, metavar="DIR", help="folder with the Kubernetes programs")
def doctor(implementation: str, components: Path | None, **given: Any) -> None:  # noqa: ANN401 - click's values
    """List what a run needs: what this machine has, what it lacks, and how to install it."""
    from lbproof.adapters.installed import load
    from lbproof.lab import doctor as examination
    from lbproof.lab.provider import LabRequest

    options = lab_options(given)
    request = LabRequest(
        options=options.lab_options(),
        components=components,
        python_modules=load(implementation, "--implementation").python_modules,
    )
    findings = options.lab_provider.examine(request)
    for line in examination.lines(findings):
        click.echo(line)
    sys.exit(int(Exit.CONFORMANT if examination.usable(findings) else Exit.NO_ENVIRONMENT))
