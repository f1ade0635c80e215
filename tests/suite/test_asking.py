"""Questions again and again, and frames that are changed at random: what is computed of them, without a wire."""

from __future__ import annotations

import random

import pytest

from lbproof.probe.tasks.flood import changed_frames
from lbproof.witnesses.asking import longest_gap

GOOD = bytes(range(42))
KEPT = slice(28, 32)


def test_the_longest_time_without_an_answer_has_an_end_at_both_moments() -> None:
    """Answers before and after do not count; without any the whole time is silent."""
    assert longest_gap([0.5, 1.5, 1.6, 3.0, 9.0], 1.0, 4.0) == pytest.approx(1.4)
    assert longest_gap([1.1], 1.0, 4.0) == pytest.approx(2.9)
    assert longest_gap([], 1.0, 4.0) == pytest.approx(3.0)
    assert longest_gap([0.5], 5.0, 4.0) == 0


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
