"""`lbproof adapter`: verify an adapter, without a cluster and in a lab."""
# ruff: noqa: PLC0415 - imports inside commands keep `lbproof list` and `--help` fast

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NoReturn

import click

from lbproof.run.commands.console import progress
from lbproof.run.commands.lab_command import FOLDER, LAB_NAME, LabCommand, lab_options
from lbproof.run.flags import lab_flags
from lbproof.spec import BadOption, Exit, UnknownName

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from lbproof.adapters.base import Adapter
    from lbproof.run.adapter_check import Line
    from lbproof.run.options import Options


@click.group()
def adapter() -> None:
    """Verify adapters of implementations."""


@adapter.command("check", cls=LabCommand, lab_flags=lab_flags, short_help="Verify the adapter of an implementation.")
@click.argument("name")
@click.option("--boot", is_flag=True, help="also boot a lab, install the implementation and try the adapter in it")
@click.option("--lab", type=LAB_NAME, metavar="NAME", help="the same in this running lab")
@click.option("--components", type=FOLDER, metavar="DIR", help="folder with the Kubernetes programs")
def check(
    name: str,
    *,
    boot: bool,
    lab: str | None,
    components: Path | None,
    **given: Any,  # noqa: ANN401 - click's values
) -> None:
    """Verify the adapter NAME, which may also be `package.module:attribute`.

    Without a cluster: members and their types, patterns, manifests, images, pools of every form, what a Service gets.

    With --boot or --lab: the installation, a pool, a Service with an address, what is reported of it, a refusal, a
    release. Each line has its time.

    Exit codes: 0 everything is right, 1 something is wrong, 64 there is no such adapter, 69 no usable environment.
    """
    from lbproof.adapters.installed import load

    options = lab_options({**given, "lab": lab, "components": components})
    try:
        made = load(name, "the command line")
    except UnknownName as error:
        if error.kind == "implementation":
            raise
        _end(f"✗ members    {error}")
    except BadOption as error:
        _end(f"✗ members    {error}")
    _print(_offline(made, components))
    if boot or lab:
        _print(_in_lab(made, options))


def _end(line: str) -> NoReturn:
    click.echo(line)
    sys.exit(int(Exit.NOT_CONFORMANT))


def _print(lines: Iterable[Line]) -> None:
    """Print each line when it comes; end the command when one is wrong."""
    wrong = []
    for line in lines:
        click.echo(line)
        wrong += [] if line.ok else [line]
    if wrong:
        sys.exit(int(Exit.NO_ENVIRONMENT if wrong[0].of_environment else Exit.NOT_CONFORMANT))


def _offline(made: Adapter, components: Path | None) -> Iterator[Line]:
    from lbproof.lab.components import ComponentOptions, ensure
    from lbproof.run import adapter_check

    wanted = (*made.components, *made.files)
    paths = ensure(wanted, progress=progress, options=ComponentOptions(directory=components)) if wanted else {}
    yield from adapter_check.offline(made, paths)


def _in_lab(made: Adapter, options: Options) -> Iterator[Line]:
    from lbproof.lab import provide
    from lbproof.run import adapter_lab
    from lbproof.run.lab import RunLab
    from lbproof.spec import claims
    from lbproof.witnesses.journal import Journal

    lab = RunLab(options, made, claims(made.features))
    lab.reserve()
    try:
        facts: dict[str, str] = {}

        def boot() -> str:
            facts.update(lab.boot(progress))
            return f"{facts['lab']}: {facts['nodes']}"

        def install() -> str:
            budgets = {**provide.budgets(options.lab_provider, options.lab), **made.budgets}
            lab.install(Journal(None), budgets, (), progress)
            return f"{len(made.workloads)} workloads are ready"

        for what, step in (("lab", boot), ("install", install)):
            line = adapter_lab.timed(what, step)
            yield line
            if not line.ok:
                return
        yield from adapter_lab.in_lab(lab.context)
    finally:
        lab.take_down()
