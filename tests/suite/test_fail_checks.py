"""What checks of faults take for a failure, on paper: who is asked, and what a move alone must not fail."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from ipaddress import IPv4Address
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from lbproof.checks.fail import moves as fail
from lbproof.checks.l2 import test_a_move_reaches_a_warm_client as warm
from lbproof.checks.sec import test_repeated_frames_keep_nothing as repeated
from lbproof.context import CannotShow, CheckContext
from lbproof.lab.base import Node, Role
from lbproof.spec import Untestable
from lbproof.witnesses import frames, neighbour, neighbours
from lbproof.witnesses.journal import Journal
from lbproof.witnesses.wait import EventuallyFailed, Violation, Waiter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from lbproof.spec.families import IPAddress

ONE, OTHER = IPv4Address("192.0.2.160"), IPv4Address("192.0.2.161")
NODES = tuple(
    Node(name=name, role=Role.WORKER, addresses=(IPv4Address(f"192.0.2.{n}"),), mac=f"02:00:00:00:00:0{n}")
    for n, name in enumerate(("w01", "w02", "w03"), start=1)
)
OLD, NEW, _ = NODES
FAULT: Any = SimpleNamespace(kind="node-crash", target="node w01")
BUDGETS = {"failover": 0.4, "serves": 0.4, "one_answerer_recount": 0.01, "arp_answer": 0.01}


class Paper(CheckContext):
    """A check on paper: who answers, and which pod serves, is given."""

    def __init__(self, *, holders: Mapping[IPAddress, str] | None = None, answers: Sequence[str] = ()) -> None:
        journal = Journal(None)
        lab = SimpleNamespace(nodes=NODES, client=lambda: None)
        self.run: Any = SimpleNamespace(lab=lab, web="web", journal=journal, wait=Waiter(journal, BUDGETS))
        self._holders, self._answers = dict(holders or {}), list(answers)
        self.entries: set[IPAddress] = set()
        """Addresses for which the client has an entry of the old node."""
        self.served_by: list[str] = []

    def move(self, holders: Mapping[IPAddress, str]) -> None:
        """Have other nodes answer from now on."""
        self._holders = dict(holders)

    def holders(self, *addresses: IPAddress, but: str = "", budget: str = "announced") -> dict[IPAddress, list[str]]:  # noqa: ARG002
        if any(self._holders.get(address, but) == but for address in addresses):
            raise Violation("nobody answers")
        return {address: [self._holders[address]] for address in addresses}

    def sole_holders(self, *addresses: IPAddress, but: str = "", budget: str = "announced") -> dict[IPAddress, str]:
        return {address: who for address, (who,) in self.holders(*addresses, but=but, budget=budget).items()}

    def unanswered(self, questions: Sequence[neighbour.Question], **_: object) -> list[neighbour.Question]:
        return list(questions)

    def serve_from(self, *_: object, nodes: Sequence[str], named: bool = True, **__: object) -> list[str]:  # noqa: ARG002
        self.served_by = [f"web-{name}" for name in nodes]
        return self.served_by

    def ask_pod_or_why(self, _vantage: object, address: IPAddress, port: int = 80, *, timeout: float = 1.0) -> str:  # noqa: ARG002
        if address in self.entries:
            return "silent"
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


def test_a_client_asks_anew_where_an_address_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its old entry, which gratuitous ARP would move, is removed before each request."""
    check = Paper(answers=["web-w02"])
    check.entries = {ONE, OTHER}
    monkeypatch.setattr(neighbours, "forget", lambda _, address: check.entries.discard(address))

    fail.served_again(check, [ONE, OTHER], FAULT)

    monkeypatch.setattr(neighbours, "forget", lambda *_: None)
    check.entries = {ONE}
    with pytest.raises(EventuallyFailed, match="serve again after the node-crash of node w01"):
        fail.served_again(check, [ONE], FAULT)


def test_backends_are_on_nodes_that_survive() -> None:
    """The endpoints of a fault's Services are on other nodes, and none but those serve before it comes."""
    service: Any = SimpleNamespace(addresses=lambda: [ONE])
    check = Paper(answers=["web-w01", "web-w02", "web-w01", "web-w03"])

    pods = fail.served_elsewhere(check, [service], OLD)

    assert pods == ["web-w02", "web-w03"]
    with pytest.raises(CannotShow, match="prerequisite TIER-01"):
        fail.served_elsewhere(Paper(answers=["web-w01"]), [service], OLD)


