"""Mutants: the reference with one fault, applied from outside; the reference does not know them.

`@fault(case, …)` names the cases, each of which must detect the fault. A fault that no case detects yet has a reason
instead, and a test of the reference that fails with it: `@fault(uncaught="…", test="test_offers.py::test_…")`. A fault
is a function that patches the reference in this process before it starts; its docstring describes the fault.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """Fault, and the cases that must detect it, or the reason why none does yet."""

    name: str
    cases: tuple[str, ...]
    text: str
    apply: Callable[[], None]
    uncaught: str = ""
    """Why no case detects it yet."""
    test: str = ""
    """Test in `tests/reference` that fails with an uncaught fault: `FILE::FUNCTION`."""


MUTANTS: dict[str, Mutant] = {}
"""All registered mutants; complete after the import of `tests.mutants.catalogue`."""


def fault(*cases: str, uncaught: str = "", test: str = "") -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Register the decorated function as a fault, with the cases that must each detect it, or with reason and test.

    Raises ValueError if it has both or neither.
    """
    if bool(cases) == bool(uncaught) or bool(uncaught) != bool(test):
        raise ValueError("a fault has either cases, or a reason why none catches it and a test that does")

    def register(function: Callable[[], None]) -> Callable[[], None]:
        name = function.__name__.replace("_", "-")
        MUTANTS[name] = Mutant(
            name=name, cases=cases, text=function.__doc__ or "", apply=function, uncaught=uncaught, test=test
        )
        return function

    return register


def patch(target: Any, name: str, value: Any) -> None:  # noqa: ANN401 - any object and attribute
    """Replace an existing attribute. Raises AttributeError if there is none."""
    if not hasattr(target, name):
        raise AttributeError(f"{target} has no {name}: the mutant would change nothing")
    setattr(target, name, value)
