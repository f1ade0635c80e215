"""Options and errors of all sources of components.

A source that cannot provide a component raises `SourceError`, and the next source is tried. `ComponentError` ends the
search, because no other source would work; its one line says what to do.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lbproof.environment import value
from lbproof.lab.base import LabError
from lbproof.lab.components.catalogue import VERSIONS

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    Progress: TypeAlias = Callable[[str], None]


class ComponentError(LabError):
    """A program that a lab needs cannot be had; one line says which, why, and what to do about it."""


class SourceError(Exception):
    """One source cannot give a component; the message is a clause (`dl.k8s.io is unreachable`)."""


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(value("LBPROOF_CACHE") or Path(base) / "lbproof")


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentOptions:
    """Where components may come from; what is not given is taken from the environment."""

    directory: Path | None = None
    """Folder that holds the programs by their names (`LBPROOF_COMPONENTS`)."""
    cache: Path = field(default_factory=_cache)
    """`LBPROOF_CACHE`, or `lbproof` in `XDG_CACHE_HOME` or `~/.cache`."""
    mirror: str = field(default_factory=lambda: value("LBPROOF_MIRROR"))
    """URL below which releases are looked for instead of at their official hosts, by the same paths."""
    kubernetes: str = VERSIONS["kubernetes"]
    """Version of Kubernetes. Another than the pinned one can be downloaded but not built."""

    @property
    def given(self) -> Path | None:
        """The folder of programs that the user named, if any."""
        named = value("LBPROOF_COMPONENTS")
        return self.directory or (Path(named) if named else None)


def no_space(where: Path) -> ComponentError:
    """The error of a disk that is full while something is written below `where`."""
    there = next(path for path in (where, *where.parents) if path.exists())
    free = shutil.disk_usage(there).free / 1e6
    return ComponentError(
        f"the disk of {where} is full ({free:.0f} MB free): components take about 350 MB, and building them about 3 GB "
        "of Go build cache besides; LBPROOF_CACHE, GOCACHE and TMPDIR can point to another disk"
    )
