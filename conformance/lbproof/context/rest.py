"""Wait after a check until cluster and implementation are at rest, so that the next check starts undisturbed.

The check judged what it did; a longer recovery is recorded here and not judged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.context import manifests
from lbproof.context.cannot import CannotShow
from lbproof.context.run import NAMESPACE, WEB
from lbproof.lab.base import Capability
from lbproof.witnesses import neighbour
from lbproof.witnesses.wait import EventuallyFailed, Violation

if TYPE_CHECKING:
    from collections.abc import Collection

    from lbproof.context.check import CheckContext

ADDRESSES = 6
"""Number of addresses used to verify that all announcers see each other again."""
MANY = 20
"""Number of Services from which on the implementation is waited for before the next check."""
_REST = "rest"


def after_faults(check: CheckContext, faults: Collection[Capability]) -> None:
    """Wait until the cluster follows the API server and new addresses have one announcer each.

    Several addresses are used because speakers that do not see each other may still agree on one of them.
    """
    is_answered = check.run.claims("l2")
    try:
        if is_answered or "backends" in vars(check.run):
            with check.wait.tentative():
                cluster_follows(check, pods=Capability.STOP_API in faults)
    except EventuallyFailed as error:
        check.saw("api", "the cluster is not at rest after the fault", str(error))
    if not is_answered:  # addresses need not be answered for on the segment
        until_served(check, "after the fault")
        return
    pool = check.pool(ADDRESSES)
    try:
        with check.wait.tentative():
            services = [check.service(f"{_REST}-{n}", serving=True) for n in range(ADDRESSES)]
        check.wait.eventually(
            lambda: check.sweep(
                [address for service in services for address in service.addresses()], wait=neighbour.WAIT
            ),
            lambda seen: [len(who) for who in seen.values()] == [1] * len(pool.addresses),
            what=f"at rest after the fault: one node answers for each of {ADDRESSES} new addresses",
            budget="at_rest",
            in_a_row=3,
        )
    except CannotShow as error:
        check.saw("api", "not at rest after the fault", str(error))
    except EventuallyFailed as error:
        check.saw("arp", "not at rest after the fault", error.seen)


def cluster_follows(check: CheckContext, *, pods: bool) -> None:
    """Wait until kube-proxy of each node serves a new Service, and with `pods`, until a new pod runs behind it.

    Kubernetes' own components try longer and longer, up to 30 s, to reach an API server again (client-go's reflectors).
    """
    run = check.run
    _ = run.backends  # not `web`: how soon a path to them is there again is what is waited for
    app = WEB
    if pods:
        app = _REST
        workload = manifests.web(NAMESPACE, app, replicas=1)
        check.undo.later(f"deployment {app}", lambda: run.remove(workload))
        check.cluster.apply(workload)
        run.ready(NAMESPACE, app)
    plain = manifests.service(NAMESPACE, app, type="NodePort", selector={"app": app}, ipFamilies=[check.family.label])
    check.undo.later(f"Service {app}", lambda: run.remove(plain))
    port = check.cluster.apply(plain)["spec"]["ports"][0]["nodePort"]
    for node in check.lab.nodes:
        what = f"at rest after the fault: {check.client.name} reaches a pod by node {node.name}"
        run.served(check.client, node.address_for(check.family), port, "/hostname", what=what, budget="at_rest")


def after_many(check: CheckContext, count: int) -> None:
    """Wait after `count` Services, so that the next check waits for no backlog."""
    until_served(check, f"after {count} Services")


def until_served(check: CheckContext, when: str) -> None:
    """Wait until a new Service is given an address. `when`: after what, for the events of the run."""
    try:
        check.pool(1)
        service = check.service(_REST)
        check.wait.eventually(
            service.addresses, bool, what=f"at rest {when}: a new Service is served", budget="at_rest"
        )
    except Violation as error:
        check.saw("api", f"not at rest {when}", str(error))