def counted(monkeypatch: pytest.MonkeyPatch, *, alone: str = "", **counts: Any) -> None:  # noqa: ANN401 - of `Census`
    """Have a census count so, and one node answer whoever asks it alone."""
    census = neighbour.Census(asked=5, **{"unanswered": 0, "doubly": 0, **counts})
    reply = neighbour.Reply(mac=alone, ether_src=alone, seconds=0.001)
    monkeypatch.setattr(neighbour, "census_of", lambda *_, **__: {ONE: census})
    monkeypatch.setattr(
        neighbour,
        "ask_each",
        lambda _client, questions, **_times: [[reply] if question.to == alone else [] for question in questions],
    )


def test_an_address_that_goes_back_has_one_answerer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each request has one answer: the first ones of one node, the last ones of another, and one of neither."""
    check = Paper(holders={ONE: NEW.name})
    counted(monkeypatch, answers={NEW.mac: 2, OLD.mac: 3})
    assert fail.one_answers(check, [ONE]) == {ONE: "w02"}

    counted(monkeypatch, answers={NEW.mac: 2, OLD.mac: 2}, unanswered=1)
    assert fail.one_answers(check, [ONE]) == {ONE: "w02"}


def test_two_answers_to_one_request_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """So do silence of the only node, the lost node, and one that answers only when it is asked alone."""
    check = Paper(holders={ONE: NEW.name})
    counted(monkeypatch, answers={NEW.mac: 5, OLD.mac: 1}, doubly=1)
    with pytest.raises(AssertionError, match="answered by two"):
        fail.one_answers(check, [ONE])

    counted(monkeypatch, answers={NEW.mac: 4}, unanswered=1)
    with pytest.raises(AssertionError, match="not answered by the only node"):
        fail.one_answers(check, [ONE])

    counted(monkeypatch, answers={NEW.mac: 3, OLD.mac: 2})
    with pytest.raises(AssertionError, match="w01 answers, which is lost"):
        fail.one_answers(check, [ONE], but=OLD.name)

    counted(monkeypatch, answers={NEW.mac: 5}, alone=OLD.mac)
    with pytest.raises(AssertionError, match="only when they are asked by unicast, others answer too"):
        fail.one_answers(check, [ONE])


def test_an_address_that_moves_late_has_one_answerer_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests without an answer are no fault where the address then is elsewhere; without a move, silence is one."""
    check = Paper(holders={ONE: OLD.name})
    good = neighbour.Census(asked=5, answers={NEW.mac: 5}, unanswered=0, doubly=0)
    gone = neighbour.Census(asked=5, answers={OLD.mac: 3}, unanswered=2, doubly=0)
    counts = [gone, good]

    def counting(*_: object, **__: object) -> dict[IPAddress, neighbour.Census]:
        check.move({ONE: NEW.name})
        return {ONE: counts.pop(0)}

    counted(monkeypatch, answers={})
    monkeypatch.setattr(neighbour, "census_of", counting)
    assert fail.one_answers(check, [ONE]) == {ONE: "w02"}

    counted(monkeypatch, answers={}, unanswered=5)
    with pytest.raises(AssertionError, match="not answered by the only node"):
        fail.one_answers(check, [ONE])


class Entry:
    """The client's entry, which an announcement moves after some looks at it; questions are not allowed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, looks: int) -> None:
        self.looks = looks
        monkeypatch.setattr(neighbours, "entry", self.read)
        for name in ("ask", "ask_each", "sweep", "census_of"):
            monkeypatch.setattr(neighbour, name, self.refuse)

    def read(self, *_: object) -> Any:  # noqa: ANN401 - an entry
        self.looks -= 1
        return SimpleNamespace(mac=OLD.mac if self.looks >= 0 else NEW.mac)

    def refuse(self, *_: object, **__: object) -> None:
        raise AssertionError("the client asked, which moves its entry")


def claimed(*by: str) -> Any:  # noqa: ANN401 - claims
    """Claims of the address by nodes."""
    made = [SimpleNamespace(by=one) for one in by]
    return SimpleNamespace(of=lambda addresses: dict.fromkeys(addresses, made))


def test_an_entry_may_move_late_and_is_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is looked at until the time for a failover is over, and names a node that claims the address."""
    Entry(monkeypatch, looks=4)
    warm.moved(Paper(), OLD, [ONE], claimed("w01", "w02"))

    Entry(monkeypatch, looks=0)
    with pytest.raises(AssertionError, match="names w02, not w03"):
        warm.moved(Paper(), OLD, [ONE], claimed("w01", "w03"))


