"""A request without an answer is repeated, as hosts do, before anybody is blamed: one frame may be lost anywhere."""

from __future__ import annotations

from ipaddress import IPv4Address
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from lbproof.context.observations import Observations
from lbproof.spec import BUDGETS
from lbproof.witnesses import neighbour
from lbproof.witnesses.neighbour import Question, Reply

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest

ONE, OTHER = (Question(target=IPv4Address(f"192.0.2.{host}")) for host in (160, 161))
REPLY = Reply(mac="02:00:00:00:00:01", ether_src="02:00:00:00:00:01", seconds=0.001)


def test_what_is_answered_the_second_time_is_no_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has no answer then either is."""
    asked: list[Sequence[Question]] = []

    def ask_each(_: object, questions: Sequence[Question], **_times: float) -> list[list[Reply]]:
        asked.append(questions)
        return [[REPLY] if question == ONE else [] for question in questions]

    monkeypatch.setattr(neighbour, "ask_each", ask_each)
    wait = SimpleNamespace(budget=lambda name: BUDGETS[name].default)
    run: Any = SimpleNamespace(lab=SimpleNamespace(client=lambda: None), wait=wait)
    seen = Observations(run)

    assert seen.unanswered([ONE, OTHER]) == [OTHER]
    assert seen.unanswered([]) == []
    assert len(asked) == 1
