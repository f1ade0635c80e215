"""What checks of faults have in common: Services that are moved, a client that is served meanwhile, who answers."""

from __future__ import annotations

import functools
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lbproof.text import words
from lbproof.witnesses import neighbour, neighbours
from lbproof.witnesses.prober import TIMEOUT, Prober, longest, steady
from lbproof.witnesses.wait import Violation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lbproof.context import CheckContext, Service
    from lbproof.lab.base import Node
    from lbproof.lab.fault import Fault
    from lbproof.spec.families import IPAddress

CENSUS = 5
SERVICES = 7
"""One of three workers that announce them has three, of which one of the other two gets several at once."""


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
    alone, by unicast, answer for none that another has. Where an address has moved since it was found, requests that
    had no answer, and nodes that answered alone, are counted anew: nobody says that it moves at once.
    Returns the node of each address. Raises `Violation`.
    """
    found = check.sole_holders(*addresses, but=but, budget="one_answerer")
    wrong = _answered_otherwise(check, found, but)
    if wrong:
        check.saw("arp", "not one answer to each request", wrong)
        now = check.sole_holders(*addresses, but=but, budget="one_answerer")
        if now == found:
            raise Violation(wrong)
        found = now
        if wrong := _answered_otherwise(check, found, but):
            raise Violation(wrong)
    return found


def _answered_otherwise(check: CheckContext, found: Mapping[IPAddress, str], but: str) -> str:
    """Ask for addresses again and again; return what is wrong with the answers beside those that were found.

    Raises `Violation` when a request has two answers: no move excuses that.
    """
    alone = asked_alone(check, found)
    over, within = check.wait.budget("one_answerer_recount"), check.wait.budget("arp_answer")
    over = max(over, CENSUS * within)
    seen = neighbour.census_of(check.client, list(found), asks=CENSUS, over=over, within=within)
    known = check.mac_names()
    names = {str(a): {known.get(mac, mac): n for mac, n in one.answers.items()} for a, one in seen.items()}
    unanswered = {str(address): one.unanswered for address, one in seen.items()}
    check.saw("arp", f"{CENSUS} requests for each address", {"answers": names, "unanswered": unanswered})
    if doubly := {str(address): names[str(address)] for address, one in seen.items() if one.doubly}:
        raise Violation(f"requests were answered by two: {words(doubly)}, expected one node")
    missed = [a for a, one in seen.items() if one.unanswered and len(names[str(a)]) <= 1]
    if silent := [str(one.target) for one in check.unanswered([neighbour.Question(target=a) for a in missed])]:
        return f"requests were not answered by the only node, nor when they were repeated: {words(silent)}"
    if but and any(but in who for who in names.values()):
        raise Violation(f"{but} answers, which is lost: {words(names)}")
    strange = {str(a): sorted(who - set(names[str(a)])) for a, who in alone.items() if who - set(names[str(a)])}
    return f"only when they are asked by unicast, others answer too: {words(strange)}" if strange else ""


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


def outage(check: CheckContext, prober: Prober, fault: Fault, address: IPAddress) -> None:
    """Record the longest outage since a fault."""
    seconds = longest(prober.since(fault.earliest))
    shown = None if seconds == float("inf") else round(seconds * 1000)
    check.saw("http", f"longest outage of {address}", {"milliseconds": shown})
