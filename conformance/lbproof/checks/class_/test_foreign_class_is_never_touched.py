"""Another's Service is another's: two controllers that write one status fight for ever."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from lbproof.proves import proves
from lbproof.stage import manifests
from lbproof.stage.watching import Watching

if TYPE_CHECKING:
    from lbproof.adapters.base import Object
    from lbproof.stage import Ground, Stage

FOREIGN = "example.com/another"
STATUS = {"loadBalancer": {"ingress": [{"ip": "203.0.113.7", "ipMode": "VIP"}]}}
"""What the other controller wrote: an address of a documentation network (RFC 5737), of no pool here."""
NAMESPACE = "lbproof-foreign"


def untouched(service: Object) -> Object:
    """All of a Service that nobody else may change."""
    meta = service["metadata"]
    parts = ("annotations", "labels", "finalizers", "ownerReferences")
    return {part: meta.get(part) for part in parts} | {"spec": service["spec"], "status": service["status"]}


class Vigil:
    """A foreign Service that is watched from the first check of a run to the last."""

    def __init__(self, ground: Ground) -> None:
        """Make the Service, write its status as its own controller would, and watch it from there."""
        self.cluster = ground.cluster
        ground.namespace(NAMESPACE)
        self.cluster.apply(manifests.service(NAMESPACE, "foreign", loadBalancerClass=FOREIGN))
        self.path = f"/api/v1/namespaces/{NAMESPACE}/services/foreign"
        self.before = untouched(self.cluster.patch(f"{self.path}/status", {"status": STATUS}))
        self.changes: list[str] = []
        self.watching = Watching(self.cluster, NAMESPACE, self._changed).__enter__()

    def _changed(self, kind: str, service: Object) -> None:
        self.changes.append(f"+{time.monotonic() - self.watching.began:.1f} s {kind} {untouched(service)}")

    def end(self) -> None:
        """Watch until everything up to now was seen. Raises `WatchBroke`."""
        self.watching.__exit__(None)


def begin(ground: Ground) -> None:
    """Called once before the first check of a run: a minute of watching then costs the run nothing."""
    ground.kept[Vigil.__name__] = Vigil(ground)


@proves("CLASS-02", "a")
def test_a_foreign_service_is_left_as_it_is(stage: Stage, case: str) -> None:  # noqa: ARG001 - its only case
    """With free addresses at hand, it is given none, nothing on it changes, nobody speaks of it or answers for it."""
    pool = stage.pool(2)
    service = stage.service(serving=True, loadBalancerClass=FOREIGN)
    claimed = {"loadBalancer": {"ingress": [{"ip": pool.addresses[1]}]}}
    before = untouched(service.read())
    stage.stays_pending(service)
    assert untouched(service.read()) == before

    before = untouched(stage.cluster.patch(f"{service.path}/status", {"status": claimed}))
    stage.stays_silent(*pool.addresses)

    _same(service.read(), before)
    assert service.events() == [], f"Events about a foreign Service: {[e['reason'] for e in service.events()]}"


@proves("CLASS-02", "b")
def test_a_status_of_another_controller_survives(stage: Stage, case: str) -> None:  # noqa: ARG001 - its only case
    """A minute and all other checks long, whatever they did, the status stays as the other controller wrote it."""
    vigil: Vigil = stage.ground.kept[Vigil.__name__]
    stage.wait.holds(
        lambda: vigil.changes,
        lambda changes: not changes,
        what="the foreign Service is changed by nobody",
        budget="stays_untouched",
        since=vigil.watching.began,
        every=0.2,
    )
    vigil.end()
    found = stage.cluster.get(vigil.path)
    about: dict[str, Any] = {"fieldSelector": f"involvedObject.uid={found['metadata']['uid']}"}
    events = stage.cluster.list(f"/api/v1/namespaces/{NAMESPACE}/events", **about)

    assert not vigil.changes, f"a foreign Service was changed: {vigil.changes}"
    _same(found, vigil.before)
    assert events == [], f"Events about a foreign Service: {[event['reason'] for event in events]}"


def _same(now: Object, before: Object) -> None:
    after = untouched(now)
    changed = {part: (before[part], after[part]) for part in before if before[part] != after[part]}
    managers = [entry["manager"] for entry in now["metadata"].get("managedFields", [])]
    assert not changed, f"changed on a foreign Service: {changed}; its managers are {managers}"
