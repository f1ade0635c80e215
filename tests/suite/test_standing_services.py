"""Standing promises about Services: each version is judged, and nobody is blamed for what the suite did."""

from __future__ import annotations

import time
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any, cast

import pytest

from lbproof.adapters.base import Adapter, AddressRange, PoolSpec, WorkloadRole
from lbproof.adapters.reports import MetadataKey
from lbproof.context.acts import ActKind, Acts
from lbproof.lab.base import Capability
from lbproof.spec import lacking
from lbproof.spec.promises import PROMISES
from lbproof.standing.services import ServiceJudge
from lbproof.standing.surroundings import Surroundings
from lbproof.witnesses.writes import Writes

if TYPE_CHECKING:
    from lbproof.adapters.base import Object
    from lbproof.standing.finding import Finding

ONE, TWO, OUTSIDE = "192.0.2.1", "192.0.2.2", "198.51.100.1"
POOL = PoolSpec(name="p", blocks=(AddressRange(IPv4Address(ONE), IPv4Address(TWO)),))
PATH = "/api/v1/namespaces/lbproof-x/services/"


class World:
    """A cluster of Services that the suite and an implementation write."""

    def __init__(self, *features: str) -> None:
        self.acts, self.writes = Acts(), Writes()
        self.acts.set_pools({"p": POOL})
        adapter = cast(
            "Adapter",
            type(
                "Acme",
                (Adapter,),
                {
                    "own_class": "acme/lb",
                    "address_annotation": "acme/ip",
                    "sharing_key": MetadataKey(annotation="acme/share"),
                },
            )(),
        )
        claimed = {"core", "pool", "class", "default-class", "explicit-ip-annotation", *features}
        around = Surroundings(
            adapter=adapter, claims=lambda *needs: not lacking(needs, claimed), writes=self.writes, acts=self.acts
        )
        self.judge = ServiceJudge(around)
        self.now = time.monotonic() + 100
        self.version = 0
        self.names: set[str] = set()
        self.found: list[Finding] = []

    def make(self, name: str, *, addresses: tuple[str, ...] = (), by_suite: bool = False, **change: Any) -> Object:  # noqa: ANN401
        """The next version of a Service; `change`: type, class, annotations, spec or another part of it."""
        self.version += 1
        self.now += 0.1
        metadata = {
            "uid": name,
            "name": name,
            "namespace": "lbproof-x",
            "resourceVersion": str(self.version),
            "annotations": change.pop("annotations", {}),
            **change.pop("metadata", {}),
        }
        spec = {"type": "LoadBalancer", **change.pop("spec", {})}
        made = {"metadata": metadata, "spec": spec}
        made["status"] = {"loadBalancer": {"ingress": [{"ip": address} for address in addresses]} if addresses else {}}
        if by_suite:
            exists = name in self.names
            path = PATH + name if exists else PATH.rstrip("/")
            self.writes.end(path, self.writes.begin("PATCH" if exists else "POST", path, at=self.now), made)
            self.names.add(name)
        return made

    def suite(self, name: str, **parts: Any) -> None:  # noqa: ANN401
        """The suite writes a version."""
        made = self.make(name, by_suite=True, **parts)
        self.found += self.judge.version(self.now, "MODIFIED", made)

    def other(self, name: str, kind: str = "MODIFIED", **parts: Any) -> None:  # noqa: ANN401
        """Somebody else does."""
        self.found += self.judge.version(self.now, kind, self.make(name, **parts))

    def given(self, name: str, address: str = ONE, **parts: Any) -> None:  # noqa: ANN401
        """The suite creates a Service, and the implementation gives it an address, long before anything else."""
        made = self.make(name, by_suite=True, **parts)
        self.found += self.judge.version(self.now, "ADDED", made)
        self.other(name, addresses=(address,), **parts)
        self.now += 100

    def verdicts(self) -> list[tuple[str, str]]:
        """Promise and requirement of each finding, whose observations show it."""
        assert all(PROMISES[one.promise].shown_by(one.observed) for one in self.found)
        return [(one.promise, one.requirement) for one in self.found]


@pytest.fixture
def world() -> World:
    """An implementation with pools, of which one has two addresses."""
    return World()


def test_an_undisturbed_life_violates_nothing(world: World) -> None:
    """A Service is created, given an address, changed and deleted by the suite."""
    world.given("a")
    world.suite("a", addresses=(ONE,), annotations={"acme/ip": TWO})
    world.other("a", annotations={"acme/ip": TWO})
    world.other("a", addresses=(TWO,), annotations={"acme/ip": TWO})
    world.writes.begin("DELETE", PATH + "a", at=world.now)
    world.other("a", "DELETED", addresses=(TWO,))

    assert world.verdicts() == []


