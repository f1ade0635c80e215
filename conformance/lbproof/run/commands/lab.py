"""`lbproof lab`: boot, use and remove a lab without a run."""
# ruff: noqa: PLC0415 - imports inside commands keep `lbproof list` and `--help` fast

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lbproof.run.commands.console import progress
from lbproof.run.commands.lab_command import FOLDER, LAB_NAME, TEXT, LabCommand, lab_options
from lbproof.run.flags import lab_flags

if TYPE_CHECKING:
    from lbproof.adapters.base import Adapter
    from lbproof.lab.registry import LabInfo
    from lbproof.run.options import Options


@click.group()
def lab() -> None:
    """Boot, inspect and remove labs."""


@lab.command("up", cls=LabCommand, lab_flags=lab_flags)
@click.option(
    "--name", default="lab", show_default=True, type=LAB_NAME, metavar="NAME", help="name of the lab; several can be up"
)
@click.option("--components", type=FOLDER, metavar="DIR", help="folder with the Kubernetes programs")
@click.option("--implementation", type=TEXT, metavar="NAME", help="also install this implementation")
@click.option("--keep", is_flag=True, help="leave the lab up when the implementation cannot be installed")
def lab_up(
    *,
    name: str,
    components: Path | None,
    implementation: str | None,
    keep: bool,
    **given: Any,  # noqa: ANN401 - click's values
) -> None:
    """Boot a lab that stays up until `lbproof lab down`."""
    from lbproof.adapters.installed import load
    from lbproof.lab import provide, registry
    from lbproof.lab.provider import LabRequest

    adapter = load(implementation, "--implementation") if implementation else None
    options = lab_options({**given, "components": components, "keep": True})
    if adapter:
        _up_with(adapter, options, name, keep=keep)
    else:
        request = LabRequest(name=name, options=options.lab_options(), components=components)
        provide.boot(options.lab_provider, request, progress, lifeline=False)
    click.echo(f"{name} is up: export KUBECONFIG={registry.find(name).kubeconfig}")


def _up_with(adapter: Adapter, options: Options, name: str, *, keep: bool) -> None:
    """Boot a lab and install an implementation; without `keep` remove the lab when that fails. Raises `LabError`."""
    import tempfile

    from lbproof.lab import provide
    from lbproof.lab.base import LabError
    from lbproof.run.failures import first_line, is_install_failure
    from lbproof.run.lab import RunLab
    from lbproof.spec import claims
    from lbproof.witnesses.journal import Journal

    run_lab = RunLab(options, adapter, claims(adapter.features), name=name)
    run_lab.boot(progress)
    try:
        run_lab.install(Journal(None), {**provide.budgets(options.lab_provider, ""), **adapter.budgets}, (), progress)
    except BaseException as error:
        logs = Path(tempfile.mkdtemp(prefix=f"lbproof-{name}-logs-"))
        run_lab.keep_logs(logs)
        if not keep:
            provide.clean(name)
        if not is_install_failure(error) and not isinstance(error, LabError):
            raise
        left = "stays up" if keep else "was removed; --keep leaves it up"
        raise LabError(
            f"{adapter.name} {adapter.version} could not be installed: {first_line(error)}; logs: {logs}; "
            f"lab {name} {left}"
        ) from None


@lab.command("down")
@click.argument("name", default="lab", type=LAB_NAME)
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
        if info.owner:
            click.echo(f"{info.name:16} belongs to {info.owner}")
        else:
            click.echo(f"{info.name:16} {info.provider:8} {info.nodes} nodes  {_state(info)}  {info.kubeconfig}")
    if not found:
        click.echo("no labs; boot one with lbproof lab up")


def _state(info: LabInfo) -> str:
    if not info.alive:
        return "dead: remove its remains with lbproof clean"
    used = f"in use by process {info.user}" if info.user else ""
    return ", ".join(filter(None, ["up", info.installed, used]))


@lab.command("kubeconfig")
@click.argument("name", default="lab", type=LAB_NAME)
def lab_kubeconfig(name: str) -> None:
    """Print the path of a lab's kubeconfig."""
    from lbproof.lab import registry

    click.echo(registry.find(name).kubeconfig)


@lab.command(
    "exec", context_settings={"ignore_unknown_options": True}, short_help="Run a command at a node, a client or a pod."
)
@click.option("--name", default="lab", show_default=True, type=LAB_NAME, metavar="NAME", help="name of the lab")
@click.argument("where")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def lab_exec(name: str, where: str, command: tuple[str, ...]) -> None:
    """Run a COMMAND in a lab; WHERE is a node, `client`, `far` (a routed client) or `NAMESPACE/POD`.

    COMMAND is a program of this machine.
    """
    from lbproof.lab import provide
    from lbproof.lab.common.environment import of_user

    argv = provide.running(name).exec_argv(where, list(command))
    os.execvpe(argv[0], argv, of_user())  # noqa: S606 - the user's own command
