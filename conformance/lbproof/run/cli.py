"""The `lbproof` command: thin, each subcommand a few lines around what the packages do.

Exit codes are in `lbproof.spec.Exit`: 0 conformant, 1 not conformant, 2 inconclusive, 64 usage, 69 no usable
environment, 70 a bug of ours. Imports stand inside the commands, so that `lbproof list` answers at once.
"""
# ruff: noqa: PLC0415 - see above

from __future__ import annotations

import json
import os
import re
import signal
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from lbproof import __version__
from lbproof.files import of_environment
from lbproof.run.bench import CONTEXT, bench, compare
from lbproof.run.flags import all_flags, doctor_flags, key_of, lab_flags
from lbproof.run.lab_command import LabCommand
from lbproof.spec import AREAS, BUDGETS, FEATURES, PROFILES, Exit, UnknownName, select
from lbproof.spec.requirements import of_case, sentence

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

    from lbproof.run.options import Options


@click.group(context_settings=CONTEXT)
@click.version_option(__version__)
def cli() -> None:
    """Prove that a bare-metal Kubernetes LoadBalancer keeps the promises of `Service type: LoadBalancer`.

    On a bare Linux machine, as root:

    \b
      lbproof run                                  judge the reference in the embedded lab
      lbproof run --implementation metallb         judge MetalLB
      lbproof doctor                               what this machine lacks, and how to get it

    Exit codes: 0 conformant, 1 not conformant, 2 inconclusive, 64 usage, 69 no usable environment, 70 a bug of ours.
    """  # noqa: D301 - the mark of a block that click leaves as it is


# --- run


@cli.command(cls=LabCommand, lab_flags=all_flags, context_settings={**CONTEXT, "ignore_unknown_options": False})
@click.option("--keep", is_flag=True, default=None, help="leave the lab running")
@click.argument("pytest_args", nargs=-1, type=click.UNPROCESSED)
def run(pytest_args: Sequence[str], **flags: Any) -> None:  # noqa: ANN401 - click's values
    """Judge an implementation: boot the lab, install it, run the checks, write the report.

    What follows `--` goes to pytest: `lbproof run --requirement L2 -- -x`.
    """
    _refuse_distribution(pytest_args)
    _forget_pytests_environment()
    import pytest

    from lbproof import checks
    from lbproof.run import plugin

    signal.signal(signal.SIGTERM, _interrupt)
    arguments: list[str] = []
    for name, value in flags.items():
        flag = f"--lb-{name.replace('_', '-')}"
        if value is True:
            arguments.append(flag)
        elif isinstance(value, tuple):
            arguments += [f"{flag}={one}" for one in value]
        elif value is not None:
            arguments.append(f"{flag}={value}")
    home = Path(checks.__file__).parent
    plugins = ["--disable-plugin-autoload", "-p", "lbproof.run.plugin", "-p", "pytest_timeout"]
    quiet = ["-p", "no:terminal"] if not pytest_args else []
    outcome = _Outcome()
    code = pytest.main(
        ["-c", str(home / "pytest.ini"), "--rootdir", str(home), *plugins, *quiet, *arguments, *pytest_args, str(home)],
        plugins=[outcome],
    )
    if outcome.config is None:  # pytest ended before its configuration, as with --version
        ends = {pytest.ExitCode.OK: Exit.CONFORMANT, pytest.ExitCode.USAGE_ERROR: Exit.USAGE}
        sys.exit(int(ends.get(pytest.ExitCode(code), Exit.BUG)))
    for line in plugin.summary_of(outcome.config):
        click.echo(line)
    if outcome.uncollected:
        click.echo("\n".join(outcome.uncollected), err=True)
        _fail("these checks could not be collected: this is a bug of whoever wrote them", Exit.BUG)
    if code == pytest.ExitCode.NO_TESTS_COLLECTED:
        _fail("nothing to judge: no check is left to select", Exit.USAGE)
    exit_code = plugin.exit_code(outcome.config, int(code))
    if exit_code == Exit.BUG:
        _fail("this is a bug of lbproof; please report it with the lines above", Exit.BUG)
    sys.exit(exit_code)


