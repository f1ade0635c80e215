"""An image that a netns lab has no program for is told before anything is applied, not by a pod that never starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from lbproof.lab.base import Image, LabError
from lbproof.lab.netns import rpc
from lbproof.lab.netns.lab import NetnsLab

if TYPE_CHECKING:
    from pathlib import Path


class _Lab(NetnsLab):
    """Lab without a supervisor."""

    def __init__(self, state: Path) -> None:
        self.state = state

    _socket = property(lambda self: self.state / "socket")


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NetnsLab:
    """A lab that knows the image `nginx` by itself."""

    def call(_path: Path, _command: str, images: list[dict[str, Any]]) -> list[str]:
        return sorted({"nginx", *(image["pattern"] for image in images)})

    monkeypatch.setattr(rpc, "call", call)
    return _Lab(tmp_path)


def test_an_image_without_a_program_is_named(lab: NetnsLab) -> None:
    """With the images that are known, and what to do."""
    with pytest.raises(LabError) as caught:
        lab.bring_images(
            ["docker.io/library/nginx:1.27", "quay.io/acme/agent:v1", "acme/server@sha256:00"],
            lambda: [Image(pattern="acme/agent", program="/bin/true")],
        )

    assert str(caught.value) == (
        "this lab runs programs, not images, and has none for acme/server@sha256:00; it knows acme/agent, nginx: "
        "name its program in the adapter's images(), or use --provider kind"
    )


def test_images_with_programs_are_accepted(lab: NetnsLab) -> None:
    """By patterns too."""
    lab.bring_images(["registry.k8s.io/acme/agent:v1"], lambda: [Image(pattern="acme/*", program="/bin/true")])
