"""What an implementation costs: processor seconds and private memory of its processes, and its requests to the API.

Processes are found by their pods, their children included, and read from the lab's own /proc. Requests are counted
where they arrive, in the API server's audit log (`Topology.audit`), and attributed by the pod that the token of
each is bound to; a watch counts once, when it begins.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lbproof.adapters.base import WorkloadRole
from lbproof.lab.base import Capability, LabError
from lbproof_perf.probes.proc import stat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from lbproof.adapters.base import Workload
    from lbproof_perf.sut.deployment import Deployment

PARTS = ("controller", "speakers")
"""All workloads that do not announce, and those that do; one that does both counts among the latter. An implementation
that has none of a part has no figures of it."""
_QUIET, _SETTLES = 0.8, 60.0
"""Seconds without a request after which an implementation is at rest, and seconds that this is waited for."""
_LOOK = 0.1
"""Seconds between two looks."""
_POD = "authentication.kubernetes.io/pod-name"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessUsage:
    """The counters of a set of processes at one moment."""

    cpu: Mapping[tuple[str, int], float]
    """(folder in /proc, start time in ticks since boot) → seconds of processor time, of children that ended too."""
    private: int
    """Bytes that no other process shares, of all of them (`smaps_rollup`: Private_Clean and Private_Dirty)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """What a part of an implementation used between two moments."""

    cpu_seconds: float
    private_bytes: int
    """At the later moment."""
    requests: int
    """That it made of the API server."""
    seconds: float
    """Between the moments."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageSnapshot:
    """Where the counters stood."""

    readings: Mapping[str, ProcessUsage]
    """Part → its processes."""
    log_bytes: int
    """Length of the audit log."""
    at: float


class UsageMeter:
    """Reads the counters of one arm's controller and speakers. The lab must show processes and requests."""

    def __init__(self, deployment: Deployment) -> None:
        """Raises `LabError` for a lab whose processes or requests cannot be told apart."""
        for capability in (Capability.POD_PROCESSES, Capability.AUDIT_LOG):
            if not deployment.lab.can(capability):
                raise LabError(f"lab {deployment.lab.name}: usage cannot be read without {capability}")
        self._lab = deployment.lab
        self._run = deployment.run
        self._workloads = by_part(self._run.workloads.all)

    def snapshot(self) -> UsageSnapshot:
        """Where the counters stand now."""
        readings = {part: read(self._processes(part)) for part in self._workloads}
        return UsageSnapshot(readings=readings, log_bytes=self._lab.audit_log.stat().st_size, at=time.monotonic())

    def quiet(self) -> tuple[str, ...]:
        """Wait until nothing was asked of the API server for a while; the marks of a trial that is made then.

        What an implementation still says of Services that were made just before (Events, mostly) is part of their cost,
        and none of its rest. One that does not stop asking in time is marked, since both are mixed then.
        """
        return restless(lambda: self._lab.audit_log.stat().st_size, _SETTLES)

    def since(self, begin: UsageSnapshot) -> dict[str, Used]:
        """What each part that the implementation has used since a mark."""
        end = self.snapshot()
        with self._lab.audit_log.open("rb") as log:
            log.seek(begin.log_bytes)
            lines = log.read(end.log_bytes - begin.log_bytes).splitlines()
        prefixes = {part: [(row.namespace, f"{row.name}-") for row in rows] for part, rows in self._workloads.items()}
        made = requests(lines, prefixes)
        return {
            part: Used(
                cpu_seconds=cpu_between(begin.readings[part], end.readings[part]),
                private_bytes=end.readings[part].private,
                requests=made[part],
                seconds=end.at - begin.at,
            )
            for part in self._workloads
        }

    def _processes(self, part: str) -> list[Path]:
        pods = self._run.workloads.running(*self._workloads[part])
        return [path for _, namespace, pod in pods for path in self._lab.pod_processes(namespace, pod)]


def by_part(workloads: Iterable[Workload]) -> dict[str, list[Workload]]:
    """Part → its workloads, without a part that has none."""
    found: dict[str, list[Workload]] = {part: [] for part in PARTS}
    controller, speakers = PARTS
    for workload in workloads:
        found[speakers if WorkloadRole.ANNOUNCER in workload.roles else controller].append(workload)
    return {part: rows for part, rows in found.items() if rows}


