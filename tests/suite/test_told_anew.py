"""What was told before an act is no answer to it: notices of Services and of pools, on paper."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from tests.suite.acme import Acme
from tests.suite.fake_cluster import FakeCluster

from lbproof.adapters.base import PoolSpec
from lbproof.checks.crd import test_overlapping_pools_share_no_address as overlap_checks
from lbproof.checks.crd import test_what_is_not_announced_is_told as announcement_checks
from lbproof.context.objects import Pool, Service
from lbproof.witnesses.journal import Journal
from lbproof.witnesses.wait import EventuallyFailed, Waiter

if TYPE_CHECKING:
    from lbproof.witnesses.kube import Kube

OLD: dict[str, Any] = {"type": "Warning", "reason": "AllocationFailed", "message": "no pool yet"}
NEW: dict[str, Any] = {"type": "Warning", "reason": "NotAnnounced", "message": "nothing advertises it"}
MIRROR: dict[str, Any] = {
    "type": "Warning",
    "reason": "NotAnnounced",
    "source": {"component": "endpoint-slice-controller"},
}
DEGRADED = {"type": "Degraded", "status": "False", "reason": "AsExpected"}


def told(events: list[dict[str, Any]], *conditions: dict[str, Any]) -> Service:
    """A Service of which some things are told."""
    cluster = FakeCluster()
    service = Service(cluster.kube, "ns", "web")
    cluster.objects[service.path] = {"metadata": {}, "events": events, "status": {"conditions": [*conditions]}}
    return service


def on_paper(adapter: Acme | None = None) -> Any:  # noqa: ANN401 - what the checks use of a context
    """Return the little of a check that waits for notices."""
    wait = Waiter(Journal(None), {"event_seen": 0.1, "pool_applied": 0.1})
    return SimpleNamespace(wait=wait, run=SimpleNamespace(adapter=adapter), cluster=None, saw=lambda *_: None)


def test_a_notice_is_one_that_was_not_there_before() -> None:
    """Neither a refusal of before nor a condition that is false where all is well, nor what Kubernetes says."""
    before = announcement_checks.notices(told([OLD], DEGRADED))
    for events in ([OLD], [OLD, MIRROR]):
        with pytest.raises(EventuallyFailed, match="nothing new"):
            announcement_checks.is_told(on_paper(), told(events, DEGRADED), before)
    assert list(announcement_checks.is_told(on_paper(), told([OLD, NEW], DEGRADED), before)) == ["Event NotAnnounced"]
    again = announcement_checks.is_told(on_paper(), told([OLD | {"count": 2}]), before)
    assert again == {"Event AllocationFailed": 1}
    changed = announcement_checks.is_told(on_paper(), told([OLD], DEGRADED | {"reason": "NotAnnounced"}), before)
    assert list(changed) == ["condition Degraded NotAnnounced"]


class Flagging(Acme):
    """An implementation that says something of some pools."""

    def __init__(self) -> None:
        self.said: dict[str, str] = {}

    def pool_error(self, cluster: Kube, pool: PoolSpec) -> str:  # noqa: ARG002 - as the interface's
        return self.said.get(pool.name, "")


@pytest.mark.parametrize("flagged", ["base", "other"])
def test_what_was_said_of_a_pool_before_it_was_overlapped_does_not_count(flagged: str) -> None:
    """What is new counts, of either of the two."""
    adapter = Flagging()
    base, other = (Pool(PoolSpec(name=name, blocks=()), []) for name in ("base", "other"))
    adapter.said["base"] = "overlaps an earlier one"

    def act(*says: str) -> Pool:
        adapter.said.update(dict.fromkeys(says, "overlaps another one"))
        return other

    check = cast("Any", on_paper(adapter))
    with pytest.raises(EventuallyFailed, match=r"something new is said about a pool, .* nothing all the time"):
        overlap_checks.refused_or_flagged(check, "a pool", [base], act)
    assert overlap_checks.refused_or_flagged(check, "a pool", [base], lambda: act(flagged)) is other
