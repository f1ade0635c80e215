"""All mutants, registered by the import of their modules."""

from tests.mutants import (
    allocation,
    announcing,
    authority,
    heartbeats,
    leaks,
    links,
    objects,
    reporting,
    second_reader,
    takeovers,
)
from tests.mutants.mutant import MUTANTS, Mutant
from tests.mutants.sentences import addresses, answering, moving, ownership, waiting

CAUGHT = {name: mutant for name, mutant in MUTANTS.items() if mutant.cases}
"""Mutants that cases must detect."""
UNCAUGHT = {name: mutant for name, mutant in MUTANTS.items() if mutant.uncaught}
"""Mutants that no case detects yet."""


def covering() -> set[str]:
    """Return names of mutants by which each case that must detect any detects one: those with the most new cases first.

    A greedy cover, the same for the same mutants.
    """
    missing = {case for mutant in CAUGHT.values() for case in mutant.cases}
    chosen = set[str]()
    while missing:
        best = max(CAUGHT.values(), key=lambda mutant: (len(missing.intersection(mutant.cases)), mutant.name))
        chosen.add(best.name)
        missing.difference_update(best.cases)
    return chosen


__all__ = [
    "CAUGHT", "MUTANTS", "UNCAUGHT", "Mutant",
    "addresses", "allocation", "announcing", "answering", "authority", "covering", "heartbeats", "leaks", "links",
    "moving", "objects", "ownership", "reporting", "second_reader", "takeovers", "waiting",
]  # fmt: skip
