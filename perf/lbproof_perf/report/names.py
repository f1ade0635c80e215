"""What the figures of `docs/figures.md` are called, in which unit, and in which direction they are better.

A figure that is not listed here is still shown: its unit is read from the end of its name, and less is better.
"""

from __future__ import annotations

import math
import re
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

BENCHES: Mapping[str, str] = {
    "failover": "How long is an outage?",
    "moves": "What does a planned move cost?",
    "hogs": "Does a starved machine cause a takeover?",
    "allocate": "How soon does a new Service work?",
    "allocator": "What does the allocator alone cost?",
    "scale": "How far does it scale?",
    "arp": "How fast is a request for the address answered?",
    "load": "How fast is each tier?",
    "ruler": "Can the ruler be trusted?",
}
"""Benchmark → the question that it answers, in the order of the report."""

CASES: Mapping[str, str] = {
    "power-cut": "the announcing node loses power",
    "power-cut-cold": "power cut; a client that first asks after it",
    "power-cut-far": "power cut; a client behind a router",
    "power-cut-endpoints": "power cut; replicas on every node, the dead one too",
    "cable": "the announcing node's cable is pulled: it loses carrier",
    "silent": "the announcing node's frames are dropped: it keeps carrier",
    "speaker-killed": "the announcing speaker is killed",
    "frozen": "the announcing speaker is frozen",
    "controller-killed": "the controller is killed",
    "api-stopped": "the API server is stopped",
    "drained": "the announcing node is drained",
    "rolling-restart": "the speakers are restarted one after the other",
    "heal": "a node that was cut off comes back",
    "planned": "the announcing speaker is stopped in an orderly way",
    "alone": "a Service created alone",
    "rest": "100 Services at rest",
    "flood": "a flood of requests for foreign addresses",
    "a-a": "two identical arms",
    "freeze": "a server that stands still for 2 s",
    "ceiling": "the fastest client that there is, against the pod",
}
"""Case → what was done; others say it by their name."""

_VALUES: Mapping[str, str] = {
    "first_answer_seconds": "to the first answer",
    "steady_seconds": "until nothing was lost any more",
    "longest_gap_seconds": "longest gap",
    "lost": "UDP probes lost",
    "sent": "UDP probes sent",
    "lost_tcp": "TCP requests lost",
    "sent_tcp": "TCP requests sent",
    "two_announcers_seconds": "two nodes answered",
    "no_announcer_seconds": "no node answered",
    "detect_seconds": "part: detect",
    "announce_seconds": "part: announce",
    "learn_seconds": "part: neighbour learns",
    "answer_seconds": "part: answer",
    "false_takeovers": "false takeovers",
    "worst_stall_seconds": "worst stall of the machine",
    "fault_bracket_seconds": "the fault took effect within",
    "assigned_seconds": "POST to the address in the status",
    "arp_seconds": "POST to the first ARP answer",
    "http_seconds": "POST to the first 200",
    "silent_seconds": "DELETE to the last ARP answer",
    "created_seconds": "POST to its answer",
    "api_requests": "API requests",
    "cpu_seconds": "CPU time",
    "controller_cpu_seconds": "CPU time, controller",
    "speakers_cpu_seconds": "CPU time, speakers",
    "seconds": "for all of it",
    "api_requests_per_second": "API requests a second",
    "seconds_per_address": "an allocation",
    "worst_seconds": "the slowest allocation",
    "churn_seconds_per_address": "an allocation in churn",
    "each_seconds": "each allocation",
    "outage_seconds": "outage",
    "restart_seconds": "restart",
    "answered_seconds": "request to reply",
    "answered_per_second": "answered a second",
    "answered_share": "share answered",
    "flood_cpu_cores": "cores under the flood",
    "p50_over_kernel": "request to reply, p50, times the kernel's",
    "requests_per_second": "requests a second",
    "requests_per_second_per_core": "requests a second and core of the client",
    "failures": "failed requests",
    "generator_cores": "cores of the client",
    "server_cores": "cores of the server",
    "schedule_lag_p99_seconds": "lag of the schedule, p99",
    "truth_seconds": "true length",
    "seen_seconds": "length that the ruler saw",
    "error_seconds": "error of the ruler",
    "truth_p95_seconds": "p95, true",
    "seen_p95_seconds": "p95, as the tool saw it",
    **{
        f"{phase}_{name}": f"{words}, {when}"
        for phase, when in (("rest", "at rest"), ("churn", "in churn"))
        for name, words in {
            "controller_cpu_cores": "cores of the controller",
            "speakers_cpu_cores": "cores of the speakers",
            "controller_bytes": "memory of the controller",
            "speakers_bytes": "memory of the speakers",
            "api_requests_per_second": "API requests a second",
        }.items()
    },
    **{f"p{digits}_seconds": f"p{words}" for digits, words in (("50", "50"), ("90", "90"), ("99", "99"))},
    "p999_seconds": "p99.9",
    "p9999_seconds": "p99.99",
    **{
        f"{stage}_{p}_seconds": f"{words}, {p}"
        for stage, words in (
            ("created", "POST to its answer"),
            ("assigned", "POST to the address in the status"),
            ("arp", "POST to the first ARP answer"),
            ("http", "POST to the first 200"),
            ("silent", "DELETE to the last ARP answer"),
        )
        for p in ("p50", "p99")
    },
}
VALUES = frozenset(_VALUES)
"""Every figure of the contract by name, and those that are made from its arrays (`figures.SAMPLES`)."""

