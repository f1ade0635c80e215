"""What the project set out to show, as data: each aim with a function of the figures that says what was seen.

A row that is lost is shown as lost, with the reason that a profile gave where one is known: from `reasons.toml` in
the run's folder (aim → text), else from a trial's `detail["reason"]`. Too few trials are no success: such a row is
`not measured`, and says how many there were.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lbproof.spec import BadOption, UnknownName
from lbproof_perf.report import judges
from lbproof_perf.report.judges import Outcome, Seen

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from lbproof_perf.report.figures import Figures

REASONS = "reasons.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """One row of what must be shown."""

    name: str
    bench: str
    text: str
    aim: str
    """The bar in words: `at most 150 ms`."""
    trials: int
    """How many trials it takes at least, of each arm that it speaks of; the full plan makes as many. Never one."""
    see: Callable[[Figures], Seen | None]
    """None where nothing was measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """An aim and how it fared."""

    aim: Aim
    seen: str
    outcome: Outcome
    reason: str
    """Why it was lost or not measured, as far as that is known."""


def rows(figures: Figures, reasons: Mapping[str, str]) -> list[Row]:
    """Every aim with what was seen. `reasons`: aim → text, as `read_reasons` gives them."""
    made = []
    for aim in AIMS:
        seen = aim.see(figures) or Seen(text="", outcome=Outcome.NOT_MEASURED)
        if seen.outcome is Outcome.HELD and seen.trials < aim.trials:
            text = f"{seen.text}: {seen.trials} of at least {aim.trials} trials"
            seen = replace(seen, text=text, outcome=Outcome.NOT_MEASURED)
        reason = "" if seen.outcome is Outcome.HELD else reasons.get(aim.name) or _told(figures, aim.bench, seen)
        made.append(Row(aim=aim, seen=seen.text, outcome=seen.outcome, reason=reason))
    return made


def of_run(rows: Sequence[Row], figures: Figures) -> tuple[list[Row], str]:
    """The rows of the benchmarks that a run made, and in words which aims it leaves open (empty for none)."""
    asked = [row for row in rows if row.aim.bench in figures.benches]
    left = dict.fromkeys(row.aim.bench for row in rows if row not in asked)
    return asked, f"Not run, so their aims are open: {', '.join(left)}." if left else ""


def read_reasons(folder: Path) -> dict[str, str]:
    """Why aims were lost, from `reasons.toml` of a run's folder; empty where there is none.

    Raises `BadOption` for a file that is no table of texts, `UnknownName` for an aim that there is not.
    """
    path = folder / REASONS
    if not path.exists():
        return {}
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadOption(f"{path}: {error}") from None
    for name, text in told.items():
        if name not in {aim.name for aim in AIMS}:
            raise UnknownName("aim", name, str(path), [aim.name for aim in AIMS], "the aims of report.html")
        if not isinstance(text, str):
            raise BadOption(f"{path}: {name} is {text!r}; it takes a text")
    return told


def _told(figures: Figures, bench: str, seen: Seen) -> str:
    if seen.outcome is not Outcome.LOST:
        return ""
    trials = [t for group in figures.groups if (group.bench, group.arm) == (bench, "reference") for t in group.trials]
    return "; ".join(dict.fromkeys(str(t.detail["reason"]) for t in trials if t.detail.get("reason")))


