"""The four answers at the top of the report: a sentence an arm, with the figures that it stands on.

Which trials count, `lbproof_perf.marks` says. Where none does, or all were disturbed, an answer is `not measured`, and
what was seen is told beside with the mark.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lbproof_perf.report import plots
from lbproof_perf.report.formatting import ratio_text, value_text

if TYPE_CHECKING:
    from lbproof_perf.report.figures import Figures, Summary

_TIERS = ("pod", "clusterip", "nodeport", "loadbalancer")
_OUTAGES = ("power-cut", "cable", "silent", "speaker-killed")
_STAGES = (("assigned_seconds", "its address"), ("arp_seconds", "an ARP answer"), ("http_seconds", "the first 200"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmAnswer:
    """The answer for one arm."""

    arm: str
    figure: str
    """The one figure to remember: `144 ms`."""
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One question, answered side by side."""

    question: str
    bench: str
    about: str
    """What exactly the figures are of."""
    arms: tuple[ArmAnswer, ...]


def answers_of(figures: Figures) -> list[Answer]:
    """The answers that a run's figures give; a question that was not measured is left out."""
    asked = (about.answer for about in figures.known.values() if about.answer)
    return [answer for ask in asked if (answer := ask(figures)) and answer.arms]


def tiers(figures: Figures) -> Answer | None:
    """Requests a second of each tier."""
    found = figures.of("load", name="requests_per_second")
    users = [case.partition("-")[2] for case in figures.cases("load") if case.startswith("loadbalancer-")]
    if not users:
        return None
    flat_out = [user for user in users if not user.startswith("schedule")]  # a schedule's rate is what was asked of it
    user = max(flat_out or users, key=lambda one: max(s.at("p50") for s in found if s.case == f"loadbalancer-{one}"))
    answers = []
    for arm in figures.arms("load"):
        found_tiers = {
            tier: one for tier in _TIERS if (one := figures.find("load", arm, f"{tier}-{user}", "requests_per_second"))
        }
        if "loadbalancer" not in found_tiers:
            continue
        told = [f"{tier} {_judged_text(figures, one)}" for tier, one in found_tiers.items() if tier != "loadbalancer"]
        text = f"requests a second through the LoadBalancer; {', '.join(told)}" if told else "requests a second"
        late = figures.find("load", arm, f"loadbalancer-{user}", "p99_seconds")
        if late and not figures.mark(late):
            text += f"; p99 latency {late.text('p50')}"
        answers.append(_arm_answer(figures, found_tiers["loadbalancer"], text))
    return Answer(question="How fast is each tier?", bench="load", about=f"user: {user}", arms=tuple(answers))


def outage(figures: Figures) -> Answer | None:
    """Length of an outage."""
    case = next((one for one in _OUTAGES if one in figures.cases("failover")), None)
    found = figures.of("failover", case=case or "", name="first_answer_seconds")
    if not found:
        return None
    answers = [_arm_answer(figures, one, _distribution(figures, one)) for one in found]
    return Answer(
        question="How long is an outage?",
        bench="failover",
        about=f"{figures.about('failover').case_text(found[0].case)}, to the first answer, median",
        arms=tuple(answers),
    )


def _distribution(figures: Figures, one: Summary) -> str:
    ended = [value for value in one.values if math.isfinite(value)]
    tail = f"p99 {one.text('p99')}, " if "p99" in one.quantiles else ""
    text = f"{tail}longest {value_text(max(ended, default=None), one.name)}"
    lost = f", {one.without} without recovery" if one.without else ""
    return f"{text}, {one.count} run{'s' * (one.count != 1)}{lost}{_against(figures, one)}"


