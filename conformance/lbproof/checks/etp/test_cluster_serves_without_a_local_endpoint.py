"""With policy Cluster, the node that announces need not host a pod."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.lab.base import Role
from lbproof.proves import proves
from lbproof.spec import Untestable
from lbproof.stage import CannotShow

if TYPE_CHECKING:
    from lbproof.stage import Stage


@proves("ETP-02")
def test_cluster_serves_without_a_local_endpoint(stage: Stage, case: str) -> None:  # noqa: ARG001 - one verdict
    """Whichever node announces, a Service whose only pod is on another node is served."""
    workers = [node for node in stage.lab.nodes if node.role is Role.WORKER]
    if len(workers) < 2:  # noqa: PLR2004 - one announces, another hosts
        raise CannotShow(Untestable.TOO_FEW_NODES, "two workers are needed")
    stage.pool(1)
    service = stage.service(serving=True, externalTrafficPolicy="Cluster")
    address = stage.assigned(service)
    elsewhere = next(node for node in workers if node.name != stage.announcer(address).name)
    app = stage.web("elsewhere", nodes=[elsewhere.name])
    service.patch(spec={"selector": {"app": app}})
    only = stage.pods(app)[0][0]

    seen = stage.wait.settles(
        lambda: stage.ask_pod_or_why(stage.client, address),
        lambda pod: pod == only,
        what=f"{address} is served by {only} on {elsewhere.name}",
        budget="serves",
        in_a_row=3,
    )
    announcer = stage.announcer(address)

    assert seen == only
    if announcer.name == elsewhere.name:
        raise CannotShow(Untestable.NOT_PROVOKED, f"{announcer.name}, which hosts the only endpoint, now announces too")
