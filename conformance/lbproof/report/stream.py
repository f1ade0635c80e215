"""Validation of the events of a run: their order, their moments, and what the specification says of their fields."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lbproof.report import claims, jsonreport, model
from lbproof.spec import BUDGETS, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

_CHECKED = {Verdict.PASSED, Verdict.FAILED, Verdict.UNTESTABLE}
"""Verdicts that only an executed check can have."""
_APART = 0.5
"""Seconds that the moment of an event may differ from a time that the suite read beside it on the same clock."""


def order(text: bytes) -> Iterator[str]:
    """Validate the lines of the events: one run from start to end, and each verdict after the start of its check."""
    lines = text.split(b"\n")
    read = _Order()
    for number, line in enumerate(lines, 1):
        if read.end is not None and line:
            yield f"line {number}: event after run.finished"
            return
        if not line or number == len(lines):  # the last line of a run that was killed may be cut
            continue
        event, twice = once(line)
        if twice:
            yield f"line {number}: the field {twice} is duplicated in an object"
        if event["event"] == "run.started" and number > 1:
            yield f"line {number}: second run.started"
        yield from (f"line {number}: {problem}" for problem in read.take(event))


@dataclass(slots=True)
class _Order:
    """What was read so far."""

    began: dict[str, model.Event] = field(default_factory=dict)
    """Case whose check runs → event of its start."""
    told: dict[str, list[model.Event]] = field(default_factory=dict)
    """Case → its other events since the last verdict on it."""
    ran: dict[str, model.Event] = field(default_factory=dict)
    """Case whose check has ended → event of its start."""
    stages: dict[str, float] = field(default_factory=dict)
    """Stage of the run → moment of its begin."""
    judged: dict[str, str] = field(default_factory=dict)
    """Case → its last verdict."""
    end: float | None = None

    def take(self, event: model.Event) -> Iterator[str]:
        """Read the next event."""
        match event["event"]:
            case "run.finished":
                self.end = event["t"]
            case "check.started":
                self.began[event["case"]] = event
            case "check.finished":
                yield from self._verdict(event)
            case "standing" if event["during"]:
                yield from self._during(event)
            case "stage" if event["phase"] == "begin":
                self.stages[event["name"]] = event["t"]
            case "stage":
                yield from self._stage(event)
            case name if event.get("case") is not None:
                if event["case"] not in self.began:
                    yield f"{name} of {event['case']}, whose check does not run"
                self.told.setdefault(event["case"], []).append(event)

    def _during(self, event: model.Event) -> Iterator[str]:
        """Validate that the case that a violation is attributed to ran at that moment."""
        name, began = event["during"], self.began.get(event["during"]) or self.ran.get(event["during"])
        if began is None or not began["t"] - _APART <= event["begin"] <= event["t"] + _APART:
            yield f"standing: {event['promise']} at {event['begin']:g} s, but {name} did not run then"

    def _stage(self, event: model.Event) -> Iterator[str]:
        """Validate the end of a stage."""
        lasted = event["t"] - self.stages.get(event["name"], event["t"])
        if abs(event.get("seconds", lasted) - lasted) > _APART:
            took = f"stage {event['name']} took {event['seconds']:g} s"
            yield f"{took}, but from its begin to its end there are {lasted:g} s"

    def _verdict(self, event: model.Event) -> Iterator[str]:
        """Validate a verdict against the earlier events of its case."""
        name, verdict = event["case"], event["verdict"]
        began, told, judged = self.began.pop(name, None), self.told.pop(name, []), self.judged.get(name)
        self.judged[name] = verdict
        if began is not None:
            self.ran[name] = began
        if judged is not None and began is None:
            yield f"{name} is {verdict}, was {judged}, but no check of it started in between"
        elif judged == Verdict.FAILED and verdict == Verdict.PASSED and not event.get("flaky"):
            yield f"{name} is passed, was failed, but is not marked flaky"
        if began is not None and event["node"]:
            if began["node"] != event["node"]:
                yield f"{name} is judged by {event['node']}, but {began['node']} was started"
            yield from _moments(event, began["t"], told)


def _moments(event: model.Event, began: float, told: list[model.Event]) -> Iterator[str]:
    """Compare the times of a check and of what it did with the moments of its events."""
    name, lasted = event["case"], event["t"] - began
    if abs(event["seconds"] - lasted) > _APART:
        yield f"{name} took {event['seconds']:g} s, but from its start to its end there are {lasted:g} s"
    for one in told:
        if not began - _APART <= one["t"] <= event["t"] + _APART:
            yield f"{one['event']} of {name} at {one['t']:g} s, outside of its check"
        elif one["event"] == "waited" and one["mode"] == "settles" and one["took"] > one["t"] - began + _APART:
            yield f"{name} waited by {one['budget']} for {one['took']:g} s, from before its check began"
        elif one["event"] == "timeline" and one["outages"] != _outages(one["samples"]):
            yield f"timeline of {name}: its outages are not those of its samples"


def _outages(samples: list[list[Any]]) -> list[list[float]]:
    """Return the outages of a timeline: from the first request without answer to the next answered one, or the last."""
    found: list[list[float]] = []
    down = False
    for due, took, _ in samples:
        if took is None and not down:
            found.append([due, due])
        if took is None or down:
            found[-1][1] = due
        down = took is None
    return found


def fields(run: model.Run) -> Iterator[str]:
    """Validate the events against the specification, for fields that the report does not contain."""
    for name, seconds in run.started["budgets"].items():
        if name not in BUDGETS:
            yield f"{model.EVENTS}: there is no budget {name}"
        elif not 0 < seconds <= BUDGETS[name].ceiling:
            yield f"{model.EVENTS}: budget {name} is {seconds:g} s, but at most {BUDGETS[name].ceiling:g} s is allowed"
    for case in run.cases:
        yield from _judged(case, run)
    for wait in run.lab_waits:
        yield from _in_force("the lab", wait, run.started)
        read = jsonreport.Wait(**{name: wait[name] for name in jsonreport.Wait.model_fields})
        yield from claims.wait_problems(model.EVENTS, read)
    if run.finished:
        yield from _end(run, run.finished)


def _end(run: model.Run, finished: model.Event) -> Iterator[str]:
    """Validate the end of a run."""
    if abs(finished["seconds"] - finished["t"]) > _APART:
        yield f"{model.EVENTS}: the run took {finished['seconds']:g} s, but ended at {finished['t']:g} s"
    if run.until > finished["t"] + _APART:
        yield f"{model.EVENTS}: event at {run.until:g} s, after the end of the run"
    if run.started["format"] < 2:  # noqa: PLR2004 - what `FORMAT` says of 2
        return
    if finished["conclusion"] != run.conclusion:
        yield f"{model.EVENTS}: conclusion is {finished['conclusion']}, but the verdicts give {run.conclusion}"
    if finished["exit"] != run.exit:
        yield f"{model.EVENTS}: exit is {finished['exit']}, but the conclusion is {run.conclusion}"


def _judged(case: model.Case, run: model.Run) -> Iterator[str]:
    """Validate the events of one case."""
    started = run.started
    for wait in case.waits:
        yield from _in_force(case.id, wait, started)
    if case.verdict in _CHECKED and not (case.began and case.node):
        yield f"{model.EVENTS}: {case.id} is {case.verdict}, but no check of it started"
    if case.verdict in _CHECKED and case.id not in started["selected"]:
        yield f"{model.EVENTS}: {case.id} is {case.verdict}, but was not selected"
    if case.verdict is Verdict.SKIPPED and case.id not in started["left_out"]:
        yield f"{model.EVENTS}: {case.id} is skipped, but was not excluded"


def _in_force(who: str, wait: model.Event, started: model.Event) -> Iterator[str]:
    """Compare the budget of a wait with the one that the run began with."""
    in_force = started["budgets"].get(wait["budget"], wait["within"])
    if wait["within"] != in_force:
        yield (
            f"{model.EVENTS}: {who} waited by {wait['budget']} for {wait['within']:g} s, "
            f"but its budget was {in_force:g} s"
        )


def once(line: bytes) -> tuple[Any, str]:
    """Parse a JSON text; also return a duplicate field of an object, empty when there is none."""
    twice: list[str] = []

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        twice.extend(name for name, count in Counter(name for name, _ in found).items() if count > 1)
        return dict(found)

    held = json.loads(line, object_pairs_hook=pairs)
    return held, (twice or [""])[0]
