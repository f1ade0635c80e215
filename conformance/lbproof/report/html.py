"""`report.html`: one file, no network, no script; light and dark, on paper and on a phone."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from lbproof.report import pictures, terminal
from lbproof.spec import AREAS, Conclusion, Level, Verdict

if TYPE_CHECKING:
    from lbproof.report.model import Case, Run

_NOT_RUN = {Verdict.UNSUPPORTED, Verdict.SKIPPED}


def of(run: Run) -> str:
    """The page."""
    environment = Environment(
        loader=PackageLoader("lbproof.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["span"] = _span
    counts = run.counts()
    total = sum(counts.values()) or 1
    return environment.get_template("report.html.j2").render(
        run=run,
        started=run.started,
        title=terminal.title(run.conclusion),
        tone={Conclusion.CONFORMANT: "passed", Conclusion.NOT_CONFORMANT: "failed", Conclusion.INCONCLUSIVE: "error"}[
            run.conclusion
        ],
        areas=AREAS,
        glyphs=terminal.GLYPHS,
        levels=[
            (level, *run.levels()[level], terminal.LEVEL_TEXTS[level]) for level in Level if run.levels()[level][1]
        ],
        shares=[(verdict, count, count / total * 100) for verdict, count in counts.items() if count],
        troubled=[r for r in run.results if r.verdict in {Verdict.FAILED, Verdict.ERROR}],
        not_run=_NOT_RUN,
        unsettled=[c for c in run.cases if c.verdict in {*_NOT_RUN, Verdict.UNTESTABLE}],
        command=shlex.join([Path(run.started["command"][0]).name, *run.started["command"][1:]]),
        figures=_figures(run),
        stages=Markup(pictures.stages(run.stages)),  # noqa: S704 - our own SVG, its texts escaped
        timelines=_timelines,
        budget=lambda wait: Markup(pictures.budget(wait["took"], wait["within"], wait["ceiling"])),  # noqa: S704
        exchange=_exchange,
        settled=lambda case: [w for w in case.waits if w["mode"] == "settles"],
        Verdict=Verdict,
    )


def _span(seconds: float) -> str:
    """Seconds for a reader."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 90 else f"{seconds / 60:.1f} min"  # noqa: PLR2004 - a minute and a half


def _timelines(case: Case) -> list[tuple[str, Markup]]:
    return [
        (event["title"], Markup(pictures.timeline(event, case.faults)))  # noqa: S704 - our own SVG, its texts escaped
        for event in case.timelines
    ]


def _exchange(event: dict[str, Any]) -> list[dict[str, Any]]:
    """The frames of an exchange as rows; one that speaks for an address that another MAC spoke for too is marked."""
    speakers: dict[str, set[str]] = {}
    for frame in event["frames"]:
        if frame["op"] == "reply" or frame["sender_ip"] == frame["target_ip"]:
            speakers.setdefault(frame["sender_ip"], set()).add(frame["sender_mac"])
    first = event["frames"][0]["t"] if event["frames"] else 0
    return [
        {
            "t": f"{frame['t'] - first:+.3f} s",
            "says": _says(frame),
            "mac": frame["sender_mac"],
            "node": frame["node"],
            "contested": len(speakers.get(frame["sender_ip"], ())) > 1
            and frame["sender_mac"] in speakers[frame["sender_ip"]],
        }
        for frame in event["frames"]
    ]


def _says(frame: dict[str, Any]) -> str:
    if frame["sender_ip"] == frame["target_ip"]:
        return f"announces {frame['sender_ip']} to all"
    if frame["op"] == "request":
        return f"who has {frame['target_ip']}? tell {frame['sender_ip']}"
    return f"{frame['sender_ip']} is here (to {frame['target_ip']})"


def _figures(run: Run) -> list[tuple[str, str, str]]:
    """The outages that were measured: case, what it was, how long."""
    found = []
    for case in run.cases:
        for event in case.timelines:
            longest = max((until - since for since, until in event["outages"]), default=0.0)
            found.append((case.id, event["title"], _span(longest) if longest else "nothing lost"))
    return found
