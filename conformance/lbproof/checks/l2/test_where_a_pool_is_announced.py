"""Interfaces and nodes that a pool is announced on, where it selects some: the others say nothing of it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from lbproof.adapters.base import AddressRange
from lbproof.context import CannotShow, proves
from lbproof.context.claims import by_node
from lbproof.context.precedence import judging
from lbproof.lab.base import Capability, Role
from lbproof.spec import Untestable
from lbproof.spec.families import family_of
from lbproof.text import words
from lbproof.witnesses import neighbour

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lbproof.context import CheckContext, Service
    from lbproof.lab.fault import Attachment, NewSegment
    from lbproof.spec.families import IPAddress
    from lbproof.witnesses.vantage import Vantage

SERVICES = 3
PAIRED = 5
"""Services of a pool of two pairs: more than one node is likely to announce alone."""
NO_INTERFACE = "lbproof-none0"
NAME_SIZE = 15
"""Bytes of the longest name of an interface (IFNAMSIZ less its end)."""
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
    """Nobody answers for the addresses of a pool whose interfaces no node has, while another pool is announced.

    Among them are the first letter of the nodes' own, and their own with a letter more: names that hardly a node has.
    """
    own = check.run.site.interface
    near = {own[:1], f"{own}x"[:NAME_SIZE]} - {own}
    quiet = check.pool(SERVICES, interfaces=(NO_INTERFACE, *sorted(near)))
    services(check)
    answered_control(check)
    check.stays_silent(*quiet.addresses)


@proves("L2-08", "c", disruptive=True)
def test_a_pool_of_one_segment_is_on_no_other(check: CheckContext) -> None:
    """Two pools, each of addresses of another segment and of the interfaces there: neither is heard of on the other's.

    All nodes are joined to both segments. What is answered, however it is asked for, and what is announced counts.
    """
    check.run.need(Capability.NEW_SEGMENT)
    within = check.wait.budget("arp_answer")
    added: list[NewSegment] = []

    def join() -> NewSegment:
        added.append(check.lab.new_segment())
        return added[0]

    with check.fault(Capability.NEW_SEGMENT, join):
        (other,) = added
        with check.claims() as claims, neighbour.Listener(other.vantage) as heard:
            check.pool(SERVICES, interfaces=tuple(sorted({node.interface for node in check.lab.nodes})))
            here = list(services(check).values())
            free = [address for address in other.free if family_of(address) is check.family]
            begin = check.random.randrange(len(free) - SERVICES)
            block = free[begin : begin + SERVICES]
            interfaces = tuple(sorted(set(other.interfaces.values())))
            check.pool([AddressRange(block[0], block[-1])], addresses=block, interfaces=interfaces)
            there = list(check.all_assigned(*(check.service(f"there-{n}") for n in range(SERVICES))).values())

            def astray() -> dict[str, list[str]]:
                """Return who said where an address is, by address, on the segment that the address is not of."""
                found = {address: set(who) for address, who in by_node(claims.of(there)).items()}
                asked = [neighbour.Question(target=a, to=to) for a in here for to in ("", *other.macs)]
                replies = neighbour.ask_each(other.vantage, asked, every=0.0, within=within)
                for question, answers in zip(asked, replies, strict=True):
                    found.setdefault(question.target, set()).update(answer.mac for answer in answers)
                for message in heard.messages:
                    if message.sender_ip in here and message.ether_src != other.vantage.mac:
                        found.setdefault(message.sender_ip, set()).add(message.sender_mac)
                return {str(a): sorted(other.macs.get(by, by) for by in who) for a, who in found.items() if who}

            def judge() -> None:
                strays = astray()
                assert not strays, f"said to be on a segment that they are not of: {words(strays)}"

            with judging(judge):
                with check.precondition("L2-01"):
                    check.holders(*here)
                    check.wait.eventually(
                        lambda: {
                            a: macs for a, macs in neighbour.sweep(other.vantage, there, wait=within).items() if macs
                        },
                        lambda seen: len(seen) == len(there),
                        what=f"a node answers for {words([str(address) for address in there])} on their own segment",
                        budget="announced",
                        show=lambda seen: words({str(a): macs for a, macs in seen.items()}),
                    )
                check.stays_silent(*there)


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


@contextmanager
def second_interface(check: CheckContext, node: str) -> Iterator[Vantage]:
    """Give a node a second interface on the segment during the block; yield the node by it."""
    added: list[Attachment] = []

    def join() -> Attachment:
        added.append(check.lab.second_nic(node))
        return added[0]

    with check.fault(Capability.SECOND_NIC, join):
        yield added[0].vantage


@proves("L2-09", "d", disruptive=True)
def test_pairs_of_nodes_and_interfaces_announce_alone(check: CheckContext) -> None:
    """What is said of a pool's addresses names the hardware addresses of its pairs alone.

    Two workers have two interfaces each: one is paired with its first, and the other with its second. In another pool,
    the one is paired with an interface that no node has: the other announces on its first one, alone.
    """
    workers = [node for node in check.lab.nodes if node.role is Role.WORKER]
    if len(workers) < 2:  # noqa: PLR2004 - a pair each
        raise CannotShow(Untestable.TOO_FEW_NODES, "two workers are needed, each in a pair with an interface")
    one, other = check.random.sample(workers, k=2)
    with second_interface(check, one.name), second_interface(check, other.name) as second:
        with paired(check, {(one.name, one.interface): one.mac, (other.name, second.interface): second.mac}) as held:
            with check.precondition("L2-01"):
                check.holders(*held)
            watched(check, held)
        with paired(check, {(one.name, NO_INTERFACE): "", (other.name, other.interface): other.mac}) as held:
            check.holders(*held)
            watched(check, held)


@contextmanager
def paired(check: CheckContext, pairs: Mapping[tuple[str, str], str]) -> Iterator[list[IPAddress]]:
    """Create a pool of some pairs of a node and an interface, and Services that take its addresses; yield these.

    At the end of the block, verify that no other hardware addresses were said of them than those of the pairs.
    """
    pool = check.pool(PAIRED, pairs=tuple(pairs))
    shown = words([f"{interface} of {node}" for node, interface in pairs])
    with check.claims() as claims:
        places = [check.namespace, check.second_namespace]
        made = [check.service(f"{pool.name}-{n // 2}", namespace=places[n % 2]) for n in range(PAIRED)]
        held = list(check.all_assigned(*made).values())

        def judge() -> None:
            macs = {str(a): {claim.message.sender_mac for claim in said} for a, said in claims.of(held).items()}
            wrong = {address: strange for address, found in macs.items() if (strange := found - set(pairs.values()))}
            assert not wrong, f"said to be at {words(wrong)}, and only {shown} may announce"

        with judging(judge):
            yield held


def watched(check: CheckContext, held: Sequence[IPAddress]) -> None:
    """Ask for addresses, all at a time, for as long as silence is watched for, so that whoever else answers may."""
    with check.precondition("L2-01"):
        check.wait.consistently(
            lambda: check.who_answers(*held),
            lambda seen: all(seen.values()),
            what="each address of the pool is answered for",
            budget="stays_silent",
        )
