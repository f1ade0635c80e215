"""Names of classes that are nearly another one."""

from __future__ import annotations

import re

import pytest

from lbproof.context.classes import similar_classes

LAST = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
PREFIX = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "lbproof.dev/reference",
            [
                "lbproof.dev/reference-2",
                "xlbproof.dev/reference",
                "lbproof.dev/reference"[:-1],
                "reference",
                "lbproof.dev/REFERENCE",
            ],
        ),
        ("acme", ["acme-2", "xacme", "acm", "ACME"]),
        (
            "acme.example/Lb-1",
            ["acme.example/Lb-1-2", "xacme.example/Lb-1", "acme.example/Lb", "Lb-1", "acme.example/lb-1"],
        ),
        ("a.b/1", ["a.b/1-2", "xa.b/1", "1"]),
    ],
)
def test_similar_classes_are_others_that_kubernetes_accepts(name: str, expected: list[str]) -> None:
    """As qualified names: an optional prefix in small letters, and a name."""
    assert similar_classes(name) == expected
    for one in expected:
        prefix, slash, last = one.rpartition("/")
        assert LAST.fullmatch(last)
        assert not slash or PREFIX.fullmatch(prefix)
