"""The events of a run: what `events.ndjson` holds, one JSON object a line, in the order of time.

This file is the spine. The suite appends, and everything that a person reads (terminal, `report.json`, `junit.xml`,
`report.html`) is made from it, also by a later version, also when the run was killed in the middle. Every line has

- `event`: one of the names below,
- `t`: seconds since the run began (a monotonic clock; all vantages of a lab share it),
- `at`: the wall clock, RFC 3339 in UTC with milliseconds.

Fields are only ever added. `FORMAT` is raised when one changes its meaning.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

FORMAT = 2
"""2: the conclusion of a run that judged a part of its profile is `partial`, which was `conformant` in 1."""

Json = Any
"""Whatever JSON can hold, as `json.loads` gives it."""


class RunStarted(TypedDict):
    """`run.started`: who is judged, by which specification, where."""

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
    """Case IDs that were chosen to be judged, whatever became of them."""
    left_out: dict[str, str]
    """Case ID of the profile → why the operator left it out: verdict `skipped`. Not part of `selected`."""
    budgets: dict[str, float]
    """Name → seconds in force, where they differ from the default or not."""
    command: list[str]


class Environment(TypedDict):
    """`environment`: what a report says of machine, cluster and versions; becomes `environment.json`."""

    facts: dict[str, str]


class Stage(TypedDict):
    """`stage`: a part of the run, as `boot`, `install`, `checks` or `teardown`."""

    name: str
    phase: Literal["begin", "end"]
    seconds: NotRequired[float]
    note: NotRequired[str]


class CheckStarted(TypedDict):
    """`check.started`."""

    case: str
    node: str
    """pytest's node ID."""


class Saw(TypedDict):
    """`saw`: what one witness saw."""

    case: str | None
    witness: Literal["api", "arp", "http", "tcp", "capture", "events", "lab"]
    what: str
    """One line for a reader: `client asks who-has 192.168.172.170`."""
    value: Json


class Waited(TypedDict):
    """`waited`: a named wait, `settles` or `holds`, and what was seen in its course."""

    case: str | None
    mode: Literal["settles", "holds"]
    budget: str
    what: str
    """What was waited for, as a sentence: `default/web is given an address`."""
    ok: bool
    took: float
    """Seconds until it settled; for `holds`, how long it held."""
    within: float
    """The budget in force, in seconds."""
    ceiling: float
    observed: list[tuple[float, str]]
    """Each distinct value seen, with the seconds since the wait began, in order."""


class FaultEvent(TypedDict):
    """`fault`: something was done to the lab, or undone."""

    case: str | None
    kind: str
    target: str
    phase: Literal["begin", "end"]


class Timeline(TypedDict):
    """`timeline`: what a client saw while it probed all the time, with the faults in between."""

    case: str | None
    title: str
    vantage: str
    period: float
    """Seconds between probes."""
    samples: list[tuple[float, float | None, str]]
    """`(t, seconds until the answer or None, who answered or what went wrong)`; `t` as in every event."""
    outages: list[tuple[float, float]]
    """`(from, to)`: runs of probes with no answer, from the first one unanswered to the first answered."""


class Exchange(TypedDict):
    """`exchange`: an ARP exchange, frame by frame."""

    case: str | None
    title: str
    vantage: str
    frames: list[dict[str, Json]]
    """`{t, op: "request"|"reply", sender_mac, sender_ip, target_mac, target_ip, ether_src, ether_dst, node}`; `node`
    names the lab's host that owns the sender's MAC, or is empty."""


class Evidence(TypedDict):
    """`evidence`: a file that was kept, below the run's folder."""

    case: str | None
    kind: Literal["pcap", "timeline", "objects", "events", "logs", "text"]
    title: str
    path: str
    """Relative to the run's folder, with forward slashes."""


class CheckFinished(TypedDict):
    """`check.finished`: the verdict on one case. The last one of a case counts."""

    case: str
    node: str
    verdict: str
    seconds: float
    reason: NotRequired[str]
    """One line: why it is not `passed`."""
    expected: NotRequired[str]
    observed: NotRequired[str]
    untestable: NotRequired[str]
    """Name of the member of `Untestable`."""
    flaky: NotRequired[bool]
    traceback: NotRequired[str]
    """For an `error`: where the suite or the lab broke."""


class RunFinished(TypedDict):
    """`run.finished`: the conclusion. A file without it is of a run that was interrupted."""

    conclusion: str
    exit: int
    seconds: float
    note: NotRequired[str]
    """Why the run ended before its time: Ctrl-C, the lab could not boot."""


NAMES = {
    "run.started": RunStarted,
    "environment": Environment,
    "stage": Stage,
    "check.started": CheckStarted,
    "saw": Saw,
    "waited": Waited,
    "fault": FaultEvent,
    "timeline": Timeline,
    "exchange": Exchange,
    "evidence": Evidence,
    "check.finished": CheckFinished,
    "run.finished": RunFinished,
}
