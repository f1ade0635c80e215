"""Validation of an adapter against the interface, before anything is booted; each error is one line."""

from __future__ import annotations

import difflib
import inspect
import json
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from lbproof.adapters.base import FEATURE_MEMBERS, Adapter, Cause
from lbproof.spec import BadOption, check_budgets, check_features, check_name, claims, lacking

if TYPE_CHECKING:
    from collections.abc import Iterator

_PROXY_MODES = ("", "iptables", "nftables", "ipvs", "none")
_SEE = "docs/adapters.md"
_ABSENT = object()
_SIMILAR = 0.7
"""Similarity (0 to 1) from which a name counts as a misspelling of another."""


@cache
def data_members() -> dict[str, Any]:
    """Return the members that are data: name → type."""
    return {**get_type_hints(Adapter), "budgets": Mapping[str, Any]}  # whose values `check_budgets` validates


def methods() -> dict[str, inspect.Signature]:
    """Return the members that are methods: name → signature, with `self`."""
    return {name: inspect.signature(one) for name, one in vars(Adapter).items() if inspect.isfunction(one)}


def members() -> tuple[str, ...]:
    """Return the names of all members."""
    return (*data_members(), *methods())


def validate(adapter: object, where: str) -> Adapter:
    """Return an adapter whose members are right. Raises `BadOption` or `UnknownName` for the first that is not.

    `where` is how the operator named it.
    """
    if not isinstance(adapter, Adapter):
        kind = adapter.__name__ if isinstance(adapter, type) else type(adapter).__name__
        raise BadOption(f"adapter {where}: {kind} is not derived from lbproof.adapters.base.Adapter; see {_SEE}")
    _check_names(adapter, where)
    _check_there(adapter, "features", where)
    _check_type(adapter, "features", where)
    check_features(sorted(adapter.features), f"adapter {where}")
    for name in _needed(claims(adapter.features)):
        _check_there(adapter, name, where)
    for name in data_members():
        if hasattr(adapter, name):
            _check_type(adapter, name, where)
    for name, signature in methods().items():
        _check_signature(adapter, name, signature, where)
    _check_values(adapter, where)
    validate_claims(adapter, claims(adapter.features), where)
    return adapter


def validate_claims(adapter: Adapter, claimed: frozenset[str], where: str) -> None:
    """Raise `BadOption` when an adapter lacks what features need that are claimed of it, by itself or by the operator.

    `where` as in `validate`.
    """
    for name in _needed(claimed):
        _check_there(adapter, name, where)
    if "refusal-reason" in claimed:
        asks = not lacking({"explicit-ip"}, claimed)
        needed = list(Cause) if asks else [Cause.POOL_EXHAUSTED]
        missing = [cause for cause in needed if cause not in adapter.refusals]
        if missing:
            raise BadOption(f"adapter {where}: refusals has no pattern for {', '.join(missing)}")


def _needed(claimed: frozenset[str]) -> Iterator[str]:
    """Yield the members that must be there: those without a default, if no feature or a claimed one needs them."""
    optional = {member for feature, member in FEATURE_MEMBERS.items() if feature not in claimed}
    for name in members():
        if name not in optional and not _has_default(name):
            yield name


def _has_default(name: str) -> bool:
    return name in vars(Adapter) and name not in {"manifests", *FEATURE_MEMBERS.values()}


def _is_there(adapter: Adapter, name: str) -> bool:
    inherited = getattr(type(adapter), name, None) is vars(Adapter).get(name, _ABSENT) and name not in vars(adapter)
    return hasattr(adapter, name) and (_has_default(name) or not inherited)


def _check_there(adapter: Adapter, name: str, where: str) -> None:
    if _is_there(adapter, name):
        return
    feature = next((feature for feature, member in FEATURE_MEMBERS.items() if member == name), "")
    why = f", which the feature {feature} needs" if feature else ""
    raise BadOption(f"adapter {where}: lacks the member {name}{why}; see {_SEE}")


def _own_names(adapter: Adapter) -> set[str]:
    found = set(vars(adapter))
    for kind in type(adapter).__mro__:
        if kind not in Adapter.__mro__:
            found |= set(vars(kind)) | set(vars(kind).get("__annotations__", {}))
    return {name for name in found if not name.startswith("_")}


def _check_names(adapter: Adapter, where: str) -> None:
    """Refuse a public name that is almost that of a member: nobody would ever read it."""
    known = members()
    for name in sorted(_own_names(adapter) - set(known)):
        if guess := difflib.get_close_matches(name, known, n=1, cutoff=_SIMILAR):
            raise BadOption(
                f"adapter {where}: unknown member {name!r}; did you mean {guess[0]!r}? A name of your own begins with _"
            )


def _check_type(adapter: Adapter, name: str, where: str) -> None:
    alone: Any = tuple[data_members()[name]]  # type: ignore[misc]  # a dataclass by itself takes no config
    kind = TypeAdapter(alone, config=ConfigDict(arbitrary_types_allowed=True, strict=True))
    try:
        kind.validate_python((getattr(adapter, name),))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join((name, *(str(part) for part in first["loc"][1:])))
        raise BadOption(
            f"adapter {where}: {place} is {_shown(first['input'])}: {first['msg'][:1].lower()}{first['msg'][1:]}"
        ) from None


def _shown(value: object) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}…"  # noqa: PLR2004 - what fits one line


def _check_signature(adapter: Adapter, name: str, signature: inspect.Signature, where: str) -> None:
    """Check that a method can be called as the suite calls it, by position."""
    count = len(signature.parameters) - 1
    wanted = f"{name}({', '.join(list(signature.parameters)[1:])})"
    found = getattr(adapter, name)
    if not callable(found):
        raise BadOption(f"adapter {where}: {name} is {_shown(found)}, not a method {wanted}")
    try:
        inspect.signature(found).bind(*range(count))
    except TypeError:
        raise BadOption(f"adapter {where}: {name}{inspect.signature(found)} cannot be called as {wanted}") from None


def _check_values(adapter: Adapter, where: str) -> None:
    inside = f"adapter {where}"
    for name in ("name", "version"):
        if not getattr(adapter, name).strip() or not getattr(adapter, name).isprintable():
            raise BadOption(f"{inside}: {name} is {getattr(adapter, name)!r}: printable text is allowed")
    check_budgets(adapter.budgets, inside)
    check_name("kube-proxy mode", adapter.proxy_mode, inside, _PROXY_MODES, _SEE)
    for key in adapter.service_opt_in:
        check_name("part of service_opt_in", str(key), inside, ("metadata", "spec"), _SEE)
    try:
        json.dumps(dict(adapter.service_opt_in))
    except TypeError as error:
        raise BadOption(f"{inside}: service_opt_in is no JSON: {error}") from None
