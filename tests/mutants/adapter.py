"""Adapter for each mutant: `lbproof run --implementation tests.mutants.adapter:two_announcers`."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tests.mutants.catalogue import MUTANTS, Mutant
from tests.mutants.data_path import IPTABLES
from tests.mutants.variants import VARIANTS

from lbproof.adapters.reference import Reference
from lbproof.spec import ALIASES
from lbproof.spec.requirements import needs_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from lbproof.adapters.base import Object, Site
    from lbproof.lab.base import Image

ROOT = Path(__file__).parents[2]
ALTERNATIVE = Path("/etc/alternatives/iptables")
"""Where Debian says which iptables is the machine's: a pod has no such file."""


class Broken(Reference):
    """Reference with one fault."""

    def __init__(self, mutant: Mutant) -> None:
        """Use the reference's adapter with another program."""
        self._mutant = mutant
        self.name = f"mutant-{mutant.name}"
        self.features = Reference.features.union(*map(needs_of, mutant.cases)).difference(ALIASES)

    def images(self, site: Site) -> list[Image]:
        """Return the reference's image with the mutant as its program."""
        return [
            replace(
                image,
                args=("-m", "tests.mutants", self._mutant.name),
                binds=(*image.binds, str(ROOT)),
                env={
                    **image.env,
                    "PYTHONPATH": f"{image.env['PYTHONPATH']}:{ROOT}",
                    IPTABLES: str(ALTERNATIVE.readlink() if ALTERNATIVE.is_symlink() else shutil.which("iptables")),
                },
            )
            for image in super().images(site)
        ]

    def manifests(self, site: Site) -> list[Object]:
        """Return the reference's manifests, with further permissions, each of which one of the faults needs.

        Speakers may also change interfaces and rules; the controller may list endpoints and change Services.
        """
        objects = super().manifests(site)
        for obj in objects:
            if (obj["kind"], obj["metadata"]["name"]) == ("ClusterRole", "lbproof-reference-controller"):
                listed = {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list"]}
                written = {"apiGroups": [""], "resources": ["services"], "verbs": ["patch"]}
                obj["rules"] += [listed, written]
            if obj["kind"] == "DaemonSet":
                for container in obj["spec"]["template"]["spec"]["containers"]:
                    container["securityContext"]["capabilities"]["add"].append("NET_ADMIN")
        return objects


def __getattr__(name: str) -> Callable[[], Broken]:
    """Return the adapter of the mutant or variant of that name (with underscores). Raises AttributeError."""
    mutant = (MUTANTS | VARIANTS).get(name.replace("_", "-"))
    if mutant is None:
        raise AttributeError(name)
    return lambda: Broken(mutant)
