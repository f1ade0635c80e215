"""Services of another class: two controllers that write the same status would overwrite each other forever."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from lbproof.adapters.base import WorkloadRole
from lbproof.context import manifests, proves
from lbproof.context.classes import similar_classes
from lbproof.context.precedence import judging
from lbproof.context.service_watch import ServiceWatch
from lbproof.context.unchanged import differences, untouched
from lbproof.text import words

if TYPE_CHECKING:
    from lbproof.adapters.base import Object
    from lbproof.context import CheckContext, Pool, RunContext

FOREIGN = "example.com/another"
ADDRESS = "203.0.113.7"
"""Address written by the other controller, from a documentation network (RFC 5737) and in no pool."""
STATUS = {"loadBalancer": {"ingress": [{"ip": ADDRESS, "ipMode": "VIP"}]}}
NAMESPACE = "lbproof-foreign"


class ForeignServices:
    """Services of another class that are watched from the first check of a run to the last."""

    def __init__(self, run: RunContext) -> None:
        """Create the Services, write the status of each as its own controller would, and start the watch.

        One asks for its address by every way that the implementation knows, and one has the marks that it sets.
        """
        self.cluster = run.cluster
        run.namespace(NAMESPACE)
        self.before: dict[str, Object] = {}
        for name, ways in (("foreign", []), ("asking", run.ways), ("marked", [])):
            made = run.opt_in(manifests.service(NAMESPACE, name, loadBalancerClass=FOREIGN))
            if name == "marked" and run.claims("pool-mark"):
                for mark in run.adapter.pool_marks:
                    mark.set(made, FOREIGN)
            for how in ways:
                run.ask(made, ADDRESS, how)
            self.cluster.apply(made)
            path = f"/api/v1/namespaces/{NAMESPACE}/services/{name}"
            self.before[path] = untouched(self.cluster.patch(f"{path}/status", {"status": STATUS}))
        self.changes: list[str] = []
        self.watching = ServiceWatch(self.cluster, NAMESPACE, self._changed).__enter__()

    def _changed(self, kind: str, service: Object) -> None:
        name, after = service["metadata"]["name"], time.monotonic() - self.watching.began
        before = self.before.get(f"/api/v1/namespaces/{NAMESPACE}/services/{name}")
        found = "no Service of this check" if before is None else differences(before, untouched(service)) or "no part"
        self.changes.append(f"+{after:.1f} s {name} {kind}: {found}")

    def end(self) -> None:
        """Stop the watch after all changes up to now were seen. Raises `WatchBroke`."""
        self.watching.__exit__(None)


def begin(run: RunContext) -> None:
    """Start the watch before the first check of a run, so that its minimum of one minute adds no time."""
    run.kept[ForeignServices.__name__] = ForeignServices(run)


@proves("CLASS-02", "a")
def test_foreign_services_are_left_as_they_are(check: CheckContext) -> None:
    """Services of other classes get no address although some are free, no change, no Event and no ARP answer.

    Also those that ask for an address or a pool, those whose own controller gave them an address of a pool, and those
    of classes with names like the implementation's own.
    """
    pool = check.pool(8)
    foreign = [
        check.service(f"web-{n}", serving=True, loadBalancerClass=FOREIGN, **asks)
        for n, asks in enumerate(requests(check, pool))
    ]
    for service, address in zip(foreign[:2], pool.addresses[4:6], strict=True):
        service.write_address(address)
    others = [f"{FOREIGN}-2", *(similar_classes(check.run.adapter.own_class) if check.run.claims("class") else [])]
    foreign += [
        check.service(f"other-{n}", namespace=check.second_namespace, loadBalancerClass=name)
        for n, name in enumerate(others)
    ]

    def judge() -> None:
        told = {str(service): [event["reason"] for event in service.events_of_others()] for service in foreign}
        assert not any(told.values()), f"Events about foreign Services: {words(told)}"

    with judging(judge), check.unchanged(*foreign, part=untouched):
        given = check.control(seen=True)
        check.control_apart()
        check.stays_silent(*(address for address in pool.addresses if address != given))


def requests(check: CheckContext, pool: Pool) -> list[dict[str, Any]]:
    """Return what Services may ask for: twice nothing, then addresses of a pool and the pool itself, where claimed."""
    free = iter(pool.addresses[::-1])
    asks: list[dict[str, Any]] = [{}, {}, *({"ask": next(free), "how": how} for how in check.run.ways)]
    return [*asks, {"pool": pool}] if check.run.claims("pool-select") else asks


@proves("CLASS-02", "b", disruptive=True)
def test_a_status_of_another_controller_survives(check: CheckContext) -> None:
    """The status written by another controller is unchanged for at least a minute, and when the controller restarts.

    Then also one that shows an address of a pool.
    """
    vigil: ForeignServices = check.run.kept[ForeignServices.__name__]

    def judge() -> None:
        assert not vigil.changes, f"foreign Services were changed: {words(vigil.changes)}"
        for path, before in vigil.before.items():
            found = check.cluster.get(path)
            assert not (changed := differences(before, untouched(found))), f"changed on a foreign Service: {changed}"
            events = check.cluster.events_about(found)
            assert events == [], f"Events about a foreign Service: {words([event['reason'] for event in events])}"

    with judging(judge):
        check.wait.consistently(
            lambda: vigil.changes,
            lambda changes: not changes,
            what="the foreign Services are changed by nobody",
            budget="stays_untouched",
            since=vigil.watching.began,
            every=0.2,
        )
        if any(WorkloadRole.CONTROLLER in workload.roles for workload in check.run.workloads.all):
            pool = check.pool(2)
            shown = check.service("shown", loadBalancerClass=FOREIGN)
            shown.write_address(check.random.choice(pool.addresses))
            with check.unchanged(shown, part=untouched):
                check.run.workloads.restart(WorkloadRole.CONTROLLER)
                check.control(budget="restarted", seen=True)
        vigil.end()
