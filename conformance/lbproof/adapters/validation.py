"""Validation of an adapter against the interface, before anything is booted; each error is one line."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, get_type_hints

from lbproof.adapters.base import FEATURE_MEMBERS, Adapter, Cause
from lbproof.adapters.calls import errors_as
from lbproof.adapters.opt_in import check_opt_in
from lbproof.adapters.syntax import check_key
from lbproof.adapters.typecheck import check_value, shown
from lbproof.lab.common.options import PROXY_MODE
from lbproof.lab.components.catalogue import catalogue
from lbproof.spec import BadOption, UnknownName, check_budgets, check_features, check_name, claims, lacking

if TYPE_CHECKING:
    from collections.abc import Iterator

_SEE = "docs/adapters.md"
_ABSENT = object()
_SIMILAR = 0.7
"""Similarity (0 to 1) from which a name counts as a misspelling of another."""
_LONGEST = 100
"""Bytes of a name, which is a part of the name of a run's folder."""


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
    with errors_as(BadOption, f"adapter {where}", except_for=(BadOption, UnknownName)):
        return _validated(adapter, where)


def _validated(adapter: object, where: str) -> Adapter:
    if not isinstance(adapter, Adapter):
        kind = adapter.__name__ if isinstance(adapter, type) else type(adapter).__name__
        raise BadOption(f"adapter {where}: {kind} is not derived from lbproof.adapters.base.Adapter; see {_SEE}")
    _check_names(adapter, where)
    _check_there(adapter, "features", where)
    check_value(adapter.features, data_members()["features"], f"adapter {where}: features")
    check_features(sorted(adapter.features), f"adapter {where}")
    claimed = claims(adapter.features)
    if "core" not in claimed:
        raise BadOption(f"adapter {where}: features lacks 'core', which every implementation claims")
    for name in _needed(claimed):
        _check_there(adapter, name, where)
    for name, kind in data_members().items():
        if (value := _read(adapter, name, where)) is not _ABSENT:
            check_value(value, kind, f"adapter {where}: {name}")
    for name, signature in methods().items():
        _check_signature(adapter, name, signature, where)
    _check_values(adapter, f"adapter {where}")
    validate_claims(adapter, claimed, where)
    return adapter


def validate_claims(adapter: Adapter, claimed: frozenset[str], where: str) -> None:
    """Raise `BadOption` when an adapter lacks what features need that are claimed of it, by itself or by the operator.

    `where` as in `validate`.
    """
    with errors_as(BadOption, f"adapter {where}", except_for=(BadOption, UnknownName)):
        for name in _needed(claimed):
            _check_there(adapter, name, where)
        if "refusal-reason" in claimed:
            asks = not lacking({"explicit-ip"}, claimed)
            needed = list(Cause) if asks else [Cause.POOL_EXHAUSTED]
            missing = [cause for cause in needed if cause not in adapter.refusals]
            if missing:
                raise BadOption(f"adapter {where}: refusals has no pattern for {', '.join(missing)}")
        for feature, name in FEATURE_MEMBERS.items():
            if feature in claimed and not getattr(adapter, name):
                raise BadOption(f"adapter {where}: {name} is empty, but the feature {feature} needs it; see {_SEE}")


def _needed(claimed: frozenset[str]) -> Iterator[str]:
    """Yield the members that must be there: those without a default, if no feature or a claimed one needs them."""
    optional = {member for feature, member in FEATURE_MEMBERS.items() if feature not in claimed}
    for name in members():
        if name not in optional and not _has_default(name):
            yield name


def _has_default(name: str) -> bool:
    return name in vars(Adapter) and name not in {"manifests", *FEATURE_MEMBERS.values()}


def _read(adapter: Adapter, name: str, where: str) -> object:
    """Return a member, or `_ABSENT`. Raises `BadOption` when a property fails."""
    with errors_as(BadOption, f"adapter {where}: {name} cannot be read"):
        there = inspect.getattr_static(adapter, name, _ABSENT) is not _ABSENT
        return getattr(adapter, name) if there else getattr(adapter, name, _ABSENT)


def _check_there(adapter: Adapter, name: str, where: str) -> None:
    inherited = getattr(type(adapter), name, None) is vars(Adapter).get(name, _ABSENT) and name not in adapter.__dict__
    if _read(adapter, name, where) is not _ABSENT and (_has_default(name) or not inherited):
        return
    feature = next((feature for feature, member in FEATURE_MEMBERS.items() if member == name), "")
    why = f", which the feature {feature} needs" if feature else ""
    raise BadOption(f"adapter {where}: lacks the member {name}{why}; see {_SEE}")


def _own_names(adapter: Adapter) -> set[str]:
    found = set(adapter.__dict__)
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


def _check_signature(adapter: Adapter, name: str, signature: inspect.Signature, where: str) -> None:
    """Check that a method can be called as the suite calls it, by position."""
    count = len(signature.parameters) - 1
    wanted = f"{name}({', '.join(list(signature.parameters)[1:])})"
    found = _read(adapter, name, where)
    if not callable(found):
        raise BadOption(f"adapter {where}: {name} is {shown(found)}, not a method {wanted}")
    try:
        inspect.signature(found).bind(*range(count))
    except TypeError:
        raise BadOption(f"adapter {where}: {name}{inspect.signature(found)} cannot be called as {wanted}") from None


def _check_values(adapter: Adapter, inside: str) -> None:
    """Check values of the right type: `inside` is `adapter NAME`."""
    _check_identity(adapter, inside)
    check_budgets(adapter.budgets, inside)
    if adapter.proxy_mode:
        check_name("kube-proxy mode", adapter.proxy_mode, inside, PROXY_MODE.choices, _SEE)
    for member in ("components", "files"):
        for name in getattr(adapter, member):
            check_name("component", name, f"{inside}: {member}", catalogue(), _SEE)
    check_opt_in(adapter.service_opt_in, f"{inside}: service_opt_in")
    for name in ("address_annotation", "own_class"):
        if value := getattr(adapter, name, ""):
            check_key(value, f"{inside}: {name}")
    workloads = [str(workload) for workload in adapter.workloads]
    for workload in workloads:
        if workloads.count(workload) > 1:
            raise BadOption(f"{inside}: workloads has {workload} twice")


def _check_identity(adapter: Adapter, inside: str) -> None:
    for name in ("name", "version"):
        value = getattr(adapter, name)
        if not value.strip() or not value.isprintable():
            raise BadOption(f"{inside}: {name} is {shown(value)}: printable text is allowed")
    if "/" in adapter.name or len(adapter.name.encode()) > _LONGEST:
        raise BadOption(
            f"{inside}: name is {shown(adapter.name)}: it is part of a file name, at most {_LONGEST} bytes without /"
        )
