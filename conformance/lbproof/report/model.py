"""Model of a run, built from its events: verdicts, reasons, waits, observations and evidence.

All reports are generated from this model. It can be built from the events of a killed run, and the conclusion is
derived here again, never copied.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING

from lbproof.files import not_plain
from lbproof.report import event_lines, standing
from lbproof.report.event_lines import EVENTS, BadRun, Event
from lbproof.spec import (
    AREAS,
    BUDGETS,
    NOT_REACHED,
    PROFILES,
    REQUIREMENTS,
    Conclusion,
    Exit,
    Level,
    Requirement,
    Scope,
    UnknownName,
    Verdict,
    claims,
    conclude,
    is_reached,
    scope_of,
    worst,
)
from lbproof.spec.families import Family
from lbproof.spec.requirements import case_of, family_shown, sentence

if TYPE_CHECKING:
    from pathlib import Path

    from lbproof.spec.requirements import FamilyShown

__all__ = ["EVENTS", "BadRun", "Case", "Event", "Result", "Run", "Wait", "of_events", "read"]


@dataclass(slots=True, kw_only=True)
class Case:
    """One verdict with its evidence."""

    id: str
    """Name of the verdict: the ID of the case, with the family where it is a further one (`POOL-03c-IPv6`)."""
    family: FamilyShown = ""
    """Family that it is about; empty where the case is judged once, and where IPv4 alone is claimed."""
    verdict: Verdict
    reason: str = ""
    expected: str = ""
    observed: str = ""
    traceback: str = ""
    seconds: float = 0.0
    flaky: bool = False
    began: bool = False
    """Whether its check was started."""
    sentence: str = ""
    """What the case shows."""
    node: str = ""
    """pytest's node ID; empty when no check of it ran."""
    waits: list[Event] = field(default_factory=list)
    saw: list[Event] = field(default_factory=list)
    measured: list[Event] = field(default_factory=list)
    faults: list[Event] = field(default_factory=list)
    timelines: list[Event] = field(default_factory=list)
    exchanges: list[Event] = field(default_factory=list)
    evidence: list[Event] = field(default_factory=list)

    @property
    def case(self) -> str:
        """ID of the case, without a family."""
        return case_of(self.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A requirement, the verdicts on its cases, and what standing witnesses saw of it."""

    requirement: Requirement
    cases: tuple[Case, ...]
    """None if the requirement was not selected, and only a standing witness judges it."""
    standing: tuple[Event, ...] = ()
    """Events `standing`, in order."""

    @property
    def verdicts(self) -> list[Verdict]:
        """Verdicts on its cases, and those of standing witnesses."""
        return [*(case.verdict for case in self.cases), *(Verdict.FAILED for _ in self.standing)]

    @property
    def verdict(self) -> Verdict:
        """Worst of its verdicts."""
        return worst(self.verdicts)

    @property
    def flaky(self) -> bool:
        """Whether a case passed only on a second attempt."""
        return any(case.flaky for case in self.cases)

    @property
    def seconds(self) -> float:
        """Duration of all its cases in seconds."""
        return sum(case.seconds for case in self.cases)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """All waits of a run by one budget, in seconds."""

    name: str
    text: str
    count: int
    median: float
    longest: float
    within: float
    ceiling: float


@dataclass(slots=True, kw_only=True)
class Run:
    """Run as read from its events."""

    started: Event
    environment: dict[str, str]
    results: list[Result]
    stages: list[tuple[str, float]]
    events: int
    until: float
    """Time of the last event, in seconds."""
    finished: Event | None
    lab_waits: list[Event]
    """Waits during boot and installation, which belong to no case."""
    clocks: dict[str, Event] = field(default_factory=dict)
    """Vantage → last event `probe`, with the offset and the uncertainty of its clock in seconds."""
    witnesses: dict[str, Event] = field(default_factory=dict)
    """Standing witness → its worst event `witness` in any lab."""
    folder: Path | None = None
    """Folder that it was read from; None if the events are not from a file."""

    @property
    def by_area(self) -> list[tuple[str, list[Result]]]:
        """Results of each judged area, in the order of the specification."""
        found = [(name, [r for r in self.results if r.requirement.area == name]) for name in AREAS]
        return [(name, results) for name, results in found if results]

    @property
    def cases(self) -> list[Case]:
        """All cases, in the order of the specification."""
        return [case for result in self.results for case in result.cases]

    @property
    def families(self) -> list[str]:
        """Families that cases are judged for, in order; none when no other than IPv4 is claimed."""
        there = {case.family for case in self.cases}
        return [family.label for family in Family if family.label in there]

    @property
    def standing(self) -> list[Event]:
        """What standing witnesses saw, in the order of the specification."""
        return [event for result in self.results for event in result.standing]

    @property
    def scope(self) -> Scope:
        """Judged part of the profile."""
        reached = {case.id: case.verdict for case in self.cases if is_reached(case.verdict, case.reason)}
        spec = self.started["spec"]
        return scope_of(self.started["profile"], claims(self.started["claimed"], spec), reached, spec)

    @property
    def conclusion(self) -> Conclusion:
        """Derive the conclusion from the verdicts; an unfinished run is inconclusive at best."""
        scope = self.scope
        broken = [(Level.MUST, Verdict.ERROR) for event in self.witnesses.values() if event["state"] == "broken"]
        found = conclude(
            [*broken, *((result.requirement.level, v) for result in self.results for v in result.verdicts)],
            whole=scope.whole,
            not_claimed=scope.not_claimed,
            flaky=[result.requirement.level for result in self.results for case in result.cases if case.flaky],
        )
        if self.finished is None and found in {Conclusion.CONFORMANT, Conclusion.PARTIAL}:
            return Conclusion.INCONCLUSIVE
        return found

    @property
    def exit(self) -> int:
        """Exit code: 69 or 70 if an inconclusive run recorded it, otherwise that of the conclusion."""
        recorded = int(self.finished["exit"]) if self.finished else None
        broken = recorded in {Exit.NO_ENVIRONMENT, Exit.BUG} and self.conclusion is Conclusion.INCONCLUSIVE
        return recorded if recorded is not None and broken else int(Exit.of(self.conclusion))

    @property
    def note(self) -> str:
        """Reason for an early end of the run; empty for a complete run."""
        if self.finished is None:
            return "the run was killed: its events have no end"
        return str(self.finished.get("note", ""))

    @property
    def seconds(self) -> float:
        """Duration of the run in seconds, or until its last event if it was killed."""
        return float(self.finished["seconds"]) if self.finished else self.until

    @property
    def at(self) -> str:
        """Time of the start (RFC 3339)."""
        return str(self.started["at"])

    def counts(self) -> dict[Verdict, int]:
        """Return the number of cases by verdict."""
        return {verdict: sum(case.verdict is verdict for case in self.cases) for verdict in Verdict}

    def levels(self) -> dict[Level, tuple[int, int]]:
        """Return by level that judges the number of requirements that passed, and of those that are not unsupported."""
        left_out = {Verdict.UNSUPPORTED}
        found: dict[Level, tuple[int, int]] = {}
        for level in (level for level in Level if level is not Level.INFO):
            judged = [r for r in self.results if r.requirement.level is level and r.verdict not in left_out]
            found[level] = (sum(r.verdict is Verdict.PASSED and not r.flaky for r in judged), len(judged))
        return found

    @property
    def measured(self) -> list[Case]:
        """Cases with figures, in the order of the specification."""
        return [case for case in self.cases if case.measured]

    def waits(self) -> list[Wait]:
        """Return every named wait that succeeded, with the measured times."""
        took: dict[str, list[float]] = {}
        within: dict[str, float] = {}
        for case in self.cases:
            for wait in case.waits:
                if wait["mode"] == "settles" and wait["ok"]:
                    took.setdefault(wait["budget"], []).append(wait["took"])
                    within[wait["budget"]] = wait["within"]
        return [
            Wait(
                name=name,
                text=budget.text,
                count=len(took[name]),
                median=median(took[name]),
                longest=max(took[name]),
                within=within[name],
                ceiling=budget.ceiling,
            )
            for name, budget in BUDGETS.items()
            if name in took
        ]


_OF_A_CASE = {
    "waited": "waits",
    "saw": "saw",
    "measured": "measured",
    "fault": "faults",
    "timeline": "timelines",
    "exchange": "exchanges",
    "evidence": "evidence",
}


def read(run: Path) -> Run:
    """Read a run from its folder or its events file. Raises `BadRun`, also for a folder that holds links."""
    path = run
    try:
        if run.is_dir():
            path = run / EVENTS
            if foreign := not_plain(run):
                raise BadRun(f"{run}: {foreign[0]}; such a folder is not read")
        events = event_lines.read(path)
    except OSError as error:
        raise BadRun(f"{path}: {error.strerror}") from None
    try:
        told = of_events(events)
    except BadRun as error:
        raise BadRun(f"{path}: {error}") from None
    told.folder = path.parent
    return told


def of_events(events: list[Event]) -> Run:
    """Build a run from events. Raises `BadRun` for a case that is not in the specification."""
    started, finished = events[0], next((e for e in events if e["event"] == "run.finished"), None)
    if started["profile"] not in PROFILES:
        raise BadRun(
            str(UnknownName("profile", started["profile"], "run.started", PROFILES, "lbproof list --profiles"))
        )
    cases: dict[str, Case] = {}
    for name in started["selected"]:
        cases[name] = Case(id=name, verdict=Verdict.ERROR, reason=f"{NOT_REACHED}the run was killed")
    for event in events:
        _tell(cases, event)
    claimed = claims(started["claimed"], started["spec"])
    for name, case in cases.items():
        try:
            case.sentence = sentence(name, started["spec"])
            case.family = family_shown(name, claimed)
        except KeyError:
            raise BadRun(f"{name} is not in specification {started['spec']}") from None
    try:
        seen = standing.by_requirement(events)
    except standing.UnknownPromise as error:
        raise BadRun(str(error)) from None
    results = [
        Result(
            requirement=r.worded(started["spec"]),
            cases=tuple(cases[i] for i in r.names if i in cases),
            standing=tuple(seen.get(r.id, ())),
        )
        for r in REQUIREMENTS.values()
        if r.id in seen or any(i in cases for i in r.names)
    ]
    return Run(
        started=started,
        environment=next((e["facts"] for e in events if e["event"] == "environment"), {}),
        results=results,
        stages=[(e["name"], e["seconds"]) for e in events if e["event"] == "stage" and "seconds" in e],
        events=len(events),
        until=max(e["t"] for e in events),
        finished=finished,
        clocks={e["vantage"]: e for e in events if e["event"] == "probe"},
        witnesses=standing.witnesses(events),
        lab_waits=[e for e in events if e["event"] == "waited" and e["case"] is None],
    )


def _tell(cases: dict[str, Case], event: Event) -> None:
    """Add what an event says of a case."""
    if event["event"] == "check.started" and event["case"] in cases:
        cases[event["case"]].began = True
    if event["event"] == "check.finished":
        _judge(cases.setdefault(event["case"], Case(id=event["case"], verdict=Verdict.ERROR)), event)
    elif event["event"] in _OF_A_CASE and event.get("case") in cases:
        getattr(cases[event["case"]], _OF_A_CASE[event["event"]]).append(event)


def _judge(case: Case, event: Event) -> None:
    case.verdict = Verdict(event["verdict"])
    case.node, case.seconds = event["node"], event["seconds"]
    case.reason = event.get("reason", "")
    case.expected, case.observed = event.get("expected", ""), event.get("observed", "")
    case.traceback, case.flaky = event.get("traceback", ""), event.get("flaky", False)
