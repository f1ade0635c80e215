"""Who answers ARP, seen from a host of a real segment whose other hosts' kernels answer."""

from __future__ import annotations

import socket
from contextlib import closing
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING

import pytest

from lbproof.witnesses import arp
from lbproof.witnesses.frames import BROADCAST, ETHERTYPE_ARP, Frame, Op, encode
from lbproof.witnesses.packets import opened
from lbproof.witnesses.wait import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.observe.places import Segment

    from lbproof.witnesses.vantage import Vantage

FREE = IPv4Address("10.77.0.9")
"""An address that no host has."""


@pytest.fixture
def wire(web: Vantage) -> Iterator[socket.socket]:
    """A socket on `web` that sends whatever it is given."""
    with web.inside():
        opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    opened.bind((web.interface, 0))
    yield opened
    opened.close()


def reply(web: Vantage, *, to: str, target: IPv4Address) -> bytes:
    """`FREE` is at `web`."""
    return encode(
        Frame(
            ether_dst=to,
            ether_src=web.mac,
            op=Op.REPLY,
            sender_mac=web.mac,
            sender_ip=FREE,
            target_mac=to,
            target_ip=target,
        )
    )


def test_the_owner_answers(client: Vantage, web: Vantage) -> None:
    """One answer to each request, with the owner's hardware address, well within the wait."""
    answers = arp.ask(client, web.address, count=3)

    assert [(answer.mac, answer.ether_src) for answer in answers] == [(web.mac, web.mac)] * 3
    assert all(0 < answer.seconds < arp.WAIT for answer in answers)


def test_nobody_answers_for_a_free_address(client: Vantage) -> None:
    """Silence is an empty list."""
    assert arp.ask(client, FREE) == []


def test_every_one_who_answers_is_heard(segment: Segment, client: Vantage) -> None:
    """Two hosts with one address are two answers to one request."""
    with segment.address("web", FREE), segment.address("twin", FREE):
        answers = arp.ask(client, FREE)

    assert {answer.mac for answer in answers} == {segment.hosts["web"].mac, segment.hosts["twin"].mac}


def test_a_probe_is_answered_as_well(client: Vantage, web: Vantage) -> None:
    """Asked from 0.0.0.0, as before an address is taken (RFC 5227)."""
    assert [answer.mac for answer in arp.ask(client, web.address, sender=IPv4Address(0))] == [web.mac]


def test_an_announcement_is_no_answer(client: Vantage, web: Vantage, wire: socket.socket) -> None:
    """Neither to all nor to the one who asks: only a reply to the request counts."""
    with arp.Listener(client) as heard:
        wire.send(reply(web, to=BROADCAST, target=FREE))
        wire.send(reply(web, to=client.mac, target=FREE))
        wire.send(reply(web, to="02:00:00:00:77:03", target=IPv4Address("10.77.0.3")))
        answers = arp.ask(client, FREE)

    assert len(heard.gratuitous(FREE)) == 2
    assert answers == []


def test_many_are_asked_at_once(segment: Segment, client: Vantage, web: Vantage) -> None:
    """A sweep of a whole network finds who has which address, and nobody behind the rest."""
    with segment.address("twin", FREE):
        found = arp.sweep(client, list(IPv4Network("10.77.0.0/24"))[2:255])

    assert {address: macs for address, macs in found.items() if macs} == {
        web.address: {web.mac},
        IPv4Address("10.77.0.3"): {segment.hosts["twin"].mac},
        FREE: {segment.hosts["twin"].mac},
    }
    assert len(found) == 253


def test_a_census_counts_who_answered_and_how_often(segment: Segment, client: Vantage) -> None:
    """Who answered every request, and how many requests two answered."""
    web, twin = segment.hosts["web"].mac, segment.hosts["twin"].mac
    with segment.address("web", FREE):
        alone = arp.census(client, FREE, asks=2, over=0.4)
        with segment.address("twin", FREE):
            both = arp.census(client, FREE, asks=2, over=0.4)
    nobody = arp.census(client, FREE, asks=2, over=0.4)

    assert alone == arp.Census(asked=2, answers={web: 2}, unanswered=0, doubly=0)
    assert both == arp.Census(asked=2, answers={web: 2, twin: 2}, unanswered=0, doubly=2)
    assert nobody == arp.Census(asked=2, answers={}, unanswered=2, doubly=0)


def test_a_listener_hears_requests_and_replies_in_order(client: Vantage, web: Vantage) -> None:
    """Others' broadcasts and what is meant for the vantage, with the moment of each."""
    with arp.Listener(web) as heard:
        arp.ask(client, web.address)

    asked = [frame for frame in heard.frames if frame.op == Op.REQUEST and frame.sender_mac == client.mac]
    assert [(frame.ether_dst, frame.target_ip) for frame in asked] == [(BROADCAST, web.address)]
    assert [frame.t for frame in heard.frames] == sorted(frame.t for frame in heard.frames)


def test_a_listener_outlives_the_loss_of_its_interface(segment: Segment, client: Vantage, web: Vantage) -> None:
    """A fault that takes the interface down is what is being watched, and not the end of it."""
    with arp.Listener(web) as heard:
        with segment.interface_down("web"):
            assert arp.ask(client, FREE) == []
        eventually(lambda: arp.ask(client, web.address), bool, what="web answers again", within=5)

        assert any(frame.target_ip == web.address for frame in heard.frames)


def test_a_socket_of_ours_hears_its_interface_alone(client: Vantage) -> None:
    """It is bound to the vantage's interface and to ARP."""
    with closing(opened(client, ETHERTYPE_ARP)) as wire:
        name, protocol, *_ = wire.getsockname()

    assert (name, protocol) == (client.interface, ETHERTYPE_ARP)


def test_an_interface_that_is_not_there_is_named(segment: Segment) -> None:
    """The error says which interface, and of which vantage."""
    elsewhere = replace(segment.hosts["web"], interface="eth7")

    with pytest.raises(OSError, match="eth7 at web: No such device"):
        arp.ask(elsewhere, FREE)
