"""A book as `docs/figures.md` describes it, made up from a seed: for tests of what reads books.

It holds what is awkward in real ones: values that did not come about, marks, a control arm that only one benchmark
has, an arm that was stopped early.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from lbproof_perf import benchmarks
from lbproof_perf.results import ResultStore, TrialId

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

KNOWN = benchmarks.known()
OUTAGES: Mapping[str, tuple[float, float]] = {
    "reference": (0.145, 0.02),
    "reference-fast": (0.036, 0.006),
    "metallb": (5.6, 0.9),
    "metallb-tuned": (1.9, 0.4),
    "keepalived": (3.1, 0.25),
}
"""Arm → median time to the first answer after a power cut and its spread, in seconds."""
MACS = ["02:00:c0:a8:ac:97", "02:00:c0:a8:ac:98", "02:00:c0:a8:ac:99"]
ENVIRONMENT = {
    "command": "lbproof bench all --size quick --results lbproof-results",
    "lbproof": "0.1.0",
    "kernel": "6.18.44",
    "cores": "2",
    "kubernetes": "v1.36.3",
    "metallb": "v0.15.2",
    "keepalived": "2.2.7",
}


def store(
    folder: Path,
    *,
    cuts: int = 20,
    arms: Sequence[str] = tuple(OUTAGES),
    seed: int = 1,
    slower: Mapping[str, float] | None = None,
    benches: Sequence[str] = ("failover", "moves", "hogs", "allocate", "allocator", "scale", "arp", "load", "ruler"),
) -> ResultStore:
    """A made-up run. `slower`: arm → factor on all its times, `*` → on those of every arm (another machine)."""
    made = ResultStore(folder)
    made.add_environment(ENVIRONMENT)
    random = np.random.default_rng(seed)
    factors = slower or {}

    def times(arm: str) -> float:
        return factors.get("*", 1.0) * factors.get(arm, 1.0)

    for bench in benches:
        _BENCHES[bench](made, random, arms, cuts, times)
    return made


def _failover(
    made: ResultStore, random: np.random.Generator, arms: Sequence[str], cuts: int, times: Callable[[str], float]
) -> None:
    cases = ("power-cut", "cable", "silent", "speaker-killed", "heal")
    for case in cases:
        for number in range(1, (cuts if case == "power-cut" else max(cuts // 5, 2)) + 1):
            for arm in arms:
                if arm == "keepalived" and case in {"speaker-killed", "heal"}:
                    continue
                middle, spread = OUTAGES[arm]
                whole: float | None = max(0.001, random.normal(middle, spread)) * times(arm)
                if arm == "metallb" and case == "power-cut" and number == 2:
                    whole = None
                if case == "heal":
                    whole = 0.0
                made.add(
                    TrialId(bench="failover", arm=arm, case=case, number=number),
                    _outage_values(whole, random),
                    warnings=("the machine stalled for 120 ms",) if arm == "reference" and number == 3 else (),
                    detail={"macs": MACS},
                    arrays=_outage_arrays(whole) if number <= 3 else None,
                )


def _outage_values(whole: float | None, random: np.random.Generator) -> dict[str, float | None]:
    lost = 40_000 if whole is None else round(whole * 1000)
    parts = (0.93, 0.01, 0.02, 0.04)
    split = dict(zip(("detect", "announce", "learn", "answer"), parts, strict=True))
    return {
        "first_answer_seconds": whole,
        "steady_seconds": None if whole is None else whole * 1.02,
        "longest_gap_seconds": whole,
        "lost": lost,
        "sent": lost + 3000,
        "lost_tcp": lost // 10,
        "sent_tcp": lost // 10 + 300,
        "two_announcers_seconds": float(abs(random.normal(0, 0.004))) if whole == 0.0 else 0.0,
        "no_announcer_seconds": whole,
        **{f"{part}_seconds": None if whole is None else share * whole for part, share in split.items()},
        "worst_stall_seconds": 0.003,
        "fault_bracket_seconds": 0.004,
    }


def _outage_arrays(whole: float | None) -> dict[str, NDArray[Any]]:
    fault, away = 100.25, 8.0 if whole is None else whole
    due = np.arange(99.0, fault + away + 1.0, 0.001)
    asked = np.arange(99.0, fault + away + 1.0, 0.01)
    dead, quiet = ((at >= fault) & (at < fault + away) for at in (due, asked))
    who = np.where(asked < fault, 0, 1)
    who[quiet] = -1
    return {
        "udp_due": due,
        "udp_sent": due,
        "udp_answered": np.where(dead, np.nan, due + 0.0002),
        "tcp_due": asked,
        "tcp_connected": np.where(quiet, np.nan, asked + 0.0005),
        "tcp_answered": np.where(quiet, np.nan, asked + 0.001),
        "census_due": asked,
        "census_answered": np.where(quiet, np.nan, asked + 0.0001),
        "census_who": who,
        "census_count": np.where(quiet, 0, 1),
        "stall_at": np.array([99.5]),
        "stall_seconds": np.array([0.003]),
        "fault_at": np.array(fault + 0.0035),
        "fault_before": np.array(fault - 0.0005),
    }


def _moves(
    made: ResultStore, random: np.random.Generator, arms: Sequence[str], cuts: int, times: Callable[[str], float]
) -> None:
    for number in range(1, cuts + 1):
        for arm in arms:
            lost = 0 if arm.startswith("reference") else int(random.integers(5, 50) * times(arm))
            values = _outage_values(lost / 1000, random) | {"sent": 1500, "lost": lost}
            made.add(TrialId(bench="moves", arm=arm, case="planned", number=number), values)


def _hogs(
    made: ResultStore, random: np.random.Generator, arms: Sequence[str], cuts: int, times: Callable[[str], float]
) -> None:
    del cuts, times
    for number in range(1, 11):
        for arm in arms:
            values = _outage_values(0.0, random) | {
                "seconds": 60.0,
                "lost": 2,
                "false_takeovers": int(arm != "reference"),
            }
            step = TrialId(bench="hogs", arm=arm, case="12-hogs", number=number)
            made.add(step, values, warnings=("the machine stalled for 90 ms",) if number == 1 else ())


def _allocate(
    made: ResultStore, random: np.random.Generator, arms: Sequence[str], cuts: int, times: Callable[[str], float]
) -> None:
    del cuts
    for arm in (arm for arm in arms if arm != "keepalived"):
        factor = times(arm) * (4.0 if arm.startswith("metallb") else 1.0)
        for case, count, number in (
            ("alone", 10, 1),
            ("alone-proxy-10ms", 5, 1),
            ("burst-10", 10, 1),
            ("burst-10-proxy-10ms", 10, 1),
            ("burst-100", 100, 1),
            ("burst-100", 100, 2),
            ("burst-1000", 1000, 1),
            ("burst-1000", 1000, 2),
        ):
            base = np.sort(random.exponential(0.02 * np.sqrt(count), count)) * factor + 0.02
            arrays = {"created": base * 0.3, "assigned": base, "arp": base * 1.5, "http": base + 1.0, "silent": base}
            if arm == "metallb" and (count, number) == (1000, 1):
                arrays["http"][-3:] = np.nan
            values: dict[str, float | None] = {}
            for stage in ("assigned", "arp", "http", "silent"):
                ordered = np.sort(np.where(np.isnan(arrays[stage]), np.inf, arrays[stage]))
                for name, at in (("p50", count // 2), ("p99", int(count * 0.99))):
                    value = float(ordered[min(at, count - 1)])
                    values[f"{stage}_{name}_seconds"] = None if np.isinf(value) else value
            values |= {"api_requests": 3.0 * count, "cpu_seconds": 0.01 * count, "seconds": float(base[-1])}
            detail = {"proxy": "1s"}
            step = TrialId(bench="allocate", arm=arm, case=case, number=number)
            made.add(step, values, detail=detail, arrays=arrays)
        for number in (1, 2):
            step = TrialId(bench="allocate", arm=arm, case="rest", number=number)
            made.add(step, {"api_requests_per_second": 0.4 * factor})


def _allocator(
    made: ResultStore, random: np.random.Generator, arms: Sequence[str], cuts: int, times: Callable[[str], float]
) -> None:
    del cuts
    for arm in (arm for arm in arms if arm in {"reference", "metallb"}):
        for size, number in itertools.product((256, 1024, 4096, 65536), range(1, 6)):
            if arm == "metallb" and size > 4096:
                continue
            each = 4e-7 if arm == "reference" else 4e-7 * size
            value = each * times(arm) * float(random.normal(1, 0.02))
            arrays = {"each": random.exponential(value, min(size, 4096))}
            values = {"seconds_per_address": value, "worst_seconds": 9 * value, "churn_seconds_per_address": value}
            made.add(TrialId(bench="allocator", arm=arm, case=str(size), number=number), values, arrays=arrays)


def _scale(
    made: ResultStore, random: np.random.Generator, arms: Sequence[str], cuts: int, times: Callable[[str], float]
) -> None:
    del cuts, random
    for arm in (arm for arm in arms if arm in {"reference", "metallb"}):
        sizes = [("services", n) for n in (10, 100, 1000, 5000)] + [("nodes", n) for n in (3, 10, 50)]
        for kind, count in sizes:
            services, nodes = (count, 3) if kind == "services" else (100, count)
            values: dict[str, float | None] = {"outage_seconds": OUTAGES[arm][0] * (1 + services / 20_000)}
            for phase, busy in (("rest", 1), ("churn", 6)):
                values |= {
                    f"{phase}_controller_cpu_cores": (0.001 + 2e-6 * services) * busy * times(arm),
                    f"{phase}_speakers_cpu_cores": (0.004 * nodes + 4e-6 * services) * busy * times(arm),
                    f"{phase}_controller_bytes": 3.1e7 + 9000.0 * services,
                    f"{phase}_speakers_bytes": 2.8e7 * nodes + 3000.0 * services,
                    f"{phase}_api_requests_per_second": 0.4 * busy,
                }
            detail = {"services": services, "nodes": nodes}
            made.add(TrialId(bench="scale", arm=arm, case=f"{kind}-{count}"), values, detail=detail)
        restart: dict[str, float | None] = {"restart_seconds": 1.2 if arm == "reference" else None}
        made.add(TrialId(bench="scale", arm=arm, case="restart-1000"), restart, detail={"services": 1000, "nodes": 3})


def _arp(
    made: ResultStore, random: np.random.Generator, arms: Sequence[str], cuts: int, times: Callable[[str], float]
) -> None:
    del cuts
    kernel = 4.4e-6
    for arm, base in (("kernel", kernel), ("reference", 3.7e-5), ("metallb", 9e-5)):
        if arm != "kernel" and arm not in arms:
            continue
        for count, number in itertools.product((1, 100, 10_000), range(1, 6)):
            seconds = random.lognormal(np.log(base), 0.3, 2000) * times(arm)
            values = {
                "p50_seconds": float(np.quantile(seconds, 0.5)),
                "p99_seconds": float(np.quantile(seconds, 0.99)),
                "answered_per_second": 0.3 / base,
                "answered_share": 0.9997,
            }
            if arm != "kernel":
                values |= {"cpu_seconds": 1.2, "p50_over_kernel": values["p50_seconds"] / kernel}
            step = TrialId(bench="arp", arm=arm, case=f"addresses-{count}", number=number)
            made.add(step, values, arrays={"seconds": seconds})
        made.add(TrialId(bench="arp", arm=arm, case="flood"), {"flood_cpu_cores": 0.04})


def _load(
    made: ResultStore, random: np.random.Generator, arms: Sequence[str], cuts: int, times: Callable[[str], float]
) -> None:
    del cuts
    for arm in (arm for arm in arms if arm in {"reference", "metallb"}):
        for tier, slower in (("pod", 1.0), ("clusterip", 1.05), ("nodeport", 1.1), ("loadbalancer", 1.12)):
            for user, base, rate in (("keepalive", 4e-4, 9000), ("schedule", 9e-5, 42_000), ("udp", 6e-5, 30_000)):
                for number in (1, 2, 3):
                    seconds = random.lognormal(np.log(base * slower), 0.4, 20_000) * times(arm)
                    edges = np.geomspace(1e-6, 10, 200)
                    counts = np.histogram(seconds, np.concatenate([[0.0], edges]))[0]
                    found = np.quantile(seconds, [0.5, 0.9, 0.99, 0.999, 0.9999])
                    names = ("p50", "p90", "p99", "p999", "p9999")
                    done = rate / slower / times(arm) * float(random.normal(1, 0.02))
                    made.add(
                        TrialId(bench="load", arm=arm, case=f"{tier}-{user}", number=number),
                        {f"{name}_seconds": float(value) for name, value in zip(names, found, strict=True)}
                        | {"requests_per_second": done, "requests_per_second_per_core": done, "failures": 0.0}
                        | {"generator_cores": 0.98, "server_cores": 0.6, "schedule_lag_p99_seconds": 2e-4},
                        warnings=("the client was the limit",) if user == "keepalive" and number == 2 else (),
                        arrays={"histogram_seconds": edges, "histogram_count": counts},
                    )
    for tool, most in (("FastHttpUser", 9_900.0), ("ScheduleUser", 53_000.0)):
        rates: dict[str, float | None] = {"requests_per_second": most, "requests_per_second_per_core": most}
        for number in (1, 2):
            made.add(TrialId(bench="load", arm=tool, case="ceiling", number=number), rates)
    for arm in (arm for arm in arms if arm in {"reference", "metallb"}):
        for (case, seen), number in itertools.product((("freeze-stock", 0.002), ("freeze-schedule", 1.61)), (1, 2)):
            values: dict[str, float | None] = {"truth_p95_seconds": 1.617, "seen_p95_seconds": seen}
            made.add(TrialId(bench="load", arm=arm, case=case, number=number), values)


def _ruler(
    made: ResultStore, random: np.random.Generator, arms: Sequence[str], cuts: int, times: Callable[[str], float]
) -> None:
    del arms, times
    for number in range(1, cuts + 1):
        for arm in ("arm-a", "arm-b"):
            made.add(TrialId(bench="ruler", arm=arm, case="a-a", number=number), _measured(0.2, random))
    for arm, number in itertools.product(("udp", "tcp"), (1, 2, 3)):
        made.add(TrialId(bench="ruler", arm=arm, case="freeze", number=number), _measured(2.0, random))


def _measured(truth: float, random: np.random.Generator) -> dict[str, float | None]:
    error = float(random.normal(0, 0.0003))
    return {"truth_seconds": truth, "seen_seconds": truth + error, "error_seconds": error}


_BENCHES: Mapping[str, Any] = {
    "failover": _failover,
    "moves": _moves,
    "hogs": _hogs,
    "allocate": _allocate,
    "allocator": _allocator,
    "scale": _scale,
    "arp": _arp,
    "load": _load,
    "ruler": _ruler,
}
