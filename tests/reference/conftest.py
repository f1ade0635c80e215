"""Put the checkout on the import path, so that tests can import the helpers next to them."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
