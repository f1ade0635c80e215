"""Announcements that come again and again: what another reason for one would do cannot be seen then."""

from __future__ import annotations

import time
from ipaddress import IPv4Address
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Self

import pytest

from lbproof.context import CannotShow
from lbproof.context.answers import Answers
from lbproof.witnesses import neighbour
from lbproof.witnesses.journal import Journal
from lbproof.witnesses.wait import Waiter

if TYPE_CHECKING:
    from collections.abc import Iterator

ADDRESS = IPv4Address("192.0.2.160")
CALM = {"stays_unannounced": 0.2, "announced_last": 1.0}


class FakeListener:
    """Hears an announcement each tenth of a second, until `last` seconds after it began."""

    last = 0.0

    def __init__(self, _client: object) -> None:
        self.began = time.monotonic()

    def __enter__(self) -> Self:
        """Hear."""
        return self

    def __exit__(self, *_: object) -> None:
        """Hear no more."""

    def announcements(self, _address: object) -> Iterator[Any]:
        for tenth in range(int(10 * min(time.monotonic() - self.began, self.last)) + 1):
            yield SimpleNamespace(t=self.began + tenth / 10)


def quiet(monkeypatch: pytest.MonkeyPatch, last: float) -> float:
    """Return the seconds that the wait took."""
    monkeypatch.setattr(FakeListener, "last", last)
    monkeypatch.setattr(neighbour, "Listener", FakeListener)
    journal = Journal(None)
    run: Any = SimpleNamespace(lab=SimpleNamespace(client=lambda: None), wait=Waiter(journal, CALM), journal=journal)
    began = time.monotonic()
    Answers(run).quiet(ADDRESS)
    return time.monotonic() - began


def test_announcements_that_follow_an_assignment_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """For as long as some repeat theirs."""
    assert quiet(monkeypatch, 0.3) >= 0.3 + CALM["stays_unannounced"] - 0.05


def test_who_announces_for_ever_is_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """And is not waited for as for rest, two minutes."""
    with pytest.raises(CannotShow, match=r"announced again and again: nobody announces 192.0.2.160 for 0.2 s"):
        quiet(monkeypatch, 60)
