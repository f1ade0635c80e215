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

__all__ = [
    "CAUGHT", "MUTANTS", "UNCAUGHT", "Mutant",
    "addresses", "allocation", "announcing", "answering", "authority", "heartbeats", "leaks", "links", "moving",
    "objects", "ownership", "reporting", "second_reader", "takeovers", "waiting",
]  # fmt: skip