RATES: Mapping[str, str] = {
    "api_requests_per_second": "API requests a second",
    "controller_cpu_cores": "cores of the controller",
    "speakers_cpu_cores": "cores of the speakers",
    "controller_bytes": "memory of the controller",
    "speakers_bytes": "memory of the speakers",
    "controller_api_requests_per_second": "API requests a second of the controller",
    "speakers_api_requests_per_second": "API requests a second of the speakers",
}
"""Name of what `rates` gives, without prefix → its text."""


def rates(used: Mapping[str, Used], prefix: str = "") -> dict[str, float | None]:
    """Cores, bytes and API requests a second of each part, as docs/figures.md names them."""
    found: dict[str, float | None] = {
        f"{prefix}api_requests_per_second": sum(part.requests / part.seconds for part in used.values())
    }
    for name, part in used.items():
        found[f"{prefix}{name}_cpu_cores"] = part.cpu_seconds / part.seconds
        found[f"{prefix}{name}_bytes"] = part.private_bytes
        found[f"{prefix}{name}_api_requests_per_second"] = part.requests / part.seconds
    return found


def restless(look: Callable[[], int], within: float) -> tuple[str, ...]:
    """Wait until a log's length stays as it is; the mark of a trial whose implementation does not come to rest."""
    began = changed = time.monotonic()
    before = look()
    while time.monotonic() - changed < _QUIET:
        if time.monotonic() - began > within:
            return (f"it still asked something of the API server after {within:g} s",)
        threading.Event().wait(_LOOK)
        if (now := look()) != before:
            before, changed = now, time.monotonic()
    return ()


def read(processes: Iterable[Path]) -> ProcessUsage:
    """The counters of processes (folders in a /proc) and of all that descend from them; one that has ended counts 0."""
    cpu, private = {}, 0
    for process in _with_descendants(processes):
        try:
            found = stat((process / "stat").read_text(encoding="utf-8", errors="replace"))
            private += private_bytes((process / "smaps_rollup").read_text(encoding="ascii"))
        except (FileNotFoundError, ProcessLookupError):
            continue
        cpu[str(process), found.started] = found.cpu_seconds
    return ProcessUsage(cpu=cpu, private=private)


def cpu_between(begin: ProcessUsage, end: ProcessUsage) -> float:
    """Processor seconds between two readings; what a process used that ended meanwhile is not in the sum."""
    return sum(used - begin.cpu.get(process, 0.0) for process, used in end.cpu.items())


def _with_descendants(processes: Iterable[Path]) -> list[Path]:
    found, waiting = [], list(processes)
    while waiting:
        process = waiting.pop()
        found.append(process)
        for children in process.glob("task/*/children"):
            try:
                waiting += [process.parent / pid for pid in children.read_text(encoding="ascii").split()]
            except (FileNotFoundError, ProcessLookupError):
                continue
    return found


def private_bytes(smaps_rollup: str) -> int:
    """Private_Clean and Private_Dirty of a `smaps_rollup` (proc(5)), in bytes."""
    rows = (line.split() for line in smaps_rollup.splitlines())
    return sum(int(row[1]) * 1024 for row in rows if row[0] in {"Private_Clean:", "Private_Dirty:"})


def requests(lines: Iterable[bytes], parts: Mapping[str, Sequence[tuple[str, str]]]) -> dict[str, int]:
    """How many requests each part made, from lines of an audit log (`audit.k8s.io/v1`).

    `parts`: part → (namespace, how the names of its pods begin) of each workload. A request counts when it is answered,
    a watch when it begins.
    """
    counts = dict.fromkeys(parts, 0)
    for line in lines:
        event: dict[str, Any] = json.loads(line)
        watch = event["verb"] == "watch"
        if event["stage"] != ("ResponseStarted" if watch else "ResponseComplete"):
            continue
        pod = (event["user"].get("extra", {}).get(_POD) or [""])[0]
        user = event["user"]["username"]
        for part, workloads in parts.items():
            if any(pod.startswith(name) and user.startswith(f"system:serviceaccount:{ns}:") for ns, name in workloads):
                counts[part] += 1
    return counts
