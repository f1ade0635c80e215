"""Terminal output during a run and at its end."""

from __future__ import annotations

import textwrap
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from lbproof.report import replay, standing
from lbproof.report.failure_groups import group_failures
from lbproof.spec import NOT_REACHED, Conclusion, Level, Verdict
from lbproof.spec.requirements import sentence
from lbproof.text import plain

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TextIO

    from lbproof.report.model import Case, Run

GLYPHS = {
    Verdict.PASSED: "✓",
    Verdict.FAILED: "✗",
    Verdict.ERROR: "!",
    Verdict.UNTESTABLE: "?",
    Verdict.SKIPPED: "–",  # noqa: RUF001 - a dash, on purpose
    Verdict.UNSUPPORTED: "·",
}
FLAKY = "~"
"""Glyph of a case that passed only on a second look."""
_COLOURS = {Verdict.PASSED: 32, Verdict.FAILED: 31, Verdict.ERROR: 35, Verdict.UNTESTABLE: 33}
_STAGES = {
    "boot": "booting the lab",
    "install": "installing the implementation",
    "checks": "judging",
    "second look": "judging again what did not pass",
    "teardown": "taking the lab down",
}
_NOT_RUN = {Verdict.UNSUPPORTED, Verdict.SKIPPED}
_MOST_LINES = 6
"""Maximum lines for each part of a failure on the terminal; the report contains all of them."""
_NAME = 11
"""Width of the column with the names of verdicts, unless one is longer."""
_MANY = 4
"""Below this number, unreached cases are listed individually."""


def _short(text: str, width: int) -> str:
    return textwrap.shorten(plain(text), max(6, width), placeholder=" …")


class LiveTerminal:
    """Journal listener that prints one line for each stage and verdict, and the details of each failure."""

    def __init__(
        self, stream: TextIO, *, color: bool, width: int = 100, stages: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        """Write to `stream`, with colours on a terminal. `stages`: stage → other words for it."""
        self.stream, self.color, self.width = stream, color, width
        self._stages = {**_STAGES, **stages}
        self._done: set[str] = set()
        self._all = 0
        self._names = _NAME
        self._closed = False

    def __call__(self, event: dict[str, Any]) -> None:
        """Print an event if its kind is shown, unless the reader of the stream has gone (`lbproof run | head`)."""
        if self._closed:
            return
        try:
            self._show(event)
        except BrokenPipeError:
            self._closed = True

    def _show(self, event: dict[str, Any]) -> None:
        kind = event["event"]
        if kind == "run.started":
            self._all = len(event["selected"])
            self._names = max(_NAME, *map(len, event["selected"]))
            self._line(
                f"{event['implementation']} {event['version']}: {self._all} cases of specification {event['spec']}"
            )
        elif kind == "stage":
            self._stage(event)
        elif kind == "witness":
            for name, why in standing.not_watched({event["witness"]: event}):
                self._line(f"{event['t']:7.1f} s  {plain(name)}: {plain(why)}")
        elif kind == "standing":
            self._standing(event)
        elif kind == "check.finished" and event["node"]:
            self._done.add(event["case"])
            self._verdict(event)

    def _line(self, text: str) -> None:
        self.stream.write(text + "\n")
        self.stream.flush()

    def _stage(self, event: dict[str, Any]) -> None:
        if "note" in event:
            self._line(f"{event['t']:7.1f} s  {plain(event['note'])}")
        elif event["phase"] == "begin":
            self._line(f"{event['t']:7.1f} s  {self._stages.get(event['name'], event['name'])}")

    def _verdict(self, event: dict[str, Any]) -> None:
        verdict = Verdict(event["verdict"])
        head = f"{event['t']:7.1f} s  {len(self._done):>3}/{self._all}  "
        mark = self._paint(f"{GLYPHS[verdict]} {verdict:10}", verdict)
        flaky = " (flaky)" if event.get("flaky") else ""
        room = self.width - len(head) - 23 - self._names - len(flaky)
        text = "" if flaky and room <= 0 else _short(sentence(event["case"]), room)
        self._line(f"{head}{mark} {event['case']:{self._names}} {event['seconds']:5.1f} s  {text}{flaky}")
        if verdict in {Verdict.FAILED, Verdict.ERROR, Verdict.UNTESTABLE}:
            for label, text in story(event.get("reason", ""), event.get("expected", ""), event.get("observed", "")):
                self._indented(label, text)

    def _standing(self, event: dict[str, Any]) -> None:
        mark = self._paint(f"{GLYPHS[Verdict.FAILED]} {Verdict.FAILED:10}", Verdict.FAILED)
        between = " " * (len(str(self._all)) + 4)
        self._line(f"{event['begin']:7.1f} s  {between}  {mark} {event['requirement']:{self._names}} at any time")
        self._indented("reason", standing.reason(event))

    def _indented(self, label: str, text: str) -> None:
        lines = textwrap.wrap(plain(text), max(30, self.width - 30), max_lines=_MOST_LINES, placeholder=" …")
        for number, line in enumerate(lines):
            self._line(f"{'':18}{label if number == 0 else '':9} {line}")

    def _paint(self, text: str, verdict: Verdict) -> str:
        return f"\033[{_COLOURS[verdict]}m{text}\033[0m" if self.color and verdict in _COLOURS else text


def story(reason: str, expected: str, observed: str) -> list[tuple[str, str]]:
    """Return the labelled texts of a verdict, without those that an earlier one contains."""
    told: list[tuple[str, str]] = []
    for label, text in (("reason", reason), ("expected", expected), ("observed", observed)):
        if text and not any(text in before for _, before in told):
            told.append((label, text))
    return told


def summary(run: Run, width: int = 100) -> list[str]:
    """Return the closing lines: areas, cases that did not pass, slow waits with their budgets, the conclusion."""
    lines = ["", *_areas(run), *_not_passed(run, width), *_at_any_time(run, width), *_measured(run, width)]
    tight = [wait for wait in run.waits() if wait.longest > wait.within / 2]
    if tight:
        lines += ["", "  slow against their budgets:"]
        for w in tight:
            head = f"    {w.name:18} took up to {w.longest:.2f} s of {w.within:g} s  "
            lines.append((head + _short(w.text, width - len(head))).rstrip())
    counts = ", ".join(f"{count} {name}" for name, count in shown_counts(run).items() if count)
    levels = ", ".join(f"{level} {good}/{of}" for level, (good, of) in run.levels().items() if of)
    parts = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in run.stages)
    lines += ["", *([f"  cases: {counts}"] if counts else [])]
    lines.append(f"  requirements: {levels} passed" if levels else "  nothing judged")
    lines.append(f"  in {run.seconds:.0f} s{': ' if parts else ''}{parts}")
    lines += [f"  {line}" for line in textwrap.wrap(plain(run.note), max(30, width - 2))]
    if run.folder:
        lines.append(f"  report: {_near(run.folder / 'report.html')}")
        if any(case.verdict in {Verdict.FAILED, Verdict.ERROR} or case.flaky for case in run.cases):
            lines.append(f"  judge these again: {replay.command(run.started, '--rerun', str(_near(run.folder)))}")
    lines += [f"  {line}" for line in textwrap.wrap(scope_line(run), max(30, width - 2))]
    who = f"{run.started['implementation']} {run.started['version']}"
    lines.append(f"  {who}: {run.conclusion.upper()}")
    return lines


