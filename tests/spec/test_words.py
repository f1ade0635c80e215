"""Verdicts form a lattice, and the conclusion of a run follows from them alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbproof.spec import Conclusion, Level, Verdict, conclude, worst

MUST, SHOULD, MAY, INFO = Level.MUST, Level.SHOULD, Level.MAY, Level.INFO
VERDICTS = st.lists(st.sampled_from(list(Verdict)), min_size=1)


@given(VERDICTS, VERDICTS)
def test_a_whole_is_as_bad_as_its_worst_part(one: list[Verdict], other: list[Verdict]) -> None:
    """It does not matter how the parts are grouped or ordered."""
    assert worst([*one, *other]) is worst([worst(other), worst(one)])
    assert worst(one) in one


def test_nothing_to_judge_by_is_an_error() -> None:
    """A requirement with no verdict at all is never taken for passed."""
    assert worst([]) is Verdict.ERROR


def test_a_proven_failure_outweighs_an_error() -> None:
    """What was shown of an implementation stands, whatever else broke in the same requirement."""
    assert worst([Verdict.FAILED, Verdict.ERROR, Verdict.PASSED]) is Verdict.FAILED
    assert conclude([(MUST, worst([Verdict.FAILED, Verdict.ERROR]))]) is Conclusion.NOT_CONFORMANT


@pytest.mark.parametrize(
    ("verdicts", "conclusion"),
    [
        ([(MUST, Verdict.PASSED), (SHOULD, Verdict.FAILED)], Conclusion.CONFORMANT),
        ([(MUST, Verdict.PASSED), (MUST, Verdict.FAILED)], Conclusion.NOT_CONFORMANT),
        ([(MUST, Verdict.FAILED), (MUST, Verdict.ERROR)], Conclusion.NOT_CONFORMANT),
        ([(MAY, Verdict.FAILED)], Conclusion.NOT_CONFORMANT),
        ([(MAY, Verdict.UNSUPPORTED), (MUST, Verdict.PASSED)], Conclusion.CONFORMANT),
        ([(MUST, Verdict.UNTESTABLE)], Conclusion.INCONCLUSIVE),
        ([(MUST, Verdict.SKIPPED)], Conclusion.INCONCLUSIVE),
        ([(SHOULD, Verdict.UNTESTABLE), (MUST, Verdict.PASSED)], Conclusion.CONFORMANT),
        ([(SHOULD, Verdict.ERROR), (MUST, Verdict.PASSED)], Conclusion.INCONCLUSIVE),
        ([(INFO, Verdict.PASSED)], Conclusion.CONFORMANT),
        ([], Conclusion.INCONCLUSIVE),
    ],
)
def test_the_conclusion_of_a_run(verdicts: list[tuple[Level, Verdict]], conclusion: Conclusion) -> None:
    """What binds decides; a failure outweighs what is unknown, and what is unknown outweighs what passed."""
    assert conclude(verdicts) is conclusion


@given(
    st.sampled_from(list(Verdict)),
    st.lists(st.tuples(st.sampled_from(list(Level)), st.sampled_from(list(Verdict))), min_size=1),
)
def test_what_is_measured_changes_no_conclusion(verdict: Verdict, others: list[tuple[Level, Verdict]]) -> None:
    """Whatever became of it: what is not judged neither fails a run nor makes it inconclusive."""
    assert conclude([(INFO, verdict), *others]) is conclude(others)


@pytest.mark.parametrize(
    ("level", "conclusion"),
    [(MUST, "inconclusive"), (MAY, "inconclusive"), (SHOULD, "conformant"), (INFO, "conformant")],
)
def test_what_passed_only_on_a_second_look_is_not_clean(level: Level, conclusion: str) -> None:
    """Where it binds, the run is inconclusive; a violation of another case decides as always."""
    passed = [(level, Verdict.PASSED), (MUST, Verdict.PASSED)]

    assert conclude(passed, flaky=[level]) == conclusion
    assert conclude([*passed, (MUST, Verdict.FAILED)], flaky=[level]) is Conclusion.NOT_CONFORMANT
