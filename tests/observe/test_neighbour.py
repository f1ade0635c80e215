"""Who answers for an address, seen from a host of a real segment whose other hosts' kernels answer."""

from __future__ import annotations

import os
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from typing import TYPE_CHECKING

import pytest
from tests.observe.places import frozen

from lbproof.lab.common.netns import entered
from lbproof.probe.protocol import text_of
from lbproof.spec.families import Family, family_of
from lbproof.witnesses import ndp, neighbour
from lbproof.witnesses.frames import BROADCAST, ETHERTYPE_ARP, Frame, Op, decode, encode
from lbproof.witnesses.stream import ProbeError
from lbproof.witnesses.wait import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.observe.places import Segment

    from lbproof.lab.common.vantage import NamespaceVantage
    from lbproof.spec.families import IPAddress

FREE = IPv4Address("10.77.0.9")
"""An address that no host has."""
FREE6 = IPv6Address("fd00:77::9")
FAMILIES = pytest.mark.parametrize("family", Family, ids=lambda family: family.label)


@pytest.fixture
def wire(web: NamespaceVantage) -> Iterator[socket.socket]:
    """A socket on `web` that sends whatever it is given."""
    with entered(web.netns):
        opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    opened.bind((web.interface, 0))
    yield opened
    opened.close()


def reply(web: NamespaceVantage, *, to: str, target: IPv4Address) -> bytes:
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


def free(family: Family) -> IPAddress:
    """An address that no host has."""
    return FREE if family is Family.IPV4 else FREE6


@FAMILIES
def test_the_owner_answers(client: NamespaceVantage, web: NamespaceVantage, family: Family) -> None:
    """One answer to each request, with the owner's hardware address, well within the wait."""
    answers = neighbour.ask(client, web.address_for(family), count=3)

    assert [(answer.mac, answer.ether_src) for answer in answers] == [(web.mac, web.mac)] * 3
    assert all(0 < answer.seconds < neighbour.WAIT for answer in answers)


@FAMILIES
def test_nobody_answers_for_a_free_address(client: NamespaceVantage, family: Family) -> None:
    """Silence is an empty list."""
    assert neighbour.ask(client, free(family)) == []


@FAMILIES
def test_every_one_who_answers_is_heard(segment: Segment, client: NamespaceVantage, family: Family) -> None:
    """Two hosts with one address are two answers to one request."""
    with segment.address("web", free(family)), segment.address("twin", free(family)):
        answers = neighbour.ask(client, free(family))

    assert {answer.mac for answer in answers} == {segment.hosts["web"].mac, segment.hosts["twin"].mac}


@pytest.mark.parametrize("sender", [IPv4Address(0), IPv6Address(0)], ids=str)
def test_a_probe_is_answered_as_well(client: NamespaceVantage, web: NamespaceVantage, sender: IPAddress) -> None:
    """Asked from the unspecified address, as before an address is taken (RFC 5227, RFC 4862)."""
    found = neighbour.ask(client, web.address_for(family_of(sender)), sender=sender)

    assert [answer.mac for answer in found] == [web.mac]


def test_an_unsolicited_advertisement_is_no_answer(
    client: NamespaceVantage, web: NamespaceVantage, wire: socket.socket
) -> None:
    """It is heard as an announcement, which nobody has asked for."""
    with neighbour.Listener(client) as heard:
        wire.send(ndp.encode(ndp.announcement(mac=web.mac, address=FREE6)))
        answers = neighbour.ask(client, FREE6)

    assert [(message.sender_mac, message.announcement_fault) for message in heard.announcements(FREE6)] == [
        (web.mac, "")
    ]
    assert answers == []


def test_an_announcement_is_no_answer(client: NamespaceVantage, web: NamespaceVantage, wire: socket.socket) -> None:
    """Neither to all nor to the one who asks: only a reply to the request counts."""
    with neighbour.Listener(client) as heard:
        wire.send(reply(web, to=BROADCAST, target=FREE))
        wire.send(reply(web, to=client.mac, target=FREE))
        wire.send(reply(web, to="02:00:00:00:77:03", target=IPv4Address("10.77.0.3")))
        answers = neighbour.ask(client, FREE)

    assert len(heard.announcements(FREE)) == 2
    assert answers == []


def test_many_are_asked_at_once(segment: Segment, client: NamespaceVantage, web: NamespaceVantage) -> None:
    """A sweep of a whole network finds who has which address, and nobody behind the rest."""
    with segment.address("twin", FREE):
        wanted = list(IPv4Network("10.77.0.0/24"))[2:255]
        found = neighbour.sweep(client, [*wanted, FREE6, *(host.addresses[1] for host in segment.hosts.values())])

    assert {address: macs for address, macs in found.items() if macs} == {
        web.address: {web.mac},
        IPv4Address("10.77.0.3"): {segment.hosts["twin"].mac},
        FREE: {segment.hosts["twin"].mac},
        web.address_for(Family.IPV6): {web.mac},
        IPv6Address("fd00:77::3"): {segment.hosts["twin"].mac},
    }
    assert len(found) == 253 + 4


def test_a_census_counts_who_answered_and_how_often(segment: Segment, client: NamespaceVantage) -> None:
    """Who answered every request, and how many requests two answered."""
    web, twin = segment.hosts["web"].mac, segment.hosts["twin"].mac
    with segment.address("web", FREE):
        alone = neighbour.census(client, FREE, asks=2, over=0.4)
        with segment.address("twin", FREE):
            both = neighbour.census(client, FREE, asks=2, over=0.4)
    nobody = neighbour.census(client, FREE, asks=2, over=0.4)

    assert alone == neighbour.Census(asked=2, answers={web: 2}, unanswered=0, doubly=0)
    assert both == neighbour.Census(asked=2, answers={web: 2, twin: 2}, unanswered=0, doubly=2)
    assert nobody == neighbour.Census(asked=2, answers={}, unanswered=2, doubly=0)