def test_an_entry_that_stays_is_of_who_took_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure where another node has the address; where none has, FAIL-01 judges that."""
    Entry(monkeypatch, looks=10**6)
    with pytest.raises(EventuallyFailed, match="move from w01"):
        warm.moved(Paper(holders={ONE: "w02"}), OLD, [ONE], claimed("w02"))
    with pytest.raises(CannotShow, match="prerequisite FAIL-01") as caught:
        warm.moved(Paper(), OLD, [ONE], claimed())
    assert caught.value.reason is Untestable.PREREQUISITE


class RepeatedFrames:
    """A check of SEC-05b on paper, with what each crash shows: a violation or none."""

    precondition = CheckContext.precondition

    def __init__(self, *found: Violation | None) -> None:
        self.found = list(found)
        self.hosts: list[object] = []
        self.run: Any = SimpleNamespace(need=lambda _: None, addresses=lambda _: [OTHER])
        self.lab: Any = SimpleNamespace(foreign_host=lambda _: SimpleNamespace(vantage="host"))

    @contextmanager
    def fault(self, _: object, act: Callable[[], object]) -> Iterator[None]:
        act()
        yield

    def lost(
        self, _: object, held: Sequence[IPAddress], recording: repeated.Recording | None = None
    ) -> Violation | None:
        assert held == [ONE]
        self.hosts.append(recording and recording.host)
        return self.found.pop(0)


def test_a_host_that_repeats_frames_is_blamed_for_what_does_not_fail_without_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What fails is done again without the host: a failover that fails then too is judged by FAIL-01."""
    monkeypatch.setattr(repeated, "assigned", lambda _: {ONE: None})
    monkeypatch.setattr(repeated, "Capture", lambda *_, **__: nullcontext("capture on paper"))
    monkeypatch.setattr(repeated, "restarted_nodes_keep_what_they_have", lambda *_: None)
    judge: Any = repeated.test_a_host_that_repeats_frames_keeps_no_address
    seen: dict[str, RepeatedFrames] = {
        "well": RepeatedFrames(None),
        "kept": RepeatedFrames(Violation("nobody answers"), None),
        "ill": RepeatedFrames(Violation("nobody answers"), Violation("nobody answers either")),
    }

    def judged(name: str) -> list[object]:
        monkeypatch.setattr(repeated, "lost", seen[name].lost)
        try:
            judge(seen[name])
        finally:
            assert seen[name].found == []
        return seen[name].hosts

    assert judged("well") == ["host"]
    with pytest.raises(Violation, match=r"nobody answers$"):
        judged("kept")
    with pytest.raises(CannotShow, match="prerequisite FAIL-01: nobody answers either"):
        judged("ill")
    assert seen["ill"].hosts == ["host", None]


def test_a_host_repeats_what_a_node_sends_from_before_its_crash_until_it_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each message at once and before others give the node up; nothing of a dead node when it is back."""
    done: list[str] = []

    @contextmanager
    def noted(name: str) -> Iterator[None]:
        done.append(name)
        yield
        done.append(f"end of {name}")

    recording: Any = SimpleNamespace(
        copied=lambda node: noted(f"copies of {node.name}"),
        of=lambda _: [(0.0, b"frame")],
        as_own=lambda frames: frames,
        repeated=lambda *several: noted(f"{len(several)} recordings"),
    )
    check: Any = SimpleNamespace(
        worker_that_announces=lambda held: (OLD, held),
        lab=SimpleNamespace(node_crash=lambda _: None),
        wait_out=lambda _: done.append("time at rest"),
        fault=lambda *_: noted("crash"),
        settled_after_fault=lambda: done.append("rest"),
    )
    monkeypatch.setattr(repeated, "wrong_without", lambda *_: done.append("judged"))

    assert repeated.lost(check, [ONE], recording) is None
    assert done == [
        *("copies of w01", "time at rest", "1 recordings", "crash", "2 recordings", "judged"),
        *("end of 2 recordings", "end of 1 recordings", "end of copies of w01", "end of crash", "rest"),
    ]
    done.clear()
    repeated.lost(check, [ONE])
    assert done == ["crash", "judged", "end of crash", "rest"]


def test_messages_that_name_an_address_are_not_repeated() -> None:
    """Of a recording: whoever says where it is or asks for it. What a host hears live is left out by its bytes."""
    mac = "02:00:00:00:00:01"
    says, asks, other = (
        frames.encode(frames.request(mac=mac, address=address, target=target))
        for address, target in ((ONE, OTHER), (OTHER, ONE), (OTHER, OTHER))
    )

    assert repeated.names(says, [ONE])
    assert repeated.names(asks, [ONE])
    assert not repeated.names(other, [ONE])
    assert not repeated.names(b"heartbeat of some bytes", [ONE])
