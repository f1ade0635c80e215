"""A kind lab with one worker for the tests that need one; without a Docker engine they say why they did not run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lbproof.lab import registry
from lbproof.lab.base import LabError, Topology
from lbproof.lab.kind import images
from lbproof.lab.kind.engine import Engine, NoEngineError
from lbproof.lab.kind.provider import KindProvider
from lbproof.lab.provider import LabRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lbproof.lab.kind.lab import KindLab


@pytest.fixture(scope="session")
def engine() -> Engine:
    """The Docker engine of this machine."""
    try:
        return Engine.find()
    except NoEngineError as error:
        pytest.skip(f"{error}: tools/with-engine brings one")


@pytest.fixture(scope="session")
def node_image(engine: Engine) -> str:
    """The image that nodes are made of."""
    try:
        return images.of_nodes(engine, "", print)
    except LabError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def reference_image(engine: Engine) -> str:
    """The reference's image, by the name in its manifests."""
    image = "lbproof/reference:dev"
    if not engine.has_image(image):
        pytest.skip(f"{image} is not in the engine: make reference-image")
    return image


@pytest.fixture(scope="package")  # it is gone before the other folders' tests
def lab(engine: Engine, node_image: str) -> Iterator[KindLab]:
    """A running cluster: a control plane and two workers."""
    topology = Topology(workers=2, node_grace=8)
    request = LabRequest(name=registry.free_name("kind"), topology=topology, options={"node_image": node_image})
    made, _ = KindProvider().boot(request, print, lifeline=True)
    yield made
    made.down()
    assert not engine.containers(f"dev.lbproof.lab={made.name}")
