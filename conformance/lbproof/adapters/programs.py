"""Programs that an adapter runs, or that stand for its images in a lab without images."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from lbproof.lab.base import SYSTEM, Image, LabError
from lbproof.witnesses.kube import load_manifests

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PATIENCE = 120.0
"""Seconds that a program may take."""


def rendered(argv: Sequence[str | Path], *, stdin: str = "") -> list[dict[str, Any]]:
    """Run a program that prints objects as YAML (`helm template …`, `kubectl kustomize …`); return the objects.

    Raises `LabError` in one line when the program is missing, fails, or prints something else.
    """
    words = _words(argv, "rendered()")
    shown = " ".join(words[:3])
    try:
        done = subprocess.run(
            words, input=stdin, capture_output=True, text=True, errors="replace", check=False, timeout=_PATIENCE
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        why = f"takes longer than {_PATIENCE:g} s" if isinstance(error, subprocess.TimeoutExpired) else error.strerror
        raise LabError(f"`{shown}`: {why}") from None
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "it says nothing").splitlines()[-1]
        raise LabError(f"`{shown}` ended with exit code {done.returncode}: {last}")
    try:
        objects = load_manifests(done.stdout)
    except yaml.YAMLError as error:
        raise LabError(f"`{shown}` printed no YAML: {' '.join(str(error).split())}") from None
    if not objects or not all(isinstance(made, dict) for made in objects):
        raise LabError(f"`{shown}` printed no objects")
    return objects


def python_image(
    pattern: str, argv: Sequence[str | Path], *, binds: Sequence[str | Path] = (), env: Mapping[str, str] | None = None
) -> Image:
    """Return an image that is this process's Python interpreter with arguments, such as a script or `-m` and a module.

    `pattern` as in `Image`. The interpreter, its packages, the system's libraries and `binds` are mounted read-only.
    """
    system = {path for path in (*SYSTEM, sys.prefix, sys.base_prefix) if Path(path).exists()}
    return Image(
        pattern=pattern,
        program=sys.executable,
        args=tuple(_words(argv, "python_image()")),
        binds=tuple(sorted(system.union(_words(binds, "python_image() binds")))),
        env={"PYTHONDONTWRITEBYTECODE": "1", **(env or {})},
    )


def _words(given: Sequence[str | Path], what: str) -> list[str]:
    """Return a list as text. Raises `LabError` for one text, which would be taken as a list of its letters."""
    if isinstance(given, str | Path):
        raise LabError(f"{what}: {str(given)!r} is one text; a list is wanted: [{str(given)!r}]")
    return [str(one) for one in given]
