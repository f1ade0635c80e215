"""What goes from one host of a segment to another, seen at the ports of its switch."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from tests.observe.places import ip

from lbproof.context.claims import Claims, by_node, claimants, stale
from lbproof.context.hops import TTL, Hops
from lbproof.lab.base import Capability, Ports
from lbproof.lab.common.netns import entered
from lbproof.spec.families import Family
from lbproof.witnesses import neighbour, neighbours
from lbproof.witnesses.packets import filter_to, hops_to
from lbproof.witnesses.switch import CLAIMS, SwitchListener
from lbproof.witnesses.transport import send_datagrams

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.observe.places import Segment

    from lbproof.lab.base import Lab
    from lbproof.lab.common.vantage import NamespaceVantage

HELD = IPv4Address("10.77.0.9")
FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
NODES = {"web": "w01", "twin": "w02"}


class SegmentLab:
    """A lab of a segment whose hosts `web` and `twin` are its nodes."""

    nodes = ()

    def __init__(self, segment: Segment, *able: Capability) -> None:
        self._segment, self._able = segment, able

    def can(self, capability: Capability) -> bool:
        return capability in self._able

    def client(self) -> NamespaceVantage:
        return self._segment.hosts["client"]

    def ports(self) -> Ports:
        return Ports(vantage=self._segment.ports, nodes=NODES, own=("br0", "client"))


def lab(segment: Segment, *able: Capability) -> Lab:
    """Such a lab."""
    return cast("Lab", SegmentLab(segment, *able))


def test_an_answer_to_another_host_is_seen_with_its_port(segment: Segment, client: NamespaceVantage) -> None:
    """The client hears neither question nor answer."""
    web, twin = segment.hosts["web"], segment.hosts["twin"]
    with (
        SwitchListener(segment.ports, NODES, CLAIMS, ignored=("br0", "client")) as ports,
        neighbour.Listener(client) as heard,
        segment.address("web", HELD),
    ):
        neighbour.ask_each(twin, [neighbour.Question(target=HELD, to=web.mac)], every=0.0)
        said = [(node, neighbour.decode(Family.IPV4, frame, 0.0)) for _, node, frame in ports.frames]
        answers = [(node, message.target_mac) for node, message in said if message and message.is_reply]

        assert answers == [("w01", twin.mac)]
        assert not [m for m in heard.messages if m.sender_ip == HELD]


@pytest.mark.parametrize("able", [(Capability.PORTS,), ()], ids=["ports", "client"])
def test_claims_count_announcements_and_answers(
    segment: Segment, client: NamespaceVantage, able: tuple[Capability, ...]
) -> None:
    """Who claims an address, whether it was asked or not; the questions of the client are none."""
    with Claims(lab(segment, *able)) as claims, segment.address("web", HELD):
        neighbour.announce(segment.hosts["twin"], HELD)
        neighbour.ask(client, HELD)
        neighbour.ask(client, HELD, sender=IPv4Address(0))

    found = by_node(claims.of([HELD]))[HELD]
    assert sorted(found.values()) == [1, 2]
    if able:
        assert found == {"w02": 1, "w01": 2}


def test_a_claim_between_those_of_a_successor_is_stale() -> None:
    """One who takes the address back and keeps it is none, also where the other one yields late."""

    def of(nodes: str) -> list[Any]:
        return [type("Claim", (), {"by": node}) for node in nodes]

    assert len(stale(of("aababb"), "a", "b")) == len(stale(of("aabaca"), "a", "c")) == 1
    assert stale(of("aabb"), "a", "b") == stale(of("aaa"), "a", "a") == []
    assert stale(of("aabba"), "a", "a") == stale(of("aababa"), "a", "a") == []


@pytest.fixture
def routing(segment: Segment) -> Iterator[None]:
    """Both nodes forward what is for an address, each to the other."""
    pair = [segment.hosts["web"], segment.hosts["twin"]]
    for one, other in (pair, pair[::-1]):
        netns = one.netns.rpartition("/")[2]
        ip("-n", netns, "neigh", "replace", str(HELD), "lladdr", other.mac, "dev", "eth0", "nud", "permanent")
        with entered(one.netns), FORWARDING.open("w") as setting:
            setting.write("1")
    yield
    for one in pair:
        neighbours.forget(one, HELD)
        with entered(one.netns), FORWARDING.open("w") as setting:
            setting.write("0")


@pytest.mark.usefixtures("routing")
def test_a_loop_of_two_nodes_is_seen_at_their_ports(segment: Segment, client: NamespaceVantage) -> None:
    """The client, which sends one packet, sees nothing of it."""
    neighbours.pin(client, HELD, segment.hosts["web"].mac, "PERMANENT")
    with Hops(lab(segment, Capability.PORTS), [HELD]) as hops, Hops(lab(segment), [HELD]) as seen:
        hops.send(4711)
        neighbour.ask(client, HELD)  # takes as long as a loop needs
    neighbours.forget(client, HELD)

    assert hops.sent(HELD)
    assert "were sent on by w01, w02, down to TTL 1" in hops.looped()
    assert seen.looped() == ""


def test_a_packet_that_nobody_sends_on_is_no_loop(segment: Segment, client: NamespaceVantage) -> None:
    """A host drops what is not for it."""
    neighbours.pin(client, HELD, segment.hosts["web"].mac, "PERMANENT")
    with Hops(lab(segment, Capability.PORTS), [HELD]) as hops:
        hops.send(4711)
    neighbours.forget(client, HELD)

    assert hops.sent(HELD)
    assert hops.looped() == ""


def test_the_filter_passes_packets_to_an_address_of_either_family(segment: Segment) -> None:
    """And to no other."""
    web, twin = segment.hosts["web"], segment.hosts["twin"]
    for address in twin.addresses:
        with SwitchListener(segment.ports, NODES, filter_to(address)) as ports:
            for target in (*twin.addresses, *segment.hosts["client"].addresses):
                send_datagrams(web, target, 4711, b"x", count=1, ttl=TTL)
            neighbour.ask(web, twin.address)
        found = [hops_to(frame, address) for _, _, frame in ports.frames]
        assert TTL in found
        assert None not in found


def test_an_orderly_move_has_no_return() -> None:
    """Each node claims in one turn, whoever answered before and after; one that claims again is named twice."""

    def of(nodes: str) -> list[Any]:
        return [type("Claim", (), {"by": node}) for node in nodes]

    assert claimants(of("aabb"), "a", "b") == claimants([], "a", "b") == ["a", "b"]
    assert claimants(of("aa"), "a", "a") == ["a"]
    assert claimants(of("b"), "a", "a") == claimants(of("aba"), "a", "a") == ["a", "b", "a"]
    assert claimants(of("baa"), "a", "a") == ["a", "b", "a"]
