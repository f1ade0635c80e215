"""Standing promises on the wire: each claim of an address is judged by what was assigned and provoked at its moment."""

from __future__ import annotations

import time
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any, cast

import pytest

from lbproof.adapters.base import Adapter, WorkloadRole
from lbproof.context.acts import ActKind, Acts
from lbproof.context.claims import Claim
from lbproof.lab.base import Capability
from lbproof.spec import BUDGETS
from lbproof.spec.promises import PROMISES
from lbproof.standing.assignments import Assignments
from lbproof.standing.claims import ClaimJudge
from lbproof.standing.surroundings import Surroundings
from lbproof.witnesses.frames import Frame, Op
from lbproof.witnesses.writes import Writes

if TYPE_CHECKING:
    from lbproof.standing.finding import Finding

VIP = "192.0.2.170"
MACS = {"w01": "02:00:00:00:00:01", "w02": "02:00:00:00:00:02"}


class Segment:
    """A segment with two nodes, on which time passes as the test says."""

    def __init__(self) -> None:
        self.acts, self.writes = Acts(), Writes()
        adapter = cast("Adapter", type("Acme", (Adapter,), {"own_class": "acme/lb"})())
        around = Surroundings(adapter=adapter, claims=lambda *_: True, writes=self.writes, acts=self.acts)
        self.assignments = Assignments(around)
        macs = {mac: node for node, mac in MACS.items()}
        self.judge = ClaimJudge(around, self.assignments, macs=macs, budget=lambda name: BUDGETS[name].default)
        self.now = time.monotonic() + 100
        self.found: list[Finding] = []

    def service(self, name: str, *addresses: str, kind: str = "MODIFIED", **spec: Any) -> None:  # noqa: ANN401
        """The watch delivers a version of a Service."""
        ingress = [{"ip": address} for address in addresses]
        meta = {"uid": name, "name": name, "namespace": "lbproof-x", "resourceVersion": "1"}
        made = {"metadata": meta, "spec": {"type": "LoadBalancer", **spec}}
        made["status"] = {"loadBalancer": {"ingress": ingress}}
        self.assignments.version(self.now, kind, made)

    def claim(self, node: str, *, after: float = 0.1, **fields: Any) -> None:  # noqa: ANN401
        """A node answers for the address, some seconds after what was before."""
        self.now += after
        mac = MACS[node]
        frame: dict[str, Any] = {"ether_dst": "02:00:00:00:00:99", "ether_src": mac, "op": Op.REPLY, "sender_mac": mac}
        frame |= {"sender_ip": IPv4Address(VIP), "target_mac": "02:00:00:00:00:99"}
        frame |= {"target_ip": IPv4Address("192.0.2.50"), "t": self.now, **fields}
        self.found += self.judge.claim(Claim(Frame(**frame), node, node))

    def verdicts(self) -> list[tuple[str, str]]:
        """Promise and requirement of each finding, whose observations show it."""
        assert all(PROMISES[one.promise].shown_by(one.observed) for one in self.found)
        return [(one.promise, one.requirement) for one in self.found]


@pytest.fixture
def segment() -> Segment:
    """Nothing is assigned."""
    return Segment()


def test_one_node_at_a_time_violates_nothing(segment: Segment) -> None:
    """An address that moves on its own, and later back, has one answerer at any time."""
    segment.service("a", VIP)
    for node in ("w01", "w01", "w02", "w02"):
        segment.claim(node)
    segment.claim("w02", after=2)
    segment.claim("w01")

    assert segment.verdicts() == []


def test_two_nodes_that_claim_an_address_in_turn(segment: Segment) -> None:
    """It is found once for each time, with the frames of both."""
    segment.service("a", VIP)
    for node in ("w01", "w02", "w01"):
        segment.claim(node)

    assert segment.verdicts() == [("one-answerer", "L2-01")]
    assert [row["node"] for row in segment.found[0].observed] == ["w01", "w02", "w01"]


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        (ActKind.FAULT, Capability.LINK_DOWN.value),
        (ActKind.EXCLUDE, "w01"),
        (ActKind.RESTART, WorkloadRole.ANNOUNCER),
        (ActKind.CONFIGURE, "own class alone"),
    ],
)
def test_what_a_check_provoked_is_allowed_its_budget(segment: Segment, kind: ActKind, what: str) -> None:
    """A takeover may have two answerers for a while, and not longer."""
    segment.service("a", VIP)
    act = segment.acts.begin(kind, what, at=segment.now)
    segment.acts.end(act, at=segment.now + 1)
    for node in ("w01", "w02", "w01"):
        segment.claim(node)
    assert segment.verdicts() == []

    segment.now += 1 + BUDGETS["one_answerer"].default
    for node in ("w01", "w02", "w01"):
        segment.claim(node)
    assert segment.verdicts() == [("one-answerer", "L2-01")]