AIMS: tuple[Aim, ...] = (
    Aim(
        name="power-cut-p50",
        bench="failover",
        text="power cut, reference: median time to the first answer",
        aim="at most 150 ms, 100 cuts",
        trials=100,
        see=judges.outage("reference", "p50", 0.150),
    ),
    Aim(
        name="power-cut-p99",
        bench="failover",
        text="power cut, reference: p99 of the time to the first answer",
        aim="at most 250 ms, 100 cuts",
        trials=100,
        see=judges.outage("reference", "p99", 0.250),
    ),
    Aim(
        name="power-cut-fast",
        bench="failover",
        text="power cut, the reference's fast profile: longest time to the first answer",
        aim="at most 60 ms, 20 cuts (too few for a p99)",
        trials=20,
        see=judges.outage("reference-fast", "max", 0.060),
    ),
    Aim(
        name="power-cut-recovered",
        bench="failover",
        text="power cut: runs of the reference without recovery",
        aim="none",
        trials=20,
        see=judges.recovered,
    ),
    Aim(
        name="power-cut-distributions",
        bench="failover",
        text="power cut: distributions side by side",
        aim="100 cuts of the reference, 20 of metallb, 20 of keepalived",
        trials=20,
        see=judges.distributions,
    ),
    Aim(
        name="moves-lost",
        bench="moves",
        text="planned moves, reference: requests lost",
        aim="0 of 10,000 in 20 moves",
        trials=20,
        see=judges.moved,
    ),
    Aim(
        name="hogs-takeovers",
        bench="hogs",
        text="starved machine, reference: false takeovers",
        aim="none in 10 minutes",
        trials=10,
        see=judges.false_takeovers,
    ),
    Aim(
        name="two-announcers",
        bench="failover",
        text="reference: time with two nodes answering, after any fault",
        aim="at most one heartbeat",
        trials=20,
        see=judges.two_announcers,
    ),
    *(
        Aim(
            name=f"burst-{count}-arp-{quantile}",
            bench="allocate",
            text=f"burst of {count:,} Services: create to the first ARP reply, {quantile}",
            aim="the reference no slower than metallb",
            trials=2,
            see=judges.burst(count, "arp_seconds", quantile),
        )
        for count in (100, 1000)
        for quantile in ("p50", "p99")
    ),
    Aim(
        name="rest-requests",
        bench="allocate",
        text="100 Services at rest: API requests a second",
        aim="the reference no more than metallb",
        trials=2,
        see=judges.rest,
    ),
    Aim(
        name="allocator-flat",
        bench="allocator",
        text="allocator, reference: an allocation among 65,536 addresses over one among 1,024",
        aim="at most 2 times",
        trials=5,
        see=judges.quotient(
            judges.ours("allocator", "65536", "seconds_per_address"),
            judges.ours("allocator", "1024", "seconds_per_address"),
            "p50",
            2,
        ),
    ),
    Aim(
        name="arp-p50",
        bench="arp",
        text="ARP reply, p50: the reference over the kernel",
        aim="at most 12 times",
        trials=5,
        see=judges.over_kernel(12),
    ),
    Aim(
        name="arp-flat",
        bench="arp",
        text="ARP reply, reference, p99: with 10,000 addresses over 1",
        aim="at most 1.1 times",
        trials=5,
        see=judges.quotient(
            judges.ours("arp", "addresses-10000", "p99_seconds"),
            judges.ours("arp", "addresses-1", "p99_seconds"),
            "p50",
            1.1,
        ),
    ),
    Aim(
        name="load-tiers",
        bench="load",
        text="load: requests a second of the four tiers",
        aim="shown with intervals",
        trials=2,
        see=judges.tiers,
    ),
    Aim(
        name="load-per-core",
        bench="load",
        text="load: requests a second and core of the client, our schedule-driven user over stock FastHttpUser",
        aim="at least 4 times",
        trials=2,
        see=judges.per_core,
    ),
    Aim(
        name="freeze",
        bench="load",
        text="a server that freezes: p95 as our schedule-driven client sees it",
        aim="within 5 % of the truth",
        trials=2,
        see=judges.frozen,
    ),
    Aim(
        name="ruler-alike",
        bench="ruler",
        text="two identical arms: difference of the medians",
        aim="below 2 ms",
        trials=5,
        see=judges.alike,
    ),
    Aim(
        name="ruler-freeze",
        bench="ruler",
        text="a server that stands still for 2 s, as the ruler sees it",
        aim="within 5 % of the truth",
        trials=3,
        see=judges.measured_freeze,
    ),
)
"""In the order of the issue's own list."""
