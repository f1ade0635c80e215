"""`lbproof lab`: boot, use and remove a lab without a run."""
# ruff: noqa: PLC0415 - imports inside commands keep `lbproof list` and `--help` fast

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from lbproof.run.commands.console import progress
from lbproof.run.commands.lab_command import LabCommand, lab_options
from lbproof.run.flags import lab_flags


@click.group()
def lab() -> None:
    """Boot, inspect and remove labs."""


@lab.command("up", cls=LabCommand, lab_flags=lab_flags)
@click.option("--name", default="lab", show_default=True, help="name of the lab; several labs can be up")
@click.option("--components", type=click.Path(path_type=Path), help="folder with the Kubernetes programs")
@click.option("--implementation", metavar="NAME", help="also install this implementation")
def lab_up(
    *,
    name: str,
    components: Path | None,
    implementation: str | None,
    **given: Any,  # noqa: ANN401 - click's values
) -> None:
    """Boot a lab that stays up until `lbproof lab down`."""
    from lbproof.adapters.installed import load
    from lbproof.context import RunContext
    from lbproof.lab import provide
    from lbproof.lab.provider import LabRequest
    from lbproof.witnesses.journal import Journal
    from lbproof.witnesses.kube import Kube
    from lbproof.witnesses.wait import Waiter

    adapter = load(implementation, "--implementation") if implementation else None
    options = lab_options(given)
    request = LabRequest(
        name=name,
        options=options.lab_options(proxy_mode=adapter.proxy_mode if adapter else ""),
        programs=adapter.components if adapter else (),
        files=adapter.files if adapter else (),
        python_modules=adapter.python_modules if adapter else {},
        components=components,
    )
    made, programs = provide.boot(options.lab_provider, request, progress, lifeline=False)
    if adapter:
        journal = Journal(None)
        RunContext(
            lab=made,
            cluster=Kube(made.kubeconfig),
            adapter=adapter,
            journal=journal,
            waiter=Waiter(journal, adapter.budgets),
            programs=programs,
        ).install(progress)
    click.echo(f"lab {made.name} is up: export KUBECONFIG={made.kubeconfig}")


@lab.command("down")
@click.argument("name", default="lab")
def lab_down(name: str) -> None:
    """Remove a lab and everything that it created."""
    from lbproof.lab import provide

    provide.clean(name, progress=click.echo)


@lab.command("list")
def lab_list() -> None:
    """List the labs on this machine."""
    from lbproof.lab import registry

    found = registry.labs()
    for info in found:
        state = "up" if info.alive else "dead: remove its remains with lbproof clean"
        click.echo(f"{info.name:16} {info.provider:8} {info.nodes} nodes  {state}  {info.kubeconfig}")
    if not found:
        click.echo("no labs; boot one with lbproof lab up")


@lab.command("kubeconfig")
@click.argument("name", default="lab")
def lab_kubeconfig(name: str) -> None:
    """Print the path of a lab's kubeconfig, for use on this machine."""
    from lbproof.lab import registry

    click.echo(registry.find(name).kubeconfig)


@lab.command("exec", context_settings={"ignore_unknown_options": True})
@click.option("--name", default="lab", show_default=True)
@click.argument("where")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def lab_exec(name: str, where: str, command: tuple[str, ...]) -> None:
    """Run a COMMAND in a lab; WHERE is a node, `client`, `far` (a routed client) or `NAMESPACE/POD`."""
    from lbproof.lab import provide
    from lbproof.lab.common.environment import of_user

    argv = provide.running(name).exec_argv(where, list(command))
    os.execvpe(argv[0], argv, of_user())  # noqa: S606 - the user's own command
