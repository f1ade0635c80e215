"""What a container image stands for: a program of this machine. Pure."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lbproof.lab.base import SYSTEM, Image
from lbproof.lab.common.image_names import matches

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_NGINX_CONF = str(Path(__file__).with_name("nginx.conf"))


def defaults(programs: Mapping[str, Path]) -> list[Image]:
    """The images that the lab knows by itself, of those whose program (component name → path) is there."""
    known = {
        "agnhost": [Image(pattern="*agnhost", program="", path="/agnhost", default_args=("pause",))],
        "nginx": [
            Image(
                pattern="nginx",
                program="",
                args=("-e", "stderr", "-c", _NGINX_CONF),
                default_args=("-g", "daemon off;"),
                binds=(*SYSTEM, _NGINX_CONF),
            )
        ],
        "metallb-controller": [Image(pattern="metallb/controller", program="", path="/controller")],
        "metallb-speaker": [Image(pattern="metallb/speaker", program="", path="/speaker")],
    }
    if "agnhost" in programs:
        known["agnhost"].append(Image(pattern="*pause", program="", path="/pause", args=("pause",)))
    return [
        replace(image, program=str(programs[component]))
        for component, images in known.items()
        if component in programs
        for image in images
    ]


def find(images: Iterable[Image], reference: str) -> Image | None:
    """The image that a reference means: the last one added that matches, or None."""
    return next((image for image in reversed(list(images)) if matches(image.pattern, reference)), None)
