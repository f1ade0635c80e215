"""Pending Services: no address, no change to the Service, no effect on others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.adapters.base import Cause
from lbproof.context import proves
from lbproof.lab.base import Capability
from lbproof.text import words

if TYPE_CHECKING:
    from lbproof.adapters.base import Object
    from lbproof.context import CheckContext


def spec_of(service: Object) -> Object:
    """Return the spec without the fields that the API server fills in later."""
    found: Object = service["spec"]
    return found


@proves("PEND-01")
def test_a_service_that_cannot_be_served_stays_pending(check: CheckContext, case: str) -> None:
    """With a full pool or no pool, the Service gets no address and no change; other Services keep their addresses."""
    holders = {}
    if case == "a":
        check.pool(2)
        holders = {service: check.assigned(service) for service in (check.service("one"), check.service("two"))}
    service = check.service("late")
    spec = spec_of(service.read())

    if case == "b":
        check.stays_pending(service)
    check.control_apart()
    check.stays_pending(service)

    after = service.read()
    assert spec_of(after) == spec, f"{service} was changed from {words(spec)} to {words(after['spec'])}"
    assert "deletionTimestamp" not in after["metadata"]
    for holder, address in holders.items():
        assert holder.addresses() == [address], f"{holder} held {address} and now holds {words(holder.addresses())}"


@proves("PEND-02")
def test_the_reason_is_on_the_service(check: CheckContext) -> None:
    """An Event or a condition explains why a Service with a full pool is Pending."""
    check.pool(1)
    check.assigned(check.service("one"))

    reason = check.refused(check.service("late"), Cause.POOL_EXHAUSTED)

    assert reason.strip(), "the reason is empty"


@proves("PEND-05")
def test_the_lower_tiers_work_while_it_waits(check: CheckContext) -> None:
    """A Pending LoadBalancer serves inside at its cluster IP and outside at its node port."""
    check.run.need(Capability.NODE_VANTAGE)
    service = check.service(serving=True)
    worker = check.lab.nodes[-1]

    check.serves(check.lab.node(worker.name), service.cluster_ip())
    check.serves(check.client, worker.address, service.node_port())

    assert not service.addresses(), f"{service} was given {words(service.addresses())} though there is no pool"