def test_one_address_in_two_statuses(world: World) -> None:
    """It is found at the moment of the second one, and once."""
    world.given("a")
    world.given("b", TWO)
    world.other("b", addresses=(ONE,))
    world.other("b", addresses=(ONE,), annotations={"x": "y"})

    assert ("one-holder", "POOL-02") in world.verdicts()
    assert world.verdicts().count(("one-holder", "POOL-02")) == 1


@pytest.mark.parametrize(
    ("features", "keys", "shared"),
    [
        (["sharing"], ("k", "k"), True),
        (["sharing"], ("k", "other"), False),
        (["sharing"], ("k", ""), False),
        (["sharing"], ("", ""), False),
        ([], ("k", "k"), False),
    ],
)
def test_only_services_that_both_ask_for_it_share(features: list[str], keys: tuple[str, str], *, shared: bool) -> None:
    """By the same key, where sharing is claimed."""
    world = World(*features)
    for name, key in zip("ab", keys, strict=True):
        world.given(name, annotations={"acme/share": key} if key else {})

    assert world.verdicts() == ([] if shared else [("one-holder", "POOL-02")])


def test_either_of_two_that_share_may_lose_the_address_when_one_is_changed() -> None:
    """Where sharing is claimed, and while both have it."""
    key = {"acme/share": "k"}
    for features, verdicts in ((["sharing"], []), ([], [("one-holder", "POOL-02"), ("kept", "UPGR-01")])):
        world = World(*features)
        for name in "ab":
            world.given(name, annotations=key)
        world.suite("a", addresses=(ONE,), annotations={"acme/share": "other"})
        world.other("b", annotations=key)
        assert world.verdicts() == verdicts

        world.given("c", TWO)
        world.other("c")
        assert world.verdicts()[-1][0] == "kept"


def test_a_status_that_the_suite_or_another_controller_wrote_is_held_by_nobody(world: World) -> None:
    """A foreign Service may show an address of a pool."""
    world.suite("f", spec={"loadBalancerClass": "example.com/x"})
    world.suite("f", spec={"loadBalancerClass": "example.com/x"}, addresses=(ONE,))
    world.given("a")

    assert world.verdicts() == []


@pytest.mark.parametrize(("annotations", "requirement"), [({}, "POOL-01"), ({"acme/ip": OUTSIDE}, "REQ-02")])
def test_an_address_outside_every_pool(world: World, annotations: dict[str, str], requirement: str) -> None:
    """The requirement depends on whether it was asked for."""
    world.given("a", OUTSIDE, annotations=annotations)

    assert world.verdicts() == [("in-pool", requirement)]


@pytest.mark.parametrize(("block", "given"), [("192.0.2.0/255.255.255.0", []), ("192.0.2.0/33", ["in-pool"])])
def test_a_netmask_may_be_read_as_it_is_meant(world: World, block: str, given: list[str]) -> None:
    """A malformed block has no address, but for one with a mask in place of the prefix length."""
    world.acts.set_pools({"p": POOL, "m": PoolSpec(name="m", blocks=(block,))}, at=world.now)
    world.given("a", "192.0.2.7")

    assert [name for name, _ in world.verdicts()] == given


def test_an_address_of_a_pool_that_has_just_gone_may_still_be_given(world: World) -> None:
    """A change of pools takes its time."""
    world.acts.set_pools({}, at=world.now)
    world.given("a")

    assert world.verdicts() == []


def test_a_new_pool_does_not_explain_what_is_lost(world: World) -> None:
    """The status blinks just after the pool was made, or another one was added."""
    world.acts.set_pools({}, at=world.now)
    world.acts.set_pools({"p": POOL}, at=world.now)
    suite = world.make("a", by_suite=True)
    world.found += world.judge.version(world.now, "ADDED", suite)
    world.other("a", addresses=(ONE,))
    world.acts.set_pools({"p": POOL, "q": PoolSpec(name="q", blocks=())}, at=world.now)
    world.other("a")

    assert world.verdicts() == [("kept", "PEND-04")]


@pytest.mark.parametrize("instead", [(), (TWO,)], ids=["blinks", "moves"])
def test_a_status_that_changes_though_nobody_asked(world: World, instead: tuple[str, ...]) -> None:
    """An address is lost for a moment, or for another one."""
    world.given("a")
    world.other("a", addresses=instead)
    world.other("a", addresses=(ONE,))

    assert world.verdicts()[0] == ("kept", "UPGR-01")
    assert "192.0.2.1" in world.found[0].what


def test_a_pool_that_is_changed_or_removed_explains_what_is_lost(world: World) -> None:
    """Whether such an address is kept is not promised."""
    world.given("a")
    world.acts.set_pools({}, at=world.now)
    world.other("a")

    assert world.verdicts() == []


