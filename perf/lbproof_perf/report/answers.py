"""The four answers at the top of the report: a sentence an arm, with the figures that it stands on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lbproof_perf.report import plots
from lbproof_perf.report.names import case_words, ratio_text, value_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lbproof_perf.report.figures import Figures, Summary

_TIERS = ("pod", "clusterip", "nodeport", "loadbalancer")
_OUTAGES = ("power-cut", "cable", "silent", "speaker-killed")
_STAGES = (("assigned_seconds", "its address"), ("arp_seconds", "an ARP answer"), ("http_seconds", "the first 200"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What is said of one arm."""

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
    said: tuple[Said, ...]


def of(figures: Figures) -> list[Answer]:
    """The answers that the book's figures give; a question that was not measured is left out."""
    return [answer for answer in (_tiers(figures), _outage(figures), _service(figures), _scale(figures)) if answer]


def _tiers(figures: Figures) -> Answer | None:
    found = figures.of("load", name="requests_per_second")
    users = [case.partition("-")[2] for case in figures.cases("load") if case.startswith("loadbalancer-")]
    if not users:
        return None
    flat_out = [user for user in users if not user.startswith("schedule")]  # a schedule's rate is what was asked of it
    user = max(flat_out or users, key=lambda one: max(s.at("p50") for s in found if s.case == f"loadbalancer-{one}"))
    said = []
    for arm in figures.arms("load"):
        tiers = {
            tier: one for tier in _TIERS if (one := figures.find("load", arm, f"{tier}-{user}", "requests_per_second"))
        }
        if "loadbalancer" not in tiers:
            continue
        told = [
            f"{tier} {value_text(one.at('p50'), one.name)}" for tier, one in tiers.items() if tier != "loadbalancer"
        ]
        text = f"requests a second through the LoadBalancer; {', '.join(told)}" if told else "requests a second"
        if late := figures.find("load", arm, f"loadbalancer-{user}", "p99_seconds"):
            text += f"; p99 latency {value_text(late.at('p50'), late.name)}"
        said.append(Said(arm=arm, figure=value_text(tiers["loadbalancer"].at("p50"), "requests_per_second"), text=text))
    return Answer(question="How fast is each tier?", bench="load", about=f"user: {user}", said=tuple(said))


def _outage(figures: Figures) -> Answer | None:
    case = next((one for one in _OUTAGES if one in figures.cases("failover")), None)
    found = figures.of("failover", case=case or "", name="first_answer_seconds")
    if not found:
        return None
    said = [Said(arm=one.arm, figure=value_text(one.at("p50"), one.name), text=_distribution(one)) for one in found]
    return Answer(
        question="How long is an outage?",
        bench="failover",
        about=f"{case_words(found[0].case)}, to the first answer, median",
        said=tuple(said),
    )


def _distribution(one: Summary) -> str:
    ended = [value for value in one.values if math.isfinite(value)]
    text = f"p99 {value_text(one.at('p99'), one.name)}, longest {value_text(max(ended, default=None), one.name)}"
    lost = f", {one.missing} without recovery" if one.missing else ""
    return f"{text}, {one.count} runs{lost}{_against(one)}"


def _against(one: Summary) -> str:
    ratio = one.ratios.get("p50")
    if ratio is None or math.isnan(ratio.value.value):
        return ""
    low, value, high = (ratio_text(number) for number in (ratio.value.low, ratio.value.value, ratio.value.high))
    return f"; {value} of {ratio.to}'s median" + (f" ({low} to {high})" if low != high else "")


def _service(figures: Figures) -> Answer | None:
    cases = [case for case in figures.cases("allocate") if case != "rest" and not case.endswith("ms")]
    case = max(cases, key=lambda one: int(one.rpartition("-")[2]) if one.startswith("burst") else 0, default=None)
    if case is None:
        return None
    said = []
    for arm in figures.arms("allocate"):
        stages = [(figures.find("allocate", arm, case, name), words) for name, words in _STAGES]
        told = [f"{words} {value_text(one.at('p50'), one.name)}" for one, words in stages if one]
        arp = figures.find("allocate", arm, case, "arp_seconds")
        if arp is None:
            continue
        text = f"medians: {', '.join(told)}; ARP p99 {value_text(arp.at('p99'), arp.name)}{_against(arp)}"
        said.append(Said(arm=arm, figure=value_text(arp.at("p50"), arp.name), text=text))
    return Answer(
        question="How soon does a new Service work?",
        bench="allocate",
        about=f"{case_words(case)}, create to the first ARP answer, median",
        said=tuple(said),
    )


def _scale(figures: Figures) -> Answer | None:
    said, most = [], 0.0
    for arm in figures.arms("scale"):
        controller = dict(_by_services(figures, arm, "rest_controller_cpu_cores"))
        speakers = dict(_by_services(figures, arm, "rest_speakers_cpu_cores"))
        points = [(at, value + speakers[at]) for at, value in controller.items() if at in speakers]
        if not points:
            continue
        most, cores = max(points)
        told = [f"cores of controller and speakers at rest; {plots.slope_text(points, 1000, 'cores')}"]
        if (outage := dict(_by_services(figures, arm, "outage_seconds")).get(most)) is not None:
            told.append(f"outage {value_text(outage, 'seconds')}")
        memory = [dict(_by_services(figures, arm, f"rest_{who}_bytes")).get(most) for who in ("controller", "speakers")]
        told += [f"memory {value_text(sum(memory), 'bytes')}" for memory in [list(filter(None, memory))] if memory]
        said.append(Said(arm=arm, figure=f"{value_text(cores, 'cores')} cores", text="; ".join(told)))
    if not said:
        return None
    about = f"{most:,.0f} Services, the most that were measured"
    return Answer(question="How far does it scale?", bench="scale", about=about, said=tuple(said))


def _by_services(figures: Figures, arm: str, name: str) -> Iterator[tuple[float, float]]:
    for one in figures.of("scale", arm=arm, name=name):
        kind, _, count = one.case.partition("-")
        if kind == "services" and count.isdigit():
            yield float(count), one.at("p50")
