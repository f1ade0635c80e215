"""RFC 4861 and RFC 4862: an IPv6 address is found in every way in which hosts and switches look for it."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

from lbproof.context import proves
from lbproof.lab.base import Capability
from lbproof.spec.families import unspecified
from lbproof.text import words
from lbproof.witnesses import ndp, neighbour
from lbproof.witnesses.wait import Violation

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from lbproof.context import CheckContext
    from lbproof.spec.families import IPAddress

SERVICES = 3
IN_A_ROW = 3
NONCE_BYTES = 6


def assigned(check: CheckContext) -> list[IPAddress]:
    """Create Services in two namespaces, with and without a selector, and return their addresses."""
    check.pool(SERVICES)
    return list(check.all_assigned(*check.several()).values())


@proves("L2-11", "a")
def test_solicitations_are_answered_as_hosts_expect(check: CheckContext) -> None:
    """The client, which asks by multicast, is answered by a message that makes an entry for each address.

    It asks from its address on the segment, and from its link-local one, as routers do for the packets of others. So it
    is for an address that is released and given again. Messages that a receiver discards count as none: with a
    hop limit below 255, from beyond the link, a wrong checksum, or a malformed option.
    """
    held = assigned(check)
    answered(check, held)
    check.delete(check.random.choice(check.services))
    with check.precondition("RECL-01"):
        again = check.assigned(check.service("again", serving=True), budget="reclaimed")
    answered(check, [again])


def answered(check: CheckContext, addresses: Sequence[IPAddress]) -> None:
    """Wait until each address has been answered for to each asker, with nothing wrong in any answer of a look."""
    ask = [neighbour.Question(target=address, sender=asker) for address in addresses for asker in askers(check)]
    within = check.wait.budget("arp_answer")

    def look() -> dict[str, list[str]]:
        with neighbour.Listener(check.client) as heard:
            neighbour.ask_each(check.client, ask, every=0.0, within=within)
            return {
                f"{question.target} to {question.sender}": sorted(faults_of(question, heard.messages))
                for question in ask
            }

    check.wait.eventually(
        look,
        lambda seen: all(found == [""] for found in seen.values()),
        what=f"solicitations for {words(list(map(str, addresses)))} are answered by right advertisements",
        budget="announced",
        in_a_row=IN_A_ROW,
        show=lambda seen: words({address: found or "no answer" for address, found in seen.items()}),
    )


def askers(check: CheckContext) -> list[IPAddress]:
    """Return the addresses from which the client asks.

    A host asks from that of the packet which it sends, or from any other one of its interface (RFC 4861 section 7.2.2):
    Linux takes the link-local one for packets that it forwards, and to confirm an entry.
    """
    return [check.client.address_for(check.family), ndp.link_local(check.client.mac)]


def faults_of(question: neighbour.Question, messages: Sequence[neighbour.Message]) -> set[str]:
    """Return what is wrong with each advertisement to who asked a question; the empty string for a right one."""
    return {
        _fault(message)
        for message in messages
        if isinstance(message, ndp.Message)
        and message.is_reply
        and message.target == question.target
        and message.destination == question.sender
    }


def _fault(message: ndp.Message) -> str:
    if not message.solicited:
        return "has no Solicited flag"
    if not message.link_layer:
        return "has no target link-layer address"
    if message.link_layer != message.ether_src:
        return f"names {message.link_layer} in a frame of {message.ether_src}"
    return ""


@proves("L2-11", "b")
def test_the_solicited_node_group_is_joined(check: CheckContext) -> None:
    """Each node that answers for an address is a member of its group, as its kernel tells switches by MLD.

    Also for an address that is given again, for one that has its group in common with another one that is released, and
    on the node that takes over where one that is excluded gives it up.
    """
    check.run.need(Capability.NODE_VANTAGE)
    held = assigned(check)
    joined(check, held)
    check.delete(check.random.choice(check.services))
    with check.precondition("RECL-01"):
        again = check.assigned(check.service("again", serving=True), budget="reclaimed")
    joined(check, [again])
    a_group_in_common(check)
    old = check.an_announcer(again).name
    check.exclude(old)
    with suppress(Violation), check.wait.tentative():  # whether it goes is judged elsewhere
        check.holders(again, but=old, budget="handed_over")
    joined(check, [again])


def a_group_in_common(check: CheckContext) -> None:
    """Have a node that announces several addresses of one group give up one; the others' group is still joined.

    There is one more of them than nodes, so two are of one node. Not done where the segment has fewer that are free.
    """
    free = check.lab.segment.same_solicited_node[: len(check.lab.nodes) + 1]
    if len(free) <= len(check.lab.nodes):
        check.saw("lab", "free addresses of one solicited-node group, fewer than wanted", list(map(str, free)))
        return
    check.pool(free, addresses=free)
    held = check.all_assigned(*(check.service(f"of-a-group-{n}") for n in range(len(free))))
    joined(check, list(held.values()))
    with check.precondition("L2-01"):
        nodes = check.sole_holders(*held.values())
    ((most, _),) = Counter(nodes.values()).most_common(1)
    leaves = check.random.choice([service for service, address in held.items() if nodes[address] == most])
    released = held.pop(leaves)
    check.delete(leaves)
    with check.precondition("RECL-03"):
        check.wait.eventually(
            lambda: check.answerers(released),
            lambda who: not who,
            what=f"nobody answers for {released}",
            budget="silent",
            in_a_row=IN_A_ROW,
        )
    joined(check, list(held.values()))


def joined(check: CheckContext, addresses: Sequence[IPAddress]) -> None:
    """Wait until all who answer for each address are members of its group."""
    with check.precondition("L2-01"):
        check.holders(*addresses)
    check.wait.eventually(
        lambda: not_joined(check, check.sweep(addresses)),
        lambda missing: not missing,
        what=f"who answers for {words(list(map(str, addresses)))} is a member of the solicited-node group",
        budget="announced",
        in_a_row=IN_A_ROW,
        show=words,
    )


def not_joined(check: CheckContext, holders: Mapping[IPAddress, Collection[str]]) -> dict[str, list[str]]:
    """Return the nodes that answer for an address, and are no members of its group on their interface."""
    nodes = {node.name: node for node in check.lab.nodes}
    groups = {
        name: memberships(check, name, nodes[name].interface)
        for name in {name for names in holders.values() for name in names} & nodes.keys()
    }
    found = {
        str(address): sorted(name for name in groups.keys() & names if group_of(address) not in groups[name])
        for address, names in holders.items()
    }
    return {address: names for address, names in found.items() if names}


def group_of(address: IPAddress) -> str:
    """Return the solicited-node group of an address."""
    assert isinstance(address, type(ndp.UNSPECIFIED)), f"{address} is of IPv4"
    return str(ndp.solicited_node(address))


def memberships(check: CheckContext, node: str, interface: str) -> set[str]:
    """Return the IPv6 multicast groups that an interface of a node has joined."""
    links = json.loads(check.lab.run(node, ["ip", "-j", "-6", "maddr", "show", "dev", interface]))
    return {row["address"] for link in links for row in link.get("maddr", []) if row.get("family") == "inet6"}


@proves("L2-12")
def test_solicitations_that_are_seldom_are_answered(check: CheckContext, case: str) -> None:
    """The node that answers by multicast also answers each way of a host that confirms an entry, or takes an address.

    Three times in a row for each address; a single one may be lost. Who confirms an entry asks from its address on the
    segment, and from its link-local one, as Linux does. Who takes an address asks without a nonce (RFC 4862), and with
    one, as Linux does (RFC 7527).
    """
    held = assigned(check)
    with check.precondition("L2-01"):
        macs = {address: check.announcer(address).mac for address in held}
    (own, local), nobody = askers(check), unspecified(check.family)
    ask = {
        address: {
            "by unicast": neighbour.Question(target=address, to=mac, sender=own),
            "by unicast from the link-local address": neighbour.Question(target=address, to=mac, sender=local),
            "by unicast without a source link-layer address": neighbour.Question(target=address, to=mac, bare=True),
        }
        if case == "a"
        else {
            "from the unspecified address": neighbour.Question(target=address, sender=nobody),
            "from the unspecified address with a nonce": neighbour.Question(
                target=address, sender=nobody, nonce=check.random.randbytes(NONCE_BYTES)
            ),
        }
        for address, mac in macs.items()
    }

    def missed() -> list[str]:
        return [f"{address} {way}" for address, way in not_answered(check, ask)]

    check.wait.eventually(
        missed,
        lambda none: not none,
        what=f"all solicitations for {words(list(map(str, held)))} are answered",
        budget="announced",
        in_a_row=IN_A_ROW,
        show=lambda found: f"not answered: {words(found)}" if found else "all answered",
    )


def not_answered(
    check: CheckContext, ask: Mapping[IPAddress, Mapping[str, neighbour.Question]]
) -> list[tuple[IPAddress, str]]:
    """Ask for addresses in one way after the other; return the addresses that have no answer, and how they were asked.

    One way at a time: an answer does not tell two questions of the same asker apart.
    """
    return [
        (question.target, way)
        for way in next(iter(ask.values()))
        for question in check.unanswered([ways[way] for ways in ask.values()])
    ]
