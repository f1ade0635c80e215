"""All mutants, registered by the import of their modules."""

from tests.mutants import allocation, announcing, reporting
from tests.mutants.mutant import MUTANTS, Mutant

__all__ = ["MUTANTS", "Mutant", "allocation", "announcing", "reporting"]
