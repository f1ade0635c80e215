"""An implementation that is wrong in one way fails what it breaks; one that is right in another way passes all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.mutants.runs import CLEAN, WHOLE_SECONDS, judged
from tests.mutants.variants import VARIANTS

from lbproof.spec.requirements import case_of

if TYPE_CHECKING:
    from pathlib import Path

EVERY_NODE_ANSWERS = {
    "L2-01": "exactly one node answers",
    "TIER-06d": "packets to an unused port do not loop: nodes that answer pass them on to each other",
    "FAIL-02": "when an announcer is killed, the old node answers nothing more",
    "FAIL-04": "after a move and a return exactly one node answers",
    "FAIL-05": "when the cable is back exactly one node answers",
    **dict.fromkeys(("FAIL-06a", "FAIL-06b", "FAIL-06c", "FAIL-06d"), "after a node was half alive one node answers"),
    **dict.fromkeys(("FAIL-09a", "FAIL-09d"), "one node answers while and after Kubernetes says that a node is away"),
    "FAIL-11a": "for each address of the subnet one node answers",
    "SHARE-05": "a shared address is answered for by one node",
    "ARTICLE-16": "the address lives on one node",
    "ARTICLE-20": "exactly one node owns the address",
}
"""Case that an implementation breaks by answering on every node → what is broken of its sentence."""


@pytest.mark.timeout(WHOLE_SECONDS + 20)
def test_an_implementation_where_every_node_answers_fails_what_it_breaks(tmp_path: Path) -> None:
    """All other cases pass, or are untestable because they need one announcer."""
    found = judged("tests.mutants.adapter:two_announcers", [], tmp_path, limit=WHOLE_SECONDS)

    assert {
        case_of(name) for name, verdict in found.verdicts.items() if verdict == "failed"
    } == EVERY_NODE_ANSWERS.keys()
    assert {case for case, verdict in found.verdicts.items() if verdict == "error"} == set()
    assert found.code == 1


@pytest.mark.timeout(WHOLE_SECONDS + 20)
@pytest.mark.parametrize("variant", VARIANTS)
def test_what_no_requirement_says_is_left_to_the_implementation(tmp_path: Path, variant: str) -> None:
    """A variant of the reference that keeps every promise passes all cases that it claims."""
    found = judged(f"tests.mutants.adapter:{variant.replace('-', '_')}", [], tmp_path, limit=WHOLE_SECONDS)

    assert {case: verdict for case, verdict in found.verdicts.items() if verdict not in CLEAN} == {}
    assert found.code == 0
