"""Output shared by the commands."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NoReturn

import click

if TYPE_CHECKING:
    from lbproof.spec import Exit


def progress(line: str) -> None:
    """Print a line of progress on stderr."""
    click.echo(line, err=True)


def fail(message: str, code: Exit) -> NoReturn:
    """Print a one-line error and exit."""
    click.echo(f"lbproof: {message}", err=True)
    sys.exit(int(code))
