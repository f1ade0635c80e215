"""externalTrafficPolicy Local: who announces goes with the ready endpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.checks.etp.local import announced_by, assigned, served_by
from lbproof.context import manifests, proves

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from random import Random

    from lbproof.context import CheckContext, Service

FLAPS = 8
TURNS = (1, 2)
"""How far an endpoint has moved on among the nodes, one time after the other."""


@proves("ETP-03", "a")
def test_only_nodes_with_an_endpoint_announce(check: CheckContext) -> None:
    """Several Services with an endpoint on one node each, and one whose endpoint on another node is not ready.

    The endpoints of the others leave out whether they are ready, in each of the two ways, so they are. They have two
    EndpointSlices each: one of them has the ready endpoint in the older one and one that is not ready, on another node,
    in the newer one; the other one has it in the newer one, and nothing is left in the older one.
    """
    nodes = check.nodes_with_pods(least=2)
    held = assigned(check, nodes)
    first, *others = held
    older, newer = check.random.sample(others, 2)
    own = {service: node for service, (_, node) in held.items()}
    other = {service: next(node for node in nodes if node != own[service]) for service in held}
    check.add_endpoints(first, nodes=[other[first]], conditions=manifests.NOT_READY)
    for service, conditions in zip((older, newer), manifests.READY_UNSET, strict=True):
        check.serve_from(service, nodes=[own[service]], conditions=conditions)
    check.add_slice(older, nodes=[other[older]], conditions=manifests.NOT_READY)
    check.add_slice(newer, nodes=[own[newer]], conditions=manifests.READY_UNSET[-1])
    check.serve_from_none(newer)
    announced_by(check, {address: [node] for address, node in held.values()})


@proves("ETP-03", "b")
def test_the_announcer_follows_the_endpoint(check: CheckContext) -> None:
    """The only endpoint of each Service goes to another node, and on, or back where there are two; clients are served.

    One of the two times, that endpoint is ready though its pod does not serve, as of a Service that publishes such pods
    (`publishNotReadyAddresses`). What ends and still serves need not go at once: whether that counts is of ETP-06b.
    """
    nodes = check.nodes_with_pods(least=2)
    held = assigned(check, nodes)
    with check.precondition():
        check.holders_within({address: [node] for address, node in held.values()})
    published = {service: check.random.choice(TURNS) for service in held}
    for service in held:
        service.patch(spec={"publishNotReadyAddresses": True})
    with check.unchanged(*held):
        for turn in TURNS:
            there = {service: nodes[(nodes.index(node) + turn) % len(nodes)] for service, (_, node) in held.items()}
            moved(check, there, published=[service for service in held if published[service] == turn])


@proves("ETP-03", "c")
def test_nobody_announces_without_an_endpoint(check: CheckContext) -> None:
    """Endpoints are removed, or no longer ready; a Service that keeps its own goes on. One is ready again elsewhere."""
    nodes = check.nodes_with_pods(least=2)
    held = assigned(check, nodes)
    with check.precondition():
        check.holders_within({address: [node] for address, node in held.values()})
    removed, unready, kept = held
    with check.unchanged(kept), check.unchanged_without_endpoints(removed, unready):
        check.serve_from_none(removed)
        check.serve_from(unready, nodes=[held[unready][1]], conditions=manifests.NOT_READY)
        left: dict[Service, list[str]] = {removed: [], unready: [], kept: [held[kept][1]]}
        announced_by(check, {held[service][0]: who for service, who in left.items()})
        moved(check, {one: next(n for n in nodes if n != held[one][1]) for one in (removed, unready)})


def flaps(random: Random, nodes: Sequence[str], first: str) -> list[str]:
    """Draw the nodes on which an endpoint is one after the other; the last one is neither the first nor that before."""
    last = random.choice([node for node in nodes if node != first])
    before = random.choice([node for node in nodes if node != last])
    return [*random.choices(nodes, k=FLAPS - 2), before, last]


@proves("ETP-03", "d")
def test_the_last_endpoint_decides_after_many_changes(check: CheckContext) -> None:
    """Endpoints of several Services come, go and move many times at once, as in a crash loop."""
    nodes = check.nodes_with_pods(least=2)
    held = assigned(check, nodes)
    with check.unchanged_without_endpoints(*held):
        ways = {service: flaps(check.random, nodes, first) for service, (_, first) in held.items()}
        for turn in range(FLAPS):
            for service in check.random.sample(list(held), len(held)):
                check.serve_from_none(service)
                check.serve_from(service, nodes=[ways[service][turn]])
        moved(check, {service: way[-1] for service, way in ways.items()})


def moved(check: CheckContext, there: Mapping[Service, str], *, published: Collection[Service] = ()) -> None:
    """Have Services served from one node each, and verify that these announce and serve.

    `published`: those whose endpoint is ready though its pod does not serve.
    """
    pods = {
        service: check.serve_from(
            service, nodes=[node], conditions=manifests.PUBLISHED if service in published else manifests.READY
        )
        for service, node in there.items()
    }
    held = check.assigned_again(*there)
    announced_by(check, {held[service]: [node] for service, node in there.items()})
    for service in there:
        served_by(check, check.client, held[service], pods[service])
