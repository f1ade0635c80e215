"""Programs as Debian and Ubuntu build them, without installing them: that would start services on the user's machine.

A program that is installed already is used as it is. Otherwise its package is fetched by apt, which checks its
signature, and unpacked into the cache; where libraries of it are missing here, so are the packages that it depends on.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from lbproof.lab.common.environment import NETWORK, closed, only
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

    Raises `SourceError` when no package has it or its libraries cannot be had, `ComponentError` when the disk is full.
    """
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise SourceError(f"install {component.name} with this machine's package manager (there is no apt-get)")
    reasons = []
    for package in component.debian:
        progress(f"getting Debian's package {package}, without installing it")
        folder = staging / package
        folder.mkdir()
        reason = _apt(["download", package], folder)
        if reason:
            reasons.append(reason)
            continue
        _extract(folder, folder / "tree")
        made = folder / "tree" / program
        if made.is_file():
            if _not_found(made):
                progress(f"getting the packages that {package} depends on, without installing them")
                _depend(package, folder)
            if missing := _not_found(made):
                raise SourceError(f"{component.name} needs {', '.join(missing)}, which this machine lacks")
            return folder / "tree"
        reasons.append(f"package {package} holds no {program}")
    raise SourceError("; ".join(reasons))


def tree_of(program: Path) -> Path | None:
    """The unpacked packages that a program lies in; None for one that is installed."""
    return next((folder for folder in program.absolute().parents if folder.name == "tree"), None)


def environment(program: Path) -> dict[str, str]:
    """What a program must be started with to find the libraries that were unpacked with it; nothing for most."""
    tree = tree_of(program)
    if tree is None:
        return {}
    holds = sorted(
        {str(path.parent) for lib in ("lib", "usr/lib") for path in (tree / lib).glob("*-linux-gnu*/*.so.*")}
    )
    return {"LD_LIBRARY_PATH": ":".join(holds)} if holds else {}


def libraries(program: Path) -> tuple[str, ...]:
    """Folders that hold the shared libraries and the loader of a program; none for a static one."""
    paths = re.findall(r"(/\S+) \(0x", _ldd(program))
    return tuple(sorted({str(Path(path).parent) for path in paths}))


def _not_found(program: Path) -> list[str]:
    return re.findall(r"(\S+) => not found", _ldd(program))


def _ldd(program: Path) -> str:
    env = closed() | environment(program)
    return subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=False, env=env).stdout


def _depend(package: str, folder: Path) -> None:
    """Unpack what a package depends on and is not installed here, beside it. `SourceError` when apt cannot get it."""
    archives = folder / "depends"
    (archives / "partial").mkdir(parents=True)
    options = ["-o", f"Dir::Cache::archives={archives}", "-o", "Debug::NoLocking=1"]
    if reason := _apt([*options, "-y", "--no-install-recommends", "--download-only", "install", package], folder):
        raise SourceError(reason)
    _extract(archives, folder / "tree")


def _extract(folder: Path, tree: Path) -> None:
    for archive in sorted(folder.glob("*.deb")):
        _run(["dpkg-deb", "-x", str(archive), str(tree)], folder)


def _apt(words: Sequence[str], folder: Path) -> str:
    """Why apt could not do something; empty when it has. Its lists are brought up to date once, as root."""
    command = ["apt-get", "-q", "-o", "APT::Sandbox::User=root", *words]
    reason = _reason(command, folder)
    if reason and os.geteuid() == 0 and _reason(["apt-get", "-q", "update"], folder) == "":
        reason = _reason(command, folder)
    return reason


def _reason(argv: Sequence[str], folder: Path) -> str:
    done = subprocess.run(
        argv,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env=only("HOME", *NETWORK),
    )
    if "No space left on device" in done.stderr:
        raise no_space(folder)
    lines = [line for line in done.stderr.splitlines() if line.startswith("E:")]
    return "" if done.returncode == 0 else f"{' '.join(argv)}: {'; '.join(lines) or f'exit code {done.returncode}'}"


def _run(argv: Sequence[str], folder: Path) -> None:
    if reason := _reason(argv, folder):
        raise SourceError(reason)