def shown_counts(run: Run) -> dict[str, int]:
    """Return the number of cases by verdict, those that passed only on a second look apart."""
    flaky = sum(case.flaky for case in run.cases)
    passed, *others = run.counts().items()
    return {passed[0].value: passed[1] - flaky, "flaky": flaky, **{verdict.value: count for verdict, count in others}}


def scope_line(run: Run) -> str:
    """Return the judged part of the profile or its unclaimed features; empty if all is judged and claimed."""
    text = run.scope.text
    return f"{text}; what was judged held" if run.conclusion is Conclusion.PARTIAL else text


def _areas(run: Run) -> list[str]:
    """Return a line for each area with the verdicts of its cases; none when the run ended before its first case."""
    if all(case.reason.startswith(NOT_REACHED) or case.verdict in _NOT_RUN for case in run.cases):
        return []
    lines = []
    for area, results in run.by_area:
        cases = [case for result in results for case in result.cases]
        lines += [_area(area if first else "", family, of) for first, family, of in _by_family(run, cases)]
    return lines


def _by_family(run: Run, cases: list[Case]) -> list[tuple[bool, str, list[Case]]]:
    """Return the cases of an area by family, with whether they come first; all together where there is one family."""
    if not run.families:
        return [(True, "", cases)]
    found = [(family, [case for case in cases if case.family == family]) for family in ("", *run.families)]
    there = [(family or "once", of) for family, of in found if of]
    return [(number == 0, family, of) for number, (family, of) in enumerate(there)]


def _area(area: str, family: str, cases: list[Case]) -> str:
    """Return the line with the verdicts on the cases of an area, of one family if there are several."""
    row = "".join(FLAKY if case.flaky else GLYPHS[case.verdict] for case in cases)
    passed = sum(case.verdict is Verdict.PASSED and not case.flaky for case in cases)
    return f"  {area:8} {f'{family:5}' if family else ''}{passed:>3}/{len(cases):<3} {row}"


