"""Mutants: the reference with one fault, applied from outside; the reference does not know them.

`@fault(case, …)` names the cases, each of which must detect the fault. A fault is a function that patches the reference
in this process before it starts; its docstring describes the fault.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """Fault, and the cases that must detect it."""

    name: str
    cases: tuple[str, ...]
    text: str
    apply: Callable[[], None]


MUTANTS: dict[str, Mutant] = {}
"""All registered mutants; complete after the import of `tests.mutants.catalogue`."""


def fault(*cases: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Register the decorated function as a fault, with the cases that must each detect it."""

    def register(function: Callable[[], None]) -> Callable[[], None]:
        name = function.__name__.replace("_", "-")
        MUTANTS[name] = Mutant(name=name, cases=cases, text=function.__doc__ or "", apply=function)
        return function

    return register


def patch(target: Any, name: str, value: Any) -> None:  # noqa: ANN401 - any object and attribute
    """Replace an existing attribute. Raises AttributeError if there is none."""
    if not hasattr(target, name):
        raise AttributeError(f"{target} has no {name}: the mutant would change nothing")
    setattr(target, name, value)
