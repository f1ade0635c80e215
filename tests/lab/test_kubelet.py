"""The stand-in for a kubelet that falls silent; no lab is booted."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from lbproof.lab.base import Topology
from lbproof.lab.netns import kubelet as module
from lbproof.lab.netns import plan
from lbproof.lab.netns.kubelet import Kubelet
from lbproof.witnesses.wait import consistently, eventually

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def kubelet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kubelet:
    """One that has registered its node, of which it says something a hundred times a second."""
    monkeypatch.setattr(module, "Api", lambda *_: None)
    inside: Any = SimpleNamespace(api_address="", token="", ca="", work=tmp_path, lease_every=0.01)
    made = Kubelet(plan.places(Topology())[1], inside)
    made._registered.set()  # noqa: SLF001 - without an API server
    return made


def test_a_silent_kubelet_says_nothing_until_it_reports_again(
    kubelet: Kubelet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it is saying when it is told to fall silent is said before that takes effect."""
    said: list[str] = []
    saying, go_on = threading.Event(), threading.Event()

    def renew() -> None:
        saying.set()
        go_on.wait(10)
        said.append("alive")

    monkeypatch.setattr(kubelet, "_renew", renew)
    leases = threading.Thread(target=kubelet._leases, daemon=True)  # noqa: SLF001 - without the watch of pods
    leases.start()
    saying.wait(10)
    silencing = threading.Thread(target=kubelet.fall_silent)
    silencing.start()
    waits = silencing.is_alive()
    go_on.set()
    silencing.join(10)
    before = len(said)
    consistently(lambda: len(said), lambda count: count == before, what="nothing more is said", during=0.3)
    kubelet.report_again()
    eventually(lambda: len(said), lambda count: count > before, what="it is heard again", within=10)
    kubelet.stop()
    kubelet.beat()
    leases.join(10)

    assert waits
    assert before
    assert not leases.is_alive()
