"""The pictures show what was measured: every value, every lost probe, and no more than the values can tell."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.report import contrast

from lbproof.report import svg
from lbproof.report.svg import Scale
from lbproof_perf import report
from lbproof_perf.report import plots, timeline
from lbproof_perf.results import Trial, TrialId

_TIMES = st.lists(st.floats(1e-6, 1e3) | st.just(math.inf) | st.just(0.0), min_size=1, max_size=60)


def _numbers(text: str) -> list[float]:
    return [float(found) for found in re.findall(r'(?<![\w.])-?\d+\.?\d*(?=[ "LMh])', text)]


@given(_TIMES)
def test_any_values_can_be_drawn(values: list[float]) -> None:
    """Zero, one and infinite values included; the result is well-formed and holds no NaN."""
    lane = plots.Lane(name="a<b", tone="arm0", values=values)
    line = plots.Line(name="a<b", tone="arm0", points=plots.percentile_points(values))
    slope = plots.Line(name="a<b", tone="arm0", points=list(enumerate(values)))
    for picture in (
        plots.strips([lane], name="seconds", title="x & y"),
        plots.shares([lane], name="seconds", title="x & y"),
        plots.percentiles([line], name="seconds", title="x & y"),
        plots.slopes([slope], across="n", per=1000, name="rest_controller_bytes", title="x & y"),
    ):
        ET.fromstring(picture)  # noqa: S314 - our own text
        assert "nan" not in picture
        assert "inf" not in picture


def test_every_value_is_a_dot_and_the_lost_are_counted() -> None:
    """Nothing is left out of a strip."""
    lane = plots.Lane(name="a", tone="arm0", values=[0.1, 0.2, 0.3, math.inf])
    picture = plots.strips([lane], name="seconds", title="t")

    assert picture.count("h0") == 3
    assert "1 never" in picture


def test_a_percentile_ends_where_its_values_end() -> None:
    """A hundred values say nothing about p99.9."""
    points = plots.percentile_points([float(value) for value in range(1, 101)])

    assert points[49] == (2.0, 50.0)
    assert points[98] == (100.0, 99.0)
    assert max(turns for turns, _ in points) == 100.0


def test_a_histogram_has_the_percentiles_of_its_values() -> None:
    """Buckets that nothing fell into are no points."""
    assert plots.histogram_points([1, 2, 3, 4], [50, 0, 40, 10]) == [(2.0, 1.0), (10.0, 3.0), (100.0, 4.0)]
    assert plots.histogram_points([1.0], [0]) == []


@given(st.floats(1e-9, 1e9), st.floats(1.001, 1e6))
def test_a_log_scale_keeps_order_and_ends(low: float, factor: float) -> None:
    """Both ends lie where they should; what is outside is drawn at the nearer end."""
    scale = svg.Scale(low=low, high=low * factor, begin=10, end=110, log=True)

    assert scale.at(low) == pytest.approx(10)
    assert scale.at(low * factor) == pytest.approx(110)
    assert scale.at(low * math.sqrt(factor)) == pytest.approx(60)
    assert scale.at(0) == pytest.approx(10)
    assert all(low * 0.99 <= tick <= low * factor * 1.01 for tick in scale.ticks())


def test_ticks_of_bytes_are_round_in_mebibytes() -> None:
    """A reader sees 20 MiB, not 19.1."""
    assert svg.linear([9e7], 0, 100, unit=2.0**20).ticks(5) == [at * 20 * 2**20 for at in range(5)]


@given(st.lists(st.tuples(st.floats(0, 500), st.floats(0, 200)), max_size=300))
def test_a_thinned_line_has_the_same_ends_and_stays_near(points: list[tuple[float, float]]) -> None:
    """What is left out lies nearer to what is kept than the eye can see."""
    kept = svg.thinned(points)

    assert set(kept) <= set(points)
    assert kept[:1] == points[:1]
    assert kept[-1:] == points[-1:]
    assert all(min(math.dist(point, other) for other in kept) < 0.5 for point in points)


@given(st.lists(st.floats(0, 200), min_size=1, max_size=8))
def test_no_label_covers_another(places: list[float]) -> None:
    """Names beside a picture can all be read."""
    moved = sorted(at for at, _ in svg.spread([(at, "x") for at in places], 15, 0, 200))

    assert all(after - before >= 15 - 1e-6 for before, after in pairwise(moved))


def test_a_single_lost_probe_is_seen_in_an_hour_of_answers() -> None:
    """The worst of a column is drawn, however many were well."""
    scale = svg.Scale(low=0.0, high=3600.0, begin=0, end=700, log=False)
    at = np.arange(0.0, 3600.0, 0.01)
    lost = np.zeros(len(at), dtype=bool)
    lost[123_456] = True

    assert [state for _, _, state in timeline.columns(scale, at, lost)] == [0, 1, 0]


def _outage(**changed: object) -> dict[str, np.ndarray]:
    due = np.arange(0.0, 2.0, 0.001)
    made: dict[str, object] = {
        "udp_due": due,
        "udp_answered": np.where((due >= 0.5) & (due < 0.7), np.nan, due),
        "census_due": due[::10],
        "census_who": np.where(due[::10] < 0.5, 0, 1),
        "census_count": np.ones(200, dtype=int),
        "fault_at": np.array(0.5),
    }
    return {name: np.asarray(value) for name, value in (made | changed).items() if value is not None}


def _trial(**values: float | None) -> Trial:
    told = {"first_answer_seconds": 0.2, "steady_seconds": 0.21, "detect_seconds": 0.15, "announce_seconds": None}
    return Trial(id=TrialId(bench="failover", arm="reference", case="power-cut"), values=told | values)


def test_an_outage_shows_its_fault_lost_probes_and_parts() -> None:
    """Shaded, red and coloured; a part that did not come about is left out."""
    picture = timeline.outage(_trial(), _outage(), "power cut")
    ET.fromstring(picture)  # noqa: S314 - our own text

    assert 'class="fault"' in picture
    assert 'class="lostprobe" x' in picture
    assert picture.count('class="part0"') == 2
    assert picture.count('class="part1"') == 1
    assert picture.count('class="several"') == 1


def test_two_answerers_at_once_stand_out() -> None:
    """One contested request is drawn as such."""
    count = np.ones(200, dtype=int)
    count[60] = 2

    assert timeline.outage(_trial(), _outage(census_count=count), "power cut").count('class="several"') == 2


@pytest.mark.parametrize("missing", ["udp_due", "udp_answered", "fault_at"])
def test_a_trial_without_probes_has_no_picture(missing: str) -> None:
    """An older or a shorter trial is no error."""
    assert timeline.outage(_trial(), _outage(**{missing: None}), "power cut") == ""


def test_an_outage_that_never_ended_can_be_drawn() -> None:
    """All is lost until the end of the probes."""
    never = _trial(first_answer_seconds=None, steady_seconds=None)

    assert "lostprobe" in timeline.outage(never, _outage(udp_answered=np.full(2000, np.nan)), "power cut")


def test_a_slope_is_told_for_what_a_reader_counts() -> None:
    """A thousand Services, one node; nothing that cannot be seen is called growth."""
    rising = [(float(at), 2.0 + 0.001 * at) for at in (10, 100, 1000)]

    assert plots.slope_text(rising, 1000, "rest_controller_cpu_cores") == "+1 per 1,000, R² 1.000"
    assert plots.slope_text(rising[:2], 1000, "rest_controller_cpu_cores").endswith(" per 1,000, two points")
    assert plots.slope_text([(1.0, 5.0), (9.0, 5.0)], 1, "rest_speakers_cpu_cores") == "flat"
    assert plots.slope_text([(1.0, 5.0)], 1, "rest_speakers_cpu_cores") == "too few points for a slope"


def test_a_picture_begins_with_what_was_first_seen() -> None:
    """Before the first sample nobody is made up: what it showed is drawn from the left edge on."""
    scale = Scale(low=0.0, high=1.0, begin=0, end=100, log=False)

    runs = timeline.columns(scale, np.array([0.1, 0.6]), np.array([2, 1]))

    assert [state for _, _, state in runs] == [2, 1]


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_every_text_of_the_page_has_contrast(scheme: int) -> None:
    """On the page, on a card, and on the ground of its own tone."""
    found = contrast.colours(Path(report.__file__).with_name("templates").joinpath("bench.html.j2").read_text())[scheme]
    tones = ("passed", "failed", "quiet", "untestable")
    pairs = [(text, ground) for text in (*tones, "ink", "soft") for ground in ("page", "card")]

    assert contrast.poor(found, [*pairs, *((tone, f"{tone}-bg") for tone in tones)]) == {}
