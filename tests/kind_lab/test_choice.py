"""Which engine, which node image, and which images for the implementation; with a fake engine, for what it answers."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, cast

import pytest

from lbproof.lab.base import LabError
from lbproof.lab.kind import images
from lbproof.lab.kind.engine import Engine, NoEngineError

if TYPE_CHECKING:
    from pathlib import Path


class FakeEngine:
    """Holds images by name, and can pull what it is told that it can."""

    def __init__(self, *here: str, pulls: tuple[str, ...] = ()) -> None:
        self.here, self.pulls = set(here), pulls

    def has_image(self, reference: str) -> bool:
        return reference in self.here

    def run(self, *arguments: str) -> str:
        verb, *_, image = arguments
        if verb != "pull" or image not in self.pulls:
            raise LabError("no route to the registry")
        self.here.add(image)
        return image


def chosen(engine: FakeEngine, given: str = "") -> tuple[str, str]:
    """The node image for an engine, and the last thing that was said."""
    said: list[str] = []
    return images.of_nodes(cast("Engine", engine), given, said.append), said[-1]


def test_a_given_image_comes_first() -> None:
    """Also before a published one that is there."""
    engine = FakeEngine(images.PUBLISHED, images.BUILT, "mine:1")

    assert chosen(engine, "mine:1") == ("mine:1", "node image: mine:1 (given)")


def test_a_given_image_that_cannot_be_had_is_an_error() -> None:
    """Nothing else is taken in its place."""
    with pytest.raises(LabError, match=r"mine:1 is not in the engine and cannot be pulled \(no route"):
        chosen(FakeEngine(images.PUBLISHED), "mine:1")


def test_the_published_image_is_pulled() -> None:
    """And preferred to the one that was built."""
    engine = FakeEngine(images.BUILT, pulls=(images.PUBLISHED,))

    assert chosen(engine) == (images.PUBLISHED, f"node image: {images.PUBLISHED} (published)")


def test_the_built_image_is_taken_where_nothing_can_be_pulled() -> None:
    """It says so."""
    image, said = chosen(FakeEngine(images.BUILT))

    assert image == images.BUILT
    assert said.endswith("(built; the published one cannot be pulled)")


def test_no_image_at_all_says_how_to_get_one() -> None:
    """One line, with the command."""
    with pytest.raises(LabError, match="has not been built: `make kind-image` in a checkout of lbproof"):
        chosen(FakeEngine())


def test_an_engine_elsewhere_is_refused() -> None:
    """A lab enters the namespaces of its containers, so they must be processes of this machine."""
    with pytest.raises(LabError, match=r"tcp://10\.0\.0\.1:2375 is not on this machine"):
        Engine.find("tcp://10.0.0.1:2375")


def test_no_engine_is_told_from_one_that_refuses(tmp_path: Path) -> None:
    """`clean` goes on without an engine, but not when one refuses to remove something."""
    with pytest.raises(NoEngineError, match=r"no Docker engine answers at .*none\.sock"):
        Engine.find(f"unix://{tmp_path}/none.sock")
    deaf = socket.socket(socket.AF_UNIX)
    deaf.bind(str(tmp_path / "deaf.sock"))
    with pytest.raises(NoEngineError, match="Connection refused"):
        Engine.find(f"unix://{tmp_path}/deaf.sock")
    deaf.close()


def test_docker_itself_may_be_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Then there is nothing to ask."""
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(NoEngineError, match="no `docker` on PATH"):
        Engine.find()
