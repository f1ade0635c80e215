"""Pending is an answer: nothing is given, nothing is broken, nobody else is touched."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.adapters.base import Cause
from lbproof.lab.base import Ability
from lbproof.proves import proves

if TYPE_CHECKING:
    from lbproof.adapters.base import Object
    from lbproof.stage import Stage


def spec_of(service: Object) -> Object:
    """What a user wrote, apart from what the API server fills in later."""
    found: Object = service["spec"]
    return found


@proves("PEND-01")
def test_a_service_that_cannot_be_served_stays_pending(stage: Stage, case: str) -> None:
    """With a full pool or with none, the Service has no address and is as it was written; who has one keeps it."""
    holders = {}
    if case == "a":
        stage.pool(2)
        holders = {service: stage.assigned(service) for service in (stage.service("one"), stage.service("two"))}
    service = stage.service("late")
    spec = spec_of(service.read())

    stage.stays_pending(service)

    after = service.read()
    assert spec_of(after) == spec, f"{service} was changed from {spec} to {after['spec']}"
    assert "deletionTimestamp" not in after["metadata"]
    for holder, address in holders.items():
        assert holder.addresses() == [address], f"{holder} held {address} and now holds {holder.addresses()}"


@proves("PEND-02")
def test_the_reason_is_on_the_service(stage: Stage, case: str) -> None:  # noqa: ARG001 - one verdict
    """A Warning Event about a Service that found a full pool says why it waits."""
    stage.pool(1)
    stage.assigned(stage.service("one"))

    event = stage.refused(stage.service("late"), Cause.POOL_EXHAUSTED)

    assert event["message"].strip(), "the Event says nothing"


@proves("PEND-05")
def test_the_lower_tiers_work_while_it_waits(stage: Stage, case: str) -> None:  # noqa: ARG001 - one verdict
    """A Pending LoadBalancer serves at its cluster address inside and at its node port outside."""
    stage.ground.need(Ability.NODE_VANTAGE)
    service = stage.service(serving=True)
    worker = stage.lab.nodes[-1]

    stage.serves(stage.lab.node(worker.name), service.cluster_ip())
    stage.serves(stage.client, worker.address, service.node_port())

    assert not service.addresses(), f"{service} was given {service.addresses()} though there is no pool"
