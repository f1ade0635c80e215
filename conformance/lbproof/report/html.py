"""`report.html`: one file without network access or scripts, for light, dark, print and mobile."""

from __future__ import annotations

import shlex
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from lbproof.report import failure_groups, pictures, replay, standing, terminal
from lbproof.spec import AREAS, Conclusion, Verdict
from lbproof.spec.promises import PROMISES
from lbproof.spec.requirements import of_case
from lbproof.text import words

if TYPE_CHECKING:
    from jinja2 import Template

    from lbproof.report.model import Case, Result, Run

_NOT_RUN = {Verdict.UNSUPPORTED, Verdict.SKIPPED}
_TONES = {
    Conclusion.CONFORMANT: "passed",
    Conclusion.NOT_CONFORMANT: "failed",
    Conclusion.INCONCLUSIVE: "error",
    Conclusion.PARTIAL: "partial",
}
_ROWS = 24
"""Maximum number of frames of an exchange on the page."""


@cache
def _template() -> Template:
    """Compile the page's template, once for all pages."""
    environment = Environment(
        loader=PackageLoader("lbproof.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["span"] = _span
    environment.filters["beside"] = _beside
    environment.filters["words"] = words
    return environment.get_template("report.html.j2")


def of(run: Run) -> str:
    """Render the page."""
    counts = terminal.shown_counts(run)
    total = sum(counts.values()) or 1
    unsettled = [c for c in run.cases if c.verdict in {*_NOT_RUN, Verdict.UNTESTABLE}]
    columns = _columns(run)
    program, *arguments = run.started["command"] or ["lbproof"]
    return _template().render(
        run=run,
        started=run.started,
        title=terminal.title(run.conclusion),
        tone=_TONES[run.conclusion],
        scope=terminal.scope_line(run),
        areas=AREAS,
        glyphs={**terminal.GLYPHS, "flaky": terminal.FLAKY},
        shown=lambda one: "flaky" if one.flaky and one.verdict is Verdict.PASSED else one.verdict.value,
        levels=[(level, good, of, terminal.LEVEL_TEXTS[level]) for level, (good, of) in run.levels().items() if of],
        figure=terminal.figure,
        shares=[(verdict, count, count / total * 100) for verdict, count in counts.items() if count],
        failure_groups=failure_groups.group_failures(run),
        level=failure_groups.level,
        replay=lambda case: replay.command(run.started, case.id),
        story=lambda case: terminal.story(case.reason, case.expected, case.observed),
        requirement=lambda case: of_case(case.id).id,
        not_run=_NOT_RUN,
        unsettled=unsettled,
        columns=columns,
        once=("once", "") in columns,
        columns_of=lambda result: [one for one in columns if any(case.family == one[1] for case in result.cases)],
        judged_once=lambda result: _judged_once(result) if len(columns) > 1 else [],
        judged=len(run.cases) - len(unsettled),
        command=shlex.join([Path(program).name, *arguments]),
        figures=_figures(run),
        stages=Markup(pictures.stages(run.stages)),  # noqa: S704 - our own SVG, its texts escaped
        timelines=_timelines,
        budget=lambda wait: Markup(pictures.budget(wait["took"], wait["within"], wait["ceiling"])),  # noqa: S704
        exchange=_exchange,
        settled=lambda case: [w for w in case.waits if w["mode"] == "settles"],
        promises=PROMISES,
        observation=_observation,
        unwatched=standing.not_watched(run.witnesses),
        by_promise=standing.by_promise,
        Verdict=Verdict,
    )


def _columns(run: Run) -> list[tuple[str, str]]:
    """Return the columns of verdicts as title and family: one without a title where there is one family."""
    if not run.families:
        return [("", "")]
    once = [("once", "")] if any(not case.family for case in run.cases) else []
    return [*((family, family) for family in run.families), *once]


def _judged_once(result: Result) -> list[tuple[list[str], str]]:
    """Return the cases of a requirement that are judged once, by the reason why."""
    found: dict[str, list[str]] = {}
    for case in result.cases:
        if not case.family:
            found.setdefault(result.requirement.why_once(case.id), []).append(case.id)
    return [(cases, why) for why, cases in found.items()]


def _observation(row: dict[str, Any]) -> str:
    """Describe an observation of a standing witness: a frame, a version of a Service or an Event about it."""
    if "sender_mac" in row:
        return (
            f"{row.get('node') or '?'}: {_says(row)} at {row['sender_mac']}, in a frame of {row.get('ether_src', '?')}"
        )
    changed = "".join(f"; {part}: {words(was)} → {words(now)}" for part, (was, now) in row.get("changed", {}).items())
    version = f"{row.get('service')} version {row.get('version')}, {row.get('type')}"
    return f"{version}, addresses {words(row.get('status', [])) or 'none'}{changed}"


def _span(seconds: float) -> str:
    """Format a duration in seconds."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 90 else f"{seconds / 60:.1f} min"  # noqa: PLR2004 - a minute and a half


def _beside(path: str) -> str:
    """Return a relative link to a file in the run's folder; the path cannot add a scheme or host."""
    return f"./{quote(path)}"


def _timelines(case: Case) -> list[tuple[str, Markup]]:
    return [
        (event["title"], Markup(pictures.timeline(event, case.faults)))  # noqa: S704 - our own SVG, its texts escaped
        for event in case.timelines
    ]


def _exchange(case: Case, event: dict[str, Any]) -> dict[str, Any]:
    """Return the frames of an exchange as rows; a frame is marked if several MACs claimed its sender address.

    A long exchange is cut to the frames around the most relevant one, which `around` describes.
    """
    frames = event["frames"]
    speakers: dict[str, set[str]] = {}
    second = None
    for at, frame in enumerate(frames):
        if _speaks(frame):
            macs = speakers.setdefault(frame["sender_ip"], set())
            macs.add(frame["sender_mac"])
            second = at if second is None and len(macs) > 1 else second
    contested = {ip: macs for ip, macs in speakers.items() if len(macs) > 1}
    moment, around = _moment(case, frames, second)
    begin = min(max(moment - _ROWS // 2, 0), max(len(frames) - _ROWS, 0))
    return {
        "rows": [
            {
                "t": f"{frame['t'] - frames[0]['t']:+.3f} s",
                "says": _says(frame),
                "mac": frame["sender_mac"],
                "node": frame["node"],
                "contested": frame["sender_mac"] in contested.get(frame["sender_ip"], ()),
            }
            for frame in frames[begin : begin + _ROWS]
        ],
        "contested": bool(contested),
        "around": around if len(frames) > _ROWS else "",
        "captures": [row for row in case.evidence if row["kind"] == "pcap"],
    }


def _moment(case: Case, frames: list[dict[str, Any]], second: int | None) -> tuple[int, str]:
    """Return the most relevant frame and a description of its position."""
    if second is not None:
        return second, "around the first moment at which a second hardware address answers for the same address"
    fault = next((fault["t"] for fault in case.faults if fault["phase"] == "begin"), None)
    after = next((at for at, frame in enumerate(frames) if fault is not None and frame["t"] >= fault), None)
    return (0, "from the first frame on") if after is None else (after, "around the fault")


def _speaks(frame: dict[str, Any]) -> bool:
    """Return whether a frame claims an address for its sender: a reply or an announcement."""
    return bool(frame["op"] == "reply" or frame["sender_ip"] == frame["target_ip"])


def _says(frame: dict[str, Any]) -> str:
    if frame["sender_ip"] == frame["target_ip"]:
        return f"announces {frame['sender_ip']} to all"
    if frame["op"] == "request":
        return f"who has {frame['target_ip']}? tell {frame['sender_ip']}"
    return f"{frame['sender_ip']} is here (to {frame['target_ip']})"


def _figures(run: Run) -> list[tuple[str, str, str, str]]:
    """Return the measured outages: case, requirement, description, duration."""
    found = []
    for case in run.cases:
        for event in case.timelines:
            longest = max((until - since for since, until in event["outages"]), default=0.0)
            told = _span(longest) if longest else "nothing lost"
            found.append((case.id, of_case(case.id).id, event["title"], told))
    return found
