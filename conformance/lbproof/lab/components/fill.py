"""Filling the cache with what is missing: packages and downloads first, then builds of what is missing still."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lbproof.lab.components import build, cache, debian, download
from lbproof.lab.components.base import ComponentError, SourceError
from lbproof.lab.components.catalogue import VERSIONS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from lbproof.lab.components.base import ComponentOptions, Progress
    from lbproof.lab.components.catalogue import Build, Component, GoTree


@dataclass(frozen=True, slots=True, kw_only=True)
class Filling:
    """One filling of the cache, by the process that holds its lock."""

    options: ComponentOptions
    staging: Path
    progress: Progress

    def fill(self, missing: Iterable[Component]) -> None:
        """Bring components into the cache. `ComponentError` when one cannot be had."""
        missing = list(missing)
        download.unreachable(missing, self.options.mirror)
        failed: dict[Component, str] = {}
        for component in missing:
            try:
                self._fetch(component)
            except SourceError as error:
                failed[component] = str(error)
        by_reason: dict[str, list[str]] = defaultdict(list)
        for component, reason in failed.items():
            if component.release:
                by_reason[reason].append(component.name)
        for reason, names in by_reason.items():
            self.progress(f"no download of {', '.join(names)}: {reason}")
        self._build(failed)

    def _fetch(self, component: Component) -> None:
        place = cache.place_of(self.options.cache, component)
        if component.debian:
            tree = place.parents[2]
            cache.keep(debian.unpack(component, str(place.relative_to(tree)), self.staging, self.progress), tree)
        else:
            cache.keep(download.fetch(component, self.options.mirror, self.staging, self.progress), place)

    def _build(self, failed: dict[Component, str]) -> None:
        trees: dict[GoTree, list[tuple[Component, Build]]] = defaultdict(list)
        for component, reason in failed.items():
            cannot = f"{component.name} {component.version} cannot be had: {reason}"
            if component.debian:
                raise ComponentError(cannot)
            if component.build is None:
                raise ComponentError(f"{cannot}; only Kubernetes {VERSIONS['kubernetes']} can be built here")
            lacking, remedy = build.lacking()
            if lacking:
                raise ComponentError(
                    f"{cannot}; nor can it be built: {lacking}; {remedy}, or name a folder that has it by --components"
                )
            trees[component.build.tree].append((component, component.build))
        for source, members in trees.items():
            try:
                with build.tree(source, self.progress) as sources:
                    for component, recipe in members:
                        self._make(component, recipe, sources)
            except SourceError as error:
                names = ", ".join(component.name for component, _ in members)
                raise ComponentError(f"{names} cannot be had: {error}") from None

    def _make(self, component: Component, recipe: Build, sources: Path) -> None:
        """Make one component; those that are names of one program share it."""
        name = recipe.program or component.name
        place = cache.place_of(self.options.cache, component)
        program = place.parents[2] / name / component.version / name
        if program == place or not program.exists():
            made = self.staging / name
            build.make(recipe, sources, made, self.progress)
            cache.keep(made, program)
        if program != place:
            cache.link(place, program, self.staging)