def test_a_lost_address_is_of_the_requirement_whose_act_went_on(world: World) -> None:
    """Restart, request for the same address, a waiting Service: each has its own sentence."""
    world.given("a")
    world.suite("b", annotations={"acme/ip": ONE})
    world.other("a")
    world.given("c", TWO)
    world.acts.begin(ActKind.RESTART, WorkloadRole.CONTROLLER, at=world.now)
    world.other("c")

    assert [requirement for _, requirement in world.verdicts()] == ["REQ-03", "UPGR-01"]


def test_what_two_controllers_do_is_judged_as_that() -> None:
    """While the suite has several copies run, an address that is given twice, or lost, is that case's failure."""
    world = World()
    world.acts.begin(ActKind.COPIES, WorkloadRole.CONTROLLER, at=world.now)
    world.given("a", ONE)
    world.given("b", ONE)
    world.other("a")

    assert world.verdicts() == [("one-holder", "UPGR-04"), ("kept", "UPGR-04")]


@pytest.mark.parametrize(
    ("features", "changed", "verdicts"),
    [
        ((), "a", []),
        ((), "b", [("kept", "UPGR-01")]),
        (("without-endpoints",), "a", [("kept", "UPGR-01")]),
    ],
    ids=["its-own", "another's", "needs-none"],
)
def test_an_address_may_go_with_the_endpoints_of_its_service(
    features: tuple[str, ...], changed: str, verdicts: list[tuple[str, str]]
) -> None:
    """Where a Service without endpoints is given none, it may lose what it has with the last one."""
    world = World(*features)
    world.given("a")
    path = f"/apis/discovery.k8s.io/v1/namespaces/lbproof-x/endpointslices/{changed}"
    world.writes.begin("PATCH", path, at=world.now)
    world.other("a")

    assert world.verdicts() == verdicts


def test_a_fault_of_a_node_explains_what_a_kill_does_not(world: World) -> None:
    """Backends that are lost with their node may cost the address; a killed controller may not."""
    world.given("a")
    world.given("b", TWO)
    crash = world.acts.begin(ActKind.FAULT, Capability.NODE_CRASH.value, at=world.now)
    world.other("a")
    world.acts.end(crash, at=world.now)
    world.now += 100
    world.acts.begin(ActKind.FAULT, Capability.KILL.value, at=world.now)
    world.other("b")

    assert [(one.promise, one.subject) for one in world.found] == [("kept", "lbproof-x/b")]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"loadBalancerClass": "example.com/x"}, ("foreign", "CLASS-02")),
        ({"type": "ClusterIP"}, ("plain", "TIER-05")),
        ({"type": "NodePort"}, ("plain", "TIER-05")),
    ],
    ids=["foreign", "ClusterIP", "NodePort"],
)
@pytest.mark.parametrize(
    "change",
    [
        {"addresses": (ONE,)},
        {"annotations": {"acme/pool": "p"}},
        {"metadata": {"finalizers": ["acme/f"]}},
        {"metadata": {"ownerReferences": [{"uid": "u"}]}},
        {"spec": {"externalIPs": [ONE]}},
    ],
    ids=["status", "annotation", "finalizer", "owner", "spec"],
)
def test_what_is_not_the_implementation_s_is_left_alone(
    world: World, spec: dict[str, str], expected: tuple[str, str], change: dict[str, Any]
) -> None:
    """No part of a Service of another class or type is changed by anybody but the suite."""
    world.suite("s", spec=spec)
    world.suite("s", spec=spec, annotations={"suite": "may"})
    assert world.verdicts() == []

    world.other("s", **{"annotations": {"suite": "may"}, **change, "spec": {**spec, **change.get("spec", {})}})

    assert world.verdicts() == [expected]


def test_a_service_that_left_the_type_may_be_cleaned_up(world: World) -> None:
    """The implementation removes what it has written."""
    world.given("a", annotations={"acme/pool": "p"})
    world.suite("a", spec={"type": "ClusterIP"}, annotations={"acme/pool": "p"})
    world.other("a", spec={"type": "ClusterIP"})

    assert world.verdicts() == []


FOREIGN = {"loadBalancerClass": "example.com/x"}


def handed_over(world: World) -> dict[str, Any]:
    """Hand a Service over on which the implementation has written; return the parts that it has then."""
    parts: dict[str, Any] = {
        "addresses": (ONE,),
        "annotations": {"suite": "may", "acme/pool": "p"},
        "metadata": {"finalizers": ["acme/f"]},
        "spec": {"loadBalancerIP": ONE},
    }
    world.suite("a", annotations={"suite": "may"})
    world.other("a", **parts)
    world.suite("a", **parts | {"spec": {"type": "ClusterIP", **parts["spec"]}})
    world.suite("a", **parts | {"spec": FOREIGN | parts["spec"]})
    return parts | {"spec": FOREIGN | parts["spec"]}


