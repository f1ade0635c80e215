"""Components: pinned releases of the real programs that a lab runs, and their sources.

Sources in order, each shown on screen: a folder that the user names, the cache, the official release checked against
its checksum in versions.toml, and a build from Go modules, which go.sum and versions.toml pin. agnhost and MetalLB are
published as images only, so they are always built; nginx comes from the distribution. A component is stored complete
or not at all.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from lbproof.lab.components import cache, debian, download
from lbproof.lab.components.base import ComponentError, ComponentOptions, no_space
from lbproof.lab.components.catalogue import LAB, VERSIONS, Build, Component, GoTree, Release, catalogue
from lbproof.lab.components.fill import Filling

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

__all__ = [
    "LAB",
    "VERSIONS",
    "Build",
    "Component",
    "ComponentError",
    "ComponentOptions",
    "GoTree",
    "Release",
    "binds_of",
    "catalogue",
    "ensure",
    "find",
]


def find(
    name: str, options: ComponentOptions | None = None, *, known: Mapping[str, Component] | None = None
) -> Path | None:
    """Return the path of a component in the given folder, on this machine or in the cache; fetch nothing.

    `known` is the catalogue. Raises `ComponentError` for an unknown name, and for a folder without components.
    """
    options = options or ComponentOptions()
    known = known or catalogue(options.kubernetes)
    component = _component(name, known)
    return _given(component, options.given, known) or _here(component, options.cache)


def ensure(
    names: Iterable[str],
    *,
    progress: Callable[[str], None],
    options: ComponentOptions | None = None,
    known: Mapping[str, Component] | None = None,
) -> dict[str, Path]:
    """Download or build the missing components into the cache; return the path of each by its name.

    `known` is the catalogue. Raises `ComponentError` with one line when a component is unavailable.
    """
    options = options or ComponentOptions()
    known = known or catalogue(options.kubernetes)
    wanted = [_component(name, known) for name in dict.fromkeys(names)]
    found = {one.name: find(one.name, options, known=known) for one in wanted}
    if not all(found.values()):
        try:
            with cache.making(options.cache, progress) as staging:
                missing = [one for one in wanted if find(one.name, options, known=known) is None]
                Filling(options=options, staging=staging, progress=progress).fill(missing)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise no_space(options.cache) from None
            raise ComponentError(f"the cache {options.cache}: {error}; LBPROOF_CACHE can name another folder") from None
    paths = {one.name: find(one.name, options, known=known) for one in wanted}
    return {name: path for name, path in paths.items() if path is not None}


def binds_of(name: str, path: Path) -> tuple[str, ...]:
    """Return the folders that a program needs in a root of its own, besides itself; none for a static program."""
    return debian.libraries(path) if _component(name, catalogue()).debian else ()


def source_of(
    name: str, options: ComponentOptions | None = None, *, known: Mapping[str, Component] | None = None
) -> str:
    """Return where a missing component would come from, as a clause, without any request."""
    options = options or ComponentOptions()
    component = _component(name, known or catalogue(options.kubernetes))
    if component.debian:
        return f"Debian's package {component.debian[0]}, unpacked without being installed"
    sources = []
    if component.release and download.pinned(component.release):
        sources.append(f"download from {options.mirror or component.release.host}")
    if component.build:
        sources.append("build from Go modules")
    return ", else ".join(sources) or "a folder that you name; its release is not pinned in versions.toml"


def _component(name: str, known: Mapping[str, Component]) -> Component:
    if name not in known:
        raise ComponentError(f"there is no component {name!r}; there are: {', '.join(known)}")
    return known[name]


def _given(component: Component, folder: Path | None, known: Mapping[str, Component]) -> Path | None:
    if folder is None:
        return None
    if not folder.is_dir():
        raise ComponentError(f"components folder {folder}: there is no such folder")
    if not any((folder / name).exists() for name in known):
        raise ComponentError(f"components folder {folder}: holds none of {', '.join(known)}")
    path = folder.absolute() / component.name
    if path.exists() and not cache.usable(path, component):
        raise ComponentError(f"components folder {folder}: {component.name} is not executable (chmod +x)")
    return path if path.exists() else None


def _here(component: Component, root: Path) -> Path | None:
    system = debian.installed(component) if component.debian else None
    place = cache.place_of(root, component)
    return system or (place if cache.usable(place, component) else None)
