"""RFC 5227: a new address is announced by broadcast."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from lbproof.context import proves
from lbproof.text import words
from lbproof.witnesses import neighbour
from lbproof.witnesses.frames import BROADCAST

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lbproof.context import CheckContext
    from lbproof.spec.families import IPAddress

SERVICES = 3


@proves("L2-06")
def test_assignment_is_announced(check: CheckContext) -> None:
    """A gratuitous ARP for each address arrives in time: sender and target are the address, broadcast, with its MAC.

    Also for an address that is released and given to another Service. No announcement names another host than those
    that answer, and no reply to all hosts is anything but an announcement or an answer.
    """
    check.pool(SERVICES)
    with neighbour.Listener(check.client) as listener:
        services = [check.service(f"web-{n}", serving=True) for n in range(SERVICES)]
        held = list(check.all_assigned(*services).values())
        announced(check, listener, dict.fromkeys(held, 0.0))

        with check.precondition("L2-01"):
            former = check.holders(*held)
        check.delete(check.random.choice(services))
        since = time.monotonic()
        with check.precondition("RECL-01"):
            again = check.assigned(check.service("again", serving=True), budget="reclaimed")
        announced(check, listener, {again: since})

        with check.precondition("L2-01"):
            holders = check.holders(*held)
        names = check.mac_names()
        stray = unrequested_replies(listener.messages, held)
        wrong = {
            str(address): f"{names.get(m.sender_mac, m.sender_mac)} in a frame of {names.get(m.ether_src, m.ether_src)}"
            for address in held
            for m in listener.announcements(address)
            if not {names.get(mac, mac) for mac in (m.sender_mac, m.ether_src)}
            <= {*(former if m.t < since else holders)[address]}
        }
    shown = {str(address): names for address, names in holders.items()}
    assert not stray, f"replies to all hosts, which nobody asked for, name other targets: {words(stray)}"
    assert not wrong, f"announced by {words(wrong)}, and answered for by {words(shown)}"


def announced(check: CheckContext, listener: neighbour.Listener, since: Mapping[IPAddress, float]) -> None:
    """Wait until each address has been announced, since a moment, by a frame that neighbours take."""

    def seen() -> dict[str, list[str]]:
        return {
            str(address): sorted({fault_of(m) for m in listener.announcements(address) if m.t >= moment})
            for address, moment in since.items()
        }

    check.wait.eventually(
        seen,
        lambda faults: all("" in found for found in faults.values()),
        what=f"a well-formed gratuitous ARP for {', '.join(map(str, since))} is heard",
        budget="announcement",
        show=lambda faults: words({address: found or "none" for address, found in faults.items()}),
    )


def unrequested_replies(messages: Sequence[neighbour.Message], addresses: Sequence[IPAddress]) -> dict[str, list[str]]:
    """Return the targets of broadcast replies for each address that are neither the address nor a host that asked.

    RFC 5227 section 2.3 has announcements name it; what names another is no announcement, and some hosts ignore it.
    """
    askers = {message.sender_ip for message in messages if not message.is_reply}
    found: dict[str, list[str]] = {}
    for m in messages:
        is_unrequested = m.is_reply and m.ether_dst == BROADCAST and not m.gratuitous and m.target_ip not in askers
        if m.sender_ip in addresses and is_unrequested:
            found.setdefault(str(m.sender_ip), []).append(str(m.target_ip))
    return found


def fault_of(message: neighbour.Message) -> str:
    """Say why neighbours may not take an announcement; the empty string when they do."""
    if message.sender_mac != message.ether_src:
        return f"names {message.sender_mac} in a frame of {message.ether_src}"
    return message.announcement_fault
