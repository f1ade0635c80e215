"""The pace of a burst is kept, and nothing is left out for being slow."""

from __future__ import annotations

import math
import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest

from lbproof_perf.benchmarks import allocate, allocator
from lbproof_perf.benchmarks.base import BenchContext, Size, turns
from lbproof_perf.results import ResultStore
from lbproof_perf.sut.service_observer import Observation, ServiceObservations
from lbproof_perf.sut.services import Services, at_pace
from lbproof_perf.sut.system import LabPool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from lbproof.context import RunContext
    from lbproof_perf.sut.service_observer import ServiceObserver


class FakeObserver:
    """Sees an address at once, ARP for all but one Service, and HTTP for those that answer."""

    def __init__(self, kube: FakeKube, mute: str) -> None:
        self.seen = ServiceObservations()
        self._mute = mute
        kube.made = self._made

    def begin(self, names: Iterable[str], served: Iterable[str]) -> None:
        self.seen = ServiceObservations()
        self._names, self._served = set(names), set(served)

    def _made(self, name: str) -> None:
        address = f"address of {name}"
        self.seen.addresses[name], self.seen.assigned[name] = address, Observation(time.monotonic())
        if name != self._mute:
            self.seen.arp[address] = Observation(time.monotonic(), 0.005)
            if name in self._served:
                self.seen.http[address] = Observation(time.monotonic())

    def expect_silence(self, address: str) -> None:
        self.seen.silent[address] = Observation(time.monotonic() + 0.1)

    def until(self, true: Callable[[ServiceObservations], bool], deadline: float) -> bool:
        assert deadline > time.monotonic()
        return true(self.seen)


class FakeKube:
    """Takes every Service."""

    def __init__(self) -> None:
        self.made: Callable[[str], None] = print
        self.left: list[str] = []

    def create(self, _: str, body: dict[str, Any]) -> None:
        self.left.append(body["metadata"]["name"])
        self.made(body["metadata"]["name"])

    def discard(self, path: str) -> None:
        self.left.remove(path.rpartition("/")[2])


def services(count: int, mute: str = "") -> tuple[Services, FakeKube]:
    """Services `s0`, `s1`, … of which one never answers."""
    kube = FakeKube()
    observer = FakeObserver(kube, mute)
    names = [f"s{at}" for at in range(count)]
    run = cast("RunContext", SimpleNamespace(cluster=kube, opt_in=lambda service: service))
    return Services(run, cast("ServiceObserver", observer), names, "web"), kube


def test_all_is_kept_of_each_service() -> None:
    """Each Service has its times, in the order of its name, and none of it is left in the cluster."""
    made, kube = services(20)

    assert made.make()
    made.unmake()
    times = made.times()
    assert kube.left == []
    for row in (times.created, times.assigned, times.arp, times.http, times.silent):
        assert row.shape == (20,)
        assert np.all((row >= 0) & (row < 5))
    assert times.values()["silent_p50_seconds"] == pytest.approx(0.1, abs=0.05)
    assert times.values()["seconds"] == pytest.approx(float(np.max(times.began + times.http)))


def test_what_never_answers_is_kept_as_such() -> None:
    """The slowest Service is not dropped, and all of it took for ever."""
    made, _ = services(20, mute="s7")

    assert not made.make()
    made.unmake()
    times = made.times()
    assert math.isnan(times.arp[7])
    assert times.values()["arp_p50_seconds"] is not None
    assert not [name for name in times.values() if "p99" in name]  # twenty Services have none
    assert times.values()["seconds"] is None


def test_a_large_burst_is_sampled_evenly() -> None:
    """A hundred of a thousand Services are asked by HTTP, from the first to the last."""
    made, _ = services(1000)

    assert made.make()
    made.unmake()
    times = made.times()
    assert (len(times.sampled), times.sampled[0], times.sampled[-1]) == (100, 0, 999)
    assert np.diff(times.sampled).max() <= 11
    assert (len(times.arp), len(times.http), len(times.silent)) == (1000, 100, 100)


def test_a_rate_is_not_exceeded() -> None:
    """The n-th does not begin before its time, and every one comes once."""
    began, done, lock = time.monotonic(), dict[int, float](), threading.Lock()

    def act(at: int) -> None:
        with lock:
            done[at] = time.monotonic() - began

    at_pace(range(10), act, 50)

    assert sorted(done) == list(range(10))
    assert all(moment >= at / 50 for at, moment in done.items())


def test_what_fails_ends_the_burst() -> None:
    """A refusal by the API server is an error of the trial and is raised."""

    def act(at: int) -> None:
        if at == 3:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        at_pace(range(1000), act, math.inf)


def test_the_arms_take_turns() -> None:
    """There and back again, so that a drift of the machine hits all alike."""
    one, other = cast("Any", "a"), cast("Any", "b")

    assert list(turns([one, other], 2)) == [(1, one), (1, other), (2, other), (2, one)]


@pytest.mark.parametrize("size", Size)
def test_every_case_has_a_name_of_its_own(size: Size) -> None:
    """No trial is taken for another's when a run goes on."""
    names = [case.name for setup in allocate.PLANS[size].setups for case in setup.cases]

    assert len(set(names)) == len(names) > 0


def test_the_ledger_is_measured_alone(tmp_path: Path) -> None:
    """Each size is a trial with every grant's time, the sizes there and back, and is not measured twice."""
    said: list[str] = []
    plan = allocator.AllocatorPlan(addresses=(64, 256), times=2, churn=50, work=256)
    context = BenchContext(
        labs=LabPool(None, print), store=ResultStore(tmp_path), arms=[cast("Any", FakeArm())], say=said.append
    )
    allocator.run(context, plan)
    allocator.run(context, plan)

    assert [trial.id.case for trial in context.store.trials] == ["64", "256", "256", "64"]
    for trial in context.store.trials:
        each = context.store.arrays(trial)["each"]
        assert len(each) == int(trial.id.case)
        assert trial.values["worst_seconds"] == each.max() > 0
        assert all(value and value > 0 for value in trial.values.values())


class FakeArm:
    """Has the reference's name, which is all that is asked of it."""

    name = "reference"


def test_other_arms_have_no_ledger_of_their_own_to_run(tmp_path: Path) -> None:
    """That it was not measured is said."""
    said: list[str] = []
    allocator.run(
        BenchContext(labs=LabPool(None, print), store=ResultStore(tmp_path), arms=[], say=said.append),
        allocator.BENCHMARK.plans[Size.QUICK],
    )

    assert "no other allocator" in said[0]
