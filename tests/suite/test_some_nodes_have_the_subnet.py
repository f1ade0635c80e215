"""FAIL-11 on paper: what the client in the subnet sees is judged, and not which node announces."""

from __future__ import annotations

from contextlib import contextmanager
from ipaddress import IPv4Address
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from lbproof.checks.fail import test_some_nodes_have_the_subnet as fail
from lbproof.context import CannotShow, CheckContext
from lbproof.context.refusal import Refused
from lbproof.lab.base import Capability, Node, Role
from lbproof.spec import Untestable
from lbproof.spec.families import Family
from lbproof.witnesses import neighbour, neighbours
from lbproof.witnesses.journal import Journal
from lbproof.witnesses.wait import EventuallyFailed, Waiter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from lbproof.spec.families import IPAddress

NAMES = ("m01", "w01", "w02", "w03")
NODES = tuple(
    Node(
        name=name,
        role=Role.WORKER if n else Role.CONTROL_PLANE,
        addresses=(IPv4Address(f"192.0.2.{n + 1}"),),
        mac=f"02:00:00:00:00:0{n}",
    )
    for n, name in enumerate(NAMES)
)
ABLE = ["w01", "w02"]
FREE = tuple(IPv4Address("198.51.100.1") + n for n in range(30))
SUBNET: Any = SimpleNamespace(
    vantage=SimpleNamespace(name="client3"), free=FREE, macs={node.mac: node.name for node in NODES}
)
BUDGETS = dict.fromkeys(("serves", "announced", "failover", "one_answerer"), 0.3) | {"arp_answer": 0.01}


class Paper(CheckContext):
    """A check on paper: `announces` names the nodes that answer for all addresses while some nodes are dead."""

    def __init__(
        self,
        announces: Callable[[set[str]], list[str]],
        *,
        nodes: Sequence[Node] = NODES,
        serving: Sequence[str] = ABLE,
    ) -> None:
        journal = Journal(None)
        lab = SimpleNamespace(nodes=nodes, client=lambda: None, node_crash=self.crash, new_segment=self.new_segment)
        wait = Waiter(journal, BUDGETS)
        self.run: Any = SimpleNamespace(
            lab=lab, journal=journal, wait=wait, seed=7, need=lambda _: None, family=Family.IPV4
        )
        self.case = "FAIL-11a"
        self.announces, self.serving = announces, serving
        self.dead: set[str] = set()
        self.crashed: list[str] = []
        self.refuses = False
        self.may_announce = {node.name for node in nodes if node.role is Role.WORKER}
        self.joined: list[tuple[list[str], list[str], set[str]]] = []

    def new_segment(self, link_local: list[str], other_subnet: list[str]) -> Any:  # noqa: ANN401
        self.joined.append((link_local, other_subnet, {*self.may_announce}))
        return SUBNET

    @contextmanager
    def admitted(self, node: str) -> Iterator[None]:
        before = {*self.may_announce}
        self.may_announce.add(node)
        yield
        self.may_announce = before

    def crash(self, node: str) -> None:
        self.crashed.append(node)
        self.dead.add(node)

    def pool(self, blocks: Any = 4, **_: Any) -> Any:  # noqa: ANN401
        if self.refuses and not isinstance(blocks, int):
            raise Refused("the pool is in no subnet of all nodes")

    def control(self, **_: Any) -> IPAddress:  # noqa: ANN401
        return IPv4Address("192.0.2.200")

    def serves(self, *_: Any, **__: Any) -> str:  # noqa: ANN401
        return "web"

    def service(self, name: str = "web", **_: Any) -> Any:  # noqa: ANN401
        return name

    def all_assigned(self, *services: Any, **_: Any) -> Any:  # noqa: ANN401
        return dict(zip(services, FREE, strict=False))

    @contextmanager
    def fault(self, _capability: Capability, act: Callable[[], Any]) -> Iterator[Any]:
        yield act()
        self.dead.clear()

    def settled_after_fault(self) -> None:
        """The lab is at rest at once."""

    def serve_from(self, *_: Any, nodes: Sequence[str], **__: Any) -> list[str]:  # noqa: ANN401
        return [f"web-{name}" for name in nodes]

    def ask_pod_or_why(self, *_: Any, **__: Any) -> str:  # noqa: ANN401
        who = self.announces(self.dead)
        return "web-m01" if who and all(name in self.serving for name in who) else "silent"


