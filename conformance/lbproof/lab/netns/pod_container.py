"""One container of a pod, as the pod's thread keeps it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lbproof.lab.netns import container, status

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence

    from lbproof.lab.netns.probe import ContainerProbe


@dataclass(slots=True, kw_only=True)
class PodContainer:
    """A container of a pod: what is wanted, what is said of it, and its process."""

    spec: dict[str, Any]
    state: status.Container
    settings: container.Settings | None = None
    """What it was last started with."""
    process: subprocess.Popen[bytes] | None = None
    pidfd: int = -1
    began: float = 0.0
    start_at: float = 0.0
    ends: int = 0
    readiness: ContainerProbe | None = None
    liveness: ContainerProbe | None = None

    def execute(self, command: Sequence[str], timeout: float) -> bool:
        """Run a command of an `exec` probe in it."""
        return self.settings is not None and container.execute(self.settings, self.state.pid, command, timeout)
