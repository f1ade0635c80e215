"""`report.json`, for programs: fields are only added; `schema_version` is raised when one changes its meaning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict

from lbproof.spec import Conclusion, Level, Verdict
from lbproof.spec.requirements import FamilyShown, is_name

if TYPE_CHECKING:
    from lbproof import spec
    from lbproof.report import model

SCHEMA = 3
"""Schema 3 has a row for each family of a case; schema 2 adds `scope` and the conclusion `partial`, for runs of a part
of a profile (`conformant` in schema 1)."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)


class Implementation(_Strict):
    """Implementation that was judged."""

    name: str
    version: str
    claimed: list[str]


class Wait(_Strict):
    """Named wait; times in seconds."""

    budget: str
    mode: str
    what: str
    ok: bool
    took: float
    within: float
    ceiling: float


class Measured(_Strict):
    """Figure of a requirement of the level INFO."""

    what: str
    value: float | int | str
    unit: str
    """Empty for a number without one, and for words."""


class Evidence(_Strict):
    """File of evidence, by its path in the run's folder."""

    kind: str
    title: str
    path: str


class Case(_Strict):
    """Verdict on one case, for one family where it is judged for each."""

    id: str
    family: FamilyShown = ""
    """Empty where the case is judged once, and where no other family than IPv4 is claimed."""
    sentence: str
    verdict: Verdict
    flaky: bool
    seconds: float
    reason: str
    expected: str
    observed: str
    waits: list[Wait]
    evidence: list[Evidence]
    measured: list[Measured] = []
    """Figures; none in reports of earlier versions, and of what is judged."""

    @property
    def name(self) -> str:
        """Name of the verdict in events and commands: `POOL-03c`, or `POOL-03c-IPv6`."""
        name = f"{self.id}-{self.family}"
        return name if is_name(name) else self.id


class Standing(_Strict):
    """Violation of a standing promise (`lbproof.spec.promises`); times in seconds."""

    promise: str
    during: str
    """Case that ran meanwhile; empty between two cases and at the end."""
    what: str
    begin: float
    end: float
    observed: list[dict[str, Any]]
    """Versions of Services or frames that show it."""


class Witness(_Strict):
    """State of a standing witness."""

    state: Literal["watching", "unavailable", "broken"]
    why: str
    """Why it did not watch, or not to the end."""


class Requirement(_Strict):
    """Requirement with its cases; its verdict is the worst of theirs, or failed by a violation at any time."""

    id: str
    area: str
    level: Level
    sentence: str
    sources: list[str]
    since: str
    verdict: Verdict
    cases: list[Case]
    standing: list[Standing] = []
    """Violations that a standing witness saw, whatever case ran."""


class Scope(_Strict):
    """Judged part of the profile, in numbers of requirements."""

    judged: int
    """Requirements whose claimed cases all passed or failed."""
    in_part: int
    """Requirements of which only some claimed cases passed or failed."""
    unsupported: int
    """Requirements without a claimed case."""
    of: int
    """All requirements of the profile."""
    whole: bool
    """No case of the profile was deselected, skipped or not reached."""
    not_claimed: list[str]
    """Features that the profile requires and the implementation does not claim."""


class Clock(_Strict):
    """Monotonic clock of a vantage, in seconds."""

    offset: float
    """How far it is ahead of the suite's clock, to which all times are converted."""
    uncertainty: float
    """Of the offset; 0 when both are the same clock."""


class Report(_Strict):
    """Report of one run."""

    schema_version: int
    spec: str
    suite: str
    at: str
    seconds: float
    implementation: Implementation
    profile: str
    command: list[str]
    scope: Scope | None = None
    """None only in schema 1."""
    conclusion: Conclusion
    exit: int
    note: str
    counts: dict[Verdict, int]
    environment: dict[str, str]
    clocks: dict[str, Clock] = {}
    """Clock of each vantage that was used; empty in reports of earlier versions."""
    witnesses: dict[str, Witness] = {}
    """Standing witness → its worst state in any lab; empty in reports of earlier versions."""
    requirements: list[Requirement]


def of(run: model.Run) -> Report:
    """Build the report of a run."""
    started = run.started
    return Report(
        schema_version=SCHEMA,
        spec=started["spec"],
        suite=started["suite"],
        at=run.at,
        seconds=run.seconds,
        implementation=Implementation(
            name=started["implementation"], version=started["version"], claimed=started["claimed"]
        ),
        profile=started["profile"],
        command=started["command"],
        scope=scope(run.scope),
        conclusion=run.conclusion,
        exit=run.exit,
        note=run.note,
        counts=run.counts(),
        environment=run.environment,
        clocks={
            vantage: Clock(offset=event["offset"], uncertainty=event["uncertainty"])
            for vantage, event in run.clocks.items()
        },
        witnesses={
            name: Witness(state=event["state"], why=event.get("why", "")) for name, event in run.witnesses.items()
        },
        requirements=[_requirement(result) for result in run.results],
    )


def verdicts(row: Requirement) -> list[Verdict]:
    """Return the verdicts on the cases of a requirement, and those of standing witnesses."""
    return [*(case.verdict for case in row.cases), *(Verdict.FAILED for _ in row.standing)]


def scope(found: spec.Scope) -> Scope:
    """Convert the scope of a run to the report's schema."""
    return Scope(
        judged=found.judged,
        in_part=found.in_part,
        unsupported=found.unsupported,
        of=found.of,
        whole=found.whole,
        not_claimed=list(found.not_claimed),
    )


def _requirement(result: model.Result) -> Requirement:
    wanted = result.requirement
    return Requirement(
        id=wanted.id,
        area=wanted.area,
        level=wanted.level,
        sentence=wanted.text,
        sources=list(wanted.sources),
        since=wanted.since,
        verdict=result.verdict,
        cases=[_case(case) for case in result.cases],
        standing=[Standing(**{name: event[name] for name in Standing.model_fields}) for event in result.standing],
    )


def _case(case: model.Case) -> Case:
    waits = [Wait(**{name: wait[name] for name in Wait.model_fields}) for wait in case.waits]
    evidence = [Evidence(**{name: row[name] for name in Evidence.model_fields}) for row in case.evidence]
    return Case(
        id=case.case,
        family=case.family,
        sentence=case.sentence,
        verdict=case.verdict,
        flaky=case.flaky,
        seconds=case.seconds,
        reason=case.reason,
        expected=case.expected,
        observed=case.observed,
        waits=waits,
        evidence=evidence,
        measured=[Measured(**{name: row[name] for name in Measured.model_fields}) for row in case.measured],
    )
