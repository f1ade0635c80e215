"""`lbproof report`: write, verify and publish the report of a run."""
# ruff: noqa: PLC0415 - imports inside commands keep `lbproof list` and `--help` fast

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from lbproof.files import of_environment
from lbproof.spec import Exit


@click.group()
def report() -> None:
    """Read, verify and publish the report of a run."""


@report.command("html")
@click.argument("run_folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
def report_html(run_folder: Path) -> None:
    """Write all reports of a run again from its events."""
    from lbproof.report import bundle

    try:
        bundle.write(run_folder)
    except OSError as error:
        if not (line := of_environment(error)):
            raise
        raise click.UsageError(line) from None
    click.echo(run_folder / "report.html")


@report.command("verify", short_help="Verify a run's folder or a report.json.")
@click.argument("what", type=click.Path(path_type=Path, exists=True))
@click.option(
    "--signers",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="File of allowed signers (ssh-keygen(1)), of whom one must have signed the folder.",
)
def report_verify(what: Path, signers: Path | None) -> None:
    """Verify a run's folder or a report.json, as for a submission."""
    from lbproof.report import verify

    problems = verify.verify(what, signers)
    for line in problems or verify.summary(what, signers):
        click.echo(line)
    sys.exit(int(Exit.NOT_CONFORMANT if problems else Exit.CONFORMANT))


@report.command("sign", short_help="Sign the files of a run with an SSH key.")
@click.argument("run_folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--key", type=click.Path(path_type=Path, exists=True, dir_okay=False), required=True, help="SSH key.")
def report_sign(run_folder: Path, key: Path) -> None:
    """Sign the files of a run with an SSH key (SHA256SUMS.sig)."""
    from lbproof.report import folder, signature, verify

    if problems := verify.verify(run_folder):
        raise click.UsageError(f"{run_folder} is not signed: {problems[0]}")
    signature.sign(run_folder, key)
    click.echo(run_folder / folder.SIGNATURE)


@report.command("badge")
@click.argument("run_folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
def report_badge(run_folder: Path) -> None:
    """Print the JSON of a badge with the numbers of a run."""
    from lbproof.report import bundle, model

    click.echo(json.dumps(bundle.badge(model.read(run_folder))))
