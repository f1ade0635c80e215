"""externalTrafficPolicy Cluster: the announcing node need not host a pod."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.context import CannotShow, proves
from lbproof.lab.base import Role
from lbproof.spec import Untestable

if TYPE_CHECKING:
    from lbproof.context import CheckContext


@proves("ETP-02")
def test_cluster_serves_without_a_local_endpoint(check: CheckContext) -> None:
    """A Service whose only pod is not on the announcing node is served."""
    workers = [node for node in check.lab.nodes if node.role is Role.WORKER]
    if len(workers) < 2:  # noqa: PLR2004 - one announces, another hosts
        raise CannotShow(Untestable.TOO_FEW_NODES, "two workers are needed")
    check.pool(1)
    service = check.service(serving=True, externalTrafficPolicy="Cluster")
    address = check.assigned(service)
    elsewhere = next(node for node in workers if node.name != check.announcer(address).name)
    app = check.web("elsewhere", nodes=[elsewhere.name])
    service.patch(spec={"selector": {"app": app}})
    only = check.pods(app)[0][0]

    seen = check.wait.eventually(
        lambda: check.ask_pod_or_why(check.client, address),
        lambda pod: pod == only,
        what=f"{address} is served by {only} on {elsewhere.name}",
        budget="serves",
        in_a_row=3,
    )
    announcer = check.announcer(address)

    assert seen == only
    if announcer.name == elsewhere.name:
        raise CannotShow(Untestable.NOT_PROVOKED, f"{announcer.name}, which hosts the only endpoint, now announces too")
