"""What does a planned move cost? Orderly stops of the announcer, as each upgrade makes, by the ruler.

A move can cost nothing if the successor answers and announces before the one that leaves is silent, and the node that
it leaves goes on forwarding what still comes to it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lbproof_perf import failover
from lbproof_perf.bench import Size

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lbproof_perf.bench import Hands

NAME = "moves"
QUESTION = "What does a planned move cost?"
CASES = ("planned", "excluded")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How many moves of which kind, of each arm."""

    cases: Mapping[str, int] = field(default_factory=dict)


PLANS: Mapping[Size, Plan] = {
    Size.QUICK: Plan(cases={"planned": 1}),
    Size.FULL: Plan(cases={"planned": 20, "excluded": 2}),
    Size.NIGHTLY: Plan(cases=dict.fromkeys(CASES, 50)),
}


def run(hands: Hands, plan: Plan) -> None:
    """Make the trials that are not there yet. Raises `LabError` when a lab cannot be had."""
    counts = {
        (arm.name, case): count
        for arm in hands.arms
        if arm.name not in failover.CONTROLS
        for case, count in plan.cases.items()
    }
    todo = [step for step in failover.spread(counts, NAME) if not hands.book.has(step)]
    failover.together(hands, hands.company, todo)
    for arm, case in counts:
        trials = hands.book.of(NAME, arm, case)
        lost, sent = (sum(trial.values[name] or 0 for trial in trials) for name in ("lost", "sent"))
        hands.say(f"{NAME}: {arm} {case}: {lost:.0f} of {sent:.0f} requests lost in {len(trials)} moves")
