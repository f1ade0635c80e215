"""Terminal output during a run and at its end."""

from __future__ import annotations

import textwrap
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from lbproof.report.text import plain
from lbproof.spec import NOT_REACHED, Conclusion, Level, Verdict
from lbproof.spec.requirements import sentence

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TextIO

    from lbproof.report.model import Run

GLYPHS = {
    Verdict.PASSED: "✓",
    Verdict.FAILED: "✗",
    Verdict.ERROR: "!",
    Verdict.UNTESTABLE: "?",
    Verdict.SKIPPED: "–",  # noqa: RUF001 - a dash, on purpose
    Verdict.UNSUPPORTED: "·",
}
_COLOURS = {Verdict.PASSED: 32, Verdict.FAILED: 31, Verdict.ERROR: 35, Verdict.UNTESTABLE: 33}
_STAGES = {
    "boot": "booting the lab",
    "install": "installing the implementation",
    "checks": "judging",
    "teardown": "taking the lab down",
}
_MOST_LINES = 6
"""Maximum lines for each part of a failure on the terminal; the report contains all of them."""
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
        self._done, self._all = 0, 0
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
            self._line(
                f"{event['implementation']} {event['version']}: {self._all} cases of specification {event['spec']}"
            )
        elif kind == "stage":
            self._stage(event)
        elif kind == "check.finished" and event["node"]:
            self._done += 1
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
        head = f"{event['t']:7.1f} s  {self._done:>3}/{self._all}  "
        mark = self._paint(f"{GLYPHS[verdict]} {verdict:10}", verdict)
        flaky = " (flaky)" if event.get("flaky") else ""
        text = _short(sentence(event["case"]), self.width - len(head) - 34 - len(flaky))
        self._line(f"{head}{mark} {event['case']:11} {event['seconds']:5.1f} s  {text}{flaky}")
        if verdict in {Verdict.FAILED, Verdict.ERROR, Verdict.UNTESTABLE}:
            for label in ("reason", "expected", "observed"):
                if event.get(label):
                    self._indented(label, str(event[label]))

    def _indented(self, label: str, text: str) -> None:
        lines = textwrap.wrap(plain(text), max(30, self.width - 30), max_lines=_MOST_LINES, placeholder=" …")
        for number, line in enumerate(lines):
            self._line(f"{'':18}{label if number == 0 else '':9} {line}")

    def _paint(self, text: str, verdict: Verdict) -> str:
        return f"\033[{_COLOURS[verdict]}m{text}\033[0m" if self.color and verdict in _COLOURS else text


def summary(run: Run, width: int = 100) -> list[str]:
    """Return the closing lines: areas, cases that did not pass, slow waits with their budgets, the conclusion."""
    lines = [""]
    for area, results in run.by_area:
        cases = [case for result in results for case in result.cases]
        row = "".join(GLYPHS[case.verdict] for case in cases)
        passed = sum(case.verdict is Verdict.PASSED for case in cases)
        lines.append(f"  {area:8} {passed:>3}/{len(cases):<3} {row}")
    lines += _not_passed(run, width)
    tight = [wait for wait in run.waits() if wait.longest > wait.within / 2]
    if tight:
        lines += ["", "  slow against their budgets:"]
        for w in tight:
            head = f"    {w.name:18} took up to {w.longest:.2f} s of {w.within:g} s  "
            lines.append((head + _short(w.text, width - len(head))).rstrip())
    counts = ", ".join(f"{count} {verdict}" for verdict, count in run.counts().items() if count)
    levels = "  ".join(f"{level} {good}/{of}" for level, (good, of) in run.levels().items() if of)
    parts = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in run.stages)
    lines += ["", *([f"  {counts}"] if counts else []), f"  {levels or 'nothing judged'}"]
    lines.append(f"  in {run.seconds:.0f} s{': ' if parts else ''}{parts}")
    lines += [f"  {line}" for line in textwrap.wrap(plain(run.note), max(30, width - 2))]
    if run.folder:
        lines.append(f"  report: {_near(run.folder / 'report.html')}")
    lines += [f"  {line}" for line in textwrap.wrap(scope_line(run), max(30, width - 2))]
    who = f"{run.started['implementation']} {run.started['version']}"
    lines.append(f"  {who}: {run.conclusion.upper()}")
    return lines


def scope_line(run: Run) -> str:
    """Return the judged part of the profile or its unclaimed features; empty if all is judged and claimed."""
    text = run.scope.text
    return f"{text}; what was judged held" if run.conclusion is Conclusion.PARTIAL else text


def _not_passed(run: Run, width: int) -> list[str]:
    others = [case for case in run.cases if case.verdict is not Verdict.PASSED or case.flaky]
    if not others:
        return []
    lines = ["", "  not passed:"]
    unreached = [case for case in others if case.reason.startswith(NOT_REACHED)]
    for case in (case for case in others if case not in unreached or len(unreached) < _MANY):
        head = f"    {GLYPHS[case.verdict]} {case.id:11} {case.verdict:11} "
        reason = case.reason or ("passed only on a second look" if case.flaky else "")
        if case.verdict in {Verdict.FAILED, Verdict.ERROR}:
            lines.append(head + _short(case.sentence, width - len(head)))
            told = textwrap.wrap(plain(reason), max(30, width - len(head)), max_lines=2, placeholder=" …")
            lines += [f"{'':{len(head)}}{line}" for line in told]
        else:
            lines.append((head + _short(reason, width - len(head))).rstrip())
        lines += [f"{'':{len(head)}}{plain(row['path'])}" for row in case.evidence if row["kind"] == "pcap"]
    if len(unreached) >= _MANY:
        text = f"{len(unreached)} cases, from {unreached[0].id} on: {plain(unreached[0].reason)}"
        lines.append(f"    {GLYPHS[Verdict.ERROR]} " + _short(text, width - 6))
    return lines


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
}