def _forget_pytests_environment() -> None:
    """Remove what the user's own tests are run with: it would change a run, or end it before it begins."""
    for name in [name for name in os.environ if name.startswith("PYTEST_") or name == "PYTHONWARNINGS"]:
        del os.environ[name]


_DISTRIBUTES = re.compile(r"-n.*|-d|-f|--(numprocesses|dist|tx|looponfail)(=.*)?")
"""Options of pytest-xdist that run tests in several processes."""


def _refuse_distribution(pytest_args: Sequence[str]) -> None:
    for word in pytest_args:
        if _DISTRIBUTES.fullmatch(word):
            _fail(
                f"{word} after --: the checks of a run share one lab and cannot run at the same time; leave it out",
                Exit.USAGE,
            )


class _Outcome:
    """What pytest leaves behind: the configuration, which holds the session, and what it could not collect."""

    def __init__(self) -> None:
        self.config: Any = None
        self.uncollected: list[str] = []

    def pytest_collectreport(self, report: Any) -> None:  # noqa: ANN401 - pytest.CollectReport, imported late
        if report.failed:
            self.uncollected.append(report.longreprtext)

    def pytest_configure(self, config: Any) -> None:  # noqa: ANN401 - pytest.Config, imported late
        self.config = config


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


# --- list


@cli.command("list")
@click.argument("patterns", nargs=-1)
@click.option("--features", "what", flag_value="features", help="features that an implementation may claim")
@click.option("--profiles", "what", flag_value="profiles", help="profiles")
@click.option("--budgets", "what", flag_value="budgets", help="named waits, their defaults and ceilings")
@click.option("--implementations", "what", flag_value="implementations", help="adapters that are installed")
@click.option("--json", "as_json", is_flag=True, help="for a program")
def list_(patterns: tuple[str, ...], what: str | None, as_json: bool) -> None:
    """What there is to judge; needs no cluster. PATTERNS: IDs, cases or areas.

    A case is shown below the sentence of its requirement, whose level it has.
    """
    rows = _rows(what, patterns)
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    if what is None:
        _list_requirements([row["name"] for row in rows])
        return
    width = max((len(row["name"]) for row in rows), default=0)
    for row in rows:
        click.echo(f"{row['name']:{width}}  {row['text']}")


def _list_requirements(cases: Sequence[str]) -> None:
    """Print each requirement with its level, and below it those of its lettered cases that were chosen."""
    shown = ""
    for case in cases:
        requirement = of_case(case)
        if requirement.id != shown:
            shown = requirement.id
            click.echo(f"{requirement.id:<10}  {requirement.level:6}  {requirement.text}")
        if requirement.cases:
            click.echo(f"  {case:<16}  {sentence(case)}")


def _rows(what: str | None, patterns: tuple[str, ...]) -> list[dict[str, Any]]:
    if what == "features":
        return [{"name": f.name, "text": f.text} for f in FEATURES.values()]
    if what == "profiles":
        return [
            {
                "name": p.name,
                "text": f"{p.text}; requires "
                + (", ".join(sorted(p.requires)) if p.requires < FEATURES.keys() else "every feature"),
                "features": sorted(p.features),
                "requires": sorted(p.requires),
            }
            for p in PROFILES.values()
        ]
    if what == "budgets":
        return [
            {
                "name": b.name,
                "text": f"{b.default:>4g} s (at most {b.ceiling:g} s)  {b.text}",
                "default": b.default,
                "ceiling": b.ceiling,
            }
            for b in BUDGETS.values()
        ]
    if what == "implementations":
        from lbproof.adapters.base import adapters

        return [{"name": name, "text": f"{make().version}"} for name, make in _made(adapters())]
    cases = select(patterns or AREAS, "the command line")
    return [
        {
            "name": case,
            "text": f"{of_case(case).level:6}  {sentence(case)}",
            "level": of_case(case).level,
            "sentence": sentence(case),
            "requirement": of_case(case).id,
            "sources": of_case(case).sources,
        }
        for case in cases
    ]


