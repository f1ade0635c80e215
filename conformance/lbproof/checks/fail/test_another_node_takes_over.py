"""Failover to another node, seen by a client that asks anew where the address is, and from the frames of all nodes.

Whether a client that has an entry of the old node is reached is judged by L2-07: only announcements move it.
"""

from __future__ import annotations

import functools
from contextlib import ExitStack
from typing import TYPE_CHECKING

from lbproof.adapters.base import WorkloadRole
from lbproof.checks.fail.moves import assigned, one_answers, outage, probing, served_again, served_elsewhere
from lbproof.context import proves
from lbproof.context.claims import stale
from lbproof.lab.base import Capability
from lbproof.text import words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lbproof.context import CheckContext
    from lbproof.lab.base import Node
    from lbproof.spec.families import IPAddress

FAULTS = 2
"""The second one hits a node that has taken over."""
NEEDED = 2
"""Nodes with backends before a fault, one of which may be hit."""


@proves("FAIL-01", disruptive=True)
def test_another_node_takes_over_from_one_that_dies(check: CheckContext) -> None:
    """After a crash of a node that announces several addresses, each is served again and answered by another node.

    So it is when a node dies that has taken over, while the first one is still dead where a backend remains then. That
    only one answers is judged by FAIL-04.
    """
    check.run.need(Capability.NODE_CRASH)
    services = assigned(check)
    held: Sequence[IPAddress] = list(services)
    dead: list[Node] = []
    with ExitStack() as faults:
        for _ in range(FAULTS):
            if len({node for _, _, node in check.run.pods_of_web()} - {node.name for node in dead}) < NEEDED:
                faults.close()
                check.settled_after_fault()
                dead = []
            old, held = check.worker_that_announces(held)
            budget = "second_failover" if dead else "failover"
            dead.append(old)
            served_elsewhere(check, [services[address] for address in held], *dead)
            with probing(check, held[0], f"requests to {held[0]} through the power cut of {old.name}") as prober:
                cut = functools.partial(check.lab.node_crash, old.name)
                fault = faults.enter_context(check.fault(Capability.NODE_CRASH, cut))
                served_again(check, held, fault, budget=budget)
                check.holders(*held, but=old.name, budget=budget)
                outage(check, prober, fault, held[0])
    check.settled_after_fault()


@proves("FAIL-02", disruptive=True)
def test_a_killed_announcer_is_replaced(check: CheckContext) -> None:
    """After the process that announces several addresses is killed, each is served and answered by one node.

    So it is when the process on the successor is killed. From then on the old node is silent where another answers.
    """
    check.run.need(Capability.KILL)
    services = assigned(check)
    held: Sequence[IPAddress] = list(services)
    for _ in range(FAULTS):
        old, held = check.worker_that_announces(held)
        served_elsewhere(check, [services[address] for address in held], old)
        namespace, pod = check.run.workloads.pod_on(WorkloadRole.ANNOUNCER, old.name)
        title = f"requests to {held[0]} while the announcer on {old.name} is killed"
        with probing(check, held[0], title) as prober:
            with check.fault(Capability.KILL, functools.partial(check.lab.kill, namespace, pod)) as fault:
                served_again(check, held, fault)
                check.sole_holders(*held, budget="one_answerer")
                with check.claims() as claims:
                    check.settled_after_fault()
                    now = one_answers(check, held)
                    made = claims.of(held)
            outage(check, prober, fault, held[0])
        late = {str(a): len(found) for a, of in made.items() if (found := stale(of, old.name, now[a]))}
        assert not late, f"{old.name}, whose announcer was killed, spoke between the answers of another: {words(late)}"


@proves("FAIL-04", disruptive=True)
def test_one_node_answers_after_the_lost_one_is_back(check: CheckContext) -> None:
    """Exactly one node answers for each address while a node that announced some is lost, and when it is back.

    Lost by its cable, and by a crash of a node that has taken over. So it is when a node that announces is excluded for
    a time by Kubernetes' label, whether or not that is honoured.
    """
    check.run.need(Capability.NODE_CRASH)
    check.run.need(Capability.LINK_DOWN)
    held = list(assigned(check))
    moving: Sequence[IPAddress] = held
    for capability, act in (
        (Capability.LINK_DOWN, check.lab.link_down),
        (Capability.NODE_CRASH, check.lab.node_crash),
    ):
        old, moving = check.worker_that_announces(moving)
        with check.fault(capability, functools.partial(act, old.name)):
            one_answers(check, held, but=old.name)
        check.settled_after_fault()
        one_answers(check, held)
    old, _ = check.worker_that_announces(held)
    with check.excluded(old.name):
        one_answers(check, held)
    one_answers(check, held)


@proves("FAIL-05", disruptive=True)
def test_a_pulled_cable_moves_the_address(check: CheckContext) -> None:
    """Another node serves each address while its node's link is down; exactly one answers when it is up again.

    So it is when the link of a node goes down that has taken over.
    """
    check.run.need(Capability.LINK_DOWN)
    services = assigned(check)
    held: Sequence[IPAddress] = list(services)
    for _ in range(FAULTS):
        old, held = check.worker_that_announces(held)
        served_elsewhere(check, [services[address] for address in held], old)
        title = f"requests to {held[0]} while the cable of {old.name} is out and back"
        with probing(check, held[0], title) as prober:
            with check.fault(Capability.LINK_DOWN, functools.partial(check.lab.link_down, old.name)) as fault:
                served_again(check, held, fault)
                check.holders(*held, but=old.name, budget="failover")
                outage(check, prober, fault, held[0])
            check.run.nodes_ready()
            one_answers(check, held)
            served_again(check, held, fault)
        check.settled_after_fault()
