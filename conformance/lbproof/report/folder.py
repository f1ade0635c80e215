"""Files of a run's folder: the manifest of their SHA-256 (`SHA256SUMS`), its signature, and what may not be in it."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

SUMS = "SHA256SUMS"
"""Manifest: a line each file, as `sha256sum` writes and checks it."""
SIGNATURE = f"{SUMS}.sig"
"""Signature of the manifest (`lbproof.report.signature`)."""
_SUM = re.compile(r"(?P<digest>[0-9a-f]{64})  (?P<path>.+)")


def checksums(run: Path) -> dict[str, str]:
    """Return the SHA-256 of every file of a run's folder but the manifest and its signature, by path in the folder."""
    apart = {run / SUMS, run / SIGNATURE}
    files = sorted(path for path in run.rglob("*") if path.is_file() and path not in apart)
    return {path.relative_to(run).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def manifest(run: Path) -> str:
    """Return the text of `SHA256SUMS` for the files that are there."""
    return "".join(f"{digest}  {name}\n" for name, digest in checksums(run).items())


def problems(run: Path) -> list[str]:
    """Compare the files of a folder with its manifest; one line each difference."""
    sums = run / SUMS
    if not sums.exists():
        return [f"{SUMS} is missing: generate it with lbproof report html {run}"]
    lines = sums.read_text(encoding="utf-8", errors="replace").splitlines()
    read = [match for line in lines if (match := _SUM.fullmatch(line))]
    written = {match["path"]: match["digest"] for match in read}
    odd = [f"{SUMS}: a line of it is not a SHA-256 in hexadecimal, two blanks and a path"]
    now = checksums(run)
    return [
        *(odd if len(read) != len(lines) else []),
        *([f"{SUMS}: names a file more than once"] if len(written) != len(read) else []),
        *(f"{name}: missing" for name in sorted(written.keys() - now.keys())),
        *(f"{name}: not in {SUMS}" for name in sorted(now.keys() - written.keys())),
        *(
            f"{name}: changed since {SUMS} was written"
            for name in sorted(now)
            if written.get(name, now[name]) != now[name]
        ),
    ]
