"""Image of the nodes, and loading of an implementation's images into them."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from lbproof.lab.base import LabError
from lbproof.lab.components import VERSIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lbproof.lab.kind.engine import Engine
    from lbproof.lab.kind.machines import Machine

PUBLISHED = f"kindest/node:v{VERSIONS['kindest-node']}"
"""Image that was released with this version of kind, by its digest."""
BUILT = f"lbproof/node:v{VERSIONS['kubernetes']}"
"""Image that `kind-configs/node-image/build` loads."""


def of_nodes(engine: Engine, given: str, progress: Callable[[str], None]) -> str:
    """Return the image of the nodes: the given one, else the published one, else the built one; report which.

    Raises `LabError` when the engine has none and can pull none.
    """
    if given:
        _have(engine, given, progress)
        progress(f"node image: {given} (given)")
        return given
    try:
        image = published(engine, progress)
    except LabError as error:
        if not engine.has_image(BUILT):
            raise LabError(
                f"no node image: {error}; and {BUILT} has not been built: `make kind-image` in a checkout of lbproof"
            ) from None
        progress(f"node image: {BUILT} (built; the published one cannot be pulled)")
        return BUILT
    progress(f"node image: {image} (published)")
    return image


def published(engine: Engine, progress: Callable[[str], None]) -> str:
    """Pull the published image if the engine lacks it; return it. Raises `LabError` when it cannot be pulled."""
    _have(engine, PUBLISHED, progress)
    return PUBLISHED


def _have(engine: Engine, image: str, progress: Callable[[str], None]) -> None:
    if engine.has_image(image):
        return
    progress(f"pulling {image}")
    try:
        engine.run("pull", "--quiet", image)
    except LabError as error:
        raise LabError(f"{image} is not in the engine and cannot be pulled ({error})") from None


def bring(
    references: Iterable[str],
    *,
    engine: Engine,
    load: Callable[[str], None],
    worker: Machine,
    progress: Callable[[str], None],
) -> None:
    """Load the images that manifests name from the engine into every node; let a node pull those that are in neither.

    Raises `LabError` with the image's name when it is unavailable.
    """
    for reference in dict.fromkeys(references):
        if engine.has_image(reference):
            progress(f"loading {reference} into the nodes")
            load(reference)
        elif not _on(worker, "inspecti", reference):
            progress(f"pulling {reference} on {worker.name}")
            if not _on(worker, "pull", reference):
                raise LabError(
                    f"image {reference} is neither in the Docker engine nor in the nodes, and cannot be pulled: "
                    "`docker load` or `docker build` it first (the reference's: make reference-image)"
                )


def _on(worker: Machine, verb: str, reference: str) -> bool:
    inside = ["nsenter", f"--target={worker.pid}", "--mount", "--net", "--pid", "--", "crictl", verb, reference]
    return subprocess.run(inside, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0
