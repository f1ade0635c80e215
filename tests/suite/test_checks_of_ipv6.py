"""Checks of IPv6 on paper: what they hold against an answer, and what is no fault."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Address, IPv6Network
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from tests.suite.acme import Acme
from tests.suite.fake_cluster import FakeCluster
from tests.suite.test_pools import context

from lbproof.checks.dual import test_families_of_a_service as dual
from lbproof.checks.l2 import test_neighbour_discovery as ndp_checks
from lbproof.context import CheckContext
from lbproof.spec.families import Family
from lbproof.witnesses import ndp, neighbour
from lbproof.witnesses.journal import Journal
from lbproof.witnesses.wait import Waiter

if TYPE_CHECKING:
    from collections.abc import Callable

    from lbproof.spec.families import IPAddress

CLIENT, ADDRESS = IPv6Address("2001:db8::50"), IPv6Address("2001:db8::160")
ASKER, NODE, OTHER = "02:00:00:00:00:50", "02:00:00:00:00:01", "02:00:00:00:00:02"
RIGHT = ndp.Message(
    ether_dst=ASKER,
    ether_src=NODE,
    source=ADDRESS,
    destination=CLIENT,
    type=ndp.Type.ADVERTISEMENT,
    target=ADDRESS,
    link_layer=NODE,
    solicited=True,
    override=True,
)


def check_of(**lab: Any) -> CheckContext:  # noqa: ANN401 - parts of a lab
    """A check whose client has one address."""
    return cast(
        "CheckContext", SimpleNamespace(client=SimpleNamespace(addresses=(CLIENT,)), lab=SimpleNamespace(**lab))
    )


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({}, ""),
        ({"override": False}, ""),
        ({"solicited": False}, "has no Solicited flag"),
        ({"link_layer": ""}, "has no target link-layer address"),
        ({"link_layer": OTHER}, f"names {OTHER} in a frame of {NODE}"),
    ],
    ids=["right", "no-override", "unsolicited", "no-option", "another-mac"],
)
def test_what_an_answer_lacks_is_named(change: dict[str, Any], fault: str) -> None:
    """A missing Override flag is no fault: proxies and anycast send none (RFC 4861 section 7.2.4)."""
    question = neighbour.Question(target=ADDRESS, sender=CLIENT)

    assert ndp_checks.faults_of(question, [replace(RIGHT, **change)]) == {fault}


@pytest.mark.parametrize(
    "change",
    [
        {"destination": ndp.ALL_NODES, "solicited": False},
        {"target": CLIENT},
        {"type": ndp.Type.SOLICITATION},
        {"destination": ndp.link_local(ASKER)},
    ],
    ids=["announcement", "another-address", "question", "another-asker"],
)
def test_what_is_no_answer_to_the_client_is_passed_over(change: dict[str, Any]) -> None:
    """Announcements, answers about others or to another of its addresses, and questions."""
    question = neighbour.Question(target=ADDRESS, sender=CLIENT)

    assert ndp_checks.faults_of(question, [replace(RIGHT, **change)]) == set()


def test_a_node_that_has_not_joined_the_group_is_named() -> None:
    """By what its kernel says of the interface on the segment; hosts that are no nodes are passed over."""
    groups = {"w01": ["ff02::1", "ff02::1:ff00:160"], "w02": ["ff02::1"]}

    def run(node: str, command: list[str]) -> str:
        assert command[-2:] == ["dev", "eth1"]
        told = [{"family": "inet6", "address": group} for group in groups[node]]
        return json.dumps([{"ifname": "eth1", "maddr": told}])

    nodes = [SimpleNamespace(name=name, interface="eth1") for name in groups]
    check = check_of(nodes=nodes, run=run)

    assert ndp_checks.not_joined(check, {ADDRESS: {"w01", OTHER}}) == {}
    assert ndp_checks.not_joined(check, {ADDRESS: {"w01", "w02"}}) == {str(ADDRESS): ["w02"]}


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        (
            neighbour.Question(target=ADDRESS, to=NODE, bare=True),
            lambda m: (m.ether_dst, m.destination, m.link_layer) == (NODE, ADDRESS, ""),
        ),
        (
            neighbour.Question(target=ADDRESS, to=NODE),
            lambda m: (m.ether_dst, m.destination, m.link_layer) == (NODE, ADDRESS, ASKER),
        ),
        (
            neighbour.Question(target=ADDRESS, sender=IPv6Address(0)),
            lambda m: (m.source, m.destination, m.link_layer) == (ndp.UNSPECIFIED, ndp.solicited_node(ADDRESS), ""),
        ),
        (
            neighbour.Question(target=ADDRESS, sender=ndp.link_local(ASKER)),
            lambda m: (str(m.source), m.link_layer) == ("fe80::ff:fe00:50", ASKER),
        ),
        (
            neighbour.Question(target=ADDRESS, sender=IPv6Address(0), nonce=b"6bytes"),
            lambda m: (m.source, m.link_layer, m.nonce) == (ndp.UNSPECIFIED, "", b"6bytes"),
        ),
    ],
    ids=["bare", "unicast", "duplicate-address", "link-local", "duplicate-address-with-nonce"],
)
def test_a_solicitation_is_what_hosts_send(
    question: neighbour.Question, expected: Callable[[ndp.Message], bool]
) -> None:
    """It is read back as a receiver reads it, which discards what is not right."""
    vantage = SimpleNamespace(mac=ASKER, address_for=lambda _: CLIENT)
    read = ndp.decode(neighbour.encode(cast("Any", vantage), question))

    assert read is not None
    assert read.target == ADDRESS
    assert expected(read)


def test_ways_to_ask_that_an_answer_does_not_tell_apart_are_not_mixed() -> None:
    """Each way is asked by itself, for all addresses at once; what has no answer is named with its way."""
    ask: dict[IPAddress, dict[str, neighbour.Question]] = {
        address: {
            "plain": neighbour.Question(target=address),
            "bare": neighbour.Question(target=address, to=NODE, bare=True),
        }
        for address in (ADDRESS, CLIENT)
    }
    asked: list[list[bool]] = []

    def unanswered(questions: list[neighbour.Question]) -> list[neighbour.Question]:
        asked.append([question.bare for question in questions])
        return [question for question in questions if question.bare and question.target == CLIENT]

    check = cast("CheckContext", SimpleNamespace(unanswered=unanswered))

    assert ndp_checks.not_answered(check, ask) == [(CLIENT, "bare")]
    assert asked == [[False, False], [True, True]]


@pytest.mark.parametrize(("free", "expected"), [(3, [[0, 1, 2], [0, 2]]), (2, [])], ids=["more-than-nodes", "too-few"])
def test_one_of_two_addresses_of_a_group_on_a_node_is_released(
    monkeypatch: pytest.MonkeyPatch, free: int, expected: list[list[int]]
) -> None:
    """There is one more of the group than nodes; fewer are held against nobody."""
    of_a_group = [ADDRESS + (turn << 24) for turn in range(free)]
    nodes = {"w01": [of_a_group[0]], "w02": of_a_group[1:2]}
    judged: list[list[int]] = []
    monkeypatch.setattr(ndp_checks, "joined", lambda _, addresses: judged.append([*map(of_a_group.index, addresses)]))
    check = SimpleNamespace(
        lab=SimpleNamespace(segment=SimpleNamespace(same_solicited_node=tuple(of_a_group)), nodes=list(nodes)),
        saw=lambda *_: None,
        pool=lambda *_, **__: None,
        service=lambda name: name,
        all_assigned=lambda *services: dict(zip(services, of_a_group, strict=True)),
        precondition=lambda *_: nullcontext(),
        sole_holders=lambda *held: {one: next((n for n, has in nodes.items() if one in has), "w02") for one in held},
        random=SimpleNamespace(choice=lambda services: services[0]),
        delete=lambda _: None,
        answerers=lambda _: set(),
        wait=Waiter(Journal(None), {"silent": 0.2}),
    )

    ndp_checks.a_group_in_common(cast("CheckContext", check))

    assert judged == expected


def test_addresses_that_can_be_written_in_several_ways_are_written_in_one() -> None:
    """Their canonical form (RFC 5952 sections 4.2 and 4.3) is neither with all zeros nor in capitals."""
    assert all(str(one) not in {one.exploded, str(one).upper()} for one in [*dual.ZEROS, *dual.ASKED])
    assert dual.families("RequireDualStack", dual.ORDERS[1]) == {
        "ipFamilyPolicy": "RequireDualStack",
        "ipFamilies": ["IPv6", "IPv4"],
    }
    assert set(dual.ORDERS[0]) == set(Family)


def test_a_service_keeps_the_family_of_its_check_through_a_type_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Service that was an ExternalName would come back as one of the cluster's first family."""
    segment = SimpleNamespace(subnets=(IPv4Network("192.0.2.0/24"), IPv6Network("2001:db8::/64")))
    run = context(Acme(), FakeCluster())
    monkeypatch.setattr(run, "lab", SimpleNamespace(segment=segment, can=lambda _: False, client=lambda: None))
    patches: list[dict[str, Any]] = []
    service = cast("Any", SimpleNamespace(patch=lambda **body: patches.append(body["spec"])))

    for families in ((Family.IPV6,), (Family.IPV4,)):
        check = CheckContext(run, "RECL-02c", families=families, capture=False)
        check.retype(service, "ExternalName")
        check.retype(service, "LoadBalancer")

    assert [one.get("ipFamilies") for one in patches] == [None, ["IPv6"], None, None]
