"""UDP at the address and the declared port, beside TCP too, and after its backend has gone."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from lbproof.context import proves
from lbproof.context.manifests import TARGET_PORT
from lbproof.witnesses import neighbours

if TYPE_CHECKING:
    from collections.abc import Collection

    from lbproof.context import CheckContext, Service
    from lbproof.spec.families import IPAddress
    from lbproof.witnesses.vantage import Vantage

PORT = 5353
IN_A_ROW = 3
UDP = {"name": "udp", "protocol": "UDP", "port": PORT, "targetPort": TARGET_PORT}
TCP = {"name": "tcp", "protocol": "TCP", "port": PORT, "targetPort": TARGET_PORT}
SOURCES = range(20000, 32000)
"""Own ports of a client that goes on sending, below those that the kernel chooses."""


def assigned(check: CheckContext, *ports: dict[str, object]) -> dict[Service, IPAddress]:
    """Create Services with some ports, namesakes in two namespaces and one with a selector; return their addresses."""
    check.pool(3)
    places = (check.namespace, check.second_namespace)
    services = [check.service("web", namespace=place, ports=ports) for place in places]
    return check.all_assigned(*services, check.service(serving=True, ports=ports))


def served_by_udp(
    check: CheckContext, vantage: Vantage, address: IPAddress, pods: Collection[str], *, source: int = 0
) -> None:
    """Wait until some pods answer datagrams from a vantage, which asks anew where the address is."""

    def ask() -> str:
        neighbours.forget(check.client, address)
        timeout = check.wait.budget("arp_answer")
        return check.ask_pod_by_udp_or_why(vantage, address, PORT, timeout=timeout, source=source)

    check.wait.eventually(
        ask,
        lambda pod: pod in pods,
        what=f"{vantage.name} is served by UDP at {address} by {' or '.join(pods)}",
        budget="serves",
        in_a_row=IN_A_ROW,
    )


@proves("TIER-07", "a")
def test_udp_is_served(check: CheckContext) -> None:
    """Clients on the segment and behind a router are answered at each of several addresses."""
    held = assigned(check, UDP)
    pods = [name for name, _, _ in check.run.pods_of_web()]
    for vantage in check.clients():
        for address in held.values():
            served_by_udp(check, vantage, address, pods)


@proves("TIER-07", "b")
def test_both_protocols_of_a_port_number_are_served(check: CheckContext) -> None:
    """Whichever of the two a Service names first, and though its names say nothing."""
    check.pool(2)
    services = [check.service("tcp-first", ports=[TCP, UDP]), check.service("udp-first", ports=[UDP, TCP])]
    held = check.all_assigned(*services)
    pods = [name for name, _, _ in check.run.pods_of_web()]
    for vantage in check.clients():
        for address in held.values():
            served_by_udp(check, vantage, address, pods)
            check.serves(vantage, address, PORT, in_a_row=IN_A_ROW)


@proves("TIER-07", "c")
def test_a_client_that_goes_on_sending_is_served_by_the_next_backend(check: CheckContext) -> None:
    """The only endpoint of each Service goes from node to node, the announcing one among them, and the client stays."""
    nodes = check.nodes_with_pods(least=2)
    held = assigned(check, UDP)
    held.popitem()  # its endpoints are those of its selector
    turns: dict[Service, list[str]] = {}
    for service, address in held.items():
        check.undo.later("the client's entry", functools.partial(neighbours.forget, check.client, address))
        first = [check.an_announcer(address).name] if check.run.claims("l2") else []
        turns[service] = sorted(nodes, key=lambda node: node not in first)
    sources = dict(zip(held, check.random.sample(SOURCES, len(held)), strict=True))
    for turn in (*range(len(nodes)), 0):
        pods = {service: check.serve_from(service, nodes=[turns[service][turn]]) for service in held}
        for service, address in held.items():
            served_by_udp(check, check.client, address, pods[service], source=sources[service])
