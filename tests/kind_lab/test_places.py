"""Interfaces and hosts that are added to the segment of a kind lab, and cuts of one kind of traffic alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lbproof.lab.base import Capability, LabError, Topology
from lbproof.lab.kind import plan
from lbproof.spec.families import Family
from lbproof.witnesses import http, neighbour
from lbproof.witnesses.wait import eventually

if TYPE_CHECKING:
    from lbproof.lab.kind.lab import KindLab
    from lbproof.spec.families import IPAddress
    from lbproof.witnesses.vantage import Vantage


def macs(vantage: Vantage, address: IPAddress) -> set[str]:
    """Who answers for an address."""
    return {answer.mac for answer in neighbour.ask(vantage, address)}


def test_a_second_nic_answers_on_the_same_segment(lab: KindLab) -> None:
    """It has a hardware address and addresses of its own; undone, nothing is left of it."""
    worker = lab.nodes[1].name
    added = lab.second_nic(worker)
    own = {
        family: eventually(
            lambda family=family: macs(lab.client(), added.vantage.address_for(family)),  # type: ignore[misc]
            bool,
            what="the second interface answers",
            within=5,
        ).value
        for family in lab.topology.families
    }
    added.undo()
    added.undo()

    # with rp_filter a kernel answers by ARP on the interface that its route to the asker takes, for all its addresses
    assert own[Family.IPV4] <= {added.vantage.mac, lab.nodes[1].mac}
    assert own[Family.IPV6] == {added.vantage.mac}
    assert "eth1" not in lab.run(worker, ["ip", "-br", "link", "show"])
    assert macs(lab.client(), added.vantage.address) == set()


@pytest.mark.parametrize("family", Family)
def test_a_foreign_host_holds_and_claims_an_address(lab: KindLab, family: Family) -> None:
    """Its kernel answers for the address it holds, and it announces one that it has not; undone it is silent."""
    held, claimed = lab.segment.free_for(family)[-2:]
    with neighbour.Listener(lab.client()) as listener:
        host = lab.foreign_host(held)
        answers = eventually(lambda: macs(lab.client(), held), bool, what="it answers", within=5).value
        neighbour.announce(host.vantage, claimed, count=3, every=0.02)
        said = [message.sender_mac for message in listener.announcements(claimed)]
    host.undo()

    assert answers == {host.vantage.mac}
    assert said == [host.vantage.mac] * 3
    assert host.vantage.mac not in {node.mac for node in lab.nodes}
    assert macs(lab.client(), held) == set()


def test_a_node_is_cut_from_the_api_server_alone(lab: KindLab) -> None:
    """It reaches the control plane's kubelet, and not its API server, until the undo."""
    control, worker = lab.nodes[0], lab.nodes[1]
    before = http.connects(lab.node(worker.name), control.address, 6443)
    fault = lab.api_cut(worker.name)
    during = [http.connects(lab.node(worker.name), control.address, port) for port in (6443, 10250)]
    fault.undo()

    assert (before, during) == ("open", ["silent", "open"])
    assert http.connects(lab.node(worker.name), control.address, 6443) == "open"
    with pytest.raises(LabError, match=f"the API server runs on {control.name}"):
        lab.api_cut(control.name)


def test_frames_are_lost_on_one_way_alone(lab: KindLab) -> None:
    """What the worker sends to the control plane does not arrive; what is sent to it does, and others are heard."""
    control, worker, _ = lab.nodes
    free = lab.segment.free
    fault = lab.one_way_loss(worker.name, control.name, 1)
    places = lab.node(control.name), lab.node(worker.name)
    with neighbour.Listener(places[0]) as missed, neighbour.Listener(places[1]) as heard:
        neighbour.announce(places[1], free[0])
        neighbour.announce(places[0], free[1])
        arrived = [len(missed.announcements(free[0])), len(heard.announcements(free[1]))]
    client = macs(lab.client(), worker.address)
    fault.undo()

    assert arrived == [0, 1]
    assert client == {worker.mac}
    assert macs(places[0], worker.address) == {worker.mac}


def test_what_it_cannot_have_is_said(lab: KindLab) -> None:
    """Another clock, another segment or subnet: no capability, and one line for who asks all the same."""
    lacking = {
        Capability.CLOCK_BEHIND,
        Capability.SILENT_KUBELET,
        Capability.NEW_SEGMENT,
        Capability.SECOND_SUBNET,
        Capability.SECOND_SEGMENT,
        Capability.OTHER_SUBNET,
    }

    assert not any(lab.can(capability) for capability in lacking)
    with pytest.raises(LabError, match="all containers share one wall clock"):
        lab.clock_behind(lab.nodes[1].name, 60)
    with pytest.raises(LabError, match="is not stopped in a kind lab"):
        lab.silent_kubelet(lab.nodes[1].name)
    with pytest.raises(LabError, match="a kind lab has one subnet"):
        lab.second_subnet([lab.nodes[1].name])
    for topology in (Topology(second_segment=True), Topology(other_subnet=True)):
        with pytest.raises(LabError, match="a kind lab has one segment with one subnet: take a netns lab"):
            plan.config(topology)
