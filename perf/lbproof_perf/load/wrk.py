"""The ceiling: wrk, a generator in C, against the same pod. Where it is not on this machine, its row is missing."""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from lbproof.lab.base import LabError
from lbproof_perf.load.meter import GeneratorMeter
from lbproof_perf.load.run import started, wait_until_ended

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lbproof_perf.load.run import ExecArgv

_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}
_SHARES = {"50%": "p50_seconds", "90%": "p90_seconds", "99%": "p99_seconds"}


def program() -> str | None:
    """Where wrk is, or None."""
    return shutil.which("wrk")


def parse(text: str) -> dict[str, float | None]:
    """The figures in wrk's report. Raises ValueError when it is none."""
    rate = re.search(r"^Requests/sec:\s+([\d.]+)", text, re.MULTILINE)
    if not rate:
        raise ValueError("wrk gave no rate")
    found: dict[str, float | None] = {"requests_per_second": float(rate[1])}
    for share, took, unit in re.findall(r"^\s+(\d+%)\s+([\d.]+)(us|ms|s|m)$", text, re.MULTILINE):
        if share in _SHARES:
            found[_SHARES[share]] = float(took) * _UNITS[unit]
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    found["failures"] = float(sum(map(int, errors.groups())) if errors else 0) + float(bad[1] if bad else 0)
    return found


def measure(
    there: ExecArgv, url: str, *, seconds: int, connections: int, servers: Iterable[Path] = ()
) -> dict[str, float | None]:
    """Let wrk run with one thread at a place. Raises `LabError` when it fails."""
    with tempfile.TemporaryDirectory(prefix="lbproof-wrk-") as made:
        log = Path(made, "log")
        argv = [program() or "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", url]
        with started(there, argv, log) as process, GeneratorMeter(process.pid, servers) as meter:
            began = time.monotonic()
            wait_until_ended(process, seconds, log)
            ended = time.monotonic()
        text = log.read_text(encoding="utf-8", errors="replace")
    try:
        found = parse(text)
    except ValueError as error:
        raise LabError(f"{error}; it said:\n{text[-1000:]}") from None
    use, rate = meter.use(began, ended), found["requests_per_second"]
    if use and rate:
        found |= {"generator_cores": use.generator, "server_cores": use.servers}
        found["requests_per_second_per_core"] = rate / use.generator if use.generator else None
    return found
