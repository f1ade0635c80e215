"""Withdrawal of addresses whose Services have no ready endpoint, whatever their traffic policy."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from lbproof.context import manifests, proves
from lbproof.witnesses import neighbours

if TYPE_CHECKING:
    from lbproof.context import CheckContext

SERVICES = 4


@proves("L2-10")
def test_an_address_without_endpoints_is_withdrawn(check: CheckContext) -> None:
    """Endpoints are removed, or are there and no longer ready; one is ready again, on any node, and clients are served.

    Another Service, which keeps its endpoints, is announced meanwhile. Statuses stay as they are where a Service
    without endpoints is given an address; elsewhere they may be withdrawn too, and another address may follow.
    """
    nodes = check.nodes_with_pods()
    places = (check.namespace, check.second_namespace)
    with check.pool_with_room(SERVICES):
        services = [check.service(f"web-{n // 2}", namespace=places[n % 2]) for n in range(SERVICES)]
        held = check.all_assigned(*services)
    with check.precondition("L2-01"):
        check.holders(*held.values())
    check.random.shuffle(services)
    kept, *changed = services
    with check.unchanged(kept), check.unchanged_without_endpoints(*changed):
        for turn, service in enumerate(changed):
            if turn % 2:
                check.serve_from(service, nodes=nodes, conditions=manifests.NOT_READY)
            else:
                check.serve_from_none(service)
        check.goes_silent(*(held[service] for service in changed))
        with check.precondition("L2-01"):
            check.holders(held[kept])
        for service in changed:
            check.serve_from(service, nodes=[check.random.choice(nodes)])
        again = check.assigned_again(*changed)
        check.holders(*again.values())
        for address in again.values():
            check.undo.later("the client's entry", functools.partial(neighbours.forget, check.client, address))
            neighbours.forget(check.client, address)
            check.serves(check.client, address, in_a_row=3)