_MORE_IS_BETTER = {"requests_per_second", "requests_per_second_per_core", "answered_per_second", "answered_share"}
_NEITHER = {
    "sent",
    "sent_tcp",
    "fault_bracket_seconds",
    "generator_cores",
    "server_cores",
    "worst_stall_seconds",
    "truth_seconds",
    "seen_seconds",
    "error_seconds",
    "truth_p95_seconds",
    "schedule_lag_p99_seconds",
}
_UNITS = ("seconds_per_address", "per_second_per_core", "per_second", "seconds", "bytes", "cores", "share")


class Better(StrEnum):
    """Which way a figure is better."""

    LESS = "less"
    MORE = "more"
    NEITHER = "neither"
    """It says how the trial was made, not how good the arm is."""


def unit(name: str) -> str:
    """The unit that ends a figure's name; empty for a count."""
    return next((one for one in _UNITS if name == one or name.endswith(f"_{one}")), "")


def better(name: str) -> Better:
    """Which way a figure is better."""
    if name in _NEITHER:
        return Better.NEITHER
    return Better.MORE if name in _MORE_IS_BETTER else Better.LESS


def words(name: str) -> str:
    """A figure's name for a reader."""
    return _VALUES.get(name, name.replace("_", " "))


def case_words(case: str) -> str:
    """What a case was, for a reader."""
    case, _, period = case.partition("-proxy-")
    if period:
        return f"{case_words(case)}; kube-proxy gathers changes for {period.removesuffix('ms')} ms"
    if case in CASES:
        return CASES[case]
    if match := re.fullmatch(r"(rate|burst|services|nodes|restart|addresses)-(\d+)(.*)", case):
        kind, count, more = match[1], int(match[2]), match[3].replace("-", " ")
        told = {
            "rate": f"{count:,} Services a second",
            "burst": f"{count:,} Services at once",
            "services": f"{count:,} Services",
            "nodes": f"{count:,} nodes",
            "restart": f"all restarted, with {count:,} Services",
            "addresses": f"{count:,} address{'es' * (count != 1)}",
        }
        return told[kind] + more
    return f"{int(case):,} addresses" if case.isdigit() else case.replace("-", " ")


def value_text(number: float | None, name: str) -> str:
    """A figure with its unit: `143 ms`, `12.5k/s`, `31 MiB`, `17`; one that did not come about is `never`."""
    kind = unit(name)
    if number is None or math.isinf(number):
        return "never" if kind.startswith("seconds") else "none"
    if math.isnan(number):
        return "unknown"
    if kind.startswith("seconds"):
        return seconds_text(number)
    if kind == "bytes":
        return f"{number / 2**20:.3g} MiB" if number < 2**30 else f"{number / 2**30:.3g} GiB"
    if kind == "share":
        return f"{number:.5g}" if number > 1 else f"{number * 100:.5g} %"
    text = f"{number:.3g}" if kind == "cores" else _count(number)
    return f"{text}/s" if kind.startswith("per_second") else text


def range_text(low: float, high: float, name: str) -> str:
    """Both ends of an interval; a unit that both have is said once: `139 to 150 ms`."""
    one, other = value_text(low, name), value_text(high, name)
    number, _, kind = one.partition(" ")
    return f"{number} to {other}" if kind and other.endswith(f" {kind}") else f"{one} to {other}"


def seconds_text(number: float) -> str:
    """A time in the unit that a reader takes in: three digits that count, `0` for none."""
    if number == 0:
        return "0"
    for below, factor, name in ((1e-6, 1e9, "ns"), (1e-3, 1e6, "µs"), (1, 1e3, "ms"), (90, 1, "s")):
        if abs(number) < below:
            return f"{_three(number * factor)} {name}"
    return f"{_three(number / 60)} min"


def ratio_text(number: float) -> str:
    """A ratio: `0.029x`, `12x`; infinite and undefined ones in words."""
    if math.isnan(number):
        return "undefined"
    return "infinite" if math.isinf(number) else f"{_three(number)}x"


def _three(number: float) -> str:
    text = f"{number:.3g}"
    return f"{float(text):,.0f}" if "e+" in text else text


def _count(number: float) -> str:
    if abs(number) >= 10_000:  # noqa: PLR2004 - from here on three digits are enough
        return f"{_three(number / 1000)}k"
    return f"{number:,.0f}" if number == int(number) else _three(number)
