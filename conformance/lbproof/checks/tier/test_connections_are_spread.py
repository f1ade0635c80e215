"""Which endpoints connections to the address reach, with and without session affinity."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.context import manifests, proves

if TYPE_CHECKING:
    from collections.abc import Collection

    from lbproof.context import CheckContext
    from lbproof.spec.families import IPAddress
    from lbproof.witnesses.vantage import Vantage

REQUESTS = 30


def reached(check: CheckContext, vantage: Vantage, address: IPAddress) -> set[str]:
    """Send some requests one after the other; return the pods that answered, or the reasons for no answer."""
    return {check.ask_pod_or_why(vantage, address) for _ in range(REQUESTS)}


def all_reached(check: CheckContext, vantage: Vantage, address: IPAddress, pods: Collection[str]) -> None:
    """Wait until some requests in a row reach all of some pods, and nothing else."""
    check.wait.eventually(
        lambda: sorted(reached(check, vantage, address)),
        lambda seen: seen == sorted(pods),
        what=f"{REQUESTS} requests of {vantage.name} to {address} reach {' and '.join(sorted(pods))}",
        budget="serves",
    )


def one_reached(check: CheckContext, vantage: Vantage, address: IPAddress) -> None:
    """Wait until some requests in a row reach one pod, the same as the ones before."""
    with check.of_one_node(address):
        check.wait.eventually(
            lambda: sorted(reached(check, vantage, address)),
            lambda seen: len(seen) == 1 and seen[0].startswith(check.run.web),
            what=f"{REQUESTS} requests of {vantage.name} to {address} reach one pod",
            budget="serves",
        )
        pods = {pod for _ in range(2) for pod in reached(check, vantage, address) if pod.startswith(check.run.web)}
        assert len(pods) <= 1, f"connections of {vantage.name} to {address} went to {' and '.join(sorted(pods))}"


@proves("TIER-10", "a")
def test_each_ready_endpoint_is_reached(check: CheckContext) -> None:
    """All pods of a selector, and of three endpoints the two that are ready."""
    nodes = check.nodes_with_pods(least=2)
    check.pool(2)
    every, some = check.service(serving=True), check.service("some")
    held = check.all_assigned(every, some)
    pods = [name for name, _, _ in check.run.pods_of_web()]
    ready = check.serve_from(some, nodes=nodes[:-1])
    check.add_endpoints(some, nodes=nodes[-1:], conditions=manifests.NOT_READY)
    for vantage in check.clients():
        all_reached(check, vantage, held[every], pods)
        all_reached(check, vantage, held[some], ready)


@proves("TIER-10", "b")
def test_a_client_stays_with_one_endpoint(check: CheckContext) -> None:
    """With affinity, clients on the segment and behind a router each; a Service without is spread meanwhile."""
    check.nodes_with_pods(least=2)
    check.pool(3)
    sticky = [check.service(f"sticky-{n}", sessionAffinity="ClientIP") for n in range(2)]
    spread = check.service("spread", sessionAffinity="None")
    held = check.all_assigned(*sticky, spread)
    pods = [name for name, _, _ in check.run.pods_of_web()]
    for vantage in check.clients():
        for service in sticky:
            one_reached(check, vantage, held[service])
        all_reached(check, vantage, held[spread], pods)


@proves("TIER-10", "c")
def test_a_switch_of_the_affinity_is_followed(check: CheckContext) -> None:
    """One Service loses its affinity while another gets it, and back; both keep their addresses."""
    check.nodes_with_pods(least=2)
    kinds = {"sticky": "ClientIP", "spread": "None"}
    with check.pool_with_room(len(kinds)):
        services = [check.service(name, sessionAffinity=kind) for name, kind in kinds.items()]
        held = check.all_assigned(*services)
    pods = [name for name, _, _ in check.run.pods_of_web()]
    for sticky, spread in (services, services[::-1], services):
        with check.unchanged(*services):
            sticky.patch(spec={"sessionAffinity": "ClientIP"})
            spread.patch(spec={"sessionAffinity": "None"})
            one_reached(check, check.client, held[sticky])
            all_reached(check, check.client, held[spread], pods)
