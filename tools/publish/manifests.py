"""The reference's manifests as one file, installable by `kubectl apply -f`, that names an image by its digest.

    python tools/publish/manifests.py IMAGE         print the file for IMAGE (`registry/name@sha256:…`)
    python tools/publish/manifests.py --check FILE  refuse a file with an image that has no digest

A tag can be moved after a release, so a release never names one. The manifests in the repository name the image that
`make reference-image` builds; they are for development.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import yaml

from lbproof.context.manifests import images_of

SOURCES = Path(__file__).parents[2] / "reference/manifests"
DEVELOPMENT = "lbproof/reference:dev"
PINNED = re.compile(r"[a-z0-9][a-z0-9._/:-]*@sha256:[0-9a-f]{64}")


def main(arguments: list[str]) -> int:
    """Return 0; 64 for wrong arguments, 65 and one line when an image has no digest."""
    try:
        match arguments:
            case ["--check", file]:
                check(Path(file).read_text(encoding="utf-8"), file)
            case [image] if not image.startswith("-"):
                print(release(image), end="")  # noqa: T201 - a command
            case _:
                print("usage: manifests.py IMAGE | --check FILE", file=sys.stderr)  # noqa: T201 - a command
                return 64
    except ValueError as error:
        print(f"manifests: {error}", file=sys.stderr)  # noqa: T201 - a command
        return 65
    return 0


def release(image: str) -> str:
    """Return the manifests with `image` in place of the development image, in the order of their file names.

    Raises `ValueError` when an image in them has no digest.
    """
    _refuse([image], "the release")  # first: a comment in YAML could hide what follows
    texts = [path.read_text(encoding="utf-8").strip("\n") for path in sorted(SOURCES.glob("*.yaml"))]
    text = "\n---\n".join(texts).replace(f"image: {DEVELOPMENT}\n", f"image: {image}\n") + "\n"
    check(text, "the release")
    return text


def check(text: str, where: str) -> None:
    """Raise `ValueError` that names each image of `text` without a digest, or says that there is no image."""
    images = images_of(made for made in yaml.safe_load_all(text) if made)
    if not images:
        raise ValueError(f"{where} names no image")
    _refuse(images, where)


def _refuse(images: list[str], where: str) -> None:
    loose = [image for image in images if not PINNED.fullmatch(image)]
    if loose:
        raise ValueError(f"{where} names {', '.join(loose)}; allowed is an image with its digest, NAME@sha256:…")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
