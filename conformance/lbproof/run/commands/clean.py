"""`lbproof clean`: remove the remains of labs."""
# ruff: noqa: PLC0415 - imports inside commands keep `lbproof list` and `--help` fast

from __future__ import annotations

import click


@click.command()
@click.option("--all", "everything", is_flag=True, help="labs that are up too")
def clean(everything: bool) -> None:
    """Remove what labs left behind; touches nothing that lbproof did not make."""
    from lbproof.lab import registry

    if not registry.clean(everything=everything, progress=click.echo):
        click.echo("nothing was left behind")
