"""`lbproof clean`: remove the remains of labs."""
# ruff: noqa: PLC0415 - imports inside commands keep `lbproof list` and `--help` fast

from __future__ import annotations

import click


@click.command(short_help="Remove remains of labs that ended abnormally.")
@click.option("--all", "everything", is_flag=True, help="also remove labs that are up")
def clean(everything: bool) -> None:
    """Remove remains of labs that ended abnormally, and nothing that lbproof did not create."""
    from lbproof.lab import provide

    if not provide.clean(everything=everything, progress=click.echo):
        click.echo("nothing to remove")
