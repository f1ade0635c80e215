"""nginx as Debian and Ubuntu build it, without installing it: that would start a service on the user's machine.

An nginx that is installed already is used as it is. Otherwise the package is fetched by apt, which checks its
signature, and unpacked into the cache.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from lbproof.lab.components.base import SourceError, no_space

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lbproof.lab.components.base import Progress
    from lbproof.lab.components.catalogue import Component

_SBIN = ("/usr/sbin", "/sbin", "/usr/local/sbin", "/usr/local/bin", "/usr/bin")


def installed(component: Component) -> Path | None:
    """The program of an installed package; looks in the sbin folders too, which a user's PATH may lack."""
    found = shutil.which(component.name, path=os.pathsep.join(_SBIN))
    return Path(found) if found else None


def unpack(component: Component, program: str, staging: Path, progress: Progress) -> Path:
    """A folder of the staging folder that holds the package's tree, with the file `program` in it.

    Raises `SourceError` when no package has it or its libraries are not here, `ComponentError` when the disk is full.
    """
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise SourceError(f"install {component.name} with this machine's package manager (there is no apt-get)")
    reasons = []
    for package in component.debian:
        progress(f"getting Debian's package {package}, without installing it")
        folder = staging / package
        folder.mkdir()
        reason = _download(package, folder)
        if reason:
            reasons.append(reason)
            continue
        for archive in folder.glob("*.deb"):
            _run(["dpkg-deb", "-x", str(archive), str(folder / "tree")], folder)
        made = folder / "tree" / program
        if made.is_file():
            missing = _not_found(made)
            if missing:
                raise SourceError(f"{component.name} needs {', '.join(missing)}, which this machine lacks")
            return folder / "tree"
        reasons.append(f"package {package} holds no {program}")
    raise SourceError("; ".join(reasons))


def libraries(program: Path) -> tuple[str, ...]:
    """Folders that hold the shared libraries and the loader of a program; none for a static one."""
    paths = re.findall(r"(/\S+) \(0x", _ldd(program))
    return tuple(sorted({str(Path(path).parent) for path in paths}))


def _not_found(program: Path) -> list[str]:
    return re.findall(r"(\S+) => not found", _ldd(program))


def _ldd(program: Path) -> str:
    return subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=False).stdout


def _download(package: str, folder: Path) -> str:
    """Why apt could not download a package; empty when it has. Its lists are brought up to date once, as root."""
    command = ["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", package]
    reason = _reason(command, folder)
    if reason and os.geteuid() == 0 and _reason(["apt-get", "-q", "update"], folder) == "":
        reason = _reason(command, folder)
    return reason


def _reason(argv: Sequence[str], folder: Path) -> str:
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if "No space left on device" in done.stderr:
        raise no_space(folder)
    lines = [line for line in done.stderr.splitlines() if line.startswith("E:")]
    return "" if done.returncode == 0 else f"{' '.join(argv)}: {'; '.join(lines) or f'exit code {done.returncode}'}"


def _run(argv: Sequence[str], folder: Path) -> None:
    if reason := _reason(argv, folder):
        raise SourceError(reason)
