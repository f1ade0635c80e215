"""A fault takes the arguments of what it replaces; if not, it breaks by a TypeError and not as its sentence says."""

from __future__ import annotations

import inspect
import sys
from typing import TYPE_CHECKING, Any

import pytest
from tests.mutants.catalogue import MUTANTS
from tests.mutants.variants import VARIANTS

if TYPE_CHECKING:
    from collections.abc import Callable


def lacks(real: Callable[..., object], fault: Callable[..., object]) -> str:
    """Why a call with all arguments of the real function fails; empty when it does not."""
    parameters = inspect.signature(real).parameters.values()
    by_name = {one.name: None for one in parameters if one.kind is one.KEYWORD_ONLY}
    by_place = [None for one in parameters if one.kind in {one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD}]
    try:
        inspect.signature(fault).bind(*by_place, **by_name)
    except TypeError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", [*MUTANTS, *VARIANTS])
def test_a_fault_takes_the_arguments_of_what_it_replaces(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is replaced here: what would be is compared."""
    wrong: list[str] = []

    def compare(target: Any, attribute: str, value: Any) -> None:  # noqa: ANN401 - any object and attribute
        real = getattr(target, attribute)
        if inspect.isroutine(real) and inspect.isroutine(value) and (why := lacks(real, value)):
            wrong.append(f"{attribute}: {why}")

    for module in [one for path, one in sys.modules.items() if path.startswith("tests.mutants.")]:
        if hasattr(module, "patch"):
            monkeypatch.setattr(module, "patch", compare)
    (MUTANTS | VARIANTS)[name].apply()
    assert not wrong


def test_a_fault_that_lacks_an_argument_is_told() -> None:
    """As two were that stood for a function with one more."""
    assert lacks(lambda _key, _ip, _pool="", _sharing=None: None, lambda _key, _ip, _pool="": None)
    assert not lacks(lambda _key, *, keep=(): keep, lambda _key, **options: options)
