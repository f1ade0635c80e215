"""Interface of a lab provider: its options, what it needs of this machine, booting, attaching and removing labs.

A third party's provider is a class with these members, registered under the entry point `lbproof.labs`. `--help` and
shell completion create it too, so its module imports little; the rest is imported by the methods that need it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from pathlib import Path

    from lbproof.lab.base import Lab, Topology
    from lbproof.lab.doctor import Finding
    from lbproof.lab.option import Option
    from lbproof.lab.registry import LabInfo
    from lbproof.spec.families import Family


@dataclass(frozen=True, slots=True, kw_only=True)
class LabRequest:
    """Requirements for a lab."""

    name: str = ""
    """Name of the new lab; empty in an examination and when a running lab is used."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Values of the provider's options by their keys, validated and complete."""
    topology: Topology | None = None
    """Shape of the cluster, instead of the options that describe one; benchmarks want more than options can say."""
    components: Path | None = None
    """Folder that holds components (`--components`)."""
    programs: tuple[str, ...] = ()
    """Components of the implementation, for a lab without images."""
    files: tuple[str, ...] = ()
    """Components from which the implementation's manifests are built."""
    python_modules: Mapping[str, str] = field(default_factory=dict)
    """Python modules that those programs import: module → pip requirement."""


class LabProvider(Protocol):
    """Provider of labs of one type."""

    name: str
    """Name for `--provider`, as in the entry point."""
    description: str
    """One line that says what its labs are made of."""
    options: tuple[Option, ...]
    """Options of `lbproof run` and `lbproof lab up` that this provider takes."""
    budgets: Mapping[str, float]
    """Budgets that take longer in its labs than the default, in seconds; the adapter's own value of a budget wins."""
    parallel: bool
    """Whether a run can use several of its labs side by side."""

    def capacity(self) -> int:
        """Return the number of labs that this machine carries side by side; called only when `parallel`."""
        ...

    def examine(self, request: LabRequest) -> list[Finding]:
        """Check this machine for what a lab needs, in the order of repair; fetch and start nothing.

        Raises `LabError` when the request itself is invalid. Of `request.options` only those for `doctor` can be given.
        """
        ...

    def families(self, options: Mapping[str, Any]) -> Collection[Family]:
        """Return the address families of a lab that is booted with these values of the options.

        The verdicts of a run are about these alone. Raises `LabError` when an option cannot be read.
        """
        ...

    def boot(
        self, request: LabRequest, progress: Callable[[str], None], *, lifeline: bool
    ) -> tuple[Lab, Mapping[str, Path]]:
        """Boot a lab until its nodes are Ready; return it, and the path of each requested component by its name.

        Records the lab in `lbproof.lab.registry`. With a `lifeline` the lab ends with this process, however that ends.
        Raises `LabError` when this machine cannot have the lab, and then leaves nothing but logs.
        """
        ...

    def bring(self, request: LabRequest, progress: Callable[[str], None]) -> Mapping[str, Path]:
        """Make the components available that the implementation needs in a lab; return their paths by name.

        lbproof calls it for a running lab. `boot` calls it itself, or returns the same paths.
        """
        ...

    def attach(self, info: LabInfo) -> Lab:
        """Return a running lab by its record, in any process. Raises `LabError`."""
        ...

    def remove(self, info: LabInfo) -> str:
        """End a lab and remove everything of it, except its directory; return what was removed, as a clause.

        The lab may be dead (`info.alive`). Raises `LabError` when something cannot be removed.
        """
        ...

    def remove_orphans(self, known: Collection[str]) -> Iterator[str]:
        """Remove what is left of labs without a record, whose names are not `known`; yield a line for each."""
        ...
