"""What the figures say to each aim: pure functions, which `aims` names.

Each gives None where nothing was measured, and says how many trials it stands on. Too few are no success: what was
tried too seldom is `not measured`, unless it is lost already. How many an aim takes stands with it (`Aim.trials`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from lbproof_perf.report.names import range_text, ratio_text, seconds_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from lbproof_perf.report.figures import Figures, Summary

HEARTBEAT = 0.05
"""Seconds between two heartbeats of the arm `reference`."""


class Outcome(StrEnum):
    """How an aim fared."""

    HELD = "held"
    LOST = "lost"
    NOT_MEASURED = "not measured"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the figures say to an aim."""

    text: str
    outcome: Outcome
    trials: int = 0
    """Of the arm that was tried least."""


def _seen(text: str, trials: int, *, held: bool, enough: bool = True) -> Seen:
    """Held or lost; what holds so far but was measured in too little is not measured."""
    outcome = Outcome.LOST if not held else Outcome.HELD if enough else Outcome.NOT_MEASURED
    return Seen(text=text if enough else f"{text}: too few to say", outcome=outcome, trials=trials)


def _between(one: Summary, quantile: str) -> str:
    """A quantile with its interval; of too few values for it the worst of them."""
    text, found = one.text(quantile), one.quantiles.get(quantile)
    if quantile == "max":
        return f"max of {one.count}: {text}"
    if found is None or found.low == found.high:
        return text
    return f"{text} ({range_text(found.low, found.high, one.name)})"


def outage(arm: str, quantile: str, most: float) -> Callable[[Figures], Seen | None]:
    """A quantile of the time to the first answer after a power cut, or the longest (`max`): at most so many seconds."""

    def see(figures: Figures) -> Seen | None:
        one = figures.find("failover", arm, "power-cut", "first_answer_seconds")
        if one is None:
            return None
        text = f"{_between(one, quantile)} in {one.count} power cut{'s' * (one.count != 1)}"
        unknown = quantile == "p50" and quantile not in one.quantiles  # a median that is not known breaks no bar either
        return _seen(text, one.trials, held=unknown or one.at(quantile) <= most, enough=not unknown)

    return see


def recovered(figures: Figures) -> Seen | None:
    """Whether the reference's arms recovered from every power cut; the others' stand beside."""
    found = figures.of("failover", case="power-cut", name="first_answer_seconds")
    ours = [one for one in found if one.arm.startswith("reference")]
    if not ours:
        return None
    text = ", ".join(f"{one.arm} {one.missing} of {one.count}" for one in found)
    return _seen(text, min(one.trials for one in ours), held=not any(one.missing for one in ours))


def distributions(figures: Figures) -> Seen | None:
    """Whether each of the three has as many power cuts as a distribution takes."""
    found = {one.arm: one for one in figures.of("failover", case="power-cut", name="first_answer_seconds")}
    wanted = {"reference": 100, "metallb": 20, "keepalived": 20}
    if not found:
        return None
    text = ", ".join(f"{arm} {found[arm].count if arm in found else 0}" for arm in wanted)
    enough = all(arm in found and found[arm].count >= n for arm, n in wanted.items())
    return _seen(text, min(one.trials for one in found.values()), held=True, enough=enough)


def two_announcers(figures: Figures) -> Seen | None:
    """The longest time with two nodes answering, after any fault of the reference."""
    found = figures.of("failover", arm="reference", name="two_announcers_seconds")
    if not found:
        return None
    worst = max(found, key=lambda one: one.at("max"))
    text = f"at most {seconds_text(worst.at('max'))} ({worst.case}) in {sum(one.count for one in found)} faults"
    return _seen(text, sum(one.trials for one in found), held=worst.at("max") <= HEARTBEAT)


def moved(figures: Figures) -> Seen | None:
    """Requests lost over all planned moves of the reference."""
    lost = figures.find("moves", "reference", "planned", "lost")
    sent = figures.find("moves", "reference", "planned", "sent")
    if lost is None or sent is None:
        return None
    text = f"{sum(lost.values):,.0f} of {sum(sent.values):,.0f} in {lost.count} moves"
    return _seen(text, lost.trials, held=sum(lost.values) == 0, enough=sum(sent.values) >= 10_000)  # noqa: PLR2004 - the aim's own number


def false_takeovers(figures: Figures) -> Seen | None:
    """Takeovers of the reference although nothing was wrong, while the machine starved."""
    found = figures.of("hogs", arm="reference", name="false_takeovers")
    if not found:
        return None
    seconds = sum(sum(one.values) for one in figures.of("hogs", arm="reference", name="seconds"))
    count = sum(sum(one.values) for one in found)
    text = f"{count:,.0f} in {seconds / 60:.3g} min"
    return _seen(text, sum(one.trials for one in found), held=count == 0, enough=seconds >= 0.99 * 600)


def _beside(ours: Summary | None, theirs: Summary | None, quantile: str) -> Seen | None:
    """A quantile of the reference beside MetalLB's; one of them alone is told, and is no comparison."""
    if ours and theirs:
        text = f"{_between(ours, quantile)}; metallb {_between(theirs, quantile)}"
        return _seen(text, min(ours.trials, theirs.trials), held=ours.at(quantile) <= theirs.at(quantile))
    if ours:
        return Seen(text=f"{_between(ours, quantile)}; metallb not measured", outcome=Outcome.NOT_MEASURED)
    if theirs:
        text = f"reference not measured; metallb {_between(theirs, quantile)}"
        return Seen(text=text, outcome=Outcome.NOT_MEASURED)
    return None


