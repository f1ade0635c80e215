"""Release of the addresses of Services that are no longer LoadBalancers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.checks.recl.released import given_to_new
from lbproof.context import proves
from lbproof.context.classes import of_own_class

if TYPE_CHECKING:
    from lbproof.context import CheckContext

SERVICES = 4


@proves("RECL-02")
def test_leaving_the_type_releases_the_address(check: CheckContext, case: str) -> None:
    """After a change to another type, the status is empty, and the address is silent and can be reused.

    By Services that ask for it, and by others. So it is for several Services at once, for those that asked for their
    address, for one of the implementation's own class where that is served, and when one leaves a second time.
    """
    kind = {"a": "ClusterIP", "b": "NodePort", "c": "ExternalName"}[case]
    pool = check.pool(SERVICES)
    own = of_own_class(check, serving=True)
    free = [address for address in pool.addresses if address not in own.values()]
    ways = check.run.ways[: len(free)]
    asked = check.random.sample(free, len(ways))
    services = [
        check.service(f"asks-{n}", serving=True, ask=address, how=way)
        for n, (address, way) in enumerate(zip(asked, ways, strict=True))
    ]
    check.all_assigned(*services)
    services += [*own, *(check.service(f"web-{n}", serving=True) for n in range(len(free) - len(services)))]
    held = check.all_assigned(*services)
    if check.run.claims("l2"):
        with check.precondition("L2-01"):
            check.holders(*held.values())

    for service in services:
        check.retype(service, kind)
    check.one_by_one(
        lambda: check.statuses(*services),
        lambda seen: sum(not held for held in seen.values()),
        len(services),
        what=f"the status of one more of {len(services)} Services is empty",
        budget="address_assigned",
    )
    with check.unchanged(*services):
        check.goes_silent(*held.values())
        after = given_to_new(check, pool.addresses, "next")

    again = check.random.choice(services)
    check.delete_all(*after)
    check.retype(again, "LoadBalancer")
    with check.precondition():
        check.assigned(again)
    check.retype(again, kind)
    given_to_new(check, pool.addresses, "last")
