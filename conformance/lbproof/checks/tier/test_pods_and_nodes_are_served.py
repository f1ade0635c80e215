"""Access to the address from inside the cluster: from pods and nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.context import CannotShow, proves
from lbproof.lab.base import Capability, Role
from lbproof.spec import Untestable

if TYPE_CHECKING:
    from lbproof.context import CheckContext
    from lbproof.lab.base import Node


def other_worker(check: CheckContext, announcer: Node) -> Node:
    """Return a worker that does not announce."""
    others = [node for node in check.lab.nodes if node.role is Role.WORKER and node.name != announcer.name]
    if not others:
        raise CannotShow(Untestable.TOO_FEW_NODES, "one worker announces, and there is no other")
    return others[0]


@proves("TIER-02")
def test_pods_are_served(check: CheckContext, case: str) -> None:
    """A pod is served on any node, also when it is a backend itself."""
    check.run.need(Capability.POD_VANTAGE)
    check.pool(1)
    service = check.service(serving=True)
    address = check.assigned(service)
    backends = check.pods(check.run.web)
    if case == "a":
        asking = check.pods(check.web("asking"))[0][0]
    elif case == "b":
        asking = backends[0][0]
    else:
        node = other_worker(check, check.announcer(address))
        asking = check.pods(check.web("asking", nodes=[node.name]))[0][0]

    check.serves(check.pod(asking), address, in_a_row=3)


@proves("TIER-03")
def test_nodes_are_served(check: CheckContext, case: str) -> None:
    """The announcing node and another node are served."""
    check.run.need(Capability.NODE_VANTAGE)
    check.pool(1)
    address = check.assigned(check.service(serving=True))
    announcer = check.announcer(address)
    node = announcer if case == "a" else other_worker(check, announcer)

    check.serves(check.lab.node(node.name), address, in_a_row=3)