def _not_passed(run: Run, width: int) -> list[str]:
    others = [case for case in run.cases if case.verdict is not Verdict.PASSED or case.flaky]
    if not others:
        return []
    lines = ["", "  not passed:"]
    unreached = [case for case in others if case.reason.startswith(NOT_REACHED)]
    listed = [case for case in others if case not in unreached or len(unreached) < _MANY]
    many = [group.cases for group in group_failures(run) if len(group.cases) >= _MANY]
    for first, *rest in (cases for cases in many if cases[0] in listed):
        text = f"… and {len(rest)} more for the same reason: {', '.join(case.id for case in rest)}"
        lines += _case(first, width)
        lines += textwrap.wrap(text, width, initial_indent=" " * 6, subsequent_indent=" " * 8)
    for case in (case for case in listed if not any(case in cases for cases in many)):
        lines += _case(case, width)
    if len(unreached) >= _MANY:
        text = f"{len(unreached)} cases, from {unreached[0].id} on: {plain(unreached[0].reason)}"
        lines.append(f"    {GLYPHS[Verdict.ERROR]} " + _short(text, width - 6))
    return lines


def _measured(run: Run, width: int) -> list[str]:
    """Return the figures, by case."""
    lines = []
    for case in run.measured:
        for number, row in enumerate(case.measured):
            head = f"    {case.id if number == 0 else '':11} "
            told = textwrap.wrap(plain(figure(row)), max(30, width - len(head)), max_lines=3, placeholder=" …")
            lines += [(head if at == 0 else f"{'':{len(head)}}") + line for at, line in enumerate(told)]
    return ["", "  measured, and not judged:", *lines] if lines else []


def figure(row: Mapping[str, Any]) -> str:
    """Return a figure in words: `address in status: 0.02 s`."""
    value = row["value"] if isinstance(row["value"], str) else f"{row['value']:.4g}"
    return f"{row['what']}: {value}{' ' + row['unit'] if row['unit'] else ''}"


def _at_any_time(run: Run, width: int) -> list[str]:
    """Return the lines on what standing witnesses saw, and on those that did not watch."""
    lines = []
    for first, *more in standing.by_promise(run.standing):
        head = f"    {GLYPHS[Verdict.FAILED]} {first['requirement']:11} "
        told = textwrap.wrap(plain(standing.reason(first)), max(30, width - len(head)), max_lines=3, placeholder=" …")
        cases = ", ".join(dict.fromkeys(event["during"] for event in more if event["during"]))
        text = f"… and {len(more)} more like this{f', while these ran: {cases}' if cases else ''}"
        told += textwrap.wrap(text, max(30, width - len(head))) if more else []
        lines += [(head if number == 0 else f"{'':{len(head)}}") + line for number, line in enumerate(told)]
    for name, why in standing.not_watched(run.witnesses):
        lines.append("    " + _short(f"{name}: {why}", width - 4))
    return ["", "  at any time:", *lines] if lines else []


def _case(case: Case, width: int) -> list[str]:
    """Return the lines on a case that did not pass."""
    glyph, word = (FLAKY, "flaky") if case.flaky else (GLYPHS[case.verdict], case.verdict.value)
    head = f"    {glyph} {case.id:{_NAME}} {word:11} "
    reason = case.reason or ("passed only on a second look" if case.flaky else "")
    if case.verdict in {Verdict.FAILED, Verdict.ERROR} or case.flaky:
        told = textwrap.wrap(plain(reason), max(30, width - len(head)), max_lines=2, placeholder=" …")
        lines = [head + _short(case.sentence, width - len(head)), *(f"{'':{len(head)}}{line}" for line in told)]
    else:
        lines = [(head + _short(reason, width - len(head))).rstrip()]
    return lines + [f"{'':{len(head)}}{plain(row['path'])}" for row in case.evidence if row["kind"] == "pcap"]


def _near(path: Path) -> Path:
    """Return a path relative to the current folder if possible."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def title(conclusion: Conclusion) -> str:
    """Return a conclusion as a headline."""
    return {
        Conclusion.CONFORMANT: "Conformant",
        Conclusion.NOT_CONFORMANT: "Not conformant",
        Conclusion.INCONCLUSIVE: "Inconclusive",
        Conclusion.PARTIAL: "Partial",
    }[conclusion]


LEVEL_TEXTS = {
    Level.MUST: "binds every implementation",
    Level.SHOULD: "a miss is a warning",
    Level.MAY: "binds whoever claims the feature",
    Level.INFO: "is measured and not judged",
}
