"""Process of a netns lab, and the removal of what it leaves: all but the directory ends with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lbproof.lab.common.processes import end

if TYPE_CHECKING:
    from lbproof.lab.registry import LabInfo


def init_of(info: LabInfo) -> int:
    """Return the init process of a living lab's PID namespace; 0 for a dead lab.

    The recorded process is its parent, `unshare`, which is returned until it has created the child.
    """
    try:
        children = Path(f"/proc/{info.pid}/task/{info.pid}/children").read_text(encoding="ascii").split()
    except (FileNotFoundError, ProcessLookupError):
        return info.pid
    return int(children[0]) if children else info.pid


def remove(info: LabInfo) -> str:
    """End a lab; return what was removed, as a clause. Raises `LabError` when it does not end."""
    if not info.alive:
        return "dead already"
    end(init_of(info))
    return f"{info.nodes} nodes and all their processes, namespaces and links"
