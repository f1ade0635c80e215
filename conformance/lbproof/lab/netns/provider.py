"""Provider of the netns labs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lbproof.lab.base import Topology
from lbproof.lab.common.capacity import capacity
from lbproof.lab.common.options import API_PORT, CLUSTER, families, shape

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from pathlib import Path

    from lbproof.lab.doctor import Finding
    from lbproof.lab.netns.lab import NetnsLab
    from lbproof.lab.option import Option
    from lbproof.lab.provider import LabRequest
    from lbproof.lab.registry import LabInfo
    from lbproof.spec.families import Family

# ruff: noqa: PLC0415 - `--help` loads this module and waits for none of the others
_BYTES_PER_LAB = 2 * 1024**3


class NetnsProvider:
    """Clusters of plain processes in network namespaces."""

    name = "netns"
    description = "Kubernetes as plain processes in network namespaces; boots in seconds, needs root alone"
    options: tuple[Option, ...] = CLUSTER
    budgets: Mapping[str, float] = {}
    parallel = True

    def capacity(self) -> int:
        """Return the number of labs that this machine carries side by side."""
        return capacity(_BYTES_PER_LAB)

    def examine(self, request: LabRequest) -> list[Finding]:
        """Check this machine for what a lab needs."""
        from lbproof.lab.components import ComponentOptions
        from lbproof.lab.netns import doctor

        options = ComponentOptions(directory=request.components)
        return doctor.examine(options, request.python_modules, families(request.options))

    def families(self, options: Mapping[str, Any]) -> Collection[Family]:
        """Return the families of the options."""
        return families(options)

    def boot(
        self, request: LabRequest, progress: Callable[[str], None], *, lifeline: bool
    ) -> tuple[NetnsLab, Mapping[str, Path]]:
        """Boot a lab with the requested topology or options."""
        from lbproof.lab.netns.lab import NetnsLab

        topology = request.topology or Topology(**shape(request.options), audit=True)
        paths = self._bring(request, progress, topology.families)
        api_port = request.options.get(API_PORT.key, 0)
        lab = NetnsLab.up(
            request.name, topology, programs=paths, progress=progress, lifeline=lifeline, api_port=api_port
        )
        return lab, paths

    def bring(self, request: LabRequest, progress: Callable[[str], None]) -> Mapping[str, Path]:
        """Make the components of the lab and of the implementation available, which runs as programs."""
        return self._bring(request, progress, families(request.options))

    @staticmethod
    def _bring(request: LabRequest, progress: Callable[[str], None], wanted: Collection[Family]) -> Mapping[str, Path]:
        from lbproof.lab.components import LAB, ComponentOptions, ensure
        from lbproof.lab.netns import doctor

        doctor.require(request.python_modules, wanted)
        names = (*LAB, *request.programs, *request.files)
        return ensure(names, progress=progress, options=ComponentOptions(directory=request.components))

    def attach(self, info: LabInfo) -> NetnsLab:
        """Return a running lab."""
        from lbproof.lab.netns.lab import NetnsLab

        return NetnsLab.of(info)

    def remove(self, info: LabInfo) -> str:
        """End a lab; the kernel then removes everything of it but its directory."""
        from lbproof.lab.netns import leftovers

        return leftovers.remove(info)

    def remove_orphans(self, known: Collection[str]) -> Iterator[str]:  # noqa: ARG002 - there are none
        """Remove nothing: a lab leaves nothing but its directory."""
        yield from ()
