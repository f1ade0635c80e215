"""Output shared by the commands."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, NoReturn

import click

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lbproof.spec import Exit


def progress(line: str) -> None:
    """Print a line of progress on stderr."""
    click.echo(line, err=True)


def closing(lines: Iterable[str]) -> None:
    """Print lines on stdout; without a reader (`lbproof run | head`) stop, so that the exit code stays the run's."""
    try:
        for line in lines:
            click.echo(line)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes its buffer at exit


def fail(message: str, code: Exit) -> NoReturn:
    """Print a one-line error and exit."""
    click.echo(f"lbproof: {message}", err=True)
    sys.exit(int(code))
