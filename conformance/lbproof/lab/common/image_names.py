"""Names of container images, as the `pattern` of an `Image` means them. Pure."""

from __future__ import annotations

from fnmatch import fnmatchcase


def repository(reference: str) -> str:
    """The name in an image reference, without registry, tag and digest, and without Docker Hub's `library/`."""
    name = reference.partition("@")[0]
    if ":" in name.rpartition("/")[2]:
        name = name.rpartition(":")[0]
    first, slash, rest = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        name = rest
    return name.removeprefix("library/")


def matches(pattern: str, reference: str) -> bool:
    """Whether a reference means an image with a pattern."""
    return fnmatchcase(repository(reference), pattern)
