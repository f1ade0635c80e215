"""A run of benchmarks from end to end: what is asked for, one after the other, then the report.

A benchmark that breaks off does not take the others along: what it had measured stays, the run says so and ends with
another exit, and `--resume` goes on with it.
"""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lbproof import __version__
from lbproof.adapters.rendering import AdapterError
from lbproof.context.cannot import CannotShow
from lbproof.context.objects import BadStatus
from lbproof.lab.base import LabError
from lbproof.lab.components.catalogue import VERSIONS
from lbproof.spec import Exit
from lbproof.witnesses.kube import ApiError, ApiUnreachable
from lbproof.witnesses.stream import ProbeError
from lbproof.witnesses.wait import WaitFailed
from lbproof_perf.benchmarks import known
from lbproof_perf.benchmarks.base import BenchContext
from lbproof_perf.sut.system import LabPool

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lbproof_perf.benchmarks.base import Benchmark
    from lbproof_perf.results import ResultStore
    from lbproof_perf.sut.arms import Arm


_ENVIRONMENT = (LabError, WaitFailed, ApiError, ApiUnreachable, OSError)
"""What ends a benchmark when the environment is not usable."""
_MEASUREMENT = (ProbeError, BadStatus, CannotShow, AdapterError)
"""What ends it when the measurement failed, or cannot be made of this implementation or by its adapter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One benchmark of a run."""

    bench: Benchmark
    arms: Sequence[Arm]
    plan: Any
    """One of the benchmark's own dataclass."""


def run(store: ResultStore, tasks: Sequence[Task], *, components: Path | None, say: Callable[[str], None]) -> Exit:
    """Make every trial that is not there yet, then the report, also when the run is stopped.

    `Exit.CONFORMANT` when all was measured, `Exit.INCONCLUSIVE` when something broke off; raises `LabError` when
    nothing at all could be measured, and `OSError` when the folder can no longer be written (`ResultStore.lost`).
    """
    from lbproof_perf.report.write import write  # noqa: PLC0415 - templates and models that a benchmark does not need

    began = time.monotonic()
    broken: list[str] = []
    store.add_environment(facts(tasks))

    def say_line(line: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - began), 60)
        say(f"[{minutes:3}:{seconds:02}] {line}")

    labs = LabPool(components, say_line)
    try:
        for task in tasks:
            bench = task.bench
            say_line(f"{bench.name}: {bench.question}")
            if not bench.shares_labs:
                labs.close()
            context = BenchContext(store=store, arms=task.arms, labs=labs, components=components, say=say_line)
            try:
                bench.run(context, task.plan)
            except (*_ENVIRONMENT, *_MEASUREMENT) as error:
                if store.lost(error):
                    raise
                if len(tasks) == 1 and not store.of(bench.name) and not isinstance(error, _MEASUREMENT):
                    raise
                broken.append(f"{bench.name}: {str(error).splitlines()[0]}")
                say_line(f"broke off: {broken[-1]}")
    finally:
        labs.close()
        if store.trials:
            if broken:
                store.add_environment({"broke off": "; ".join(broken)})
            write(store, known())
    return Exit.INCONCLUSIVE if broken else Exit.CONFORMANT


def facts(tasks: Sequence[Task]) -> dict[str, str]:
    """What a reader must know of where a run was made, besides what each lab says."""
    found = {
        "lbproof": __version__,
        "kernel": platform.release(),
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, {_processor()}, {_memory()}",
        "system": _system(),
        "python": platform.python_version(),
        "kubernetes": f"v{VERSIONS['kubernetes']}, etcd v{VERSIONS['etcd']}",
        "kube-proxy": "iptables mode unless a case says otherwise",
        "lab": "netns: network namespaces on one bridge of this machine, one clock for all of them",
        "load average at the start": " ".join(f"{load:.2f}" for load in os.getloadavg()),
    }
    for task in tasks:
        found |= {f"arm {arm.name}": arm.text for arm in task.arms}
    return found


def _field(path: str, name: str) -> str:
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        key, separator, value = line.partition(":")
        if separator and key.strip() == name:
            return value.strip()
    return "unknown"


def _processor() -> str:
    return _field("/proc/cpuinfo", "model name")


def _memory() -> str:
    kilobytes = _field("/proc/meminfo", "MemTotal").split()[0]
    return f"{int(kilobytes) / 2**20:.0f} GiB" if kilobytes.isdigit() else "memory unknown"


def _system() -> str:
    release = platform.freedesktop_os_release() if Path("/etc/os-release").exists() else {}
    return release.get("PRETTY_NAME", "unknown")
