"""The standing witness of the segment in a lab: who claims which address at which port, whoever was asked."""

from __future__ import annotations

import time
from contextlib import contextmanager
from ipaddress import ip_address
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from lbproof.adapters.base import Adapter
from lbproof.context.acts import Acts
from lbproof.spec import BUDGETS
from lbproof.spec.families import Family
from lbproof.standing.assignments import Assignments
from lbproof.standing.segment_witness import SegmentWitness
from lbproof.standing.surroundings import Surroundings
from lbproof.witnesses import neighbour
from lbproof.witnesses.writes import Writes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lbproof.context import RunContext
    from lbproof.lab.netns.lab import NetnsLab
    from lbproof.spec.families import IPAddress


@contextmanager
def watching(lab: NetnsLab) -> Iterator[tuple[SegmentWitness, Assignments]]:
    """A witness that has started, and what it takes for assigned."""
    adapter = cast("Adapter", type("Acme", (Adapter,), {"own_class": "acme/lb"})())
    around = Surroundings(adapter=adapter, claims=lambda *_: True, writes=Writes(), acts=Acts())
    assignments = Assignments(around)
    wait = SimpleNamespace(budget=lambda name: BUDGETS[name].default)
    witness = SegmentWitness(cast("RunContext", SimpleNamespace(lab=lab, wait=wait)), around, assignments)
    witness.start()
    try:
        yield witness, assignments
    finally:
        witness.stop()


def assign(assignments: Assignments, address: IPAddress) -> None:
    """The watch delivers a Service that has an address."""
    meta = {"uid": "1", "name": "web", "namespace": "lbproof-x", "resourceVersion": "1"}
    status = {"loadBalancer": {"ingress": [{"ip": str(address)}]}}
    service = {"metadata": meta, "spec": {"type": "LoadBalancer"}, "status": status}
    assignments.version(time.monotonic(), "MODIFIED", service)


def test_an_answer_for_a_free_address_is_found_with_its_node(lab: NetnsLab) -> None:
    """A node that has a free address answers the witness's own questions for it, and nobody else's are needed."""
    address, node = lab.segment.free_for(Family.IPV4)[-1], lab.nodes[-1]
    with watching(lab) as (witness, _):
        assert list(witness.finish()) == []
        lab.run(node.name, ["ip", "addr", "add", f"{address}/32", "dev", "eth0"])
        try:
            found = list(witness.finish())
        finally:
            lab.run(node.name, ["ip", "addr", "del", f"{address}/32", "dev", "eth0"])

    assert [(one.promise, one.requirement) for one in found] == [("unassigned", "L2-04")] * len(found) != []
    assert {row["node"] for one in found for row in one.observed} == {node.name}


ROUNDS = 5
"""On a busy machine the announcements of a round may take longer than the second in which they count."""


def test_two_nodes_that_claim_an_assigned_address_in_turns_are_found(lab: NetnsLab) -> None:
    """Announcements alone suffice; an announcement by one of them is none."""
    address, (first, second) = lab.segment.free_for(Family.IPV4)[-1], lab.nodes[-2:]
    with watching(lab) as (witness, assignments):
        assign(assignments, address)
        neighbour.announce(lab.node(first.name), address)
        assert list(witness.finish()) == []
        for _ in range(ROUNDS):
            for name in (second.name, first.name, second.name):
                neighbour.announce(lab.node(name), address)
            if found := list(witness.finish()):
                break

    assert [(one.promise, one.requirement) for one in found] == [("one-answerer", "L2-01")]


def test_what_the_client_says_is_not_judged(lab: NetnsLab) -> None:
    """The suite's own client announces a free address."""
    with watching(lab) as (witness, _):
        neighbour.announce(lab.client(), lab.segment.free_for(Family.IPV4)[-1])

        assert list(witness.finish()) == []


def test_what_every_kernel_answers_for_is_not_judged(lab: NetnsLab) -> None:
    """Nodes whose kube-proxy serves node ports at 127.0.0.1 answer ARP for all of 127.0.0.0/8 (`route_localnet`)."""
    loopback = ip_address("127.0.0.8")
    with watching(lab) as (witness, assignments):
        assign(assignments, loopback)
        answers = [neighbour.sweep(lab.client(), [loopback])[loopback] for _ in range(ROUNDS)]

        assert all(len(macs) > 1 for macs in answers)
        assert list(witness.finish()) == []
