"""Adapter for the reference, run like any implementation from its manifests, as a program or an image.

The reference is not imported. The interpreter that runs the suite locates its installation.
"""

from __future__ import annotations

from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from lbproof.adapters.base import Cause, Object, Site, Workload, WorkloadRole
from lbproof.adapters.metallb_objects import NAMESPACE, MetalLBObjects
from lbproof.adapters.programs import python_image
from lbproof.adapters.reports import AnnouncerEvent, EventPattern, MetadataKey
from lbproof.lab.base import Image, LabError
from lbproof.witnesses.kube import load_manifests

if TYPE_CHECKING:
    from collections.abc import Mapping


class Reference(MetalLBObjects):
    """`lbproof_reference`, from `reference/manifests/`."""

    name = "reference"
    version = version("lbproof")
    features = frozenset(
        {
            "core",
            "pool",
            "pool-select",
            "pool-mark",
            "pool-namespaced",
            "pool-scope",
            "pool-labels",
            "pool-priority",
            "pool-status",
            "auto-assign",
            "include-edges",
            "advertised",
            "l2",
            "l2-nonic",
            "ndp",
            "ipv6",
            "dual-stack",
            "garp",
            "explicit-ip-annotation",
            "explicit-ip-field",
            "strict-requests",
            "without-endpoints",
            "class",
            "default-class",
            "allocation-event",
            "refusal-reason",
            "announcer-status",
            "mixed-protocols",
            "nodeportless",
            "source-ranges",
            "etp-local",
            "sharing",
            "conflict-event",
            "node-exclude",
            "if-select",
            "node-select",
            "pair-select",
            "subnet-aware",
            "replay-proof",
            "node-exclude-value",
            "article",
        }
    )
    python_modules: Mapping[str, str] = dict.fromkeys(("httpx", "structlog"), "lbproof[reference]")
    workloads = (
        Workload(
            kind="Deployment",
            namespace=NAMESPACE,
            name="controller",
            selector={"app": "lbproof-reference", "component": "controller"},
            roles={WorkloadRole.CONTROLLER},
        ),
        Workload(
            kind="DaemonSet",
            namespace=NAMESPACE,
            name="speaker",
            selector={"app": "lbproof-reference", "component": "speaker"},
            roles={WorkloadRole.ANNOUNCER},
        ),
    )
    allocation = EventPattern(type="Normal", reason="^IPAllocated$")
    refusals: Mapping[Cause, EventPattern] = {
        cause: EventPattern(type="Warning", reason="^AllocationFailed$") for cause in Cause
    }
    announcer_status = AnnouncerEvent(
        event=EventPattern(type="Normal", reason="^nodeAssigned$", message='from node "(?P<node>[^"]+)"')
    )
    conflict = EventPattern(type="Warning", reason="^addressConflict$")
    pool_marks = (MetadataKey(annotation="metallb.io/ip-allocated-from-pool"),)
    own_class = "lbproof.dev/reference"
    _module = "lbproof_reference"
    """Module for `python -m`; a mutant of the reference is another module."""

    def images(self, site: Site) -> list[Image]:  # noqa: ARG002 - it needs no component
        """Map its image to the interpreter of this process."""
        home = self._home()
        env = {"PYTHONPATH": str(home)}
        return [python_image("lbproof/reference", ["-m", self._module], binds=[home], env=env)]

    def manifests(self, site: Site) -> list[Object]:
        """Return the objects of its `manifests` folder, in the order of the file names."""
        home = self._home()
        for folder in (home / "lbproof_reference" / "manifests", home / "manifests"):
            files = sorted(folder.glob("*.yaml"))
            if files:
                return self._of_class(
                    [document for file in files for document in load_manifests(file.read_text())], site
                )
        raise LabError(f"the reference's manifests are missing below {home}: install lbproof again")

    def _home(self) -> Path:
        """Return the folder that contains the package."""
        found = find_spec("lbproof_reference")
        if found is None or found.origin is None:
            raise LabError("the reference is not installed: pip install 'lbproof[reference]'")
        return Path(found.origin).parent.parent
