"""What a check leaves is undone in an order in which all of it can be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.suite.fake_cluster import FakeCluster
from tests.suite.test_pools import Objects, context

from lbproof.context import CheckContext
from lbproof.context.objects import Service
from lbproof.lab.base import Capability, Segment
from lbproof.lab.fault import Fault
from lbproof.run.adapter_check import SUBNET
from lbproof.witnesses.kube import ApiUnreachable
from lbproof.witnesses.wait import Violation

if TYPE_CHECKING:
    from collections.abc import Callable


class AwayApi:
    """A cluster whose API server a fault stops."""

    def __init__(self) -> None:
        self.cluster = FakeCluster()
        self.log: list[str] = []
        self.away = False
        kube = self.cluster.kube
        self._discard: Callable[[str], None] = kube.discard
        kube.discard = self.discard  # type: ignore[method-assign]

    def discard(self, path: str) -> None:
        if self.away:
            raise ApiUnreachable(f"DELETE {path}: the API server does not answer")
        self.log.append("deleted")
        self._discard(path)

    def stop(self) -> Fault:
        self.away = True
        self.log.append("stopped")
        return Fault(kind="stop-api", target="kube-apiserver", began=0.0, undo_with=self.back)

    def back(self) -> None:
        self.away = False
        self.log.append("back")


def test_a_check_that_fails_without_an_api_server_is_undone_with_one() -> None:
    """The fault is there until the evidence is kept, and goes before anything is deleted."""
    api = AwayApi()
    run = context(Objects(), api.cluster)
    vars(run.lab)["segment"] = Segment(name="lan", subnets=(SUBNET,), free=())
    vars(run.lab)["can"] = lambda _: True
    check = CheckContext(run, "FAIL-12", capture=False)
    check.services.append(Service(run.cluster, "lbproof", "web"))
    with pytest.raises(Violation), check.fault(Capability.STOP_API, api.stop):
        raise Violation("not answered")
    assert api.log == ["stopped"]
    check.start_over()

    assert api.log == ["stopped", "back", "deleted"]
