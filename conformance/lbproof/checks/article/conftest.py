"""The article's scene, made when its first claim is judged and removed after its last."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lbproof.checks.article.scene import ADDRESS, Scene
from lbproof.spec import Untestable
from lbproof.stage import CannotShow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lbproof.stage import Ground


@pytest.fixture(scope="package")
def scene(ground: Ground) -> Iterator[Scene]:
    """The article's cluster: its Deployment and its pool."""
    if ADDRESS not in ground.lab.segment.reserved:
        raise CannotShow(Untestable.NO_FREE_ADDRESS, f"the article's pool is not of {ground.lab.segment.subnet}")
    made = Scene(ground)
    yield made
    made.close()
