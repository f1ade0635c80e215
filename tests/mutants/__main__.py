"""`python -m tests.mutants NAME controller|speaker`: run the reference with one fault, as its image does.

Without arguments: list the mutants, each with the cases that detect it or the reason why none does yet.
"""

from __future__ import annotations

import sys

import lbproof_reference.no_console  # noqa: F401 - before any other

# isort: split
from tests.mutants.catalogue import MUTANTS

from lbproof_reference.__main__ import main

if not sys.argv[1:]:
    for mutant in MUTANTS.values():
        print(f"{mutant.name}: {' '.join(mutant.cases) or f'uncaught: {mutant.uncaught}'}")  # noqa: T201 - the output
    sys.exit(0)
MUTANTS[sys.argv[1]].apply()
sys.exit(main(sys.argv[2:]))
