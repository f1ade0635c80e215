"""Folder of a run below the results folder, and the link `latest` to it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from lbproof.files import point
from lbproof.text import printable

if TYPE_CHECKING:
    from pathlib import Path


def new_folder(results: Path, implementation: str) -> Path:
    """Create a folder for this run and point `latest` to it. Raises `LabError` when it cannot be written."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    try:
        for suffix in ("", *(f"-{n}" for n in range(2, 100))):
            directory = results / f"{stamp}-{implementation}{suffix}"
            try:
                directory.mkdir(parents=True)
            except FileExistsError:
                continue
            point(results / "latest", directory.name)
            return directory.resolve()
    except (OSError, ValueError) as error:  # a path must not contain NUL
        why = error.strerror if isinstance(error, OSError) else str(error)
        shown = printable(str(results))
        raise pytest.UsageError(f"results folder {shown}: {why}; choose another with --results") from None
    raise pytest.UsageError(f"results folder {results} already has 99 runs that began in this second")