def _made(found: dict[str, Any]) -> list[tuple[str, Any]]:
    return [(name, found[name]()) for name in sorted(found)]


# --- doctor


@cli.command(cls=LabCommand, lab_flags=doctor_flags)
@click.option("--implementation", default="reference", show_default=True, metavar="NAME", help="what is to be judged")
@click.option("--components", type=click.Path(path_type=Path), help="folder that holds Kubernetes' programs")
def doctor(implementation: str, components: Path | None, **given: Any) -> None:  # noqa: ANN401 - click's values
    """Say what this machine has, what it lacks, and how to get it."""
    from lbproof.adapters.base import load, python_modules_of
    from lbproof.lab import doctor as examination
    from lbproof.lab.provider import LabRequest

    options = _lab_options(given)
    request = LabRequest(
        options=options.lab_options(),
        components=components,
        python_modules=python_modules_of(load(implementation, "--implementation")),
    )
    findings = options.lab_provider.examine(request)
    for line in examination.lines(findings):
        click.echo(line)
    sys.exit(int(Exit.CONFORMANT if examination.usable(findings) else Exit.NO_ENVIRONMENT))


# --- lab


@cli.group()
def lab() -> None:
    """Boot a lab by itself, look into it, take it down."""


def _lab_options(given: dict[str, Any]) -> Options:
    """Validate the provider and its options. Raises `UnknownName` or `BadOption`."""
    from lbproof.run.options import read

    named = {name.replace("_", "-"): value for name, value in given.items() if value not in {None, ()}}
    return read(None, {key_of(name): value for name, value in named.items()})


@lab.command("up", cls=LabCommand, lab_flags=lab_flags)
@click.option("--name", default="lab", show_default=True, help="its name; several labs run side by side")
@click.option("--components", type=click.Path(path_type=Path), help="folder that holds Kubernetes' programs")
@click.option("--implementation", metavar="NAME", help="install this implementation too")
def lab_up(
    *,
    name: str,
    components: Path | None,
    implementation: str | None,
    **given: Any,  # noqa: ANN401 - click's values
) -> None:
    """Boot a lab that stays until `lbproof lab down`."""
    from lbproof.adapters.base import load, python_modules_of
    from lbproof.context import RunContext
    from lbproof.lab import provide
    from lbproof.lab.provider import LabRequest
    from lbproof.witnesses.journal import Journal
    from lbproof.witnesses.kube import Kube
    from lbproof.witnesses.wait import Waiter

    adapter = load(implementation, "--implementation") if implementation else None
    options = _lab_options(given)
    request = LabRequest(
        name=name,
        options=options.lab_options(),
        programs=adapter.components if adapter else (),
        files=adapter.files if adapter else (),
        python_modules=python_modules_of(adapter) if adapter else {},
        components=components,
    )
    made, programs = provide.boot(options.lab_provider, request, _say, lifeline=False)
    if adapter:
        journal = Journal(None)
        RunContext(
            lab=made,
            cluster=Kube(made.kubeconfig),
            adapter=adapter,
            journal=journal,
            waiter=Waiter(journal, adapter.budgets),
            programs=programs,
        ).install(_say)
    click.echo(f"lab {made.name} is up: export KUBECONFIG={made.kubeconfig}")


@lab.command("down")
@click.argument("name", default="lab")
def lab_down(name: str) -> None:
    """Take a lab down and remove everything that it made."""
    from lbproof.lab import provide

    provide.clean(name, progress=click.echo)


