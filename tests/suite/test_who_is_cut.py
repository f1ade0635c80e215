"""Which node a check cuts, by who answers: a worker, and what is said where there is none to cut."""

from __future__ import annotations

from contextlib import contextmanager
from ipaddress import IPv4Address
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from lbproof.checks.evt import test_events_tell_the_truth as event_checks
from lbproof.context import CannotShow, CheckContext
from lbproof.lab.base import Node, Role
from lbproof.spec import Untestable
from lbproof.witnesses.journal import Journal
from lbproof.witnesses.wait import Violation, Waiter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from lbproof.spec.families import IPAddress

ONE, OTHER = IPv4Address("192.0.2.160"), IPv4Address("192.0.2.161")
NODES = tuple(
    Node(name=name, role=role, addresses=(IPv4Address(f"192.0.2.{n}"),), mac=f"02:00:00:00:00:0{n}")
    for n, (name, role) in enumerate((("m01", Role.CONTROL_PLANE), ("w01", Role.WORKER), ("w02", Role.WORKER)), start=1)
)


class Paper(CheckContext):
    """A check on paper: who answers is given, and what moves the addresses of the control plane."""

    def __init__(
        self, held: Mapping[IPAddress, Sequence[str]], *, moves: str = "", nodes: Sequence[Node] = NODES
    ) -> None:
        self.run: Any = SimpleNamespace(lab=SimpleNamespace(nodes=nodes), wait=Waiter(Journal(None), {}))
        self.held, self.moves = dict(held), moves
        self.done: list[str] = []

    def holders(self, *addresses: IPAddress, but: str = "", budget: str = "announced") -> Any:  # noqa: ANN401, ARG002
        return {address: list(self.held[address]) for address in addresses}

    def _answered(self, addresses: Sequence[IPAddress], good: Callable[[Any], bool], *_: object) -> Any:  # noqa: ANN401
        held = self.holders(*addresses)
        if not all(map(good, held.values())):
            raise Violation("no worker answers in time")
        return held

    def _label_control_planes(self) -> None:
        self._does("label")

    def _kill_announcers_of_control_planes(self) -> None:
        self._does("kill")

    def _does(self, what: str) -> None:
        self.done.append(what)
        if self.moves == what:
            self.held = dict.fromkeys(self.held, ("w02",))


def test_the_worker_is_cut_that_announces_most() -> None:
    """Never the control plane, though it announces more."""
    held: dict[IPAddress, list[str]] = {IPv4Address(f"192.0.2.{n}"): ["m01"] for n in range(170, 175)}
    check = Paper(held | {ONE: ["w02"], OTHER: ["w02"], IPv4Address("192.0.2.162"): ["w01"]})

    node, moving = check.worker_that_announces(list(check.held))

    assert (node.name, moving, check.done) == ("w02", [ONE, OTHER], [])


@pytest.mark.parametrize(("moves", "done"), [("label", ["label"]), ("kill", ["label", "kill"])])
def test_addresses_of_the_control_plane_are_moved_away(moves: str, done: list[str]) -> None:
    """By what the implementation honours: the well-known label, else the end of the process that announces."""
    check = Paper({ONE: ["m01"], OTHER: ["m01"]}, moves=moves)

    node, moving = check.worker_that_announces([ONE, OTHER])

    assert (node.name, moving, check.done) == ("w02", [ONE, OTHER], done)


def test_the_control_plane_is_not_cut_though_nothing_else_announces() -> None:
    """Nothing was provoked then: no fault of the implementation."""
    check = Paper({ONE: ["m01"]})

    with pytest.raises(CannotShow, match="no worker takes an address") as caught:
        check.worker_that_announces([ONE])

    assert caught.value.reason is Untestable.NOT_PROVOKED


def test_a_lab_with_one_worker_shows_no_takeover() -> None:
    """It is said before anything is cut."""
    with pytest.raises(CannotShow) as caught:
        Paper({ONE: ["w01"]}, nodes=NODES[:2]).worker_that_announces([ONE])

    assert caught.value.reason is Untestable.TOO_FEW_NODES


def test_where_all_nodes_answer_none_is_left_that_does_not() -> None:
    """That is judged by L2-01; where one node answers for each of many addresses, the cluster is too small."""
    assert [node.name for node in Paper({ONE: ["w01"]}).not_announcing(ONE)] == ["m01", "w02"]
    assert [node.name for node in Paper({ONE: ["w01"]}).not_announcing(ONE, role=Role.WORKER)] == ["w02"]
    with pytest.raises(CannotShow, match=r"prerequisite L2-01: 192.0.2.160: m01, w01, w02 answer") as caught:
        Paper({ONE: ["m01", "w01", "w02"]}).not_announcing(ONE)
    assert caught.value.reason is Untestable.PREREQUISITE
    with pytest.raises(CannotShow) as caught:
        Paper({ONE: ["w01"], OTHER: ["w02"]}).not_announcing(ONE, OTHER, role=Role.WORKER)
    assert caught.value.reason is Untestable.TOO_FEW_NODES


def test_any_node_that_answers_will_do() -> None:
    """A MAC of no node is none."""
    assert Paper({ONE: ["02:00:00:00:00:99", "w02"]}).an_announcer(ONE).name == "w02"
    with pytest.raises(CannotShow, match=r"prerequisite L2-01: .* by no node"):
        Paper({ONE: ["02:00:00:00:00:99"]}).an_announcer(ONE)


class Returning(Paper):
    """A check on paper whose node of choice is crashed, after which the first worker announces again."""

    def __init__(self) -> None:
        super().__init__({ONE: ["w01"], OTHER: ["w01"]})
        self.run.lab = SimpleNamespace(nodes=NODES, node_crash=self._does)

    def exclude(self, node: str) -> None:
        self.done.append(f"exclude {node}")

    @contextmanager
    def fault(self, _capability: object, act: Callable[[], Any]) -> Iterator[Any]:
        yield act()

    def announcer(self, *_: object, **__: object) -> Node:
        return NODES[1]


def test_the_control_plane_is_not_crashed_to_move_an_address_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may announce where nobody honours the label; an address that a worker announces moves back then, or none."""
    control_plane, first, other = NODES
    by_address: Any = {ONE: ["one"], OTHER: ["other"]}
    seen: list[object] = []
    monkeypatch.setattr(event_checks, "told", lambda *_: {})
    monkeypatch.setattr(event_checks, "named", lambda _, service, node, **__: seen.append((service, node.name)))

    alone = Returning()
    with pytest.raises(CannotShow, match="no worker announces what could move back") as caught:
        event_checks.move_back(alone, by_address, first, {ONE: control_plane, OTHER: control_plane})
    assert (caught.value.reason, alone.done) == (Untestable.NOT_PROVOKED, [])

    check = Returning()
    event_checks.move_back(check, by_address, first, {ONE: control_plane, OTHER: other})
    assert check.done == ["exclude m01", "w02"]
    assert seen == [("other", "w01")]
