"""`python -m mutants NAME controller|speaker`: the reference with one fault, as its image would run it."""

from __future__ import annotations

import sys

from lbproof_reference.__main__ import main
from mutants.broken import MUTANTS

MUTANTS[sys.argv[1]].apply()
sys.exit(main(sys.argv[2:]))
