"""externalTrafficPolicy that is changed on a live Service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.checks.etp.local import announced_by, assigned, own_address_seen, served_by, switch
from lbproof.context import proves

if TYPE_CHECKING:
    from lbproof.context import CheckContext

SERVICES = 4
AGAIN = 2
"""So many of the Services, which are drawn, had the policy before: what is remembered of that time is old."""


@proves("ETP-05", "a")
def test_a_change_to_local_is_followed(check: CheckContext) -> None:
    """Services whose endpoints are not where they are announced, as far as there are such nodes.

    Some had the policy Local before, and their endpoints have moved while it was Cluster.
    """
    nodes = check.nodes_with_pods(least=2)
    held = assigned(check, nodes, count=SERVICES, policy="Cluster")
    again = check.random.sample(list(held), AGAIN)
    now = {}
    with check.unchanged(*held):
        switch(again, "Local")
        check.holders_within({address: [node] for address, node in (held[service] for service in again)})
        switch(again, "Cluster")
        for service, (address, node) in held.items():
            via = check.an_announcer(address).name
            others = [one for one in nodes if one != (node if service in again else via)]
            there = next((one for one in others if one != via), others[0])
            check.serve_from(service, nodes=[there])
            now[address] = [there]
        switch(held, "Local")
        announced_by(check, now)
        for address in now:
            own_address_seen(check, check.client, address)


@proves("ETP-05", "b")
def test_a_change_to_cluster_is_followed(check: CheckContext) -> None:
    """After it the endpoint of each Service goes from the announcing node to each other one, and clients are served.

    Some had the policy Cluster before, and their endpoints have moved while it was Local.
    """
    nodes = check.nodes_with_pods(least=2)
    held = assigned(check, nodes, count=SERVICES)
    again = check.random.sample(list(held), AGAIN)
    local = {address: [node] for address, node in held.values()}
    with check.precondition():
        check.holders_within(local)
    with check.unchanged(*held):
        switch(again, "Cluster")
        for service in again:
            address, at = held[service]
            elsewhere = check.serve_from(service, nodes=[node for node in nodes if node != at])
            served_by(check, check.client, address, elsewhere)
        switch(again, "Local")
        for service in again:
            check.serve_from(service, nodes=[held[service][1]])
        with check.precondition():
            check.holders_within(local)
        switch(held, "Cluster")
        for turn in range(len(nodes)):
            pods = {
                service: check.serve_from(service, nodes=[nodes[(nodes.index(node) + turn) % len(nodes)]])
                for service, (_, node) in held.items()
            }
            for service, (address, _) in held.items():
                served_by(check, check.client, address, pods[service])
