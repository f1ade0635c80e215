"""Questions again and again, and frames that are changed at random: what is computed of them, without a wire."""

from __future__ import annotations

import random

import pytest

from lbproof.probe.tasks.flood import changed_frames
from lbproof.witnesses.asking import longest_silence

GOOD = bytes(range(42))
KEPT = slice(28, 32)


def test_a_silence_lasts_from_a_question_to_the_next_answer() -> None:
    """Questions before the first moment do not count; without an answer it lasts to the last moment."""
    asked = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]

    assert longest_silence(asked, [0.1, 1.1, 3.2, 4.1, 5.1], 0.5, 6.0) == pytest.approx(1.2)
    assert longest_silence(asked, [0.1], 0.5, 6.0) == pytest.approx(5.0)
    assert longest_silence(asked, [t + 0.1 for t in asked], 0.5, 6.0) == pytest.approx(0.1)
    assert longest_silence([], [], 0.5, 6.0) == 0


def test_questions_that_leave_late_are_no_silence() -> None:
    """The probe stood still for two seconds: nobody was asked."""
    asked = [0.0, 0.1, 2.1, 2.2]

    assert longest_silence(asked, [t + 0.01 for t in asked], 0.0, 3.0) == pytest.approx(0.01)


def test_changed_frames_are_from_the_seed_and_spare_header_and_sender() -> None:
    """They are cut, longer, of other bytes; and the same for the same seed."""
    made, again = (changed_frames(random.Random(7), [GOOD], KEPT) for _ in range(2))  # noqa: S311 - no secret
    frames = [next(made) for _ in range(2000)]

    assert frames == [next(again) for _ in range(2000)]
    assert all(frame[:14] == GOOD[:14] for frame in frames)
    assert all(frame[KEPT] == GOOD[KEPT][: len(frame[KEPT])] for frame in frames)
    lengths = {len(frame) for frame in frames}
    assert min(lengths) < len(GOOD) < max(lengths)
    assert len({frame for frame in frames if len(frame) == len(GOOD)}) > 100
