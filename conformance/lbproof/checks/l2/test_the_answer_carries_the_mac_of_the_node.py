"""RFC 826: the reply carries the hardware address of the node that sends it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.context import proves
from lbproof.spec.families import family_of
from lbproof.text import words
from lbproof.witnesses import neighbour

if TYPE_CHECKING:
    from lbproof.context import CheckContext
    from lbproof.context.claims import Claim

SERVICES = 3


@proves("L2-02")
def test_the_answer_carries_the_mac_of_the_node(check: CheckContext) -> None:
    """Sender hardware address and Ethernet source are the same, that of the node whose port the frame enters.

    So it is in each answer, however it is asked for, and in each announcement, from the first one on.
    """
    check.pool(SERVICES)
    with check.claims() as claims:
        services = [check.service(f"web-{n}", serving=True) for n in range(SERVICES)]
        held = list(check.all_assigned(*services).values())
        with check.precondition("L2-01"):
            first = check.holders(*held)
        (unknown,) = check.run.addresses(1, family_of(held[0]))
        macs = {name: mac for mac, name in check.mac_names().items()}
        ways = [
            way
            for address, names in first.items()
            for way in check.ways_to_ask(address, macs.get(names[0], names[0]), unknown=unknown, corners=True).values()
        ]
        check.random.shuffle(ways)
        over, within = check.wait.budget("one_answerer_recount"), check.wait.budget("arp_answer")
        neighbour.ask_each(check.client, ways, every=over / len(ways), within=within)
        made = claims.of(held)

    wrong = [f"{address} {why}" for address, of in made.items() for claim in of if (why := fault_of(check, claim))]
    assert not wrong, f"{len(wrong)} of {sum(map(len, made.values()))} frames are wrong: {words(sorted(set(wrong)))}"


def fault_of(check: CheckContext, claim: Claim) -> str:
    """Say what is wrong with the hardware addresses of a claim; the empty string when nothing is."""
    message, known = claim.message, check.mac_names()
    if message.sender_mac != message.ether_src:
        return f"is said to be at {message.sender_mac}, by a frame of {message.ether_src}"
    if message.sender_mac not in known:
        return f"is said to be at {message.sender_mac}, which is the MAC of no node: {words(known)}"
    if claim.port and known[message.sender_mac] != claim.port:
        return f"is said to be at {message.sender_mac}, which is {known[message.sender_mac]}'s, by {claim.port}"
    return ""
