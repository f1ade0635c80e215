"""The lab that a run asked for, with the programs that it and the implementation need: a new one, or a running one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.lab import doctor, registry
from lbproof.lab.components import ComponentOptions, ensure
from lbproof.lab.netns import NetnsLab

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from lbproof.lab.base import Lab, Topology

WORKLOADS = ("agnhost", "nginx")
"""What the suite itself runs in a lab without images."""
CLUSTER = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy")


def boot(
    topology: Topology,
    needed: Iterable[str],
    progress: Callable[[str], None],
    *,
    name: str = "",
    components: Path | None = None,
    lifeline: bool,
) -> tuple[Lab, Mapping[str, Path]]:
    """A new lab, and the programs: name of a component → its path, those `needed` among them.

    With a `lifeline` the lab goes when this process does. Raises `LabError` when this machine cannot have it.
    """
    programs = _programs(needed, progress, components)
    name = name or registry.free_name("run")
    return NetnsLab.up(name, topology, programs=programs, progress=progress, lifeline=lifeline), programs


def attach(
    name: str, needed: Iterable[str], progress: Callable[[str], None], *, components: Path | None = None
) -> tuple[Lab, Mapping[str, Path]]:
    """A running lab, and the programs. Raises `LabError` when there is none of the name."""
    return NetnsLab.attach(name), _programs(needed, progress, components)


def _programs(needed: Iterable[str], progress: Callable[[str], None], components: Path | None) -> dict[str, Path]:
    doctor.require()
    options = ComponentOptions(directory=components)
    return ensure((*CLUSTER, *WORKLOADS, *needed), progress=progress, options=options)
