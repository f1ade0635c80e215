"""Questions again and again for addresses of a real segment, and frames by the thousand that are changed at random."""

from __future__ import annotations

import time
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

import pytest

from lbproof.spec.families import Family
from lbproof.witnesses import crafted, neighbour
from lbproof.witnesses.asking import Asking
from lbproof.witnesses.wait import eventually

if TYPE_CHECKING:
    from lbproof.lab.common.vantage import NamespaceVantage
    from lbproof.spec.families import IPAddress

FREE: dict[Family, IPAddress] = {Family.IPV4: IPv4Address("10.77.0.9"), Family.IPV6: IPv6Address("fd00:77::9")}
COUNT = 3000


def test_who_answers_is_silent_for_no_time_and_who_is_not_there_is_all_the_time(
    client: NamespaceVantage, web: NamespaceVantage
) -> None:
    """In both families at a time."""
    there = [web.address_for(family) for family in Family]
    with Asking(client, [*there, *FREE.values()]) as asking:
        since = time.monotonic()
        eventually(
            lambda: min(len(asking.answers(address)) for address in there),
            lambda count: count >= 20,
            what="twenty answers for each address",
            within=10,
        )
        silent = asking.silences([*there, *FREE.values()], since=since)
        asked_for = time.monotonic() - since

    assert all(silent[str(address)] < 0.3 for address in there), silent
    assert all(silent[str(address)] > asked_for / 2 for address in FREE.values()), silent
    assert {mac for address in there for _, mac in asking.answers(address)} == {web.mac}


@pytest.mark.parametrize("family", Family, ids=lambda family: family.label)
def test_a_flood_is_sent_and_leaves_hosts_as_they_are(
    client: NamespaceVantage, web: NamespaceVantage, family: Family
) -> None:
    """Frames by the thousand arrive, and a good question is answered afterwards."""
    target = web.address_for(family)
    good = [neighbour.encode(client, neighbour.Question(target=target))]
    with neighbour.Listener(web) as heard:
        crafted.flood(client, family, good, count=COUNT, seed=7)
        assert len(heard.messages) > COUNT / 20

    assert {reply.mac for reply in neighbour.ask(client, target)} == {web.mac}


def test_a_recording_is_repeated_at_its_pace_by_another_host(client: NamespaceVantage, web: NamespaceVantage) -> None:
    """From the own hardware address and from that of the host that was recorded, until it is told to stop."""
    question = neighbour.encode(client, neighbour.Question(target=FREE[Family.IPV4]))
    recording = [(0.0, question), (0.1, crafted.from_mac(question, web.mac))]
    with neighbour.Listener(client) as heard, crafted.Repeater(web, recording):
        eventually(
            lambda: [message.ether_src for message in heard.messages if message.target_ip == FREE[Family.IPV4]],
            lambda sources: len(sources) > 3,
            what="each frame is heard twice",
            within=10,
        )
    asked = [message for message in heard.messages if message.target_ip == FREE[Family.IPV4]]

    assert [message.ether_src for message in asked[:4]] == [client.mac, web.mac] * 2
    assert asked[1].t - asked[0].t > 0.09
    assert {message.sender_ip for message in asked} == {client.address_for(Family.IPV4)}
    again = list(crafted.repeated(recording, 0.4))
    assert [round(at, 2) for at, _ in again] == [0.0, 0.1, 0.15, 0.25, 0.3, 0.4]


def test_the_last_of_each_kind_is_by_destination_and_protocol() -> None:
    """Of a recording, the newest message to each destination of each protocol is left, without the time between."""
    head = b"\xff" * 6 + b"\x02" * 6 + b"\x88\xb5"
    first, second, other = head + b"1", head + b"2", b"\x01" * 6 + head[6:] + b"1"

    assert crafted.last_of_each_kind([(0.0, first), (0.1, other), (0.2, second)]) == [(0.0, second), (0.0, other)]
