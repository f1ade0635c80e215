"""Ports at the announced address: those of the Service, not those of the node."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from lbproof.context import CannotShow, proves
from lbproof.context.manifests import TARGET_PORT
from lbproof.lab.base import Capability
from lbproof.spec import Untestable
from lbproof.spec.families import family_of
from lbproof.text import words
from lbproof.witnesses import http
from lbproof.witnesses.transport import listening

if TYPE_CHECKING:
    from lbproof.context import CheckContext, Service
    from lbproof.spec.families import IPAddress

HOST_PORTS = (22, 10250)
SERVICES = 2
SECOND = 8081
"""Another declared port."""
UNUSED = range(1024, 30000)
"""Below the node ports."""


def assigned(check: CheckContext) -> dict[Service, IPAddress]:
    """Create Services, one with a second port, and wait until all their ports are served; return their addresses."""
    check.pool(SERVICES)
    ports = [{"name": name, "port": port, "targetPort": TARGET_PORT} for name, port in (("a", 80), ("b", SECOND))]
    services = [check.service(serving=True), check.service("two", serving=True, ports=ports)]
    held = check.all_assigned(*services)
    served(check, held)
    return held


def served(check: CheckContext, held: dict[Service, IPAddress]) -> None:
    """Wait until each declared port serves. Raises `CannotShow` when one does not: another requirement judges that."""
    with check.precondition("TIER-01"):
        for service, address in held.items():
            for port in service.read()["spec"]["ports"]:
                check.serves(check.client, address, port["port"])


@proves("TIER-06")
def test_only_declared_ports_answer(check: CheckContext, case: str) -> None:
    """No address has an open node port, target port, host listener or unused port; declared ones serve all the time."""
    check.run.need(Capability.NODE_VANTAGE)
    held = assigned(check)
    if case == "a":
        ports = tuple(port["nodePort"] for service in held for port in service.read()["spec"]["ports"])
        check.none_served(check.client, dict.fromkeys(held.values(), ports))
    elif case == "b":
        check.none_served(check.client, dict.fromkeys(held.values(), (TARGET_PORT,)))
    elif case == "c":
        _of_nodes(check, list(held.values()))
    else:
        _unused(check, list(held.values()))
    served(check, held)


def _of_nodes(check: CheckContext, addresses: list[IPAddress]) -> None:
    """Servers of the announcing nodes, which clients reach at the nodes' own addresses, are not open."""
    nodes = {node.name: node for node in map(check.an_announcer, addresses)}
    with ExitStack() as servers:
        for node in nodes.values():
            servers.enter_context(listening(check.lab.node(node.name), HOST_PORTS))
            own = node.address_for(family_of(addresses[0]))
            for port in HOST_PORTS:
                if (how := http.connects(check.client, own, port, timeout=check.wait.budget("serves"))) != "open":
                    raise CannotShow(Untestable.PATH_BROKEN, f"port {port} of {node.name} itself is {how}")
        check.none_served(check.client, dict.fromkeys(addresses, HOST_PORTS))


def _unused(check: CheckContext, addresses: list[IPAddress]) -> None:
    """An unused port is not open, and no packet to it is sent on from node to node, or back, with a lower TTL."""
    port = check.random.choice(sorted({*UNUSED} - {SECOND, TARGET_PORT, *HOST_PORTS}))
    with check.hops(*addresses) as hops:
        hops.send(port)
        check.none_served(check.client, dict.fromkeys(addresses, (port,)))
    if missing := [address for address in addresses if not hops.sent(address)]:
        raise CannotShow(Untestable.NOT_PROVOKED, f"no packet to {words(list(map(str, missing)))} left the client")
    assert not (looped := hops.looped()), f"packets to the unused port {port} loop: {looped}"
