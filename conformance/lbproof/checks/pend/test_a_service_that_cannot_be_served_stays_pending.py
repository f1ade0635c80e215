"""Pending Services: no address, no change to the Service, no effect on others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lbproof.adapters.base import Cause
from lbproof.context import proves
from lbproof.context.unchanged import intact
from lbproof.lab.base import Capability
from lbproof.text import words

if TYPE_CHECKING:
    from lbproof.context import CheckContext

MOST_HOLDERS = 5


@proves("PEND-01")
def test_services_that_cannot_be_served_stay_pending(check: CheckContext, case: str) -> None:
    """With a full pool or no pool, Services get no address and no change; other Services keep theirs at any time.

    A second one that waits follows the first, in another namespace too, with other fields. One is older than those that
    have addresses, and becomes a LoadBalancer when none is free. By each way, one asks for an address that is held.
    """
    if case == "b":
        check.pools_forgotten()
    places = (check.namespace, check.second_namespace)
    oldest = check.service("oldest", type="ClusterIP")
    holders = []
    if case == "a":
        count = check.random.randint(2, MOST_HOLDERS)
        check.pool(count)
        holders = [check.service(f"web-{n // 2}", namespace=places[n % 2]) for n in range(count)]
        check.all_assigned(*holders)
    leaving, staying = holders[:1], holders[1:]
    wanted = [address for service in holders for address in service.addresses()]
    with check.unchanged(*staying, part=intact):
        with check.unchanged(*leaving, part=intact):
            fields: list[dict[str, Any]] = [{"externalTrafficPolicy": "Local"}, {"sessionAffinity": "ClientIP"}]
            check.random.shuffle(fields)
            late = [check.service("late", namespace=at, **extra) for at, extra in zip(places, fields, strict=True)]
            late += [check.service("later"), oldest]
            check.retype(oldest, "LoadBalancer")
            for how in check.run.ways if wanted else ():  # what is in no pool is REQ-02's
                late += check.unusable(f"late-asks-{how}", ask=check.random.choice(wanted), how=how)
            with check.unchanged(*late, part=intact):
                if case == "b":
                    check.stays_pending(*late)
                check.control_apart()
                if case == "a":
                    check.stays_pending(*late)
        check.control_in_turn(late, leaving)


@proves("PEND-02")
def test_the_reason_is_on_the_service(check: CheckContext) -> None:
    """An Event or a condition explains why each Service with a full pool is Pending, and its successor of that name.

    So it is for those that ask for the address that is held, by each way.
    """
    check.pool(1)
    held = check.assigned(check.service("one"))
    places = (check.namespace, check.second_namespace, check.namespace)
    late = [check.service(f"late-{n // 2}", namespace=place) for n, place in enumerate(places)]

    asking = [service for how in check.run.ways for service in check.unusable(f"late-asks-{how}", ask=held, how=how)]

    reasons = {str(service): check.refused(service, Cause.POOL_EXHAUSTED) for service in late}
    reasons |= {str(service): check.refused(service, Cause.POOL_EXHAUSTED, Cause.IN_USE) for service in asking}
    check.delete(late[0])
    again = check.service(late[0].name, namespace=late[0].namespace)
    reasons["its successor"] = check.refused(again, Cause.POOL_EXHAUSTED)

    silent = [name for name, reason in reasons.items() if not reason.strip()]
    assert not silent, f"the reason is empty of {words(silent)}"


@proves("PEND-05")
def test_the_lower_tiers_work_while_it_waits(check: CheckContext) -> None:
    """A Pending LoadBalancer serves inside at its cluster IP and outside at its node port.

    So do those that ask for an address, by each way; REQ-02 judges whether they are given one.
    """
    check.run.need(Capability.NODE_VANTAGE)
    check.pools_forgotten()
    wanted = check.run.addresses(1)[0]
    plain = check.service(serving=True)
    services = [plain]
    for how in check.run.ways:
        services += check.unusable(f"asks-{how}", serving=True, ask=wanted, how=how)
    worker = check.lab.nodes[-1]

    for service in services:
        check.serves(check.lab.node(worker.name), service.cluster_ip())
        check.serves(check.client, worker.address_for(check.family), service.node_port())

    assert not plain.addresses(), f"{plain} was given {words(plain.addresses())} though there is no pool"
