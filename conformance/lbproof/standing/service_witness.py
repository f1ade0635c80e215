"""Standing witness of Services and of the Events about them: every version, from the first check to the last."""

from __future__ import annotations

import secrets
from collections import deque
from typing import TYPE_CHECKING

from lbproof.context import manifests
from lbproof.context.acts import ActKind
from lbproof.spec import BUDGETS
from lbproof.standing.services import ServiceJudge
from lbproof.witnesses.object_watch import ObjectWatch
from lbproof.witnesses.wait import EventuallyFailed, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lbproof.context import RunContext
    from lbproof.standing.assignments import Assignments
    from lbproof.standing.finding import Finding
    from lbproof.standing.surroundings import Surroundings
    from lbproof.witnesses.object_watch import Arrived

_SERVICES = "/api/v1/services"
_EVENTS = "/api/v1/events"
_NAMESPACE = "default"
_SEEN_WITHIN = 10.0
"""Seconds until the watch delivers a Service that the suite has just created."""


class WitnessBroke(RuntimeError):  # noqa: N818 - it says what happened, as `WatchBroke` does
    """A standing witness did not see everything."""


class ServiceWitness:
    """Watches and judges the Services of one cluster."""

    def __init__(self, run: RunContext, surroundings: Surroundings, assignments: Assignments) -> None:
        """Watch nothing yet. `assignments` is told of each version as it arrives."""
        self._versions: deque[Arrived] = deque()
        self._told: deque[Arrived] = deque()
        self._run = run
        self._judge = ServiceJudge(surroundings)
        self._assignments = assignments
        self._services = ObjectWatch(run.cluster, _SERVICES, self._arrived)
        self._events = ObjectWatch(run.cluster, _EVENTS, self._told.append, fieldSelector="involvedObject.kind=Service")
        self._seen: set[str] = set()
        """Names of Services that the watch delivered, as far as `finish` looks for one."""

    def _arrived(self, arrived: Arrived) -> None:
        self._assignments.version(arrived.t, arrived.kind, arrived.made)
        self._versions.append(arrived)

    def start(self) -> None:
        """Start the watches. Raises as `Kube.list`."""
        self._services.start()
        self._events.start()

    def stop(self) -> None:
        """End the watches."""
        self._services.stop()
        self._events.stop()

    def judge(self) -> Iterator[Finding]:
        """Judge what has arrived since the last call. Raises `WitnessBroke` afterwards when something was missed."""
        for arrived in _taken(self._versions):
            self._seen.add(arrived.made["metadata"]["name"])
            yield from self._judge.version(arrived.t, arrived.kind, arrived.made, judged=arrived.resumed)
        for arrived in _taken(self._told):
            if arrived.kind == "ADDED":
                yield from self._judge.event(arrived.t, arrived.made)
        for watch in (self._services, self._events):
            self._require(watch)

    def _require(self, watch: ObjectWatch) -> None:
        """Raise `WitnessBroke` when a watch has ended, or missed versions although no fault explains it."""
        if watch.failure is not None:
            raise WitnessBroke(f"{watch}: {watch.failure}") from watch.failure
        for moment in watch.gaps:
            if not self._run.acts.between(moment - BUDGETS["node_back"].ceiling, moment, ActKind.FAULT):
                raise WitnessBroke(f"{watch}: versions are missing, since the API server no longer has them")

    def finish(self) -> Iterator[Finding]:
        """Judge everything up to now. Raises `WitnessBroke` when that cannot be seen."""
        name = f"lbproof-marker-{secrets.token_hex(4)}"
        path = f"/api/v1/namespaces/{_NAMESPACE}/services"
        self._run.cluster.create(path, manifests.service(_NAMESPACE, name, type="ClusterIP", clusterIP="None"))
        self._run.cluster.discard(f"{path}/{name}")
        found: list[Finding] = []

        def seen() -> bool:
            found.extend(self.judge())
            return name in self._seen

        try:
            eventually(seen, bool, what=f"{self._services} delivers the last Service", within=_SEEN_WITHIN)
        except EventuallyFailed as error:
            raise WitnessBroke(error.reason) from error
        yield from found


def _taken(events: deque[Arrived]) -> Iterator[Arrived]:
    """Take what has arrived, in order."""
    while events:
        yield events.popleft()
