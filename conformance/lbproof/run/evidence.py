"""Evidence for a verdict, collected before cleanup: objects, events, logs and frames, bounded in size.

Collecting evidence never changes a verdict: missing evidence is only noted in the events of the run.
"""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any

from lbproof.context.run import NAMESPACE
from lbproof.files import write_whole
from lbproof.lab.base import LabError
from lbproof.witnesses.kube import ApiError, ApiUnreachable
from lbproof.witnesses.stream import ProbeError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lbproof.context import CheckContext

MOST_FRAMES = 400
"""Maximum number of frames of an ARP exchange in the report; the capture holds all of them."""


def keep(check: CheckContext, run: Path) -> None:
    """Write evidence for a case that did not pass to `evidence/<case>/` of the run's folder."""
    folder = run / "evidence" / check.case
    if folder.exists():
        folder = folder.with_name(f"{check.case}-second-look")
    _try(check, "evidence", lambda: folder.mkdir(parents=True, exist_ok=True))
    for kind, title, name, take in (
        ("objects", "Services, pools and workloads as raw JSON", "objects.json", _objects),
        ("events", "Events, oldest first", "events.json", _events),
    ):
        _try(check, title, functools.partial(_write, folder / name, take, check))
        _note(check, kind, title, folder / name, run)
    logs = folder / "logs"
    _try(check, "logs", lambda: check.lab.export_logs(logs))
    _note(check, "logs", "Logs of every component and pod", logs, run)
    note = functools.partial(_note, check, run=run)
    _try(check, "frames", lambda: check.keep_frames(folder, note, MOST_FRAMES))


def _write(path: Path, take: Callable[[CheckContext], object], check: CheckContext) -> None:
    write_whole(path, json.dumps(take(check), indent=1))


def _objects(check: CheckContext) -> dict[str, Any]:
    cluster, run = check.cluster, check.run
    paths = {
        "services": "/api/v1/services",
        "nodes": "/api/v1/nodes",
        "endpointslices": f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices",
    }
    namespaces = dict.fromkeys(workload.namespace for workload in run.workloads.all)
    return {name: cluster.list(path) for name, path in paths.items()} | {
        "pools": [cluster.find(run.path_of(made)) for made in run.pools.objects],
        "implementation": [pod for name in namespaces for pod in cluster.list(f"/api/v1/namespaces/{name}/pods")],
    }


def _events(check: CheckContext) -> list[Any]:
    events = check.cluster.list("/api/v1/events")
    return sorted(events, key=lambda e: str(e.get("lastTimestamp") or e.get("eventTime")))


def _try(check: CheckContext, what: str, act: Callable[[], object]) -> None:
    try:
        act()
    except (ApiError, ApiUnreachable, LabError, ProbeError, OSError) as error:
        check.run.journal.write("saw", witness="lab", what=f"{what} could not be kept", value=str(error))


def _note(check: CheckContext, kind: str, title: str, path: Path, run: Path) -> None:
    if path.exists():
        check.run.journal.write("evidence", kind=kind, title=title, path=path.relative_to(run).as_posix())
