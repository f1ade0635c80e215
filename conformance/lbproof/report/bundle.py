"""Folder of a run: all reports generated from its events, the checksums of its files, and the badge."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from lbproof.files import write_whole
from lbproof.report import html, jsonreport, junit, model
from lbproof.report.folder import SIGNATURE, SUMS, manifest
from lbproof.report.verify import verify
from lbproof.spec import Conclusion

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["SUMS", "badge", "verify", "write"]


def write(run: Path) -> None:
    """Generate all reports of a run's folder from its events. The output is deterministic.

    A signature of other files is removed. Raises `BadRun`, also for a folder that holds links, and `OSError` when a
    file cannot be written; no file is written partially.
    """
    told = model.read(run)
    write_whole(run / "environment.json", json.dumps(told.environment, indent=1) + "\n")
    write_whole(run / "report.json", jsonreport.of(told).model_dump_json(indent=1) + "\n")
    write_whole(run / "junit.xml", junit.of(told))
    write_whole(run / "report.html", html.of(told))
    sums, signed = manifest(run), run / SIGNATURE
    if signed.exists() and (not (run / SUMS).exists() or (run / SUMS).read_text(encoding="utf-8") != sums):
        signed.unlink()
    write_whole(run / SUMS, sums)


def badge(run: model.Run) -> dict[str, Any]:
    """Return the endpoint JSON of a badge with the counts (shields.io's schema 1)."""
    colours = {
        Conclusion.CONFORMANT: "brightgreen",
        Conclusion.NOT_CONFORMANT: "red",
        Conclusion.INCONCLUSIVE: "yellow",
        Conclusion.PARTIAL: "blue",
    }
    scope = run.scope
    parts = [f"{level} {good}/{of}" for level, (good, of) in run.levels().items() if of]
    if not parts:
        parts = ["nothing judged"]
    elif run.conclusion is Conclusion.PARTIAL:
        parts = [f"partial {scope.judged}/{scope.of}"]
    elif not scope.whole:
        parts.append(f"partial {scope.judged}/{scope.of}")
    elif scope.unsupported_musts:
        parts.append(f"{scope.unsupported_musts}/{scope.musts} MUST unsupported")
    parts += [" and ".join(run.families)] if len(run.families) > 1 else []
    return {
        "schemaVersion": 1,
        "label": f"lbproof {run.started['spec']}",
        "message": " · ".join(parts),
        "color": colours[run.conclusion],
    }