def test_an_address_may_go_with_the_endpoints_that_the_suite_moves(segment: Segment) -> None:
    """As with policy Local, or wherever an implementation announces where endpoints are; not of another Service."""
    segment.service("a", VIP)
    for name in ("b", "a"):
        path = f"/apis/discovery.k8s.io/v1/namespaces/lbproof-x/endpointslices/{name}"
        segment.writes.begin("PATCH", path, at=segment.now)
        for node in ("w01", "w02", "w01"):
            segment.claim(node)
        assert segment.verdicts() == [("one-answerer", "L2-01")]


def test_a_restart_of_the_controller_moves_no_address_on_the_wire(segment: Segment) -> None:
    """It explains no second answerer."""
    segment.service("a", VIP)
    segment.acts.begin(ActKind.RESTART, WorkloadRole.CONTROLLER, at=segment.now)
    for node in ("w01", "w02", "w01"):
        segment.claim(node)

    assert segment.verdicts() == [("one-answerer", "L2-01")]


def test_an_address_that_goes_to_another_service_may_change_its_node(segment: Segment) -> None:
    """The old node may answer for as long as a released address may."""
    segment.service("a", VIP)
    segment.claim("w01")
    segment.service("a", kind="DELETED")
    segment.service("b", VIP)
    segment.claim("w02")
    segment.claim("w01")

    assert segment.verdicts() == []


def test_an_address_that_was_never_assigned(segment: Segment) -> None:
    """Nobody may claim it, whatever a check has done."""
    segment.acts.begin(ActKind.FAULT, Capability.NODE_CRASH.value, at=segment.now)
    segment.claim("w01")

    assert segment.verdicts() == [("unassigned", "L2-04")]


def test_an_address_of_a_foreign_status(segment: Segment) -> None:
    """Another controller's address is not the implementation's to answer for."""
    segment.service("f", VIP, loadBalancerClass="example.com/x")
    segment.claim("w01")

    assert segment.verdicts() == [("unassigned", "CLASS-02")]


def test_a_status_may_be_read_a_moment_after_the_announcement(segment: Segment) -> None:
    """The order in which the suite is told of both proves nothing."""
    segment.now += 0.5
    segment.service("a", VIP)
    segment.now -= 0.5
    segment.claim("w01", after=0)

    assert segment.verdicts() == []


def test_a_released_address_has_its_budget(segment: Segment) -> None:
    """Then it is silent."""
    segment.service("a", VIP)
    segment.service("a", kind="DELETED")
    segment.claim("w01", after=BUDGETS["silent"].default - 0.1)
    assert segment.verdicts() == []

    segment.claim("w01", after=0.2)
    assert segment.verdicts() == [("unassigned", "RECL-03")]


def test_a_node_that_a_fault_kept_from_a_release_learns_of_it_later(segment: Segment) -> None:
    """Its own budget begins with the end of the fault."""
    segment.service("a", VIP)
    cut = segment.acts.begin(ActKind.FAULT, Capability.LINK_DOWN.value, at=segment.now)
    segment.service("a", kind="DELETED")
    segment.claim("w01", after=60)
    segment.acts.end(cut, at=segment.now)
    segment.claim("w01", after=BUDGETS["silent"].ceiling - 1)
    assert segment.verdicts() == []

    segment.claim("w01", after=2)
    assert segment.verdicts() == [("unassigned", "RECL-03")]


@pytest.mark.parametrize("fault", [Capability.STOP_API, Capability.API_CUT])
def test_a_release_after_the_api_server_was_away_may_be_learnt_late(segment: Segment, fault: Capability) -> None:
    """Clients wait between attempts to reach it, as long as `api_back` may be, also for what is released meanwhile."""
    segment.service("a", VIP)
    away = segment.acts.begin(ActKind.FAULT, fault.value, at=segment.now)
    segment.acts.end(away, at=segment.now + 1)
    segment.now += 1 + BUDGETS["silent"].ceiling
    segment.service("a", kind="DELETED")
    segment.claim("w01", after=BUDGETS["silent"].ceiling)
    assert segment.verdicts() == []

    segment.claim("w01", after=BUDGETS["api_back"].ceiling)
    assert segment.verdicts() == [("unassigned", "RECL-03")]


@pytest.mark.parametrize("field", ["ether_src", "sender_mac"])
def test_the_source_of_the_frame_is_the_hardware_address_that_it_names(segment: Segment, field: str) -> None:
    """Both are those of one interface."""
    segment.service("a", VIP)
    changed: dict[str, Any] = {field: "02:00:00:00:00:77"}
    segment.claim("w01", **changed)

    assert segment.verdicts() == [("own-mac", "L2-02")]


def test_a_node_names_no_other_node_s_hardware_address(segment: Segment) -> None:
    """The port of entry says who sent the frame."""
    segment.service("a", VIP)
    segment.claim("w01", ether_src=MACS["w02"], sender_mac=MACS["w02"])

    assert segment.verdicts() == [("own-mac", "L2-02")]
