"""A client that is not served where several nodes answer: what L2-01 judges, and nobody else is blamed for."""

from __future__ import annotations

from ipaddress import IPv4Address
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from lbproof.context.served import Served
from lbproof.run.verdicts import VerdictRecorder
from lbproof.spec import Verdict
from lbproof.witnesses import http, neighbour, transport
from lbproof.witnesses.journal import Journal
from lbproof.witnesses.stream import ProbeError
from lbproof.witnesses.wait import Violation, Waiter, WaitFailed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lbproof.context import CheckContext

ONE = IPv4Address("192.0.2.160")
CLIENT: Any = SimpleNamespace(name="client")
LOOKS: dict[str, Callable[[Served], object]] = {
    "serves": lambda check: check.serves(CLIENT, ONE),
    "ask_pod_or_why": lambda check: check.ask_pod_or_why(CLIENT, ONE),
    "source_seen": lambda check: check.source_seen(CLIENT, ONE),
    "ask_pod_by_udp_or_why": lambda check: check.ask_pod_by_udp_or_why(CLIENT, ONE, 53),
}


class Waits(Waiter):
    """Waits for hundredths of a second."""

    def budget(self, name: str) -> float:  # noqa: ARG002 - each is short
        return 0.02


def looking(monkeypatch: pytest.MonkeyPatch, who: list[str], *, served: bool = False, claims: bool = True) -> Served:
    """A check on paper. `who`: nodes that answer; `served`: whether clients are."""

    def get(*_: object, **__: object) -> http.Response:
        if not served:
            raise http.Unreached("silent", "no answer")
        return http.Response(status=200, body=b"web-1", seconds=0.01)

    replies = [neighbour.Reply(mac=name, ether_src=name, seconds=0.01) for name in who]
    monkeypatch.setattr(http, "get", get)
    monkeypatch.setattr(transport, "ask", lambda *_, **__: get().text)
    monkeypatch.setattr(neighbour, "ask", lambda *_, **__: replies)
    journal = Journal(None)
    lab = SimpleNamespace(nodes=(), client=lambda: CLIENT)
    run = SimpleNamespace(lab=lab, wait=Waits(journal, {}), journal=journal, claims=lambda _: claims)
    run.served = lambda *_, **__: run.wait.eventually(
        get, bool, what="served", budget="serves", ignore=(http.Unreached,)
    )
    return Served(cast("Any", run))


def verdict(check: Served, error: Exception, tmp_path: Path) -> Verdict:
    """What a case comes to that ends with an exception."""
    recorder = VerdictRecorder(Journal(None), tmp_path, [])
    report = SimpleNamespace(when="call")
    check.evidence = lambda: None  # type: ignore[attr-defined]
    recorder.judge("TIER-01", error, cast("Any", report), cast("CheckContext", check), tmp_path)
    return recorder.verdicts["TIER-01"]


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_who_answers_is_said_where_several_do(
    monkeypatch: pytest.MonkeyPatch, look: Callable[[Served], object]
) -> None:
    """After a request without an answer; not where one node answers, or clients are served."""
    for who, served, said in (
        (["w01", "w02"], False, "w01, w02 answer for 192.0.2.160"),
        (["w01"], False, ""),
        ([], False, ""),
        (["w01", "w02"], True, ""),
    ):
        check = looking(monkeypatch, who, served=served)
        try:
            look(check)
        except WaitFailed:
            assert not served
        assert check.several_answer() == said


@pytest.mark.parametrize(("answered", "said"), [(2, "w01, w02 answer for 192.0.2.160"), (3, "")])
def test_a_client_that_is_served_now_and_then_is_not_served(
    monkeypatch: pytest.MonkeyPatch, answered: int, said: str
) -> None:
    """Until as many requests in a row are answered as checks wait for, whatever other addresses answer meanwhile."""
    check = looking(monkeypatch, ["w01", "w02"])
    check.ask_pod_or_why(CLIENT, ONE)
    monkeypatch.setattr(http, "get", lambda *_, **__: http.Response(status=200, body=b"web-1", seconds=0.01))
    for _ in range(answered):
        check.ask_pod_or_why(CLIENT, ONE)
        check.ask_pod_or_why(CLIENT, IPv4Address("192.0.2.161"))

    assert check.several_answer() == said


def test_a_wait_that_succeeded_since_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that was not served at first, and then as a check waits for, is no reason for what fails later."""
    check = looking(monkeypatch, ["w01", "w02"])
    check.ask_pod_or_why(CLIENT, ONE)
    check.wait.eventually(lambda: True, bool, what="it", budget="serves")

    assert check.several_answer() == ""


def test_what_each_node_decides_is_judged_for_one_node_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the endpoint that a client stays with: where several nodes answer, other nodes choose others."""
    check = looking(monkeypatch, ["w01", "w02"], served=True)
    with pytest.raises(Violation), check.of_one_node(ONE):
        raise Violation("another endpoint")
    assert check.several_answer() == "w01, w02 answer for 192.0.2.160"

    check = looking(monkeypatch, ["w01", "w02"], served=True)
    with check.of_one_node(ONE):
        pass
    assert check.several_answer() == ""


def test_what_was_seen_since_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    """A check that has looked at something else since is not about the request."""
    check = looking(monkeypatch, ["w01", "w02"])
    check.ask_pod_or_why(CLIENT, ONE)
    check.who_has(ONE)

    assert check.several_answer() == ""


def test_who_does_not_answer_by_arp_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """One who claims no layer 2 has no L2-01."""
    check = looking(monkeypatch, ["w01", "w02"], claims=False)
    check.ask_pod_or_why(CLIENT, ONE)

    assert check.several_answer() == ""


def test_a_probe_that_broke_says_nothing_of_who_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The failure of the check stays as it is."""
    check = looking(monkeypatch, ["w01", "w02"])
    check.ask_pod_or_why(CLIENT, ONE)

    def broken(*_: object, **__: object) -> list[neighbour.Reply]:
        raise ProbeError("client: the probe died")

    monkeypatch.setattr(neighbour, "ask", broken)
    assert check.several_answer() == ""


@pytest.mark.parametrize(("who", "found"), [(["w01", "w02"], Verdict.UNTESTABLE), (["w01"], Verdict.FAILED)])
def test_the_verdict_names_the_prerequisite(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, who: list[str], found: Verdict
) -> None:
    """It is a failure where one node answers."""
    monkeypatch.setattr("lbproof.run.evidence.keep", lambda *_: None)
    check = looking(monkeypatch, who)
    check.ask_pod_or_why(CLIENT, ONE)

    assert verdict(check, Violation("not served"), tmp_path) is found
    assert verdict(check, ZeroDivisionError(), tmp_path) is Verdict.ERROR
