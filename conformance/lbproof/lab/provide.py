"""The lab that a run asked for: a running one by its name, or a new one that goes when the run ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.lab import doctor
from lbproof.lab.base import Topology
from lbproof.lab.components import ComponentOptions, ensure
from lbproof.lab.netns import NetnsLab

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from typing import Protocol

    from lbproof.lab.base import Lab

    class Asked(Protocol):
        """Of a run's options, those that a lab is made by."""

        lab: str
        workers: int
        proxy_mode: str
        proxy_args: tuple[str, ...]
        api_port: int
        components: Path | None
        keep: bool

    class Needing(Protocol):
        """Of an adapter, what a lab without images must bring."""

        name: str
        components: tuple[str, ...]
