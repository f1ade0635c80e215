"""`junit.xml` is what CI servers read, whatever an implementation answered."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from lbproof.report import junit, model

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.report.conftest import Sample, Story

XSD = etree.XMLSchema(etree.parse(Path(__file__).with_name("junit.xsd")))


def parsed(text: str) -> etree._Element:
    """The document, which is valid."""
    root = etree.fromstring(text.encode())
    XSD.assertValid(root)
    return root


def test_every_run_makes_a_valid_document(each: Sample) -> None:
    """Each case is there once, in the suite of its area."""
    run = model.read(each.folder)

    root = parsed(junit.of(run))

    names = [str(case.get("name")).split()[0] for case in root.iter("testcase")]
    assert sorted(names) == sorted(case.id for case in run.cases)
    assert [suite.get("name") for suite in root] == [area for area, _ in run.by_area]


def test_the_counts_are_those_of_the_cases(each: Sample) -> None:
    """A CI server adds nothing up itself: what stands there is what it shows."""
    root = parsed(junit.of(model.read(each.folder)))

    for group in (root, *root):
        for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            if group is not root or name != "skipped":
                assert int(str(group.get(name))) == len(list(group.iter(tag))), name
        assert int(str(group.get("tests"))) == len(list(group.iter("testcase")))


@pytest.mark.parametrize(
    ("name", "case", "tag", "message"),
    [
        ("failed", "L2-01", "failure", "one node answers for 192.168.172.170: not within 5 s"),
        ("error", "L2-01", "error", "before the check: 'x'"),
        ("interrupted", "L2-01", "error", "not reached: the run was killed"),
        ("untestable", "L2-01", "skipped", "untestable: kube-proxy runs in another mode: ipvs"),
        ("left-out", "L2-01", "skipped", "skipped: left out by --skip L2"),
        ("left-out", "L2-03", "skipped", "unsupported: l2-nonic not claimed"),
    ],
)
def test_a_verdict_has_its_element_and_its_reason(
    sample: Callable[[str], Sample], name: str, case: str, tag: str, message: str
) -> None:
    """A failure is the implementation's, an error the suite's or the lab's, and the rest was not judged."""
    root = parsed(junit.of(model.read(sample(name).folder)))

    (found,) = (e for e in root.iter("testcase") if str(e.get("name")).startswith(f"{case} "))

    assert [(child.tag, child.get("message")) for child in found] == [(tag, message)]


def test_a_failure_says_what_was_expected_and_observed(sample: Callable[[str], Sample]) -> None:
    """Below its reason, a line each; an error shows where it broke."""
    failed, broke = (parsed(junit.of(model.read(sample(name).folder))) for name in ("failed", "error"))

    texts = [failure.text for failure in failed.iter("failure")]
    assert "expected: one node answers for 192.168.172.170\nobserved: after 0.17 s: w01, w02" in texts
    assert str(broke.findtext(".//error")).startswith("Traceback (most recent call last):\n")


@settings(max_examples=60)
@given(st.text(st.characters(), max_size=40))
def test_any_text_makes_a_valid_document(begin: Callable[..., Story], text: str) -> None:
    """What came over the wire may be anything; what XML cannot hold is replaced."""
    story = begin("L2-01").judged("L2-01", "failed", reason=text, expected=text, observed=text)

    root = parsed(junit.of(model.of_events(story.rows)))

    (message,) = (str(e.get("message")) for e in root.iter("failure"))
    assert len(message) == len(text)
