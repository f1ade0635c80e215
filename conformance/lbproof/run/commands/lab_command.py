"""Commands with options of the lab providers, which are loaded when the command is called or shows its help."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lbproof.run.flags import key_of, providers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lbproof.run.options import Options

Flags = tuple[tuple[str, dict[str, Any]], ...]
"""Option name → arguments for argparse, as in `lbproof.run.flags`."""


class _Text(click.ParamType[str]):
    """Text that is not empty."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ANN401
        """Return the text. Raises `click.BadParameter` when it is empty."""
        return str(value) or self.fail("the value is empty", param, ctx)


class _Folder(click.Path):
    """Path that is not empty; an empty one would be the working directory."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401
        """Return the path. Raises `click.BadParameter` when it is empty."""
        return super().convert(TEXT.convert(value, param, ctx), param, ctx)


class _LabName(_Text):
    """Name that a lab can have."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ANN401
        """Return the name. Raises `click.BadParameter` when no lab can have it."""
        from lbproof.lab import registry  # noqa: PLC0415 - `--help` does not wait for it
        from lbproof.lab.base import LabError  # noqa: PLC0415 - as above

        name = super().convert(value, param, ctx)
        try:
            registry.directory(name)
        except LabError as error:
            self.fail(str(error), param, ctx)
        return name


LAB_NAME = _LabName()
TEXT, FOLDER = _Text(), _Folder(path_type=Path)
_TYPES = {Path: FOLDER, int: int}


class LabCommand(click.Command):
    """Command whose first options are made by a function at its first use."""

    def __init__(self, *args: Any, lab_flags: Callable[[], Flags], **kwargs: Any) -> None:  # noqa: ANN401 - click's
        """`lab_flags` returns the options that are added."""
        self._lab_flags: Callable[[], Flags] | None = lab_flags
        super().__init__(*args, **kwargs)

    @property
    def params(self) -> list[click.Parameter]:
        """Options and arguments; the first access adds the options of the lab providers."""
        if self._lab_flags:
            make, self._lab_flags = self._lab_flags, None
            self._own[:0] = [_option(name, spec) for name, spec in make()]
        return self._own

    @params.setter
    def params(self, own: list[click.Parameter]) -> None:
        self._own = own

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a line for each lab provider that cannot be used."""
        super().format_epilog(ctx, formatter)
        for line in providers().warnings():
            formatter.write_paragraph()
            formatter.write_text(line)

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's
        """Print the same lines and run the command."""
        for line in warnings(ctx.params.get("provider")):
            click.echo(f"lbproof: {line}", err=True)
        return super().invoke(ctx)


def warnings(chosen: str | None) -> Sequence[str]:
    """Return a line for each lab provider that cannot be used; the error message of a chosen one is its own."""
    return [] if chosen in providers().broken else providers().warnings()


def lab_options(given: dict[str, Any]) -> Options:
    """Validate the provider and its options. Raises `UnknownName` or `BadOption`."""
    from lbproof.run.options import read  # noqa: PLC0415 - `--help` does not wait for it

    named = {name.replace("_", "-"): value for name, value in given.items() if value not in {None, ()}}
    return read(None, {key_of(name): value for name, value in named.items()})


def _option(name: str, spec: dict[str, Any]) -> click.Option:
    if spec.get("action") == "store_true":
        return click.Option([f"--{name}"], is_flag=True, default=None, help=spec["help"])
    return click.Option(
        [f"--{name}"],
        multiple=spec.get("action") == "append",
        default=None,
        help=spec["help"],
        metavar=spec["metavar"],
        type=_TYPES.get(spec.get("type", str), TEXT),
    )
