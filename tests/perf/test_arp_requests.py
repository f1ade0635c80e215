"""The ARP asker, for real: two hosts on a cable, of which one's kernel answers for its own address and no other."""

from __future__ import annotations

import math
import socket
import subprocess
import threading
import time
from contextlib import closing, contextmanager
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

import numpy as np
import pytest

from lbproof.lab.base import LabError
from lbproof.witnesses.frames import BROADCAST, ETHERTYPE_ARP, Frame, Op, encode, request
from lbproof.witnesses.packets import opened
from lbproof_perf.outage_probe import hosts
from lbproof_perf.probes.arp_requests import ArpRequester, ask_each, patience
from lbproof_perf.probes.timestamps import stamp
from lbproof_perf.sut.arp_services import quiet

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lbproof.lab.common.vantage import NamespaceVantage

MAC = "02:00:00:00:00:99"
ADDRESS, STRANGER = IPv4Address(f"{hosts.NETWORK}.253"), IPv4Address(f"{hosts.NETWORK}.99")


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[NamespaceVantage, NamespaceVantage]]:
    """A client and a server's host."""
    with hosts.two_hosts() as made:
        yield made


@pytest.fixture(scope="module")
def requester(pair: tuple[NamespaceVantage, NamespaceVantage]) -> Iterator[ArpRequester]:
    """An asker at the client."""
    with ArpRequester(pair[0], mac=MAC, address=ADDRESS) as made:
        yield made


def test_each_answer_is_timed_and_a_missing_one_is_none(
    requester: ArpRequester, pair: tuple[NamespaceVantage, NamespaceVantage]
) -> None:
    """The kernel answers for its own address; nobody answers for a stranger's, which is no time at all."""
    client, server = pair

    took = requester.ask([server.address, STRANGER, server.address], patience=0.1)

    assert np.isnan(took).tolist() == [False, True, False]
    assert (took[[0, 2]] > 0).all()
    with client.inside():
        table = subprocess.run(["ip", "neigh", "show"], capture_output=True, text=True, check=True)
    assert str(server.address) not in table.stdout


def test_it_ends_where_it_is_told_to(requester: ArpRequester, pair: tuple[NamespaceVantage, NamespaceVantage]) -> None:
    """After the first that is unanswered, or when the time is over."""
    own = pair[1].address

    assert len(requester.ask([own, STRANGER, own], patience=0.05, stop=True)) == 2
    assert len(requester.ask([own] * 100, within=0)) == 1


def test_every_answer_to_a_volley_is_counted(
    requester: ArpRequester, pair: tuple[NamespaceVantage, NamespaceVantage]
) -> None:
    """Also those that nobody reads; a question for a stranger has none. More are sent than lie in memory."""
    requester.begin_volleys([pair[1].address, STRANGER], rate=20_000, seconds=0.25)
    done = requester.end_volleys()

    assert done.sent > 100
    assert done.sent // 2 <= done.answered <= done.sent // 2 + 1
    assert done.sent <= 20_000 * done.seconds + 1


def test_an_answer_that_comes_late_is_not_taken_for_the_next_one() -> None:
    """What answers a question before is passed over; then the right one counts, or none does."""
    talk, peer = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    late, right = IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2")
    with talk, peer:
        stamp(talk)
        patience(talk, 0.05)
        for sender in (late, right, late):
            peer.send(
                encode(
                    Frame(
                        ether_dst=MAC,
                        ether_src=BROADCAST,
                        op=Op.REPLY,
                        sender_mac=BROADCAST,
                        sender_ip=sender,
                        target_mac=MAC,
                        target_ip=ADDRESS,
                    )
                )
            )
        targets = [right.packed] * 2
        frame = bytearray(encode(request(mac=MAC, address=ADDRESS, target=ADDRESS)))
        took = ask_each(talk, frame, targets, within=math.inf, stop=False)

        assert [math.isnan(seconds) for seconds in took] == [False, True]
        assert peer.recv(2048) == encode(request(mac=MAC, address=ADDRESS, target=right))


def test_an_asker_that_is_gone_is_said_to_be(pair: tuple[NamespaceVantage, NamespaceVantage]) -> None:
    """It ends at what is no IPv4 address, and that is an error of the lab's and no endless wait."""
    with ArpRequester(pair[0], mac=MAC, address=ADDRESS) as requester:
        with pytest.raises(LabError, match="arp_requests at host 1 ended by itself with 1"):
            requester.ask([IPv6Address("::1")])
        with pytest.raises(LabError, match="arp_requests at host 1 ended by itself with 1"):
            requester.ask([STRANGER])


@contextmanager
def saying(host: NamespaceVantage, target: IPv4Address) -> Iterator[list[float]]:
    """A host says every 10 ms that it asks for `target` from `STRANGER`: an announcement where they are one."""
    frame = Frame(
        ether_dst=BROADCAST,
        ether_src=host.mac,
        op=Op.REQUEST,
        sender_mac=host.mac,
        sender_ip=STRANGER,
        target_mac=BROADCAST,
        target_ip=target,
    )
    stop, sent = threading.Event(), [time.monotonic()]
    with closing(opened(host, ETHERTYPE_ARP)) as wire:

        def say() -> None:
            while not stop.wait(0.01):
                wire.send(encode(frame))
                sent.append(time.monotonic())

        thread = threading.Thread(target=say)
        thread.start()
        try:
            yield sent
        finally:
            stop.set()
            thread.join()


def test_quiet_comes_when_the_announcements_end(pair: tuple[NamespaceVantage, NamespaceVantage]) -> None:
    """While they go on, nobody waits for ever; when they end, so does the wait, and not before."""
    client, server = pair
    with saying(server, STRANGER):
        with pytest.raises(LabError, match=r"without a pause of 5 s for 0\.2 s"):
            quiet(client, seconds=5, within=0.2)
        with pytest.raises(LabError, match=r"without a pause of 0\.5 s for 1 s"):
            quiet(client, seconds=0.5, within=1)
    quiet(client, seconds=0.1, within=10)


def test_what_is_asked_is_no_announcement(pair: tuple[NamespaceVantage, NamespaceVantage]) -> None:
    """Questions go on all the time, and are no noise of an implementation's."""
    client, server = pair
    with saying(server, IPv4Address(client.address)) as sent:
        quiet(client, seconds=0.3, within=5)

    assert len(sent) > 5
