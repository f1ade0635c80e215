"""Frames that are no requests for an address, or not for this host, and hosts that claim an address of a Service."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING

from lbproof.context import proves
from lbproof.context.claims import by_node
from lbproof.spec.families import family_of
from lbproof.text import words
from lbproof.witnesses import frames, neighbour, neighbours
from lbproof.witnesses.frames import BROADCAST, Op

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lbproof.context import CheckContext
    from lbproof.spec.families import IPAddress

SERVICES = 3
REPEATS = 3
EVERY = 0.01
"""Seconds between two frames."""
NOBODY = "02:00:00:00:00:fe"
"""Locally administered MAC of no host: a switch sends frames for it everywhere (IEEE 802.1D)."""
SENDER = "02:00:00:00:00:fd"
"""Another one: the source of frames by which the client asks. A switch takes it for one of the client's."""
IN_A_ROW = 3
OPERATIONS = (0, 3, 4, 8, 9, 25, 0xFFFF)
"""Operations that are neither request nor reply (RFC 826, RFC 903, RFC 2390)."""
ETHERNET = 14


def answered_by(check: CheckContext) -> tuple[dict[IPAddress, str], dict[str, str]]:
    """Create Services; return who answers for each address, and the MAC of each of these nodes."""
    check.pool(SERVICES)
    held = check.all_assigned(*(check.service(f"web-{n}") for n in range(SERVICES)))
    with check.precondition("L2-01"):
        found = check.sole_holders(*held.values())
    return found, {name: mac for mac, name in check.mac_names().items()}


def answered_whoever_sends(check: CheckContext, holders: Mapping[IPAddress, str]) -> None:
    """Wait until requests are answered whose frames have another source than their sender hardware address.

    RFC 826 does not compare the two: so ask bonds of several interfaces. As a switch may drop such frames, an address
    counts where the kernel of its node answers one for the node's own address.
    """
    family = family_of(next(iter(holders)))
    own = {
        node.name: neighbour.Question(target=node.address_for(family), ether_src=SENDER)
        for node in check.lab.nodes
        if node.name in holders.values()
    }
    dropped = check.unanswered(check.unanswered(list(own.values())))
    asks = [
        neighbour.Question(target=address, ether_src=SENDER)
        for address, name in holders.items()
        if name in own and own[name] not in dropped
    ]
    check.saw("arp", "asked for by frames of another source", [str(question.target) for question in asks])
    check.wait.eventually(
        lambda: [str(question.target) for question in check.unanswered(asks)],
        lambda silent: not silent,
        what="requests in frames of another source than their sender hardware address are answered",
        budget="announced",
        in_a_row=IN_A_ROW,
        show=lambda silent: f"not for {words(silent)}" if silent else "all answered",
    )


def no_answers(check: CheckContext, sent: Mapping[str, Sequence[bytes]], holders: Mapping[IPAddress, str]) -> None:
    """Send frames of several kinds; verify that no node answers one, and that good requests are answered as before."""
    family = family_of(next(iter(holders)))
    answered: dict[str, dict[str, str]] = {}
    check.wait_out("arp_answer")  # to the requests that found the holders
    own = check.client.address_for(family)
    for kind, rows in sent.items():
        with check.claims() as claims:
            neighbour.send(
                check.client, family, list(rows) * REPEATS, every=EVERY, wait=check.wait.budget("arp_answer")
            )
            found = claims.of([*holders, own])
        replies = {a: [c for c in of if c.message.ether_dst == check.client.mac] for a, of in found.items()}
        if counted := {str(address): words(who) for address, who in by_node(replies).items() if who}:
            answered[kind] = counted
    now = check.sole_holders(*holders)
    assert not answered, f"frames that ask nobody for an address were answered: {words(answered)}"
    assert now == holders, f"after such frames {words(now)} answer, before {words(holders)}"


