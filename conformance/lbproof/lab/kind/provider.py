"""Provider of the kind labs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lbproof.lab.base import LabError, Topology
from lbproof.lab.common.options import API_PORT, CLUSTER, families, shape
from lbproof.lab.option import Option

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from lbproof.lab.doctor import Finding
    from lbproof.lab.kind.lab import KindLab
    from lbproof.lab.provider import LabRequest
    from lbproof.lab.registry import LabInfo
    from lbproof.spec.families import Family

# ruff: noqa: PLC0415 - `--help` loads this module and waits for none of the others
TOPOLOGY = Option(
    name="topology",
    metavar="FILE",
    type=Path,
    help="topology file, instead of --workers, --proxy-mode and --proxy-arg",
)
NODE_IMAGE = Option(
    name="node-image",
    metavar="IMAGE",
    default_text="the published, else the built one",
    help="image of the nodes",
)


class KindProvider:
    """Clusters of containers by kind."""

    name = "kind"
    description = "Kubernetes in containers by kind, on a Docker engine of this machine; real kubelets and images"
    options: tuple[Option, ...] = (*CLUSTER, TOPOLOGY, NODE_IMAGE)
    budgets: Mapping[str, float] = {"restarted": 60.0}  # a real kubelet backs off after a kill
    parallel = False

    def capacity(self) -> int:
        """Return 1: a run has one lab."""
        return 1

    def examine(self, request: LabRequest) -> list[Finding]:
        """Check this machine for what a lab needs."""
        from lbproof.lab.components import ComponentOptions
        from lbproof.lab.kind import doctor

        return doctor.examine(ComponentOptions(directory=request.components))

    def families(self, options: Mapping[str, Any]) -> Collection[Family]:
        """Return the families of a topology file, or of the options."""
        if config := options.get(TOPOLOGY.key):
            from lbproof.lab.kind import plan

            return plan.FAMILIES[plan.family_of(plan.of_file(config))]
        return families(options)

    def boot(
        self, request: LabRequest, progress: Callable[[str], None], *, lifeline: bool
    ) -> tuple[KindLab, Mapping[str, Path]]:
        """Boot a lab with the requested topology or options."""
        from lbproof.lab.kind import doctor, images
        from lbproof.lab.kind.engine import Engine
        from lbproof.lab.kind.lab import KindLab

        topology = request.topology or Topology(**shape(request.options))
        doctor.require(progress)
        paths = _ensure(("kind", *request.files), request, progress)
        image = images.of_nodes(Engine.find(), request.options.get(NODE_IMAGE.key, ""), progress)
        lab = KindLab.up(
            request.name,
            topology,
            kind=paths["kind"],
            image=image,
            config=request.options.get(TOPOLOGY.key),
            api_port=request.options.get(API_PORT.key, 0),
            progress=progress,
            lifeline=lifeline,
        )
        return lab, paths

    def bring(self, request: LabRequest, progress: Callable[[str], None]) -> Mapping[str, Path]:
        """Make the components available from which the implementation's manifests are built."""
        return _ensure(request.files, request, progress)

    def attach(self, info: LabInfo) -> KindLab:
        """Return a running lab."""
        from lbproof.lab.kind.lab import KindLab

        return KindLab.of(info)

    def remove(self, info: LabInfo) -> str:
        """End a lab and remove what it has in its Docker engine."""
        from lbproof.lab.kind import leftovers

        return leftovers.remove_lab(info)

    def remove_orphans(self, known: Collection[str]) -> Iterator[str]:
        """Remove what the Docker engine contains of labs without a directory, as after a restart of this machine."""
        from lbproof.lab.kind import leftovers
        from lbproof.lab.kind.engine import Engine

        try:
            engine = Engine.find()
        except LabError:  # there is none, or none that a lab could use
            return
        for name in sorted(leftovers.labs_of(engine) - set(known)):
            yield f"lab {name}, of which no directory is left: {', '.join(leftovers.remove(engine, name))}"


def _ensure(names: Iterable[str], request: LabRequest, progress: Callable[[str], None]) -> Mapping[str, Path]:
    from lbproof.lab.components import ComponentOptions, ensure
    from lbproof.lab.kind.components import complete

    return ensure(names, progress=progress, options=ComponentOptions(directory=request.components), known=complete())
