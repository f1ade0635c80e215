"""The election under any faults: Hypothesis chooses them, and `model.py` judges.

A long run: `python -m tests.reference.model --seconds 600 --seed 1`.
"""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from tests.reference.model import ADDRESSES, BOUNDS, FAULTS, STATIONS, Model
from tests.reference.simulated import DEAD_INTERVAL

from lbproof_reference.speaker.segment import PATIENCE


class Election(RuleBasedStateMachine):
    """A segment with five stations to which anything happens."""

    @initialize(seed=st.integers(0, 2**32))
    def start(self, seed: int) -> None:
        """Start all stations together."""
        self.model = Model(seed)
        self.model.run(1)

    @rule(fault=st.sampled_from(FAULTS), seconds=st.sampled_from((0.01, 0.1, 0.3, 1.0)))
    def inject(self, fault: str, seconds: float) -> None:
        """Inject a fault, and let some time pass."""
        self.model.inject(fault)
        self.model.run(seconds)

    def teardown(self) -> None:
        """Let everything settle."""
        if hasattr(self, "model"):
            self.model.run(2)


TestElection = Election.TestCase
TestElection.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)


def test_a_station_that_waits_in_vain_breaks_no_bound() -> None:
    """An announcer that loses the subnet answers until all four others, which do not know the address, are passed over.

    That is longer than the bound without them.
    """
    model, address = Model(), ADDRESSES[0]
    model.run(1)
    (announcer,) = model.lan.answering(address)
    successors = [station for station in STATIONS if station != announcer]
    for station in successors:
        model.inject("lose_list", station, address)
    model.inject("lose_subnet", announcer)
    model.run(len(successors) * PATIENCE * DEAD_INTERVAL + 1)

    assert BOUNDS["elsewhere"] < model.worst["elsewhere"]
    assert model.lan.answering(address) == []
