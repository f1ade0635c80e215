"""loadBalancerSourceRanges: which clients outside the cluster are served at the address."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.context import proves
from lbproof.lab.base import Capability
from lbproof.spec.families import family_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lbproof.context import CheckContext, Service
    from lbproof.spec.families import IPAddress
    from lbproof.witnesses.vantage import Vantage


def ranges(check: CheckContext, address: IPAddress, clients: Sequence[Vantage]) -> list[str]:
    """Return ranges that have the addresses of some clients alone, and one that has nobody's."""
    family = family_of(address)
    own = [client.address_for(family) for client in clients]
    unused = check.lab.segment.free_for(family)[-1]
    return [f"{one}/{one.max_prefixlen}" for one in (*own, unused)]


def admitted(check: CheckContext, held: Mapping[Service, IPAddress], who: Mapping[Service, Sequence[Vantage]]) -> None:
    """Verify that the clients of each Service are served at its address, and the others are not."""
    for service, clients in who.items():
        for client in clients:
            check.serves(client, held[service], in_a_row=3)
    names = {service: {client.name for client in clients} for service, clients in who.items()}
    refused = [(client, held[one], 80) for one in who for client in check.clients() if client.name not in names[one]]
    for client, address, _ in refused:
        check.wait.eventually(
            lambda client=client, address=address: check.ask_pod_or_why(  # type: ignore[misc]
                client, address, timeout=check.wait.budget("arp_answer")
            ),
            lambda pod: not pod.startswith(check.run.web),
            what=f"{client.name}, which is in no range, is not served at {address}",
            budget="serves",
        )
    if refused:
        check.none_open(refused)


@proves("TIER-09")
def test_the_clients_in_the_ranges_are_served(check: CheckContext, case: str) -> None:
    """One Service admits the client on the segment, one the client behind the router, one both, one has no ranges.

    In case a, the router of the latter has to ask for the addresses too, which is a host that is in no range.
    """
    check.run.need(Capability.ROUTED_CLIENT)
    near, far = check.clients()
    wanted = [[near], [far], [near, far], [near, far]]
    with check.pool_with_room(len(wanted)) as pool:
        services = [
            check.service(f"web-{n}", loadBalancerSourceRanges=ranges(check, pool.addresses[0], clients))
            for n, clients in enumerate(wanted[:-1])
        ]
        services.append(check.service("open"))
        held = check.all_assigned(*services)
    if case == "a":
        admitted(check, held, dict(zip(services, wanted, strict=True)))
        with check.precondition("TIER-04"):
            check.serves_without_entry(far, held[services[-1]], hop=check.lab.router())
        admitting = [held[one] for one, who in zip(services[:-1], wanted[:-1], strict=True) if far in who]
        check.serves_without_entry(far, *admitting, hop=check.lab.router())
        return
    with check.precondition():
        admitted(check, held, dict(zip(services, wanted, strict=True)))
    with check.unchanged(*services):
        for service, clients in zip(services, (far, near, near, far), strict=True):
            service.patch(spec={"loadBalancerSourceRanges": ranges(check, held[service], [clients])})
        admitted(check, held, dict(zip(services, ([far], [near], [near], [far]), strict=True)))
        for service in services:
            service.patch(spec={"loadBalancerSourceRanges": None})
        admitted(check, held, {service: [near, far] for service in services})
