"""The neighbour requester, for real: two hosts on a cable, of which one's kernel answers for its own address alone."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from lbproof.lab.base import LabError
from lbproof.probe import replies
from lbproof.probe.protocol import text_of
from lbproof.probe.task import Task
from lbproof.probe.tasks import solicit
from lbproof.spec.families import Family
from lbproof.witnesses.frames import BROADCAST, Frame, Op, encode
from lbproof.witnesses.stream import ProbeError
from lbproof_perf.outage_probe import hosts
from lbproof_perf.probes import neighbours
from lbproof_perf.probes.requester import Requester, latencies
from lbproof_perf.sut.arp_services import quiet

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lbproof.lab.common.vantage import NamespaceVantage
    from lbproof.spec.families import IPAddress
    from lbproof.witnesses.stream import Stream

MAC = "02:00:00:00:00:99"
ADDRESS, STRANGER = IPv4Address(f"{hosts.NETWORK}.253"), IPv4Address(f"{hosts.NETWORK}.99")
OWN: dict[Family, IPAddress] = {Family.IPV4: ADDRESS, Family.IPV6: IPv6Address(f"{hosts.NETWORK_6}:253")}
NOBODY: dict[Family, IPAddress] = {Family.IPV4: STRANGER, Family.IPV6: IPv6Address(f"{hosts.NETWORK_6}:99")}
SO_TIMESTAMPNS = 35


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[NamespaceVantage, NamespaceVantage]]:
    """A client and a server's host."""
    with hosts.two_hosts() as made:
        yield made


@pytest.fixture(scope="module", params=list(Family), ids=lambda family: family.label)
def requester(pair: tuple[NamespaceVantage, NamespaceVantage], request: pytest.FixtureRequest) -> Iterator[Requester]:
    """A requester at the client, by ARP and by NDP."""
    with Requester(pair[0], mac=MAC, address=OWN[request.param]) as made:
        yield made


def family_of(requester: Requester) -> Family:
    """The family that it asks by."""
    return Family(requester.address.version)


def test_each_reply_is_timed_and_a_missing_one_is_none(
    requester: Requester, pair: tuple[NamespaceVantage, NamespaceVantage]
) -> None:
    """The kernel answers for its own address; nobody answers for a stranger's, which is no time at all."""
    client, server = pair
    own, stranger = server.address_for(family_of(requester)), NOBODY[family_of(requester)]

    found = requester.ask([own, stranger, own], patience=0.1)

    assert np.isnan(found.took).tolist() == [False, True, False]
    assert (found.took[[0, 2]] > 0).all()
    assert 0 <= found.core < (os.cpu_count() or 1)
    with client.popen(["ip", "neigh", "show"], stdout=subprocess.PIPE) as table:
        assert str(own) not in table.communicate()[0].decode()


def test_it_ends_where_it_is_told_to(requester: Requester, pair: tuple[NamespaceVantage, NamespaceVantage]) -> None:
    """After the first that is unanswered, or when the time is over."""
    own, stranger = pair[1].address_for(family_of(requester)), NOBODY[family_of(requester)]

    assert len(requester.ask([own, stranger, own], patience=0.05, stop=True).took) == 2
    assert len(requester.ask([own] * 100, within=0).took) == 1


def test_every_reply_to_a_volley_is_counted(
    requester: Requester, pair: tuple[NamespaceVantage, NamespaceVantage]
) -> None:
    """Also those that nobody reads; a request for a stranger has none. More are sent than lie in memory."""
    own, stranger = pair[1].address_for(family_of(requester)), NOBODY[family_of(requester)]
    requester.begin_volleys([own, stranger], rate=20_000, seconds=0.25)
    done = requester.end_volleys()

    assert done.sent > 100
    assert done.sent // 2 <= done.answered <= done.sent // 2 + 1
    assert done.sent <= 20_000 * done.seconds + 1


def test_a_reply_that_comes_late_is_not_taken_for_the_next_one() -> None:
    """What answers a request before is passed over; then the right one counts, or none does."""
    talk, peer = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    late, right = IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2")
    layout = replies.Layout.of(neighbours.replies("eth0", MAC, Family.IPV4))
    frame = neighbours.request(mac=MAC, address=ADDRESS, target=right)
    with talk, peer:
        talk.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        solicit.patience(talk, 0.05)
        for sender in (late, right, late):
            reply = Frame(
                ether_dst=MAC,
                ether_src=BROADCAST,
                op=Op.REPLY,
                sender_mac=BROADCAST,
                sender_ip=sender,
                target_mac=MAC,
                target_ip=ADDRESS,
            )
            peer.send(encode(reply))
        task = Task(1, {}, lambda _: None)
        took = solicit.ask_each(talk, layout, [(right.packed, frame)] * 2, task, within=None, stop=False)
        task.close()

        assert [seconds is None for seconds in took] == [False, True]
        assert peer.recv(2048) == frame


def test_a_requester_that_is_gone_is_an_error(pair: tuple[NamespaceVantage, NamespaceVantage]) -> None:
    """An address of the other family is refused before it is asked for, and a killed probe is no endless wait."""
    with Requester(pair[0], mac=MAC, address=ADDRESS) as requester:
        with pytest.raises(TypeError, match="both must be IPv4"):
            requester.ask([IPv6Address("::1")])
        requester.probe.process.send_signal(signal.SIGKILL)
        with pytest.raises(ProbeError, match="host 1"):
            requester.ask([STRANGER])


def test_replies_that_the_kernel_dropped_are_an_error() -> None:
    """A reply that was lost on its way to the task is no request that nobody answered."""
    with pytest.raises(ProbeError, match="requests at client: the kernel dropped 3 replies"):
        latencies({"took": [None], "core": 0, "dropped": 3}, "client")


@contextmanager
def saying(host: NamespaceVantage, target: IPv4Address) -> Iterator[Stream]:
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
    send = [(at / 100, text_of(encode(frame))) for at in range(3000)]
    asked: dict[str, Any] = {"protocol": 0x0806, "filter": (), "send": send, "seconds": None}
    with host.start_probe() as probe, probe.request("frames", interface=host.interface, **asked) as stream:
        stream.wait_ready()
        yield stream


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
    with saying(server, IPv4Address(client.address)) as stream:
        quiet(client, seconds=0.3, within=5)
        assert sum(row[0] == "sent" for row in stream.records) > 5
