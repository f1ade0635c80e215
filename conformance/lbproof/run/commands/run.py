"""`lbproof run`: judge an implementation with pytest."""
# ruff: noqa: PLC0415 - imports inside commands keep `lbproof list` and `--help` fast

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from lbproof.run.commands.console import closing, fail
from lbproof.run.commands.lab_command import LabCommand
from lbproof.run.flags import all_flags, key_of
from lbproof.run.pytest_options import refusal
from lbproof.spec import Exit

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

    from lbproof.run.outcome import Outcome


class _RunCommand(LabCommand):
    """Command whose arguments after `--` are pytest's."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep what follows `--` for pytest. Raises `click.UsageError` for an option that is not one of a run."""
        at = args.index("--") if "--" in args else len(args)
        try:
            rest = super().parse_args(ctx, args[:at])
        except click.NoSuchOption as error:
            hint = f"options of pytest follow --, as in lbproof run -- {error.option_name}"
            raise click.UsageError(f"{error.format_message().rstrip('.')}; {hint}", ctx) from None
        ctx.params["pytest_args"] = tuple(args[at + 1 :])
        return rest

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the keys of an options file whose names are not those of their options."""
        others = {key_of(name): name for name, _ in all_flags() if key_of(name) != name.replace("-", "_")}
        formatter.write_paragraph()
        formatter.write_text(
            "A key of an options file is the name of the option with _ in place of -, except: "
            + ", ".join(f"{key} (--{name})" for key, name in others.items())
            + ". NAME=SECONDS is a table there: budgets = { failover = 20 }."
        )
        super().format_epilog(ctx, formatter)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Return the parts of the usage line."""
        return [*super().collect_usage_pieces(ctx), "[-- PYTEST_ARGS...]"]


@click.command(cls=_RunCommand, lab_flags=all_flags, short_help="Judge an implementation and write a report.")
@click.argument("ids", nargs=-1, metavar="[ID]...")
def run(ids: tuple[str, ...], pytest_args: Sequence[str], **flags: Any) -> None:  # noqa: ANN401 - click's values
    """Judge an implementation: boot a lab, install it, run the checks, write the report.

    An ID is a requirement, a case or an area, as `lbproof list` shows them; by default all of the profile are judged.
    Profiles, features and budgets: `lbproof list --profiles`, `--features`, `--budgets`.

    Arguments after `--` are passed to pytest.

    \b
      lbproof run --implementation metallb         judge MetalLB
      lbproof run L2 FAIL-01                       judge an area and a requirement
      lbproof run --rerun lbproof-results/latest   judge again what failed, broke or was not reached
      lbproof run -- -x                            end at the first failure
    """  # noqa: D301 - click does not rewrap a paragraph marked with \b
    _refuse(pytest_args)
    _forget_pytests_environment()
    flags["requirement"] = (*flags["requirement"], *ids)
    import pytest

    from lbproof import checks
    from lbproof.run import plugin
    from lbproof.run.outcome import Outcome

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
    outcome = Outcome()
    code = _pytest(
        outcome,
        ["-c", str(home / "pytest.ini"), "--rootdir", str(home), *plugins, *quiet, *arguments, *pytest_args, str(home)],
    )
    if outcome.config is None:  # pytest ended before its configuration, as with --version
        ends = {pytest.ExitCode.OK: Exit.CONFORMANT, pytest.ExitCode.USAGE_ERROR: Exit.USAGE}
        sys.exit(int(ends.get(pytest.ExitCode(code), Exit.BUG)))
    closing(plugin.summary_of(outcome.config))
    _end_if_misused(outcome)
    if outcome.uncollected:
        click.echo("\n".join(outcome.uncollected), err=True)
        fail("these checks could not be collected: this is a bug in the checks", Exit.BUG)
    if code == pytest.ExitCode.NO_TESTS_COLLECTED:
        fail("nothing to judge: the options select no check", Exit.USAGE)
    exit_code = plugin.exit_code(outcome.config, int(code))
    if exit_code == Exit.BUG:
        fail("this is a bug in lbproof; please report it with the lines above", Exit.BUG)
    sys.exit(exit_code)


def _pytest(outcome: Outcome, words: list[str]) -> int:
    """Run pytest with a plugin, and return its exit code; end the command at an error of usage of its parser."""
    import pytest

    try:
        return pytest.main(words, plugins=[outcome])
    except SystemExit:
        _end_if_misused(outcome)
        raise


def _end_if_misused(outcome: Outcome) -> None:
    if outcome.usage:
        fail(outcome.usage, Exit.USAGE)


def _forget_pytests_environment() -> None:
    """Remove environment variables for the user's own tests, which could change the run or prevent it."""
    for name in [name for name in os.environ if name.startswith("PYTEST_") or name == "PYTHONWARNINGS"]:
        del os.environ[name]


def _refuse(pytest_args: Sequence[str]) -> None:
    """End the command when an option of pytest would change the run in a way that its reader cannot see."""
    for word in pytest_args:
        if reason := refusal(word):
            fail(f"{word} after --: {reason}", Exit.USAGE)


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
