"""The address serves inside the cluster too, from every place that a packet may start at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.lab.base import Ability, Role
from lbproof.proves import proves
from lbproof.spec import Untestable
from lbproof.stage import CannotShow

if TYPE_CHECKING:
    from lbproof.lab.base import Node
    from lbproof.stage import Stage


def other_worker(stage: Stage, announcer: Node) -> Node:
    """A worker that does not announce."""
    others = [node for node in stage.lab.nodes if node.role is Role.WORKER and node.name != announcer.name]
    if not others:
        raise CannotShow(Untestable.TOO_FEW_NODES, "one worker announces, and there is no other")
    return others[0]


@proves("TIER-02")
def test_pods_are_served(stage: Stage, case: str) -> None:
    """A pod is served wherever it runs, and also when it is a backend itself."""
    stage.ground.need(Ability.POD_VANTAGE)
    stage.pool(1)
    service = stage.service(serving=True)
    address = stage.assigned(service)
    backends = stage.pods(stage.ground.web)
    if case == "a":
        asking = stage.pods(stage.web("asking"))[0][0]
    elif case == "b":
        asking = backends[0][0]
    else:
        node = other_worker(stage, stage.announcer(address))
        asking = stage.pods(stage.web("asking", nodes=[node.name]))[0][0]

    stage.serves(stage.pod(asking), address, in_a_row=3)


@proves("TIER-03")
def test_nodes_are_served(stage: Stage, case: str) -> None:
    """The node that announces is served, and so is another."""
    stage.ground.need(Ability.NODE_VANTAGE)
    stage.pool(1)
    address = stage.assigned(stage.service(serving=True))
    announcer = stage.announcer(address)
    node = announcer if case == "a" else other_worker(stage, announcer)

    stage.serves(stage.lab.node(node.name), address, in_a_row=3)
