"""Installed lab providers, found by the entry point group `lbproof.labs`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, cast

from lbproof.lab.base import LabError
from lbproof.lab.provider import LabProvider

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lbproof.lab.option import Option
    from lbproof.lab.registry import LabInfo

GROUP = "lbproof.labs"
DEFAULT = "netns"
"""Provider of a run that names none."""
_MEMBERS = (*LabProvider.__annotations__, *(name for name in vars(LabProvider) if not name.startswith("_")))


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """Result of loading all installed providers."""

    usable: Mapping[str, LabProvider]
    """Providers by name, the default first."""
    broken: Mapping[str, str]
    """Name → reason why the provider cannot be used, as a clause."""
    default: str = DEFAULT

    @property
    def options(self) -> dict[str, Option]:
        """Options of all usable providers by name."""
        return {option.name: option for provider in self.usable.values() for option in provider.options}

    def takers(self, option: Option) -> list[str]:
        """Return the names of the providers that take an option."""
        return [name for name, provider in self.usable.items() if option in provider.options]

    def warnings(self) -> list[str]:
        """Return a line for each provider that cannot be used."""
        return [f"lab provider {name} {reason}" for name, reason in self.broken.items()]


@cache
def installed(reserved: frozenset[str] = frozenset()) -> Installed:
    """Load all providers.

    A provider is broken when it cannot be loaded, lacks a member, or declares an option whose name or key is `reserved`
    or declared differently by another provider.
    """
    usable: dict[str, LabProvider] = {}
    broken: dict[str, str] = {}
    taken: dict[str, Option] = {}
    for name, point in _points().items():
        provider, reason = _load(point)
        if provider:
            reason = _conflict(provider, taken, reserved)
        if reason or not provider:
            broken[name] = reason
            continue
        usable[name] = provider
        taken |= {word: option for option in provider.options for word in (option.name, option.key)}
    return Installed(usable=usable, broken=broken)


def of_lab(info: LabInfo) -> LabProvider:
    """Return the provider of a recorded lab. Raises `LabError` when it is not installed or cannot be loaded."""
    point = _points().get(info.provider)
    provider, reason = _load(point) if point else (None, "is not installed")
    if not provider:
        raise LabError(f"lab {info.name} is of provider {info.provider or 'unknown'}, which {reason}")
    return provider


@cache
def _points() -> dict[str, EntryPoint]:
    found = {point.name: point for point in entry_points(group=GROUP)}
    return {name: found[name] for name in sorted(found, key=lambda name: (name != DEFAULT, name))}


@cache
def _load(point: EntryPoint) -> tuple[LabProvider | None, str]:
    """Create a provider; return it, or None and the reason."""
    try:
        made = point.load()()
    except Exception as error:  # noqa: BLE001 - another distribution's code, whose failure must not stop the others
        first, *_ = str(error).splitlines() or [""]
        return None, f"cannot be loaded from {point.value}: {type(error).__name__}: {first}"
    lacking = [member for member in _MEMBERS if not hasattr(made, member)]
    if lacking:
        return None, f"lacks {', '.join(lacking)} ({point.value})"
    provider = cast("LabProvider", made)
    if provider.name != point.name:
        return None, f"has another name than its entry point: {provider.name}"
    return provider, ""


def _conflict(provider: LabProvider, taken: Mapping[str, Option], reserved: frozenset[str]) -> str:
    for option in provider.options:
        for word in (option.name, option.key):
            if word in reserved or taken.get(word, option) != option:
                return f"declares an option --{option.name}, which exists already with another meaning"
    return ""
