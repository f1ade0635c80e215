"""All mutants, registered by the import of their modules."""

from tests.mutants import allocation, announcing, authority, heartbeats, leaks, links, objects, reporting, takeovers
from tests.mutants.mutant import MUTANTS, Mutant

CAUGHT = {name: mutant for name, mutant in MUTANTS.items() if mutant.cases}
"""Mutants that cases must detect."""
UNCAUGHT = {name: mutant for name, mutant in MUTANTS.items() if mutant.uncaught}
"""Mutants that no case detects yet."""

__all__ = [
    "CAUGHT", "MUTANTS", "UNCAUGHT", "Mutant",
    "allocation", "announcing", "authority", "heartbeats", "leaks", "links", "objects", "reporting", "takeovers",
]  # fmt: skip
