"""What a pod needs of its node's kubelet, so that pods do not depend on the kubelet's module."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from lbproof.lab.base import Image
    from lbproof.lab.netns.api import Api
    from lbproof.lab.netns.container import Runtime
    from lbproof.lab.netns.plan import Place
    from lbproof.spec.families import IPAddress


@dataclass(slots=True, kw_only=True)
class Inside:
    """What all kubelets of a lab share."""

    work: Path
    """A directory in memory."""
    log: Path
    ca: Path
    token: str
    api_address: IPAddress
    """The API server's, on the segment."""
    lease_every: float
    """Seconds between renewals."""
    exclude_control_plane: bool
    """Whether the control plane is registered with the label that keeps load balancers off it."""
    runtime: Runtime
    images: list[Image] = field(default_factory=list)
    version: str = ""
    """The kubelet version to report: the API server's."""


class PodHost(Protocol):
    """The node that a pod runs on."""

    place: Place
    inside: Inside
    api: Api
    frozen: bool
    """Whether the node's processes are stopped."""
    files: Path
    """Root of the node's own files, to which `hostPath` volumes refer; outlives its pods."""

    def take_number(self, before: str) -> int:
        """Reserve a number for a pod, that of its earlier address if it is free. `LabError` when none is left."""
        ...

    def give_number_back(self, number: int) -> None:
        """Release a pod's number."""
        ...

    def forget(self, obj: dict[str, Any]) -> None:
        """Delete the object of a pod that has ended from the API server."""
        ...
