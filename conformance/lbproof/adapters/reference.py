"""Adapter for the reference, run like any implementation from its manifests, as a program or an image.

The reference is not imported. The interpreter that runs the suite locates its installation.
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from lbproof.adapters.base import Cause, EventPattern, EventPatterns, Object, Workload
from lbproof.adapters.metallb_objects import MetalLBObjects
from lbproof.lab.base import Image, LabError
from lbproof.witnesses.kube import load_manifests

if TYPE_CHECKING:
    from collections.abc import Mapping

_REFUSED = "^AllocationFailed$"


class Reference(MetalLBObjects):
    """`lbproof_reference`, from `reference/manifests/`."""

    name = "reference"
    version = version("lbproof")
    features = frozenset(
        {
            "core",
            "pool",
            "l2",
            "l2-nonic",
            "garp",
            "explicit-ip",
            "class",
            "events",
            "pool-annotation",
            "announcer-events",
            "article",
        }
    )
    budgets: Mapping[str, float] = {}
    components: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    python_modules: Mapping[str, str] = dict.fromkeys(("httpx", "pyroute2", "structlog"), "lbproof[reference]")
    controller = Workload(
        kind="Deployment",
        namespace="metallb-system",
        name="controller",
        selector={"app": "lbproof-reference", "component": "controller"},
    )
    announcer = Workload(
        kind="DaemonSet",
        namespace="metallb-system",
        name="speaker",
        selector={"app": "lbproof-reference", "component": "speaker"},
    )
    event_patterns = EventPatterns(
        allocated=EventPattern(type="Normal", reason="^IPAllocated$"),
        refused={cause: EventPattern(type="Warning", reason=_REFUSED) for cause in Cause},
        announcing=EventPattern(type="Normal", reason="^nodeAssigned$"),
        pool_annotations=("metallb.io/ip-allocated-from-pool",),
    )
    resources: tuple[str, ...] = ("ipaddresspools.metallb.io", "l2advertisements.metallb.io")
    module = "lbproof_reference"
    """Module for `python -m`; a mutant of the reference is another module."""

    def images(self, programs: Mapping[str, Path]) -> list[Image]:  # noqa: ARG002 - it needs no component
        """Map its image to the interpreter of this process and its packages, read-only."""
        home = self._home()
        binds = {"/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache", sys.prefix, sys.base_prefix, str(home)}
        return [
            Image(
                pattern="lbproof/reference",
                program=sys.executable,
                args=("-m", self.module),
                binds=tuple(sorted(path for path in binds if Path(path).exists())),
                env={"PYTHONPATH": str(home), "PYTHONDONTWRITEBYTECODE": "1"},
            )
        ]

    def manifests(self, programs: Mapping[str, Path]) -> list[Object]:  # noqa: ARG002 - they are files
        """Return the objects of its `manifests` folder, in the order of the file names."""
        home = self._home()
        for folder in (home / "lbproof_reference" / "manifests", home / "manifests"):
            files = sorted(folder.glob("*.yaml"))
            if files:
                return [document for file in files for document in load_manifests(file.read_text())]
        raise LabError(f"the reference's manifests are missing below {home}: install lbproof again")

    def _home(self) -> Path:
        """Return the folder that contains the package."""
        found = find_spec("lbproof_reference")
        if found is None or found.origin is None:
            raise LabError("the reference is not installed: pip install 'lbproof[reference]'")
        return Path(found.origin).parent.parent
