"""Services of another class: two controllers that write the same status would overwrite each other forever."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from lbproof.context import manifests, proves
from lbproof.context.service_watch import ServiceWatch
from lbproof.text import words

if TYPE_CHECKING:
    from lbproof.adapters.base import Object
    from lbproof.context import CheckContext, RunContext

FOREIGN = "example.com/another"
STATUS = {"loadBalancer": {"ingress": [{"ip": "203.0.113.7", "ipMode": "VIP"}]}}
"""Address written by the other controller, from a documentation network (RFC 5737) and in no pool."""
NAMESPACE = "lbproof-foreign"


def untouched(service: Object) -> Object:
    """Return the parts of a Service that no other controller may change."""
    meta = service["metadata"]
    parts = ("annotations", "labels", "finalizers", "ownerReferences")
    return {part: meta.get(part) for part in parts} | {"spec": service["spec"], "status": service["status"]}


class ForeignService:
    """Service of another class that is watched from the first check of a run to the last."""

    def __init__(self, run: RunContext) -> None:
        """Create the Service, write its status as its own controller would, and start the watch."""
        self.cluster = run.cluster
        run.namespace(NAMESPACE)
        self.cluster.apply(run.opt_in(manifests.service(NAMESPACE, "foreign", loadBalancerClass=FOREIGN)))
        self.path = f"/api/v1/namespaces/{NAMESPACE}/services/foreign"
        self.before = untouched(self.cluster.patch(f"{self.path}/status", {"status": STATUS}))
        self.changes: list[str] = []
        self.watching = ServiceWatch(self.cluster, NAMESPACE, self._changed).__enter__()

    def _changed(self, kind: str, service: Object) -> None:
        self.changes.append(f"+{time.monotonic() - self.watching.began:.1f} s {kind} {untouched(service)}")

    def end(self) -> None:
        """Stop the watch after all changes up to now were seen. Raises `WatchBroke`."""
        self.watching.__exit__(None)


def begin(run: RunContext) -> None:
    """Start the watch before the first check of a run, so that its minimum of one minute adds no time."""
    run.kept[ForeignService.__name__] = ForeignService(run)


@proves("CLASS-02", "a")
def test_a_foreign_service_is_left_as_it_is(check: CheckContext) -> None:
    """A Service of another class gets no address although some are free, no change, no Event and no ARP answer."""
    pool = check.pool(3)
    service = check.service(serving=True, loadBalancerClass=FOREIGN)
    before = untouched(service.read())
    given = check.control()
    check.stays_pending(service)
    assert untouched(service.read()) == before

    free = [address for address in pool.addresses if address != given]
    claimed = {"loadBalancer": {"ingress": [{"ip": str(free[-1])}]}}
    before = untouched(check.cluster.patch(f"{service.path}/status", {"status": claimed}))
    check.control_apart()
    check.stays_silent(*free)

    _same(service.read(), before)
    assert service.events() == [], f"Events about a foreign Service: {words([e['reason'] for e in service.events()])}"


@proves("CLASS-02", "b")
def test_a_status_of_another_controller_survives(check: CheckContext) -> None:
    """The status written by another controller is unchanged for at least a minute, during all other checks."""
    vigil: ForeignService = check.run.kept[ForeignService.__name__]
    check.wait.consistently(
        lambda: vigil.changes,
        lambda changes: not changes,
        what="the foreign Service is changed by nobody",
        budget="stays_untouched",
        since=vigil.watching.began,
        every=0.2,
    )
    vigil.end()
    found = check.cluster.get(vigil.path)
    about: dict[str, Any] = {"fieldSelector": f"involvedObject.uid={found['metadata']['uid']}"}
    events = check.cluster.list(f"/api/v1/namespaces/{NAMESPACE}/events", **about)

    assert not vigil.changes, f"a foreign Service was changed: {words(vigil.changes)}"
    _same(found, vigil.before)
    assert events == [], f"Events about a foreign Service: {words([event['reason'] for event in events])}"


def _same(now: Object, before: Object) -> None:
    after = untouched(now)
    changed = {part: (before[part], after[part]) for part in before if before[part] != after[part]}
    managers = [entry["manager"] for entry in now["metadata"].get("managedFields", [])]
    assert not changed, f"changed on a foreign Service: {words(changed)}; its managers are {words(managers)}"
