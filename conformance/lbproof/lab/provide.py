"""Labs by whichever provider: boot, attach, remove."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lbproof.lab import providers, registry
from lbproof.lab.base import LabError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from lbproof.lab.base import Lab
    from lbproof.lab.provider import LabProvider, LabRequest
    from lbproof.lab.registry import LabInfo


def budgets(provider: LabProvider, lab: str) -> Mapping[str, float]:
    """Return the budgets that take longer in a lab of the provider, or in the running lab if one is named."""
    return (providers.of_lab(registry.find(lab)) if lab else provider).budgets


def boot(
    provider: LabProvider, request: LabRequest, progress: Callable[[str], None], *, lifeline: bool
) -> tuple[Lab, Mapping[str, Path]]:
    """Boot a lab, with an unused name if none is requested; return it and the path of each component by its name.

    With a `lifeline` the lab ends with this process. Raises `LabError` when this machine cannot have the lab.
    """
    named = replace(request, name=request.name or registry.free_name("run"))
    return provider.boot(named, progress, lifeline=lifeline)


def running(name: str) -> Lab:
    """Return a running lab. Raises `LabError` when there is none of that name."""
    info = registry.find(name)
    return providers.of_lab(info).attach(info)


def attach(name: str, request: LabRequest, progress: Callable[[str], None]) -> tuple[Lab, Mapping[str, Path]]:
    """Return a running lab and the path of each requested component by its name. Raises `LabError`."""
    lab = running(name)
    return lab, providers.of_lab(registry.find(name)).bring(request, progress)


def clean(
    name: str | None = None, *, everything: bool = False, progress: Callable[[str], None] = lambda _: None
) -> list[str]:
    """Remove what dead labs left, and a living lab when it is named, or all of this user with `everything`.

    Return a line for each lab removed. Raises `LabError` when there is no lab of the name, and after the others were
    removed when the provider of one cannot be loaded.
    """
    found = registry.labs()
    if name is not None and name not in {info.name for info in found}:
        raise LabError(f"no lab {name}; there are: {', '.join(info.name for info in found) or 'none'}")
    removed, refused = [], []
    for info in found:
        if info.name == name:
            info.refuse_foreign()
        if info.name == name or (not info.owner and name is None and (everything or not info.alive)):
            try:
                remove = _remove_of(info)
            except LabError as error:  # its provider cannot be loaded; the other labs are removed first
                refused.append(str(error))
                continue
            removed.append(registry.remove(info.name, remove))
            progress(removed[-1])
    if name is None:
        known = {info.name for info in registry.labs()}
        for provider in providers.installed().usable.values():
            for line in provider.remove_orphans(known):
                removed.append(line)
                progress(line)
    if refused:
        raise LabError("; ".join(refused))
    return removed


def _remove_of(info: LabInfo) -> Callable[[LabInfo], str]:
    """Return the function that removes a lab's contents; a lab whose record was lost has none that are known."""
    return providers.of_lab(info).remove if info.provider else lambda _: "dead already"
