"""Number of nodes that answer ARP for an assigned address, counted from frames and not read from a status."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from lbproof.context import proves
from lbproof.context.claims import by_node, first_interleaved
from lbproof.lab.base import Capability
from lbproof.spec.families import family_of
from lbproof.text import words
from lbproof.witnesses import neighbour

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lbproof.context import CheckContext, Pool
    from lbproof.context.claims import Claim
    from lbproof.spec.families import IPAddress

SERVICES = 3
ASKS = 20
CHANGES = 6
AROUND = 0.7
"""Seconds to ask for around a change of another pool."""
EVERY = 0.01
"""Seconds between requests then."""


@proves("L2-01")
def test_exactly_one_node_answers(check: CheckContext) -> None:
    """Each of twenty requests over ten seconds for each address, in every way in which hosts ask, has one answer.

    From the first answer on, no second node says that it has an address: not unasked, and not to another host or node.
    While another pool comes and goes, requests are answered as before, each by one node: an address may move then, as
    long as no two nodes have it at a time. A machine that is busy may lose some requests at any moment: it is held
    against the implementation when it is so at most of these changes.
    """
    check.pool(SERVICES)
    with check.claims() as claims:
        held = list(check.all_assigned(*check.several()).values())
        first = {address: names[0] for address, names in check.holders(*held).items()}
        began = time.monotonic()
        unanswered = asked(check, first)
        by_nodes = asked_by_nodes(check, held)
        quiet = began, time.monotonic()
        interrupted, twice = asked_through_changes(check, held)
        made = claims.of(held)
    check.saw("arp", "claims", {str(address): who for address, who in by_node(made).items()})
    check.saw("arp", "requests without an answer", dict(unanswered))

    several = claimed_by_several(made, by_nodes, quiet)
    assert not several, f"answered for or announced by {words(several)}, expected one node alone for each"
    assert not twice, f"requests were answered by two at changes of another pool: {words(twice)}"
    assert not unanswered, f"of {ASKS} requests for each address some were not answered: {words(dict(unanswered))}"
    assert len(interrupted) <= CHANGES / 2, (
        f"at {len(interrupted)} of {CHANGES} changes of another pool there were requests without an answer: "
        f"{words(interrupted)}"
    )


def claimed_by_several(
    made: Mapping[IPAddress, Sequence[Claim]],
    by_nodes: Mapping[IPAddress, Mapping[str, int]],
    quiet: tuple[float, float],
) -> dict[str, dict[str, int]]:
    """Return the addresses that several claim, with the number of claims of each.

    `by_nodes`: answers to nodes. `quiet`: a time in which nothing moves an address, which one alone claims then. Before
    and after, no two may have it at a time.
    """
    began, ended = quiet
    quietly = by_node({a: [one for one in of if began <= one.message.t <= ended] for a, of in made.items()})
    found = {address: {**who, **by_nodes[address]} for address, who in quietly.items()}
    together = by_node({address: first_interleaved(of) for address, of in made.items()})
    return {str(a): who if len(who) > 1 else together[a] for a, who in found.items() if len(who) > 1 or together[a]}


def asked(check: CheckContext, first: Mapping[IPAddress, str]) -> Counter[str]:
    """Ask for addresses, also nodes that do not have them and from the router; count the ways without an answer.

    What has no answer is asked again. `first`: who answered first for each address.
    """
    macs = {name: mac for mac, name in check.mac_names().items()}
    (unknown,) = check.run.addresses(1, family_of(next(iter(first))))
    ways = {
        address: list(check.ways_to_ask(address, macs.get(name, name), unknown=unknown).items())
        for address, name in first.items()
    }
    plan = [ways[address][turn % len(ways[address])] for turn in range(ASKS) for address in first]
    within = check.wait.budget("arp_answer")
    over = max(check.wait.budget("one_answerer_watch"), ASKS * within)
    others = [
        neighbour.Question(target=address, to=mac)
        for address, name in first.items()
        for other, mac in macs.items()
        if other != name
    ]
    neighbour.ask_each(check.client, others, every=0.0, within=within)  # an answer to them is a claim
    answers = neighbour.ask_each(check.client, [way for _, way in plan], every=over / len(plan), within=within)
    names = {question: how for how, question in plan}
    missed = [question for (_, question), found in zip(plan, answers, strict=True) if not found]
    check.saw("arp", "requests that hosts would send again", Counter(names[question] for question in missed))
    unanswered = Counter(names[question] for question in check.unanswered(missed))
    if check.lab.can(Capability.ROUTED_CLIENT):
        unanswered["from the router"] += asked_by_router(check, list(first))
    return +unanswered


def asked_by_nodes(check: CheckContext, addresses: Sequence[IPAddress]) -> dict[IPAddress, dict[str, int]]:
    """Ask for addresses from every node; count the answers to nodes by who gave them, which no port but theirs sees."""
    counted: dict[IPAddress, Counter[str]] = {address: Counter() for address in addresses}
    questions = [neighbour.Question(target=address) for address in addresses]
    names, within = check.mac_names(), check.wait.budget("arp_answer")
    for node in check.lab.nodes if check.lab.can(Capability.NODE_VANTAGE) else ():
        replies = neighbour.ask_each(check.lab.node(node.name), questions, every=0.0, within=within)
        for address, answers in zip(addresses, replies, strict=True):
            counted[address].update(names.get(answer.mac, answer.mac) for answer in answers)
    return {address: dict(who) for address, who in counted.items()}


def asked_through_changes(
    check: CheckContext, addresses: Sequence[IPAddress]
) -> tuple[dict[str, int], dict[str, list[str]]]:
    """Create and remove another pool while addresses are asked for; return the changes with requests without an answer.

    Of each change: how many requests had none. Also return the addresses of which two answered one request, and who.
    """
    within = check.wait.budget("arp_answer")
    questions = [neighbour.Question(target=address) for address in addresses] * round(AROUND / EVERY / len(addresses))
    names = check.mac_names()
    interrupted: dict[str, int] = {}
    twice: dict[str, list[str]] = {}
    other: Pool | None = None
    with ThreadPoolExecutor(1) as beside:
        for turn in range(CHANGES):
            asking = beside.submit(neighbour.ask_each, check.client, questions, every=EVERY, within=within)
            if other is None:
                other = check.pool(1)
            else:
                check.remove_pool(other)
                other = None
            answers = asking.result()
            for n, address in enumerate(addresses):
                if who := answered_twice(answers[n :: len(addresses)]):
                    twice[str(address)] = sorted(names.get(mac, mac) for mac in who)
            if missed := sum(not found for found in answers):
                interrupted[f"{turn + 1}, {'a new pool' if other else 'a pool less'}"] = missed
    check.saw("arp", "requests without an answer at changes of another pool", interrupted)
    return interrupted, twice


def answered_twice(answers: Sequence[Sequence[neighbour.Reply]]) -> set[str]:
    """Return who answered the first request of one address that had the answers of two.

    A late answer counts for the next request, and leaves its own without any: there an address may have moved.
    """
    late = False
    for replies in answers:
        who = {reply.mac for reply in replies}
        if len(who) > 1 and not late:
            return who
        late = not who
    return set()


def asked_by_router(check: CheckContext, addresses: Sequence[IPAddress]) -> int:
    """Ask for each address from the router; return how many have no answer, nor when they are asked again."""
    questions = [neighbour.Question(target=address) for address in addresses]
    router = check.lab.router()
    return len(check.unanswered(check.unanswered(questions, vantage=router), vantage=router))
