"""Interfaces and nodes that a pool is announced on, where it selects some: the others say nothing of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.context import proves
from lbproof.context.claims import by_node
from lbproof.lab.base import Capability, Role
from lbproof.text import words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lbproof.context import CheckContext, Service
    from lbproof.lab.fault import Attachment
    from lbproof.spec.families import IPAddress

SERVICES = 3
NO_INTERFACE = "lbproof-none0"
NO_NODE = "lbproof-no-such-node"


def services(check: CheckContext) -> dict[Service, IPAddress]:
    """Create Services that take all addresses of the pool; return them with these."""
    return check.all_assigned(*(check.service(f"web-{n}") for n in range(SERVICES)))


def answered_control(check: CheckContext) -> None:
    """Create a pool that is announced everywhere, and wait until its address is answered for."""
    check.pool(1)
    given = check.control()
    with check.precondition("L2-01"):
        check.holders(given)


@proves("L2-08", "a", disruptive=True)
def test_a_selected_interface_answers_alone(check: CheckContext) -> None:
    """A worker gets a second interface, which a pool selects: its hardware address is in all that is said of it."""
    worker = check.random.choice([node for node in check.lab.nodes if node.role is Role.WORKER])
    added: list[Attachment] = []

    def join() -> Attachment:
        added.append(check.lab.second_nic(worker.name))
        return added[0]

    with check.fault(Capability.SECOND_NIC, join), check.claims() as claims:
        (second,) = added
        # which node is chosen, and whether one without the interface may be, is not judged here
        nodes = (worker.name,) if check.run.claims("node-select") else ()
        check.pool(SERVICES, interfaces=(second.vantage.interface,), nodes=nodes)
        held = list(services(check).values())
        with check.precondition("L2-01"):
            found = check.sole_holders(*held)
        check.stays_answered(*held)
        macs = {str(a): {claim.message.sender_mac for claim in made} for a, made in claims.of(held).items()}
    wrong = {address: macs[address] for address in macs if macs[address] != {second.vantage.mac}}
    assert not wrong, f"said to be at {words(wrong)}, and {second.vantage.mac} alone is selected"
    assert set(found.values()) == {second.vantage.mac}, f"answered by {words(found)}, not by {second.vantage.mac}"


@proves("L2-08", "b")
def test_an_interface_that_no_node_has_answers_nowhere(check: CheckContext) -> None:
    """Nobody answers for the addresses of a pool whose only interface no node has, while another pool is announced."""
    quiet = check.pool(SERVICES, interfaces=(NO_INTERFACE,))
    services(check)
    answered_control(check)
    check.stays_silent(*quiet.addresses)


@proves("L2-09", "a")
def test_a_selected_node_announces_alone(check: CheckContext) -> None:
    """A pool of one worker is answered for and announced by no other node, and so is a pool of two others."""
    workers = check.random.sample([node.name for node in check.lab.nodes if node.role is Role.WORKER], k=2)
    for chosen in ((workers[0],), tuple(workers)):
        pool = check.pool(SERVICES, nodes=chosen)
        with check.claims() as claims:
            made = [check.service(f"web-{len(chosen)}-{n}") for n in range(SERVICES)]
            held = list(check.all_assigned(*made).values())
            check.holders(*held)
            check.stays_answered(*held)
            by = by_node(claims.of(held))
        wrong = stray(by, chosen)
        assert not wrong, f"answered for or announced by {words(wrong)}, and only {words(list(chosen))} may"
        assert set(held) == set(pool.addresses), f"given {words(held)}, while {words(pool.addresses)} were free"


def stray(by: Mapping[IPAddress, Mapping[str, int]], chosen: tuple[str, ...]) -> dict[str, list[str]]:
    """Return who claims each address and is not among the chosen nodes."""
    return {str(a): others for a, who in by.items() if (others := [name for name in who if name not in chosen])}


@proves("L2-09", "b")
def test_a_pool_without_a_node_is_silent(check: CheckContext) -> None:
    """Nobody answers for the addresses of a pool whose only node there is not, while another pool is announced."""
    quiet = check.pool(SERVICES, nodes=(NO_NODE,))
    services(check)
    answered_control(check)
    check.stays_silent(*quiet.addresses)


@proves("L2-09", "c")
def test_a_pool_that_gets_nodes_is_announced(check: CheckContext) -> None:
    """A pool that no node announced is answered for when it selects a worker, and by another when it selects that."""
    workers = check.random.sample([node.name for node in check.lab.nodes if node.role is Role.WORKER], k=2)
    pool = check.pool(SERVICES, nodes=(NO_NODE,))
    held = list(services(check).values())
    for name in workers:
        check.change_pool(pool, nodes=(name,))
        check.wait.eventually(
            lambda: check.who_answers(*held),
            lambda seen: all(who == [name] for who in seen.values()),  # noqa: B023 - called at once
            what=f"{name}, which the pool selects now, answers for each address alone",
            budget="pool_applied",
        )
