"""Option of a lab provider, declared once as data.

The command line, the pytest options (`--lb-…`), the options file and the docs are all made from these declarations.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option. Providers share one by declaring an equal option; different ones need different names."""

    name: str
    """Flag without the leading hyphens (`node-image`)."""
    help: str
    """Clause for `--help`, without the default."""
    metavar: str = "NAME"
    type: type[str | int | Path] = str
    """`str`, `int`, `Path`, or `bool` for a switch without a value."""
    many: bool = False
    """Whether it can be repeated; its value is then a tuple."""
    default: str | int = ""
    """Value when it is not given; a repeatable option has the default `()`, a path `None`, a switch `False`."""
    default_text: str = ""
    """Default in words, when it is determined during boot (`a free one`)."""
    choices: tuple[str, ...] = ()
    """Allowed values; empty allows all."""
    least: int | None = None
    most: int | None = None
    config_key: str = ""
    """Key in an options file; when empty, the name with underscores."""
    one_lab: str = ""
    """Clause that says why a run with this option has one lab only; empty when it may have several."""
    doctor: bool = False
    """Whether `lbproof doctor` takes it too."""

    @property
    def key(self) -> str:
        """Key in an options file and in `LabRequest.options`."""
        return self.config_key or self.name.replace("-", "_")

    @property
    def initial(self) -> Any:  # noqa: ANN401 - of the option's type
        """Value when the option is not given."""
        if self.many:
            return ()
        if self.type is bool:
            return False
        return None if self.type is Path else self.default

    @property
    def help_with_default(self) -> str:
        """Clause for `--help`, with the default."""
        default = self.default_text or self.default
        return f"{self.help} (default: {default})" if default else self.help
