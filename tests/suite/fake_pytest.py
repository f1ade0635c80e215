"""`pytest -p fake_pytest` has the fake lab: for tests of checks under plain pytest."""

from __future__ import annotations

from fake_lab import patch  # type: ignore[import-not-found]

patch()
