"""`python -m tests.mutants NAME controller|speaker`: run the reference with one fault, as its image does."""

from __future__ import annotations

import sys

from tests.mutants.catalogue import MUTANTS

from lbproof_reference.__main__ import main

MUTANTS[sys.argv[1]].apply()
sys.exit(main(sys.argv[2:]))
