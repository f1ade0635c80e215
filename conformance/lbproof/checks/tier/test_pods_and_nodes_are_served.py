"""Access to the address from inside the cluster: from pods and nodes."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from lbproof.context import proves
from lbproof.lab.base import Capability, Role
from lbproof.witnesses.wait import Violation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lbproof.context import CheckContext
    from lbproof.spec.families import IPAddress
    from lbproof.witnesses.vantage import Vantage

SERVICES = 2


def assigned(check: CheckContext) -> list[IPAddress]:
    """Create Services, one of which asks for its address where it can, and return their addresses."""
    pool = check.pool(SERVICES)
    asking = [check.service("asks", serving=True, ask=pool.addresses[-1])] if check.run.ways else []
    with check.precondition("REQ-01"):
        check.all_assigned(*asking)
    others = [check.service(f"web-{n}", serving=True) for n in range(SERVICES - len(asking))]
    return list(check.all_assigned(*asking, *others).values())


def served(check: CheckContext, vantages: Iterable[Vantage], addresses: Iterable[IPAddress]) -> None:
    """Wait until each vantage is served at each address."""
    places = list(addresses)
    for vantage in vantages:
        for address in places:
            check.serves(vantage, address, in_a_row=3)


@proves("TIER-02")
def test_pods_are_served(check: CheckContext, case: str) -> None:
    """A pod is served on each worker, also when it is a backend itself, and where no address is announced."""
    check.run.need(Capability.POD_VANTAGE)
    addresses = assigned(check)
    workers = [node.name for node in check.lab.nodes if node.role is Role.WORKER]
    if case == "c":
        addresses = addresses[:1]
        workers = [node.name for node in check.not_announcing(*addresses, role=Role.WORKER)]
    if case == "b":
        asking = check.pods(check.run.web)
    else:
        asking = check.pods(check.web("asking", replicas=len(workers), nodes=workers))

    served(check, (check.pod(name) for name, _ in asking), addresses)


@proves("TIER-03")
def test_nodes_are_served(check: CheckContext, case: str) -> None:
    """Each node that announces an address is served at it, and each that does not.

    So is one that announced it before, where the implementation moves addresses from a node that is excluded.
    """
    check.run.need(Capability.NODE_VANTAGE)
    addresses = assigned(check)
    for address in addresses:
        nodes = [check.an_announcer(address)] if case == "a" else check.not_announcing(address)
        served(check, (check.lab.node(node.name) for node in nodes), [address])
    if case == "b":
        former = check.an_announcer(addresses[0])
        check.exclude(former.name)
        with suppress(Violation), check.wait.tentative():
            check.holders(addresses[0], but=former.name)
        served(check, [check.lab.node(former.name)], addresses[:1])
