"""Mutants by hand: `python -m tests.mutants …`.

Without arguments: list them, each with the cases that detect it or the reason why none does yet.
`--update [NAME…]`: run these mutants, or those with a row of the matrix that is missing or out of date, and write their
rows; further options are pytest's, such as `--mutant-labs 1`.
`NAME controller|speaker`: run the reference with one fault, or a variant of it, as its image does.
"""

from __future__ import annotations

import sys

import lbproof_reference.no_console  # noqa: F401 - before any other

# isort: split
from tests.mutants.catalogue import MUTANTS
from tests.mutants.variants import VARIANTS

from lbproof_reference.__main__ import main

if not sys.argv[1:]:
    for mutant in MUTANTS.values():
        print(f"{mutant.name}: {' '.join(mutant.cases) or f'uncaught: {mutant.uncaught}'}")  # noqa: T201 - the output
    sys.exit(0)
if sys.argv[1] == "--update":
    from tests.mutants.update import update  # a pod that runs a fault needs none of it

    update(sys.argv[2:])
    sys.exit(0)
(MUTANTS | VARIANTS)[sys.argv[1]].apply()
sys.exit(main(sys.argv[2:]))