@lab.command("list")
def lab_list() -> None:
    """The labs of this machine."""
    from lbproof.lab import registry

    found = registry.labs()
    for info in found:
        state = "up" if info.alive else "dead: lbproof clean removes what it left"
        click.echo(f"{info.name:16} {info.provider:8} {info.nodes} nodes  {state}  {info.kubeconfig}")
    if not found:
        click.echo("no lab; lbproof lab up boots one")


@lab.command("kubeconfig")
@click.argument("name", default="lab")
def lab_kubeconfig(name: str) -> None:
    """The path of a lab's kubeconfig, which works from this machine."""
    from lbproof.lab import registry

    click.echo(registry.find(name).kubeconfig)


@lab.command("exec", context_settings={**CONTEXT, "ignore_unknown_options": True})
@click.option("--name", default="lab", show_default=True)
@click.argument("where")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def lab_exec(name: str, where: str, command: tuple[str, ...]) -> None:
    """Run a COMMAND at a place WHERE of a lab: a node, `client`, `far`, or `NAMESPACE/POD`."""
    from lbproof.lab import provide
    from lbproof.lab.base import environment

    argv = provide.running(name).exec_argv(where, list(command))
    os.execvpe(argv[0], argv, environment())  # noqa: S606 - the user's own command


cli.add_command(bench)
cli.add_command(compare)


# --- report


@cli.group()
def report() -> None:
    """Read, verify and publish the report of a run."""


@report.command("html")
@click.argument("run_folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
def report_html(run_folder: Path) -> None:
    """Make all reports of a run again from its events."""
    from lbproof.report import bundle

    try:
        bundle.write(run_folder)
    except OSError as error:
        if not (line := of_environment(error)):
            raise
        raise click.UsageError(line) from None
    click.echo(run_folder / "report.html")


@report.command("verify")
@click.argument("what", type=click.Path(path_type=Path, exists=True))
def report_verify(what: Path) -> None:
    """Check a run's folder or a report.json as a reviewer of a submission would."""
    from lbproof.report import verify

    problems = verify.verify(what)
    for line in problems or verify.summary(what):
        click.echo(line)
    sys.exit(int(Exit.NOT_CONFORMANT if problems else Exit.CONFORMANT))


@report.command("badge")
@click.argument("run_folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
def report_badge(run_folder: Path) -> None:
    """The JSON of a badge with the numbers of a run."""
    from lbproof.report import bundle, model

    click.echo(json.dumps(bundle.badge(model.read(run_folder))))


# --- clean


@cli.command()
@click.option("--all", "everything", is_flag=True, help="labs that are up too")
def clean(everything: bool) -> None:
    """Remove what labs left behind; touches nothing that lbproof did not make."""
    from lbproof.lab import provide

    if not provide.clean(everything=everything, progress=click.echo):
        click.echo("nothing was left behind")


def _say(line: str) -> None:
    click.echo(line, err=True)


def main() -> None:
    """Run the command; every expected error is one line, anything else is a bug of ours and says so."""
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.Abort:
        _fail("interrupted", Exit.INCONCLUSIVE)
    except click.ClickException as error:
        _fail(f"{error.format_message().rstrip('.')}; see lbproof --help", Exit.USAGE)
    except KeyboardInterrupt:
        _fail("interrupted", Exit.INCONCLUSIVE)
    except Exception as error:  # noqa: BLE001 - the last resort: say that it is ours, and where
        from lbproof.lab.base import LabError
        from lbproof.report.model import BadRun
        from lbproof.spec import BadOption

        if isinstance(error, UnknownName | BadOption | BadRun):
            _fail(str(error), Exit.USAGE)
        if isinstance(error, LabError):
            _fail(str(error), Exit.NO_ENVIRONMENT)
        if line := of_environment(error):
            _fail(line, Exit.NO_ENVIRONMENT)
        traceback.print_exc()
        _fail("this is a bug of lbproof; please report it with the lines above", Exit.BUG)


def _fail(message: str, code: Exit) -> NoReturn:
    click.echo(f"lbproof: {message}", err=True)
    sys.exit(int(code))