def test_the_former_owner_of_a_service_may_remove_what_it_has_written(world: World) -> None:
    """In one write or several: status, annotation, finalizer, a field of the spec."""
    parts = handed_over(world)
    less: list[dict[str, Any]] = [
        {"addresses": ()},
        {"annotations": {"suite": "may"}},
        {"metadata": {}},
        {"spec": FOREIGN},
    ]
    for gone in less:
        parts |= gone
        world.other("a", **parts)

    assert world.verdicts() == []


@pytest.mark.parametrize(
    "change",
    [
        {"annotations": {"acme/pool": "p"}},
        {"annotations": {"suite": "may", "acme/pool": "q"}},
        {"addresses": (TWO,)},
        {"addresses": (), "metadata": {"finalizers": ["acme/f", "acme/g"]}},
    ],
    ids=["not-its-own", "another-value", "another-address", "an-addition-too"],
)
def test_the_former_owner_of_a_service_does_nothing_else(world: World, change: dict[str, Any]) -> None:
    """It changes nothing, adds nothing, and leaves alone what the owner has written."""
    parts = handed_over(world)
    world.other("a", **parts | change)

    assert world.verdicts() == [("foreign", "CLASS-02")]


def test_the_former_owner_of_a_service_cleans_up_in_time_and_once(world: World) -> None:
    """What it removed it does not write again, and what is there long afterwards stays."""
    parts = handed_over(world)
    world.other("a", **parts | {"addresses": ()})
    world.other("a", **parts)
    assert world.verdicts() == [("foreign", "CLASS-02")]

    world.now += 100
    world.other("a", **parts | {"addresses": ()})
    assert world.verdicts() == [("foreign", "CLASS-02")] * 2


def test_events_about_foreign_services_are_judged(world: World) -> None:
    """Those of Kubernetes' own controllers are not."""
    world.suite("f", spec={"loadBalancerClass": "example.com/x"})
    world.given("a")
    for uid, component in (("a", "acme"), ("f", "endpoint-slice-controller"), ("f", "acme")):
        event = {"involvedObject": {"uid": uid}, "source": {"component": component}, "reason": "Hello"}
        world.found += world.judge.event(world.now, event | {"metadata": {"resourceVersion": "9"}})

    assert world.verdicts() == [("foreign", "CLASS-02")]


def test_events_about_services_that_change_hands_may_be_late(world: World) -> None:
    """Of one that was the implementation's they tell what it was; of one that is now, what it is."""

    def event(uid: str, *, after: float = 0) -> None:
        made = {"involvedObject": {"uid": uid}, "source": {"component": "acme"}, "reason": "Hello"}
        world.found += world.judge.event(world.now + after, made | {"metadata": {"resourceVersion": "9"}})

    world.given("a")
    for spec in ({"type": "ClusterIP"}, {"loadBalancerClass": "example.com/x"}):
        world.suite("a", spec=spec)
    event("a")
    for spec in ({"loadBalancerClass": "example.com/x"}, {"type": "ClusterIP"}, {}):
        world.suite("b", spec=spec)
    event("b")
    assert world.verdicts() == []

    event("a", after=100)
    assert world.verdicts() == [("foreign", "CLASS-02")]


def test_the_spec_of_a_pending_service_is_its_owner_s(world: World) -> None:
    """One that writes the address into the spec as well, and then into the status, is right."""
    for name in ("pending", "given"):
        world.suite(name)
        world.other(name, spec={"loadBalancerIP": ONE})
    world.other("given", spec={"loadBalancerIP": ONE}, addresses=(ONE,))
    for name in ("pending", "given"):
        world.writes.begin("DELETE", PATH + name)
        world.other(name, "DELETED", spec={"loadBalancerIP": ONE})

    assert world.verdicts() == [("intact", "PEND-01")]
    assert world.found[0].subject == "lbproof-x/pending"


def test_a_service_that_nobody_deleted(world: World) -> None:
    """It is gone, and not by the suite; the deletion of its namespace is the suite's."""
    for name in ("a", "b"):
        world.suite(name)
    world.other("a", "DELETED")
    world.writes.begin("DELETE", "/api/v1/namespaces/lbproof-x")
    world.other("b", "DELETED")

    assert world.verdicts() == [("intact", "PEND-01")]


def test_versions_after_a_gap_are_not_judged(world: World) -> None:
    """Who made a change among versions that were not seen is not known."""
    world.given("a")
    world.found += world.judge.version(world.now, "MODIFIED", world.make("a"), judged=False)

    assert world.verdicts() == []


def test_services_of_others_are_not_judged(world: World) -> None:
    """The suite judges what it created."""
    world.other("kubernetes", spec={"type": "ClusterIP"})
    world.other("kubernetes", spec={"type": "ClusterIP"}, annotations={"a": "b"})

    assert world.verdicts() == []
