"""Check of values against annotations: texts and numbers, collections, mappings, unions, and fields of dataclasses."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import fields, is_dataclass
from enum import StrEnum
from pathlib import PurePath
from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

from lbproof.spec import BadOption, check_name

if TYPE_CHECKING:
    from collections.abc import Iterator

_SEE = "docs/adapters.md"
_NAMES = {
    "str": "text",
    "bool": "True or False",
    "int": "a whole number",
    "float": "a number",
    "NoneType": "None",
    "Mapping": "a mapping",
    "Sequence": "a list or a tuple",
    "Collection": "a list, a tuple or a set",
}


def check_fields(owner: Any) -> None:  # noqa: ANN401 - any dataclass
    """Raise `BadOption` for the first field of a dataclass whose value is of another type."""
    check_value(owner, type(owner), type(owner).__name__)


def check_value(value: object, kind: Any, place: str) -> None:  # noqa: ANN401 - an annotation
    """Raise `BadOption` when a value, or a value inside it, is of another type, `UnknownName` for an unknown key.

    `place` is what the value is called in the message; dots and numbers lead to what is inside.
    """
    if get_origin(kind) in {Union, UnionType}:
        kind = next((one for one in get_args(kind) if _is_instance(value, one)), kind)
    if not _is_instance(value, kind):
        hint = ", as str(path) gives" if isinstance(value, PurePath) else ""
        raise BadOption(f"{place} is {shown(value)}: {_name(kind)} is wanted{hint}")
    for inner, one, where in _inside(value, kind, place):
        check_value(inner, one, where)


def _inside(value: Any, kind: Any, place: str) -> Iterator[tuple[object, Any, str]]:  # noqa: ANN401 - as above
    """Yield what is inside a value: each with its annotation and its place."""
    arguments = get_args(kind)
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        for field in fields(kind):
            yield getattr(value, field.name), hints[field.name], f"{place}.{field.name}"
    elif is_typeddict(kind):
        hints = get_type_hints(kind)
        for key, inner in value.items():
            check_name("key", str(key), place, hints, _SEE)
            yield inner, hints[key], f"{place}.{key}"
    elif isinstance(value, Mapping) and arguments:
        for key, inner in value.items():
            yield key, arguments[0], f"{place}[key]"
            yield inner, arguments[1], f"{place}.{key}"
    elif isinstance(value, Collection) and not isinstance(value, str) and arguments:
        for at, inner in enumerate(value):
            yield inner, arguments[0], f"{place}.{at}" if isinstance(value, list | tuple) else f"{place}[element]"


def _is_instance(value: object, kind: Any) -> bool:  # noqa: ANN401 - an annotation
    """Return whether a value is of a type, whatever is inside it. Text is no collection, a bool no number."""
    base = get_origin(kind) or kind
    if base in {Any, Literal, Union, UnionType}:
        return base is Any or any(
            _is_instance(value, one) if base is not Literal else value == one for one in get_args(kind)
        )
    if isinstance(value, type):
        return False
    if isinstance(value, str):
        return base is str or (issubclass(base, StrEnum) and value in list(base))
    if base in {int, float}:
        return isinstance(value, (int, base)) and not isinstance(value, bool)
    return isinstance(value, Mapping if is_typeddict(base) else base)


def _name(kind: Any) -> str:  # noqa: ANN401 - an annotation
    base = get_origin(kind) or kind
    if base in {Literal, Union, UnionType}:
        return " or ".join(repr(one) if base is Literal else _name(one) for one in get_args(kind))
    if isinstance(base, type) and issubclass(base, StrEnum):
        return f"one of {', '.join(base)}"
    name = "Mapping" if is_typeddict(base) else base.__name__
    return _NAMES.get(name) or (f"a {name}" if name.islower() else f"an instance of {name}")


def shown(value: object) -> str:
    """Return a value as Python writes it, cut to what fits one line."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}…"  # noqa: PLR2004 - what fits one line