@pytest.fixture(autouse=True)
def answers(monkeypatch: pytest.MonkeyPatch) -> list[Paper]:
    """Have who announces answer the client; return the list that holds the check."""
    checks: list[Paper] = []

    def sweep(_: object, targets: Sequence[IPAddress], **__: object) -> dict[IPAddress, set[str]]:
        macs = {node.name: node.mac for node in NODES}
        return {target: {macs[name] for name in checks[0].announces(checks[0].dead)} for target in targets}

    monkeypatch.setattr(neighbour, "sweep", sweep)
    monkeypatch.setattr(neighbours, "forget", lambda *_: None)
    return checks


def judge(check: Paper, answers: list[Paper]) -> None:
    """Judge a check on paper."""
    answers.append(check)
    fail.serves_the_subnet(check, Capability.SECOND_SUBNET, lambda: SUBNET)


def first_of(*names: str) -> Callable[[set[str]], list[str]]:
    """Return who announces: the first node that is not dead."""
    return lambda dead: [name for name in names if name not in dead][:1]


@pytest.mark.parametrize(
    ("names", "serving"),
    [(("w01", "w02"), ABLE), (("w03", "w01"), (*ABLE, "w03"))],
    ids=["by the nodes that have the subnet", "by any that serves"],
)
def test_who_serves_the_client_passes(names: tuple[str, ...], serving: Sequence[str], answers: list[Paper]) -> None:
    """A node that lacks the subnet is held against nobody as long as the client is served through it."""
    check = Paper(first_of(*names), serving=serving)

    judge(check, answers)

    assert check.crashed == [names[0]]


@pytest.mark.parametrize(
    ("announces", "what"),
    [
        (first_of("w03", "w01"), "is served by"),
        (first_of("w01", "w03"), "is served by"),
        (lambda _: ["w01", "w02"], "one node answers"),
        (lambda dead: [] if dead else ["w01"], "is served by"),
    ],
    ids=["by a node that cannot", "by an heir that cannot", "by two nodes", "by nobody after the death"],
)
def test_a_client_that_is_not_served_by_one_node_fails(
    announces: Callable[[set[str]], list[str]], what: str, answers: list[Paper]
) -> None:
    """The wait for it fails, which judges."""
    with pytest.raises(EventuallyFailed, match=what) as error:
        judge(Paper(announces), answers)

    assert error.value.judges


@pytest.mark.parametrize("seed", range(4))
def test_a_node_of_each_kind_may_announce(seed: int, answers: list[Paper]) -> None:
    """Whichever of the two lacks the subnet in which way: the control plane may announce too, until the check ends."""
    check = Paper(lambda dead: [name for name in ("w01", "w02", "w03") if name not in dead][:1], serving=NAMES)
    check.run.seed = seed
    answers.append(check)

    fail.test_some_nodes_have_a_link_local_address_or_another_subnet_alone(check)

    ((link_local, other, may_announce),) = check.joined
    assert [len(link_local), len(other)] == [1, 1]
    assert "m01" in {*link_local, *other} <= may_announce == {*NAMES}
    assert "m01" not in check.may_announce


def test_a_pool_that_is_refused_is_not_judged(answers: list[Paper]) -> None:
    """An implementation may refuse it with a reason: no node is crashed then."""
    check = Paper(first_of("w03"))
    check.refuses = True

    judge(check, answers)

    assert not check.crashed


def test_what_cannot_be_shown_is_said(answers: list[Paper]) -> None:
    """With two workers none would lack the subnet, and the control plane is not crashed."""
    with pytest.raises(CannotShow) as few:
        fail.workers_with_the_subnet(Paper(first_of("w01"), nodes=NODES[:3]))
    with pytest.raises(CannotShow) as none:
        judge(Paper(first_of("m01"), serving=["m01"]), answers)

    assert few.value.reason is Untestable.TOO_FEW_NODES
    assert none.value.reason is Untestable.NOT_PROVOKED
