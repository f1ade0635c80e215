"""Fixture for the article's objects, created for its first claim and removed after its last."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lbproof.checks.article.scene import ADDRESS, Scene
from lbproof.context import CannotShow
from lbproof.spec import Untestable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lbproof.context import RunContext


@pytest.fixture(scope="package")
def scene(run: RunContext) -> Iterator[Scene]:
    """The article's cluster: its Deployment and its pool."""
    if ADDRESS not in run.lab.segment.reserved:
        raise CannotShow(Untestable.NO_FREE_ADDRESS, f"the article's pool is not of {run.lab.segment.subnet}")
    made = Scene(run)
    yield made
    made.close()
