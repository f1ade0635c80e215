"""The lab that a run asked for, with what it and the implementation need: a new one, or a running one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lbproof.lab import doctor, registry
from lbproof.lab.base import LabError
from lbproof.lab.components import LAB, ComponentOptions, ensure
from lbproof.lab.kind import images
from lbproof.lab.kind.engine import Engine
from lbproof.lab.kind.lab import KindLab
from lbproof.lab.netns import NetnsLab

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from lbproof.lab.base import Lab, Topology

_BUDGETS: Mapping[str, Mapping[str, float]] = {"kind": {"restarted": 60.0}}
"""Waits that take longer than in the embedded lab, whoever is judged: a real kubelet backs off after a kill."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which lab, besides its topology."""

    provider: str = "netns"
    name: str = ""
    """A free one when empty."""
    programs: tuple[str, ...] = ()
    """Components that the implementation is in a lab without images."""
    files: tuple[str, ...] = ()
    """Components that its manifests are made from."""
    python_modules: Mapping[str, str] = field(default_factory=dict)
    """Python modules that the implementation imports in a lab without images: module → what pip is told to install."""
    components: Path | None = None
    """Folder that holds components."""
    node_image: str = ""
    """Of kind's nodes; the published or the built one when empty."""
    topology_file: Path | None = None
    """For kind, instead of a topology."""


def budgets(provider: str, lab: str) -> Mapping[str, float]:
    """Waits that take longer in a lab of that provider, or in the running one that is named."""
    running = {info.name: info.provider for info in registry.labs()}
    return _BUDGETS.get(running.get(lab, provider), {})


def boot(
    topology: Topology, wanted: Wanted, progress: Callable[[str], None], *, lifeline: bool
) -> tuple[Lab, Mapping[str, Path]]:
    """A new lab, and the components that are wanted: name → path.

    With a `lifeline` the lab goes when this process does. Raises `LabError` when this machine cannot have it.
    """
    name = wanted.name or registry.free_name("run")
    if wanted.provider == "kind":
        return _kind(name, topology, wanted, progress, lifeline=lifeline)
    if wanted.topology_file or wanted.node_image:
        raise LabError("a topology file and a node image are for --provider kind")
    paths = _programs(wanted, progress)
    return NetnsLab.up(name, topology, programs=paths, progress=progress, lifeline=lifeline), paths


def _kind(
    name: str, topology: Topology, wanted: Wanted, progress: Callable[[str], None], *, lifeline: bool
) -> tuple[Lab, Mapping[str, Path]]:
    doctor.require_kind(progress)
    paths = _ensure(("kind", *wanted.files), progress, wanted.components)
    image = images.of_nodes(Engine.find(), wanted.node_image, progress)
    lab = KindLab.up(
        name,
        topology,
        kind=paths["kind"],
        image=image,
        config=wanted.topology_file,
        progress=progress,
        lifeline=lifeline,
    )
    return lab, paths


def running(name: str) -> NetnsLab | KindLab:
    """A lab that runs. Raises `LabError` when there is none of the name."""
    return KindLab.attach(name) if registry.find(name).provider == "kind" else NetnsLab.attach(name)


def attach(name: str, wanted: Wanted, progress: Callable[[str], None]) -> tuple[Lab, Mapping[str, Path]]:
    """A running lab, and the components that are wanted. Raises `LabError` when there is none of the name."""
    lab = running(name)
    if isinstance(lab, KindLab):
        return lab, _ensure(wanted.files, progress, wanted.components)
    return lab, _programs(wanted, progress)


def _programs(wanted: Wanted, progress: Callable[[str], None]) -> dict[str, Path]:
    doctor.require(wanted.python_modules)
    return _ensure((*LAB, *wanted.programs, *wanted.files), progress, wanted.components)


def _ensure(names: Iterable[str], progress: Callable[[str], None], components: Path | None) -> dict[str, Path]:
    return ensure(names, progress=progress, options=ComponentOptions(directory=components))
