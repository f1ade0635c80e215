"""Installed adapters, found by the entry point group `lbproof.adapters`, and adapters named by their module."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from lbproof.adapters.calls import errors_as, place
from lbproof.adapters.validation import validate
from lbproof.spec import BadOption, UnknownName

if TYPE_CHECKING:
    from collections.abc import Callable

    from lbproof.adapters.base import Adapter

_SEE = "lbproof list --implementations"


def adapters() -> dict[str, Callable[[], Any]]:
    """Return all installed adapters by name, those of vendors too, each as a function that loads it."""
    return {point.name: point.load for point in entry_points(group="lbproof.adapters")}


def load(name: str, where: str) -> Adapter:
    """Load the adapter with a name, or at `package.module:attribute`, and validate it.

    A module is also looked for in the working directory, after all others.

    Raises `UnknownName` with the nearest valid name, also for an unknown feature or budget of the adapter, and
    `BadOption` for one that cannot be imported or created, or whose members are wrong.
    """
    module, colon, attribute = name.partition(":")
    known = adapters()
    if not colon and name not in known:
        raise UnknownName("implementation", name, where, known, f"{_SEE}, or package.module:attribute")
    cannot = f"adapter {name} cannot be loaded"
    try:
        with errors_as(BadOption, cannot, except_for=(_NotThere, UnknownName, BadOption)):
            found = _imported(module, attribute) if colon else known[name]()
            made = found() if callable(found) else found
    except _NotThere as error:
        raise UnknownName("implementation", name, f"{where} ({error})", known, _SEE) from error
    except (UnknownName, BadOption) as error:
        if str(error).startswith(cannot):
            raise
        raise BadOption(f"adapter {name}: {error}{place(error)}") from None
    return validate(made, name)


class _NotThere(Exception):  # noqa: N818 - it never leaves this module
    """No such module or attribute."""


def _imported(module: str, attribute: str) -> Any:  # noqa: ANN401 - a class or a function
    if not all(part.isidentifier() for part in (*module.split("."), attribute)):
        raise _NotThere("package.module:attribute is wanted")
    if (here := os.getcwd()) not in sys.path:  # noqa: PTH109 - as `python -m` adds it
        sys.path.append(here)
    try:
        found = import_module(module)
    except ModuleNotFoundError as error:
        if error.name and f"{module}.".startswith(f"{error.name}."):
            raise _NotThere(str(error)) from error
        raise  # of a module that the adapter imports
    if not hasattr(found, attribute):
        raise _NotThere(f"module {module!r} has no attribute {attribute!r}")
    return getattr(found, attribute)