def burst(count: int, name: str, quantile: str) -> Callable[[Figures], Seen | None]:
    """A quantile over the Services of a burst: the reference's beside MetalLB's."""

    def see(figures: Figures) -> Seen | None:
        ours = figures.find("allocate", "reference", f"burst-{count}", name)
        theirs = figures.find("allocate", "metallb", f"burst-{count}", name)
        return _beside(ours, theirs, quantile)

    return see


def rest(figures: Figures) -> Seen | None:
    """API requests a second with 100 Services at rest: the reference beside MetalLB."""
    ours = figures.find("allocate", "reference", "rest", "api_requests_per_second")
    theirs = figures.find("allocate", "metallb", "rest", "api_requests_per_second")
    return _beside(ours, theirs, "p50")


def over_kernel(most: float) -> Callable[[Figures], Seen | None]:
    """The reference's median ARP reply over the kernel's own of the same round, at most so many times."""

    def see(figures: Figures) -> Seen | None:
        one = figures.find("arp", "reference", "addresses-1", "p50_over_kernel")
        if one is None:
            return None
        return _seen(f"{_between(one, 'p50')} times in {one.count} rounds", one.trials, held=one.at("p50") <= most)

    return see


def quotient(
    over: tuple[str, str, str, str], under: tuple[str, str, str, str], quantile: str, most: float
) -> Callable[[Figures], Seen | None]:
    """One figure over another, each `(bench, arm, case, name)`, at most so many times."""

    def see(figures: Figures) -> Seen | None:
        one, other = figures.find(*over), figures.find(*under)
        if one is None or other is None or not other.at(quantile):
            return None
        value = one.at(quantile) / other.at(quantile)
        text = f"{ratio_text(value)}: {_between(one, quantile)} over {_between(other, quantile)}"
        return _seen(text, min(one.trials, other.trials), held=value <= most)

    return see


def tiers(figures: Figures) -> Seen | None:
    """Requests a second of each tier, of the user that is fastest there."""
    found = figures.of("load", arm="reference", name="requests_per_second")
    if not found:
        return None
    wanted = ("pod", "clusterip", "nodeport", "loadbalancer")
    best = {
        tier: max((one for one in found if one.case.startswith(tier)), key=lambda one: one.at("p50"), default=None)
        for tier in wanted
    }
    text = ", ".join(f"{tier} {_between(one, 'p50') if one else 'none'}" for tier, one in best.items())
    trials = min(one.trials if one else 0 for one in best.values())
    return _seen(text, trials, held=True, enough=all(best.values()))


def per_core(figures: Figures) -> Seen | None:
    """Requests a second and core of the generators: the best stock user's and ours."""
    stock, ours = (
        figures.find("load", tool, "ceiling", "requests_per_second_per_core")
        for tool in ("FastHttpUser", "ScheduleUser")
    )
    if stock is None or ours is None:
        return None
    times = ours.at("p50") / stock.at("p50")
    text = f"{ratio_text(times)}: ours {_between(ours, 'p50')}, stock {_between(stock, 'p50')}"
    return _seen(text, min(ours.trials, stock.trials), held=times >= 4)  # noqa: PLR2004 - the aim's own number


def frozen(figures: Figures) -> Seen | None:
    """How near the schedule-driven client came to the truth about a server that froze."""
    seen, truth = (
        next(iter(figures.of("load", case="freeze-schedule", name=f"{one}_p95_seconds")), None)
        for one in ("seen", "truth")
    )
    if seen is None or truth is None:
        return None
    stock = next(iter(figures.of("load", case="freeze-stock", name="seen_p95_seconds")), None)
    told = f"; the stock client {_between(stock, 'p50')}" if stock else ""
    text = f"{_between(seen, 'p50')} where the truth is {_between(truth, 'p50')}{told}"
    held = abs(seen.at("p50") - truth.at("p50")) <= 0.05 * truth.at("p50")
    return _seen(text, min(seen.trials, truth.trials), held=held)


def alike(figures: Figures) -> Seen | None:
    """How far the ruler's errors on two identical arms are apart."""
    one, other = (figures.find("ruler", arm, "a-a", "error_seconds") for arm in ("arm-a", "arm-b"))
    if one is None or other is None:
        return None
    apart = 0.0 if one.at("p50") == other.at("p50") else abs(one.at("p50") - other.at("p50"))
    text = f"{seconds_text(apart)} apart in {one.count} and {other.count} outages"
    return _seen(text, min(one.trials, other.trials), held=apart < 0.002)  # noqa: PLR2004 - the aim's own number


def measured_freeze(figures: Figures) -> Seen | None:
    """How near the ruler came to the truth about a server that froze, in the worst of its streams."""
    worst, told, trials = 0.0, [], []
    for seen in figures.of("ruler", case="freeze", name="seen_seconds"):
        truth = figures.find("ruler", seen.arm, "freeze", "truth_seconds")
        if truth is not None:
            worst = max(worst, *(abs(a - b) / b for a, b in zip(seen.values, truth.values, strict=True)))
            told.append(f"{seen.arm} {_between(seen, 'p50')} of {_between(truth, 'p50')}")
            trials.append(seen.trials)
    if not told:
        return None
    return _seen(f"{', '.join(told)}; off by {worst:.2%} at most", min(trials), held=worst <= 0.05)  # noqa: PLR2004 - likewise


def ours(bench: str, case: str, name: str) -> tuple[str, str, str, str]:
    """The place of a figure of the reference."""
    return bench, "reference", case, name