def _arm_answer(figures: Figures, one: Summary, text: str) -> ArmAnswer:
    """An arm's answer: the median, or the worst where there are too few values for one; `not measured` by its marks."""
    (group,) = figures.groups_of(one.bench, one.case, one.arm)
    words, figure = one.describe("p50")
    marked = sum(bool(trial.warnings) for trial in group.counted)
    notes = [
        f"{marked} of {len(group.counted)} marked" if marked else "",
        f"{one.left_out} of {len(group.trials)} left out" if one.left_out else "",
    ]
    if mark := figures.mark(one):
        told = (f"{'; '.join(filter(None, notes))} ({mark}): {figure}", words, text)
        return ArmAnswer(arm=one.arm, figure="not measured", text="; ".join(filter(None, told)))
    return ArmAnswer(arm=one.arm, figure=figure, text="; ".join(filter(None, (words, text, *notes))))


def _judged_text(figures: Figures, one: Summary) -> str:
    return f"not measured (marked: {one.text('p50')})" if figures.mark(one) else one.text("p50")


def _against(figures: Figures, one: Summary) -> str:
    """The ratio to the control arm, where that is a figure to judge by."""
    ratio = one.median_ratio
    control = figures.find(one.bench, ratio.to, one.case, one.name) if ratio else None
    if ratio is None or control is None or figures.mark(control):
        return ""
    low, value, high = (ratio_text(number) for number in (ratio.value.low, ratio.value.value, ratio.value.high))
    return f"; {value} of {ratio.to}'s median" + (f" ({low} to {high})" if low != high else "")


def service(figures: Figures) -> Answer | None:
    """Time until a new Service works."""
    cases = [case for case in figures.cases("allocate") if case != "rest" and not case.endswith("ms")]
    case = max(cases, key=lambda one: int(one.rpartition("-")[2]) if one.startswith("burst") else 0, default=None)
    if case is None:
        return None
    answers = []
    for arm in figures.arms("allocate"):
        stages = [(figures.find("allocate", arm, case, name), words) for name, words in _STAGES]
        told = [f"{words} {one.text('p50')}" for one, words in stages if one]
        arp = figures.find("allocate", arm, case, "arp_seconds")
        if arp is None:
            continue
        text = f"medians: {', '.join(told)}; ARP p99 {arp.text('p99')}{_against(figures, arp)}"
        answers.append(_arm_answer(figures, arp, text))
    return Answer(
        question="How soon does a new Service work?",
        bench="allocate",
        about=f"{figures.about('allocate').case_text(case)}, create to the first ARP answer, median",
        arms=tuple(answers),
    )


def scale(figures: Figures) -> Answer | None:
    """Cost with many Services."""
    answers, most = [], 0.0
    for arm in figures.arms("scale"):
        controller = _by_services(figures, arm, "rest_controller_cpu_cores")
        speakers = _by_services(figures, arm, "rest_speakers_cpu_cores")
        parts = [part for part in (controller, speakers) if part]  # an implementation may have one alone
        shared = set.intersection(*map(set, parts)) if parts else set[float]()
        points = [(at, sum(part[at].value("p50") for part in parts)) for at in sorted(shared)]
        if not points:
            continue
        most, cores = max(points)
        told = [f"cores of controller and speakers at rest; {plots.slope_text(points, 1000, 'cores')}"]
        if length := _by_services(figures, arm, "outage_seconds").get(most):
            told.append(f"outage {length.text('p50')}")
        memory = [_by_services(figures, arm, f"rest_{who}_bytes").get(most) for who in ("controller", "speakers")]
        if kept := [one.value("p50") for one in memory if one]:
            told.append(f"memory {value_text(sum(kept), 'bytes')}")
        found = _arm_answer(figures, parts[0][most], "; ".join(told))
        measured = found.figure if found.figure == "not measured" else f"{value_text(cores, 'cores')} cores"
        answers.append(replace(found, figure=measured))
    about = f"{most:,.0f} Services, the most that were measured"
    return Answer(question="How far does it scale?", bench="scale", about=about, arms=tuple(answers))


def _by_services(figures: Figures, arm: str, name: str) -> dict[float, Summary]:
    """Number of Services → the figure with so many."""
    found = ((one.case.partition("-"), one) for one in figures.of("scale", arm=arm, name=name))
    return {float(count): one for (kind, _, count), one in found if kind == "services" and count.isdigit()}
