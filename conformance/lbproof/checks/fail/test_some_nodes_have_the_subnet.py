"""Addresses of a subnet that only some nodes have: a client there is served, whoever announces them.

A node that lacks the subnet has no way back to the client, since no router knows it. What the client sees is judged,
and not which node announces.
"""

from __future__ import annotations

import functools
from contextlib import ExitStack
from typing import TYPE_CHECKING

from lbproof.adapters.base import AddressRange
from lbproof.context import CannotShow, proves
from lbproof.context.refusal import Refused
from lbproof.lab.base import Capability, Role
from lbproof.spec import Untestable
from lbproof.spec.families import family_of
from lbproof.text import words
from lbproof.witnesses import neighbour, neighbours
from lbproof.witnesses.prober import TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from lbproof.context import CheckContext, Service
    from lbproof.lab.fault import NewSubnet
    from lbproof.spec.families import IPAddress

SERVICES = 10
NEEDED = 3
"""Workers: two that have the subnet, one of which dies, and one that lacks it."""


@proves("FAIL-11", "a", disruptive=True)
def test_some_nodes_of_a_segment_have_a_second_subnet(check: CheckContext) -> None:
    """Some workers have a second subnet beside their own: a client there is served, also when a node dies that did."""
    able = workers_with_the_subnet(check)
    serves_the_subnet(check, Capability.SECOND_SUBNET, lambda: check.lab.second_subnet(able))


@proves("FAIL-11", "b", disruptive=True)
def test_some_nodes_have_a_link_local_address_or_another_subnet_alone(check: CheckContext) -> None:
    """All nodes join a second segment, one of those that lack its subnet by an address of another one alone.

    The others by a link-local address alone. All may announce, the control plane too: which of them lacks the subnet in
    which way is drawn. A client is served, as in FAIL-11a.
    """
    check.run.need(Capability.NEW_SEGMENT)
    able = workers_with_the_subnet(check)
    lacking = [node.name for node in check.lab.nodes if node.name not in able]
    other, *link_local = check.random.sample(lacking, len(lacking))
    with ExitStack() as labels:
        for name in lacking:
            labels.enter_context(check.admitted(name))
        serves_the_subnet(check, Capability.NEW_SEGMENT, lambda: check.lab.new_segment(link_local, [other]))


def workers_with_the_subnet(check: CheckContext) -> list[str]:
    """Draw all workers but one. Raises `CannotShow` when there are too few of them, or none can be crashed."""
    check.run.need(Capability.NODE_CRASH)
    workers = [node.name for node in check.lab.nodes if node.role is Role.WORKER]
    if len(workers) < NEEDED:
        raise CannotShow(Untestable.TOO_FEW_NODES, f"{NEEDED} workers are needed, one of which lacks the subnet")
    return check.random.sample(workers, len(workers) - 1)


def serves_the_subnet(check: CheckContext, capability: Capability, add: Callable[[], NewSubnet]) -> None:
    """Judge addresses of a subnet that is added: one node answers the client there, and it is served.

    So it is after the crash of a worker that announces some of them. A pool that is refused with a reason is not used.
    """
    check.pool(1)
    given = check.control()
    with check.precondition("TIER-01"):
        check.serves(check.client, given)
    added: list[NewSubnet] = []

    def act() -> NewSubnet:
        added.append(add())
        return added[0]

    with check.fault(capability, act):
        (subnet,) = added
        free = [address for address in subnet.free if family_of(address) is check.family]
        begin = check.random.randrange(len(free) - SERVICES)
        block = free[begin : begin + SERVICES]
        try:
            check.pool([AddressRange(block[0], block[-1])], addresses=block)
        except Refused as refusal:
            check.saw("api", "a pool of a subnet that some nodes have is refused", str(refusal))
            return
        held = check.all_assigned(*(check.service(f"web-{n}") for n in range(SERVICES)))
        nodes = [node.name for node in check.lab.nodes]
        served(check, subnet, held, nodes, budget="serves")
        announcers = one_answers(check, subnet, list(held.values()), budget="announced")
        old = most_often(check, announcers.values())
        rest = [name for name in nodes if name != old]
        served(check, subnet, held, rest, budget="serves")
        with check.fault(Capability.NODE_CRASH, functools.partial(check.lab.node_crash, old)):
            served(check, subnet, held, rest, budget="failover")
            one_answers(check, subnet, list(held.values()), budget="one_answerer")
        check.settled_after_fault()


def served(
    check: CheckContext, subnet: NewSubnet, held: dict[Service, IPAddress], nodes: Sequence[str], *, budget: str
) -> None:
    """Have Services served by the pods on some nodes, and wait until the client in the subnet is, asking anew."""
    pods = check.serve_from(*held, nodes=nodes)
    client, addresses = subnet.vantage, list(held.values())

    def ask() -> dict[str, str]:
        for address in addresses:
            neighbours.forget(client, address)
        return {str(a): check.ask_pod_or_why(client, a, timeout=TIMEOUT) for a in addresses}

    check.wait.eventually(
        ask,
        lambda seen: all(pod in pods for pod in seen.values()),
        what=f"{client.name}, a client in the subnet, is served by {words(pods)} at each of {len(addresses)} addresses",
        budget=budget,
    )


def one_answers(
    check: CheckContext, subnet: NewSubnet, addresses: Sequence[IPAddress], *, budget: str
) -> dict[IPAddress, str]:
    """Wait until one node answers the client in the subnet for each address; return its name, or the MAC of another."""
    waits = neighbour.patience(check.wait.budget("arp_answer"))

    def ask() -> dict[IPAddress, list[str]]:
        found = neighbour.sweep(subnet.vantage, addresses, wait=next(waits))
        return {address: sorted(subnet.macs.get(mac, mac) for mac in macs) for address, macs in found.items()}

    seen = check.wait.eventually(
        ask,
        lambda seen: all(len(who) == 1 for who in seen.values()),
        what=f"one node answers {subnet.vantage.name}, a client in the subnet, for each of {len(addresses)} addresses",
        budget=budget,
        in_a_row=3,
        show=lambda seen: words({str(address): who for address, who in seen.items()}),
    )
    return {address: who for address, (who,) in seen.items()}


def most_often(check: CheckContext, announcers: Collection[str]) -> str:
    """Return the worker that announces most addresses. Raises `CannotShow` when none does: no other node is crashed."""
    workers = [node.name for node in check.lab.nodes if node.role is Role.WORKER and node.name in announcers]
    if not workers:
        raise CannotShow(Untestable.NOT_PROVOKED, f"no worker announces: {words(sorted({*announcers}))} do")
    return max(workers, key=[*announcers].count)
