"""Put the checkout on the import path for the helpers next to the tests, and disable Hypothesis' deadline."""

from __future__ import annotations

import sys
from pathlib import Path

from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parents[2]))
settings.register_profile("reference", deadline=None)
settings.load_profile("reference")
