"""Fixture for the article's objects, created for its first claim and removed after its last."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lbproof.checks.article.scene import POOL, Scene

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lbproof.context import RunContext


@pytest.fixture(scope="package")
def scene(run: RunContext) -> Iterator[Scene]:
    """The article's cluster: its Deployment and its pool, where the pool's addresses are free."""
    with run.reserved(POOL):
        made = Scene(run)
        yield made
        made.close()
