"""Failover to another node, seen by a client that asks anew where the address is, and from the frames of all nodes.

Whether a client that has an entry of the old node is reached is judged by L2-07: only announcements move it.
"""

from __future__ import annotations

import functools
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from lbproof.adapters.base import WorkloadRole
from lbproof.context import proves
from lbproof.context.claims import stale
from lbproof.lab.base import Capability
from lbproof.text import words
from lbproof.witnesses import neighbour, neighbours
from lbproof.witnesses.prober import TIMEOUT, Prober, longest, steady

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lbproof.context import CheckContext, Service
    from lbproof.lab.base import Node
    from lbproof.lab.fault import Fault
    from lbproof.spec.families import IPAddress

CENSUS = 5
SERVICES = 6
FAULTS = 2
"""The second one hits a node that has taken over."""
NEEDED = 2
"""Nodes with backends before a fault, one of which may be hit."""


def assigned(check: CheckContext) -> dict[IPAddress, Service]:
    """Create Services, so many that several are announced by one node; return their addresses."""
    check.pool(SERVICES)
    held = check.all_assigned(*(check.service(f"web-{n}") for n in range(SERVICES)))
    for address in held.values():
        check.undo.later("the client's entry", functools.partial(neighbours.forget, check.client, address))
    return {address: service for service, address in held.items()}


def served_elsewhere(check: CheckContext, services: Sequence[Service], *but: Node) -> list[str]:
    """Have Services served by pods on all other nodes than some, and wait until they are; return the pods."""
    pods = check.serve_from(*services, nodes=[node.name for node in check.lab.nodes if node not in but])
    with check.precondition("TIER-01"):
        for address in {service.addresses()[0] for service in services}:
            check.wait.eventually(
                lambda address=address: check.ask_pod_or_why(check.client, address),  # type: ignore[misc]
                lambda pod: pod in pods,
                what=f"{address} is served by none but {words(pods)}",
                budget="serves",
                in_a_row=3,
            )
    return pods


@contextmanager
def probing(check: CheckContext, address: IPAddress, title: str) -> Iterator[Prober]:
    """Send requests during the block; the timeline is reported whether or not the check passes."""
    with Prober(check.client, address) as prober:
        with check.precondition("TIER-01"):
            check.wait.eventually(
                lambda: steady(prober.samples),
                bool,
                what=f"{address} answers steadily before the fault",
                budget="serves",
                show=lambda well: "answered" if well else "not yet answered without a gap",
            )
        try:
            yield prober
        finally:
            prober.write(check.run.journal, title)


def served_again(
    check: CheckContext, addresses: Sequence[IPAddress], fault: Fault, *, budget: str = "failover"
) -> None:
    """Wait until a client is served at each address that asks anew where it is, as one without an entry does."""
    missing = dict.fromkeys(addresses, "not yet asked")

    def ask() -> dict[str, str]:
        for address in list(missing):
            neighbours.forget(check.client, address)
            missing[address] = check.ask_pod_or_why(check.client, address, timeout=TIMEOUT)
            if missing[address].startswith(check.run.web):
                del missing[address]
        return {str(address): why for address, why in missing.items()}

    check.wait.eventually(
        ask,
        lambda left: not left,
        what=f"{words(list(map(str, addresses)))} serve again after the {fault.kind} of {fault.target}",
        budget=budget,
    )


def one_answers(check: CheckContext, addresses: Sequence[IPAddress], *, but: str = "") -> dict[IPAddress, str]:
    """Wait until one node answers for each address, and verify that this lasts: no request has two answers, or none.

    That an address goes from one node to another meanwhile, without a second answer, is no fault. Nodes that are asked
    alone, by unicast, answer for none that another has.
    """
    found = check.sole_holders(*addresses, but=but, budget="one_answerer")
    alone = asked_alone(check, found)
    over, within = check.wait.budget("one_answerer_recount"), check.wait.budget("arp_answer")
    over = max(over, CENSUS * within)
    seen = neighbour.census_of(check.client, addresses, asks=CENSUS, over=over, within=within)
    known = check.mac_names()
    names = {str(a): {known.get(mac, mac): n for mac, n in one.answers.items()} for a, one in seen.items()}
    unanswered = {str(address): one.unanswered for address, one in seen.items()}
    check.saw("arp", f"{CENSUS} requests for each address", {"answers": names, "unanswered": unanswered})
    doubly = {str(address): names[str(address)] for address, one in seen.items() if one.doubly}
    assert not doubly, f"requests were answered by two: {words(doubly)}, expected one node"
    missed = [a for a, one in seen.items() if one.unanswered and len(names[str(a)]) == 1]
    silent = [str(one.target) for one in check.unanswered([neighbour.Question(target=a) for a in missed])]
    assert not silent, f"requests were not answered by the only node, nor when they were repeated: {words(silent)}"
    assert not but or not any(but in who for who in names.values()), f"{but} answers, which is lost: {words(names)}"
    strange = {str(a): sorted(who - set(names[str(a)])) for a, who in alone.items() if who - set(names[str(a)])}
    assert not strange, f"only when they are asked by unicast, others answer too: {words(strange)}"
    return found


def asked_alone(check: CheckContext, holders: Mapping[IPAddress, str]) -> dict[IPAddress, set[str]]:
    """Ask by unicast each node that does not answer for an address; return who answers."""
    known = check.mac_names()
    questions = [
        neighbour.Question(target=address, to=mac)
        for address, holder in holders.items()
        for mac, name in known.items()
        if name != holder
    ]
    replies = neighbour.ask_each(check.client, questions, every=0.0, within=check.wait.budget("arp_answer"))
    found: dict[IPAddress, set[str]] = {address: set() for address in holders}
    for question, answers in zip(questions, replies, strict=True):
        found[question.target] |= {known.get(answer.mac, answer.mac) for answer in answers}
    return found


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


def outage(check: CheckContext, prober: Prober, fault: Fault, address: IPAddress) -> None:
    """Record the longest outage since a fault."""
    seconds = longest(prober.since(fault.earliest))
    shown = None if seconds == float("inf") else round(seconds * 1000)
    check.saw("http", f"longest outage of {address}", {"milliseconds": shown})


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
