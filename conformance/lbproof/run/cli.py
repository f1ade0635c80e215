"""The `lbproof` command: its group, and `main`, which turns errors into one line and an exit code.

Exit codes are in `lbproof.spec.Exit`: 0 conformant, 1 not conformant, 2 inconclusive, 64 usage, 69 no usable
environment, 70 a bug in lbproof. Imports inside the commands keep `lbproof list` and `--help` fast.
"""

from __future__ import annotations

import sys
import traceback

import click

from lbproof import __version__
from lbproof.environment import VARIABLES
from lbproof.files import of_environment
from lbproof.run.commands.adapter import adapter
from lbproof.run.commands.bench import bench, compare
from lbproof.run.commands.clean import clean
from lbproof.run.commands.console import fail
from lbproof.run.commands.doctor import doctor
from lbproof.run.commands.lab import lab
from lbproof.run.commands.list import list_
from lbproof.run.commands.report import report
from lbproof.run.commands.run import run
from lbproof.spec import BadOption, Exit, UnknownName


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="\b\nEnvironment variables:\n" + "\n".join(f"  {one.name}  {one.help}" for one in VARIABLES.values()),
)
@click.version_option(__version__)
def cli() -> None:
    """Prove that a bare-metal Kubernetes LoadBalancer keeps the promises of `Service type: LoadBalancer`.

    On a bare Linux machine, as root:

    \b
      lbproof run                                  judge the reference in the embedded lab
      lbproof run --implementation metallb         judge MetalLB
      lbproof doctor                               list what this machine lacks, and how to install it

    Exit codes: 0 conformant, 1 not conformant, 2 inconclusive, 64 usage, 69 no usable environment, 70 a bug in lbproof.
    """  # noqa: D301 - click does not rewrap a paragraph marked with \b


for command in (run, list_, doctor, adapter, lab, bench, compare, report, clean):
    cli.add_command(command)


def main() -> None:
    """Run the command; print an expected error as one line, and any other with its traceback as a bug in lbproof."""
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.Abort:
        fail("interrupted", Exit.INCONCLUSIVE)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        sys.exit(int(Exit.USAGE))
    except click.ClickException as error:
        fail(f"{error.format_message().rstrip('.')}; see lbproof --help", Exit.USAGE)
    except KeyboardInterrupt:
        fail("interrupted", Exit.INCONCLUSIVE)
    except Exception as error:  # noqa: BLE001 - reported as a bug
        from lbproof.lab.base import LabError  # noqa: PLC0415 - as above
        from lbproof.report.model import BadRun  # noqa: PLC0415

        if isinstance(error, UnknownName | BadOption | BadRun):
            fail(str(error), Exit.USAGE)
        if isinstance(error, LabError):
            fail(str(error), Exit.NO_ENVIRONMENT)
        if line := of_environment(error):
            fail(line, Exit.NO_ENVIRONMENT)
        traceback.print_exc()
        fail("this is a bug in lbproof; please report it with the lines above", Exit.BUG)
