"""Tier three: the address and the declared port, from outside the cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.lab.base import Ability
from lbproof.proves import proves

if TYPE_CHECKING:
    from lbproof.stage import Stage


@proves("TIER-01")
def test_the_client_on_the_segment_is_served(stage: Stage, case: str) -> None:  # noqa: ARG001 - one verdict
    """Three requests in a row from the outside client are answered by backends."""
    stage.pool(1)
    address = stage.assigned(stage.service(serving=True))

    stage.serves(stage.client, address, in_a_row=3)


@proves("TIER-04")
def test_the_client_behind_a_router_is_served(stage: Stage, case: str) -> None:  # noqa: ARG001 - one verdict
    """A client whose subnet is another is served, so replies find their way back through the router."""
    stage.ground.need(Ability.FAR_CLIENT)
    stage.pool(1)
    address = stage.assigned(stage.service(serving=True))

    stage.serves(stage.lab.far(), address, in_a_row=3)
