"""Standing promise on the wire: an assigned address that was answered for does not fall silent."""

from __future__ import annotations

import time
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any, cast

import pytest

from lbproof.adapters.base import Adapter, PoolSpec, WorkloadRole
from lbproof.context.acts import ActKind, Acts
from lbproof.context.claims import Claim
from lbproof.lab.base import Capability
from lbproof.spec import BUDGETS
from lbproof.spec.promises import PROMISES
from lbproof.standing.assignments import Assignments
from lbproof.standing.silence import SilenceJudge
from lbproof.standing.surroundings import Surroundings
from lbproof.witnesses.frames import Frame, Op
from lbproof.witnesses.writes import Writes

if TYPE_CHECKING:
    from collections.abc import Callable

    from lbproof.standing.finding import Finding

VIP, OTHER = "192.0.2.170", "192.0.2.171"
PATH = "/api/v1/namespaces/lbproof-x/services/"
EVERY = 0.2


class Segment:
    """A segment on which two addresses are asked for all the time, and one node answers."""

    def __init__(self) -> None:
        self.acts, self.writes = Acts(), Writes()
        adapter = cast("Adapter", type("Acme", (Adapter,), {"own_class": "acme/lb"})())
        around = Surroundings(adapter=adapter, claims=lambda *_: True, writes=self.writes, acts=self.acts)
        self.assignments = Assignments(around)
        self.judge = SilenceJudge(around, self.assignments, budget=lambda name: BUDGETS[name].default)
        self.now = time.monotonic() + 100
        self.found: list[Finding] = []
        for name, address in (("a", VIP), ("b", OTHER)):
            self.service(name, address)

    def service(self, name: str, *addresses: str, kind: str = "MODIFIED") -> None:
        """The watch delivers a version of a Service."""
        meta = {"uid": name, "name": name, "namespace": "lbproof-x", "resourceVersion": "1"}
        ingress = [{"ip": address} for address in addresses]
        made: dict[str, Any] = {"metadata": meta, "spec": {"type": "LoadBalancer"}}
        made["status"] = {"loadBalancer": {"ingress": ingress}}
        self.assignments.version(self.now, kind, made)

    def goes_on(self, seconds: float, *answered: str, every: float = EVERY) -> None:
        """Both addresses are asked for a time, and some are answered for."""
        end = self.now + seconds
        while self.now < end:
            self.now += every
            for address in (VIP, OTHER):
                self.found += self.judge.question(self.now, address)
                if address in answered:
                    self.judge.claim(_answer(address, self.now + 0.001))

    def verdicts(self) -> list[tuple[str, str]]:
        """Promise and requirement of each finding, whose observations show it."""
        assert all(PROMISES[one.promise].shown_by(one.observed) for one in self.found)
        return [(one.promise, one.requirement) for one in self.found]


def _answer(address: str, t: float) -> Claim:
    mac = "02:00:00:00:00:01"
    frame: dict[str, Any] = {"ether_dst": "02:00:00:00:00:99", "ether_src": mac, "op": Op.REPLY, "sender_mac": mac}
    frame |= {"sender_ip": IPv4Address(address), "target_mac": "02:00:00:00:00:99"}
    frame |= {"target_ip": IPv4Address("192.0.2.50"), "t": t}
    return Claim(Frame(**frame), "w01", "w01")


@pytest.fixture
def segment() -> Segment:
    """Two addresses, assigned for long enough that nothing before explains anything."""
    found = Segment()
    found.goes_on(30, VIP, OTHER)
    return found


def test_addresses_that_are_answered_for_violate_nothing(segment: Segment) -> None:
    """Requests are lost at times, and hosts ask again."""
    for _ in range(5):
        segment.goes_on(0.7, OTHER)
        segment.goes_on(5, VIP, OTHER)

    assert segment.verdicts() == []


def test_a_second_silence_of_a_second_is_found(segment: Segment) -> None:
    """One may be the machine's; all addresses that are silent at a time are one."""
    segment.goes_on(1.6)
    segment.goes_on(20, VIP, OTHER)
    assert segment.verdicts() == []

    segment.goes_on(1.6)
    segment.goes_on(20, VIP, OTHER)
    assert segment.verdicts() == [("answered", "L2-01")]
    assert [row["node"] for row in segment.found[0].observed] == ["w01", "w01"]

    segment.goes_on(1.6, OTHER)
    assert segment.verdicts() == [("answered", "L2-01")] * 2


def test_an_address_that_stays_silent_is_one_silence(segment: Segment) -> None:
    """It is found again only once it was answered for."""
    segment.goes_on(60, OTHER)

    assert segment.verdicts() == []


def test_a_machine_that_stalls_asks_less(segment: Segment) -> None:
    """Who does not ask is not answered."""
    for _ in range(3):
        segment.goes_on(1.6, every=0.8)
        segment.goes_on(20, VIP, OTHER)

    assert segment.verdicts() == []


def test_what_was_never_answered_for_is_judged_by_the_checks(segment: Segment) -> None:
    """A Service without endpoints may never be announced."""
    segment.service("b", kind="DELETED")
    segment.service("c", "192.0.2.172")
    for _ in range(100):
        segment.now += EVERY
        segment.found += segment.judge.question(segment.now, "192.0.2.172")

    assert segment.verdicts() == []


@pytest.mark.parametrize(
    "act",
    [
        pytest.param(lambda s: s.acts.begin(ActKind.FAULT, Capability.LINK_DOWN.value, at=s.now), id="fault"),
        pytest.param(lambda s: s.acts.begin(ActKind.EXCLUDE, "w01", at=s.now), id="exclusion"),
        pytest.param(lambda s: s.acts.begin(ActKind.RESTART, WorkloadRole.ANNOUNCER, at=s.now), id="restart"),
        pytest.param(
            lambda s: s.acts.set_pools({"p": PoolSpec(name="p", blocks=(IPv4Address(VIP),))}, at=s.now), id="pool"
        ),
        pytest.param(lambda s: s.writes.begin("PATCH", f"{PATH}a", at=s.now), id="change of the Service"),
        pytest.param(lambda s: s.writes.begin("DELETE", f"{PATH}a", at=s.now), id="deletion of the Service"),
        pytest.param(
            lambda s: s.writes.begin("PATCH", "/apis/apps/v1/namespaces/lbproof-x/deployments/web", at=s.now),
            id="change of the backends",
        ),
        pytest.param(lambda s: s.writes.begin("DELETE", "/api/v1/namespaces/lbproof-x", at=s.now), id="namespace"),
        pytest.param(lambda s: s.service("a", kind="DELETED"), id="release"),
    ],
)
def test_what_a_check_did_explains_a_silence(segment: Segment, act: Callable[[Segment], object]) -> None:
    """Each may take an address away for a while."""
    for _ in range(2):
        act(segment)
        segment.goes_on(1.6, OTHER)
        segment.goes_on(1, VIP, OTHER)

    assert segment.verdicts() == []


@pytest.mark.parametrize(
    "act",
    [
        pytest.param(lambda s: s.writes.begin("POST", PATH.rstrip("/"), at=s.now), id="another Service is created"),
        pytest.param(lambda s: s.writes.begin("DELETE", f"{PATH}other", at=s.now), id="another Service is deleted"),
    ],
)
def test_what_happens_to_others_explains_nothing(segment: Segment, act: Callable[[Segment], object]) -> None:
    """Services come and go all the time."""
    for _ in range(2):
        act(segment)
        segment.goes_on(1.6, OTHER)
        segment.goes_on(5, VIP, OTHER)

    assert segment.verdicts() == [("answered", "L2-01")]
