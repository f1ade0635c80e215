"""Services with externalTrafficPolicy Local, whose endpoints are on chosen nodes."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from lbproof.spec.families import family_of
from lbproof.witnesses import neighbours

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from lbproof.context import CheckContext, Service
    from lbproof.spec.families import IPAddress
    from lbproof.witnesses.vantage import Vantage


def assigned(
    check: CheckContext, nodes: Sequence[str], *, count: int = 3, policy: str = "Local"
) -> dict[Service, tuple[IPAddress, str]]:
    """Create Services with an endpoint on one node each, namesakes among them; return their addresses and nodes.

    Other addresses of their pool are free.
    """
    places = (check.namespace, check.second_namespace)
    turns = [nodes[n % len(nodes)] for n in range(count)]
    with check.pool_with_room(count):
        services = [
            check.service(f"web-{n // 2}", namespace=places[n % 2], nodes=[node], externalTrafficPolicy=policy)
            for n, node in enumerate(turns)
        ]
        held = check.all_assigned(*services)
    for address in held.values():
        check.undo.later("the client's entry", functools.partial(neighbours.forget, check.client, address))
    return {service: (held[service], node) for service, node in zip(services, turns, strict=True)}


def switch(services: Iterable[Service], policy: str) -> None:
    """Change the policy of Services."""
    for service in services:
        service.patch(spec={"externalTrafficPolicy": policy})


def announced_by(check: CheckContext, allowed: Mapping[IPAddress, Collection[str]]) -> None:
    """Wait until only nodes that are allowed answer for each address, and verify that no other one does or claims it.

    `allowed`: names of nodes by address; nobody is to answer where there are none.
    """
    check.holders_within(allowed)
    with check.claims() as claims:

        def strangers() -> dict[str, list[str]]:
            found = {
                address: {claim.by for claim in made} - {*allowed[address]}
                for address, made in claims.of(list(allowed)).items()
            }
            return {str(address): sorted(who) for address, who in found.items() if who}

        check.wait.consistently(
            strangers,
            lambda found: not found,
            what=f"no node without a ready endpoint claims {' or '.join(map(str, allowed))}",
            budget="stays_silent",
        )
    check.holders_within(allowed)


def served_by(check: CheckContext, vantage: Vantage, address: IPAddress, pods: Collection[str]) -> None:
    """Wait until a client is served by some pods, and asks anew where the address is."""

    def ask() -> str:
        neighbours.forget(check.client, address)
        return check.ask_pod_or_why(vantage, address)

    check.wait.eventually(
        ask,
        lambda pod: pod in pods,
        what=f"{vantage.name} is served at {address} by {' or '.join(sorted(pods))}",
        budget="serves",
        in_a_row=3,
    )


def own_address_seen(check: CheckContext, vantage: Vantage, address: IPAddress) -> None:
    """Wait until the backend sees the client's own address, three times in a row."""
    own = vantage.address_for(family_of(address))

    def ask() -> str:
        neighbours.forget(check.client, address)
        return check.source_seen(vantage, address)

    check.wait.eventually(
        ask,
        lambda seen: seen == str(own),
        what=f"the backend of {address} sees {vantage.name} as {own}",
        budget="serves",
        in_a_row=3,
    )
