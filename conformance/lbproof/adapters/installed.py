"""Installed adapters, found by the entry point group `lbproof.adapters`, and adapters named by their module."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

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

    Raises `UnknownName` with the nearest valid name, also for an unknown feature or budget of the adapter, and
    `BadOption` for one that cannot be imported or created, or whose members are wrong.
    """
    module, colon, attribute = name.partition(":")
    known = adapters()
    if not colon and name not in known:
        raise UnknownName("implementation", name, where, known, _SEE)
    try:
        found = _imported(module, attribute) if colon else known[name]()
        made = found() if callable(found) else found
    except _NotThere as error:
        raise UnknownName("implementation", name, f"{where} ({error})", known, _SEE) from error
    except (UnknownName, BadOption) as error:
        raise BadOption(f"adapter {name}: {error}") from None
    except Exception as error:
        first, *_ = str(error).splitlines() or [""]
        raise BadOption(f"adapter {name} cannot be loaded: {type(error).__name__}: {first}") from error
    return validate(made, name)


class _NotThere(Exception):  # noqa: N818 - it never leaves this module
    """No such module or attribute."""


def _imported(module: str, attribute: str) -> Any:  # noqa: ANN401 - a class or a function
    try:
        return getattr(import_module(module), attribute)
    except (ModuleNotFoundError, AttributeError) as error:
        raise _NotThere(str(error)) from error