@proves("L2-05", "a")
def test_only_requests_for_this_host_are_answered(check: CheckContext) -> None:
    """Replies, announcements of others and requests to another hardware address are not answered; good requests are.

    Also those of which somebody else is the sender of the frame.
    """
    holders, macs = answered_by(check)
    answered_whoever_sends(check, holders)
    own = check.client.address_for(family_of(next(iter(holders))))
    sent: dict[str, list[bytes]] = {"replies": [], "announcements": [], "requests to another MAC": []}
    for address, name in holders.items():
        asks = frames.request(mac=check.client.mac, address=own, target=address)
        told = replace(asks, op=Op.REPLY, ether_dst=macs[name], target_mac=macs[name])
        sent["replies"] += [frames.encode(told), frames.encode(replace(told, ether_dst=BROADCAST))]
        sent["announcements"].append(frames.encode(replace(asks, target_ip=asks.sender_ip)))
        sent["requests to another MAC"].append(frames.encode(replace(asks, ether_dst=NOBODY)))
    no_answers(check, sent, holders)


@proves("L2-05", "b")
def test_malformed_frames_change_nothing(check: CheckContext) -> None:
    """Frames of other hardware, protocols and operations are not answered, nor truncated ones; good requests are."""
    holders, _ = answered_by(check)
    own = check.client.address_for(family_of(next(iter(holders))))
    sent: dict[str, list[bytes]] = {"operations": [], "hardware types": [], "protocol types": [], "truncated": []}
    for address in holders:
        good = frames.encode(frames.request(mac=check.client.mac, address=own, target=address))
        sent["operations"] += [changed(good, 6, op) for op in OPERATIONS]
        sent["hardware types"] += [changed(good, 0, kind) for kind in (0, 7, 0xFFFF)]
        sent["protocol types"] += [changed(good, 2, kind) for kind in (0, 0x0806, 0x86DD)]
        sent["truncated"] += [good[: ETHERNET + length] for length in (1, 7, 8, 23, 27)]
    no_answers(check, sent, holders)


def changed(frame: bytes, offset: int, value: int) -> bytes:
    """Return an ARP frame with another number of 16 bits at an offset in its ARP packet."""
    at = ETHERNET + offset
    return frame[:at] + value.to_bytes(2) + frame[at + 2 :]


def defences(check: CheckContext, heard: neighbour.Listener, address: IPAddress) -> list[str]:
    """Return the MACs of all but the client at which an address is announced to all hosts.

    A reply to the client alone is none: other hosts have heard the stranger too.
    """
    found = [message for message in heard.announcements(address) if not message.announcement_fault]
    return [message.sender_mac for message in found if message.sender_mac != check.client.mac]


@proves("L2-05", "c")
def test_an_address_that_another_host_announces_is_defended(check: CheckContext) -> None:
    """The node that answers for an address announces it after another host has done so (RFC 5227 section 2.4)."""
    holders, macs = answered_by(check)
    check.quiet(*holders)

    def by_its_node(address: IPAddress, seen: Sequence[str]) -> bool:
        """Whether the node that answered has announced it, or one that answers now, if it moved meanwhile."""
        names = {holders[address]} if macs[holders[address]] in seen or not seen else check.answerers(address)
        return any(macs.get(name) in seen for name in names)

    for address, name in holders.items():
        check.undo.later("the client's entry", functools.partial(neighbours.forget, check.client, address))
        with neighbour.Listener(check.client) as heard:
            neighbour.announce(check.client, address, count=2)
            check.wait.eventually(
                lambda: defences(check, heard, address),  # noqa: B023
                lambda seen: by_its_node(address, seen),  # noqa: B023
                what=f"{name} announces {address}, which another host has announced",
                budget="defended",
            )


@proves("L2-05", "d")
def test_another_host_that_uses_an_address_is_told(check: CheckContext) -> None:
    """A Service whose address another host announces has the Event that tells it, which names the address."""
    check.pool(SERVICES)
    held = check.all_assigned(*(check.service(f"web-{n}") for n in range(SERVICES)))
    with check.precondition("L2-01"):
        check.sole_holders(*held.values())
    service = check.random.choice(list(held))
    check.undo.later("the client's entry", functools.partial(neighbours.forget, check.client, held[service]))
    neighbour.announce(check.client, held[service], count=2)
    check.event(service, check.run.adapter.conflict, says=str(held[service]))
    told = {str(one): check.times_told(one, check.run.adapter.conflict, "") for one in held if one != service}
    assert not any(told.values()), f"told of Services whose addresses nobody else announces: {words(told)}"
