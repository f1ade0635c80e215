"""Events of a run in `events.ndjson`: one JSON object per line, in order of time.

The suite only appends. All output (terminal, `report.json`, `junit.xml`, `report.html`) is generated from this file,
also by a later version, and also after the run was killed. Every line has

- `event`: one of the names below,
- `t`: seconds since the run began (the suite's monotonic clock, to which moments at vantages are converted),
- `at`: the wall clock, RFC 3339 in UTC with milliseconds.

Fields are only ever added. `FORMAT` is raised when one changes its meaning.

A *case* in an event is the name of its verdict: the ID of the case, and with the family where it is a further one that
the case is judged for (`POOL-03c-IPv6`).
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

FORMAT = 3
"""3: a case may have a verdict for each family. 2: the conclusion of a run over part of its profile is `partial`, in
format 1 `conformant`."""

Json = Any
"""Any JSON value, as returned by `json.loads`."""


Witness = Literal["api", "arp", "http", "tcp", "capture", "events", "lab"]
"""Source of an observation."""


class RunStarted(TypedDict):
    """`run.started`: implementation, specification and environment of the run."""

    format: int
    spec: str
    suite: str
    """Version of lbproof."""
    implementation: str
    version: str
    claimed: list[str]
    """Features that the implementation claims."""
    profile: str
    selected: list[str]
    """Cases selected for the run, whatever their verdict."""
    left_out: dict[str, str]
    """Case ID of the profile → reason why the operator excluded it: verdict `skipped`. Not part of `selected`."""
    budgets: dict[str, float]
    """Budget name → seconds used in this run, including defaults."""
    seed: NotRequired[int]
    """What sizes and orders were drawn from; events of earlier versions have it in each case."""
    command: list[str]


class Environment(TypedDict):
    """`environment`: description of machine, cluster and versions; becomes `environment.json`."""

    facts: dict[str, str]


class Stage(TypedDict):
    """`stage`: a part of the run, such as `boot`, `install`, `checks` or `teardown`."""

    name: str
    phase: Literal["begin", "end"]
    seconds: NotRequired[float]
    note: NotRequired[str]


class CheckStarted(TypedDict):
    """`check.started`."""

    case: str
    family: NotRequired[str]
    """Family that is judged; only where IPv6 is claimed, and the family makes a difference."""
    node: str
    """pytest's node ID."""


class Saw(TypedDict):
    """`saw`: an observation of one witness."""

    case: str | None
    witness: Witness
    what: str
    """Description in one line: `client asks who-has 192.168.172.170`."""
    value: Json


class Measured(TypedDict):
    """`measured`: a figure that a requirement of the level INFO reports."""

    case: str
    what: str
    """What was measured, in one line: `Services given an address of a node`."""
    value: float | str
    """A number, or what was seen in words."""
    unit: str
    """Unit of a number, such as `s`; empty for one without, and for words."""


class Waited(TypedDict):
    """`waited`: a named wait, `settles` or `holds`, and its observations."""

    case: str | None
    mode: Literal["settles", "holds"]
    budget: str
    what: str
    """Condition as a sentence: `default/web is given an address`."""
    ok: bool
    took: float
    """Seconds until the condition became true; for `holds`, seconds that it stayed true."""
    within: float
    """Budget used, in seconds."""
    ceiling: float
    observed: list[tuple[float, str]]
    """Each distinct observed value, with the seconds since the wait began, in order."""


class FaultEvent(TypedDict):
    """`fault`: a fault was injected or undone."""

    case: str | None
    kind: str
    target: str
    phase: Literal["begin", "end"]


class Timeline(TypedDict):
    """`timeline`: results of continuous probes by a client."""

    case: str | None
    title: str
    vantage: str
    period: float
    """Seconds between probes."""
    samples: list[tuple[float, float | None, str]]
    """`(t, seconds until the answer or None, backend or kind of failure)`; `t` as in every event."""
    outages: list[tuple[float, float]]
    """`(from, to)`: outages, from the first unanswered probe to the next answered one."""


class Exchange(TypedDict):
    """`exchange`: an ARP exchange, frame by frame."""

    case: str | None
    title: str
    vantage: str
    frames: list[dict[str, Json]]
    """`{t, op: "request"|"reply", sender_mac, sender_ip, target_mac, target_ip, ether_src, ether_dst, node}`; `node`
    names the lab's host that owns the sender's MAC, or is empty."""


class ProbeStarted(TypedDict):
    """`probe`: the clock of a vantage, as measured when a probe was started there. Times in events are converted."""

    vantage: str
    offset: float
    """Seconds by which its monotonic clock is ahead of the suite's."""
    uncertainty: float
    """Seconds, half of the shortest round trip; 0 when both are the same clock."""


class Evidence(TypedDict):
    """`evidence`: a file of evidence in the run's folder."""

    case: str | None
    kind: Literal["pcap", "timeline", "objects", "events", "logs", "text"]
    title: str
    path: str
    """Relative to the run's folder, with forward slashes."""


class WitnessEvent(TypedDict):
    """`witness`: the state of a standing witness has changed; each lab has one of each kind.

    A broken one is an error of the run, which is then inconclusive unless it is not conformant.
    """

    witness: Literal["services", "segment"]
    state: Literal["watching", "unavailable", "broken"]
    """`unavailable`: the lab has no place for it."""
    why: NotRequired[str]
    """Why it does not watch (any more)."""


class StandingEvent(TypedDict):
    """`standing`: a standing promise (`lbproof.spec.promises`) was violated.

    The requirement is failed, whatever the verdicts on its cases are.
    """

    promise: str
    requirement: str
    during: str
    """Case that ran meanwhile in this lab; empty between two cases and at the end of the run."""
    what: str
    """What was observed, in one line."""
    begin: float
    end: float
    """First and last moment of the observation, as `t`."""
    observed: list[dict[str, Json]]
    """Versions of Services, or frames as in `exchange`, each with its moment `t`."""


class CheckFinished(TypedDict):
    """`check.finished`: the verdict of one case. The last one of a case counts."""

    case: str
    family: NotRequired[str]
    """As in `check.started`."""
    node: str
    verdict: str
    seconds: float
    reason: NotRequired[str]
    """Reason in one line why it is not `passed`."""
    expected: NotRequired[str]
    observed: NotRequired[str]
    where: NotRequired[str]
    """For `failed`: the line of the check that failed, `test_x.py:38: check.announcer(address)`."""
    untestable: NotRequired[str]
    """Name of the member of `Untestable`."""
    flaky: NotRequired[bool]
    traceback: NotRequired[str]
    """For an `error`: location of the failure in the suite or the lab."""


class RunFinished(TypedDict):
    """`run.finished`: the conclusion. Without it, the run was interrupted."""

    conclusion: str
    exit: int
    seconds: float
    note: NotRequired[str]
    """Reason for an early end of the run, such as Ctrl-C or a failed boot."""


NAMES = {
    "run.started": RunStarted,
    "environment": Environment,
    "stage": Stage,
    "check.started": CheckStarted,
    "saw": Saw,
    "measured": Measured,
    "waited": Waited,
    "fault": FaultEvent,
    "timeline": Timeline,
    "exchange": Exchange,
    "probe": ProbeStarted,
    "evidence": Evidence,
    "witness": WitnessEvent,
    "standing": StandingEvent,
    "check.finished": CheckFinished,
    "run.finished": RunFinished,
}