def test_a_census_outlives_a_stall_of_the_probe(
    client: NamespaceVantage, web: NamespaceVantage, wire: socket.socket
) -> None:
    """Each request has the reply of a node that takes a while, also when the probe stands still between two."""
    over = threading.Event()
    with entered(web.netns):
        asked = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETHERTYPE_ARP))
    asked.bind((web.interface, ETHERTYPE_ARP))
    asked.settimeout(0.05)

    def answer() -> None:
        while not over.is_set():
            with suppress(TimeoutError):
                frame = decode(asked.recv(128))
                if frame and not frame.is_reply and frame.target_ip == FREE and not over.wait(0.005):
                    wire.send(reply(web, to=client.mac, target=IPv4Address("10.77.0.1")))

    with asked, ThreadPoolExecutor() as pool:
        pool.submit(answer)
        try:
            with frozen(client.probe(), after=0.3, during=0.8):
                found = neighbour.census(client, FREE, asks=8, over=1.6)
        finally:
            over.set()

    assert (found.answers, found.unanswered) == ({web.mac: 8}, 0)


def test_a_listener_hears_requests_and_replies_in_order(client: NamespaceVantage, web: NamespaceVantage) -> None:
    """Others' broadcasts and what is meant for the vantage, with the moment of each."""
    with neighbour.Listener(web) as heard:
        neighbour.ask(client, web.address)

    asked = [m for m in heard.messages if isinstance(m, Frame) and not m.is_reply and m.sender_mac == client.mac]
    assert [(m.ether_dst, m.target_ip) for m in asked] == [(BROADCAST, web.address)]
    assert [m.t for m in heard.messages] == sorted(m.t for m in heard.messages)


def test_what_was_sent_before_is_heard_at_once(client: NamespaceVantage, web: NamespaceVantage) -> None:
    """Nothing that arrived before the question is missing in its answer, however often it is asked."""
    with neighbour.Listener(client) as heard, web.start_probe() as sending:
        frame = text_of(reply(web, to=BROADCAST, target=FREE))
        for count in range(1, 30):
            sending.call("frames", within=0, interface="eth0", protocol=3, filter=[], send=[(0, frame)], seconds=0.005)
            assert len(heard.announcements(FREE)) == count


def test_a_listener_whose_probe_dies_says_so(client: NamespaceVantage) -> None:
    """It is never taken for silence."""
    heard = neighbour.Listener(client)
    heard.__enter__()
    os.kill(client.probe().process.pid, signal.SIGKILL)

    with pytest.raises(ProbeError, match="task frames at client"):
        _ = heard.messages
    with pytest.raises(ProbeError, match="task frames at client"):
        heard.__exit__()
    assert client.probe().alive


def test_a_listener_outlives_the_loss_of_its_interface(
    segment: Segment, client: NamespaceVantage, web: NamespaceVantage
) -> None:
    """A fault that takes the interface down is what is being watched, and not the end of it."""
    with neighbour.Listener(web) as heard:
        with segment.interface_down("web"):
            assert neighbour.ask(client, FREE) == []
        eventually(lambda: neighbour.ask(client, web.address), bool, what="web answers again", within=5)

        assert any(frame.target_ip == web.address for frame in heard.messages)


def test_an_interface_that_is_not_there_is_named(segment: Segment) -> None:
    """The error says which interface, and of which vantage."""
    elsewhere = replace(segment.hosts["web"], interface="eth7")

    with pytest.raises(ProbeError, match="task frames at web: eth7: No such device"):
        neighbour.ask(elsewhere, FREE)


def test_a_question_is_answered_however_a_host_asks(
    segment: Segment, client: NamespaceVantage, web: NamespaceVantage
) -> None:
    """By unicast, as a probe, from an address never seen, with a target MAC, in a frame of another source.

    Each answer counts for its question.
    """
    with segment.address("web", FREE), segment.address("web", FREE6):
        ways = [
            neighbour.Question(target=FREE),
            neighbour.Question(target=FREE, to=web.mac),
            neighbour.Question(target=FREE, sender=IPv4Address(0)),
            neighbour.Question(target=FREE, sender=IPv4Address("10.77.0.99")),
            neighbour.Question(target=FREE, target_mac=web.mac),
            neighbour.Question(target=FREE, ether_src="02:00:00:00:77:04"),
            neighbour.Question(target=FREE, to="02:00:00:00:77:03"),
        ]
        found = neighbour.ask_each(client, ways, every=0.05)
        unicast = neighbour.ask_each(client, [neighbour.Question(target=FREE6, to=web.mac)], every=0.0)

    assert [len(answers) for answers in found] == [1, 1, 1, 1, 1, 1, 0]
    assert [answer.mac for answers in found for answer in answers] == [web.mac] * 6
    assert [answer.mac for answers in unicast for answer in answers] == [web.mac]


def test_several_addresses_are_counted_in_the_same_time(segment: Segment, client: NamespaceVantage) -> None:
    """Each by itself."""
    web, twin = segment.hosts["web"], segment.hosts["twin"]
    with segment.address("web", FREE), segment.address("twin", FREE):
        found = neighbour.census_of(client, [web.address, FREE], asks=3, over=0.6)

    assert found[web.address] == neighbour.Census(asked=3, answers={web.mac: 3}, unanswered=0, doubly=0)
    assert found[FREE] == neighbour.Census(asked=3, answers={web.mac: 3, twin.mac: 3}, unanswered=0, doubly=3)
