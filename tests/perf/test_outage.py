"""An outage is read from the raw samples as it was, whoever was to blame for which part."""

from __future__ import annotations

import math
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import numpy as np
import pytest

from lbproof.lab.base import Node, Role
from lbproof.lab.fault import Fault
from lbproof.probe.rows import ROW, Kind
from lbproof.witnesses.clock import Clock
from lbproof.witnesses.frames import mac_bytes
from lbproof_perf.outage_probe.outage import announcers, gaps, outage, takeovers
from lbproof_perf.outage_probe.reading import Reading, quiet, reading, table
from lbproof_perf.sut.system import Watched, wide_bracket

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

OLD, NEW, THIRD = "02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:00"
PERIODS = {"udp": 0.001, "tcp": 0.01, "census": 0.01}
FAULT = 100.0
Row = tuple[Kind, str, float, float, float]


def rows_of(rows: Iterable[Row]) -> NDArray[np.void]:
    """Records as a process writes them."""
    return table(b"".join(ROW.pack(kind, int.from_bytes(mac_bytes(mac)), *moments) for kind, mac, *moments in rows))


def seen(*, away: float = 0.13, late: float = 0.0, doubly: float = 0.0, more: Iterable[Row] = ()) -> Reading:
    """A second before the fault and one after: the old node is away from it on, the new one answers `away` later.

    `late`: the client turns so long after the announcement. `doubly`: for so long the old one goes on answering.
    """
    rows: list[Row] = []
    for at in range(2000):
        due = FAULT - 1 + at / 1000
        lost = FAULT <= due < FAULT + away + late
        rows.append((Kind.UDP, "", due, due, math.nan if lost else due + 0.0002))
    for at in range(200):
        due = FAULT - 1 + at / 100
        lost = FAULT <= due < FAULT + away + late
        rows.append((Kind.TCP, "", due, due, math.nan if lost else due + 0.001))
        rows.append((Kind.ASK, "", due, due, math.nan))
        if due < FAULT + doubly:
            rows.append((Kind.ANSWER, OLD, due + 0.0001, math.nan, math.nan))
        if due >= FAULT + away:
            rows.append((Kind.ANSWER, NEW, due + 0.0001, math.nan, math.nan))
    rows += [
        (Kind.TURNED, OLD, FAULT - 1, math.nan, math.nan),
        (Kind.ANNOUNCED, NEW, FAULT + away - 0.001, math.nan, math.nan),
        (Kind.TURNED, NEW, FAULT + away + late, math.nan, math.nan),
    ]
    return reading([rows_of([*rows, *more])], PERIODS, [OLD, NEW])


def test_an_outage_is_split_in_its_parts() -> None:
    """Detection, announcement, learning and answer add up to the first answer."""
    found = outage(seen(late=0.02), FAULT, OLD)

    assert found.first_answer_seconds == pytest.approx(0.1502, abs=1e-6)
    assert found.longest_gap_seconds == pytest.approx(0.150)
    assert (found.lost, found.lost_tcp) == (150, 15)
    parts = (found.detect_seconds, found.announce_seconds, found.learn_seconds, found.answer_seconds)
    assert parts == pytest.approx((0.129, 0.0, 0.021, 0.0002), abs=1e-6)
    assert sum(part for part in parts if part) == pytest.approx(found.first_answer_seconds)
    assert found.no_announcer_seconds == pytest.approx(0.13, abs=0.011)
    assert found.two_announcers_seconds == 0


def test_moments_of_another_clock_are_converted() -> None:
    """A vantage whose clock is ahead has its moments on this process's clock, and what never came stays so."""
    ahead = Clock(offset=1000.0, uncertainty=0.001)
    data = ROW.pack(Kind.UDP, 0, 1100.0, 1100.5, math.nan)

    (row,) = table(data, ahead)

    assert (row["a"], row["b"]) == (100.0, 100.5)
    assert math.isnan(row["c"])
    assert table(data)["a"] == 1100.0


def watched(found: Reading, *, before: float | None, began: float) -> Watched:
    """A power cut of the old node whose moment was read before and after, and what the ruler saw of it."""
    fault = Fault(kind="power-cut", target="node w01", before=before, began=began, undo_with=lambda: None)
    announcer = Node(name="w01", role=Role.WORKER, addresses=(IPv4Address("192.0.2.11"),), mac=OLD, interface="eth0")
    return Watched(case="power-cut", fault=fault, announcer=announcer, found=found, end=math.inf)


def test_a_clock_that_is_read_late_shortens_no_outage() -> None:
    """Probes are lost while the power is being cut: 28 ms are 28 ms, though the act returned 9 ms after the first."""
    found = watched(seen(away=0.028), before=FAULT - 0.0004, began=FAULT + 0.009).outage

    assert found.first_answer_seconds == pytest.approx(0.028, abs=PERIODS["udp"])
    assert found.steady_seconds == pytest.approx(0.028, abs=PERIODS["tcp"])
    assert found.lost == 28
    assert found.detect_seconds == pytest.approx(0.027, abs=PERIODS["udp"])


def test_a_loss_from_before_the_fault_is_none_of_its_outage() -> None:
    """A probe that was lost earlier, for another reason, makes no outage longer."""
    early = (Kind.UDP, "", FAULT - 0.0105, FAULT - 0.0105, math.nan)
    found = watched(seen(away=0.028, more=[early]), before=FAULT - 0.0004, began=FAULT + 0.009).outage

    assert found.first_answer_seconds == pytest.approx(0.028, abs=PERIODS["udp"])
    assert found.lost == 28


def test_a_fault_of_which_one_moment_is_known_is_still_read() -> None:
    """A lab that reads the clock once gives that moment, and the outage begins at the first probe lost after it."""
    found = watched(seen(away=0.028), before=None, began=FAULT).outage

    assert found.first_answer_seconds == pytest.approx(0.028, abs=PERIODS["udp"])


@pytest.mark.parametrize(
    ("before", "warnings"),
    [
        pytest.param(FAULT - 0.0094, (), id="as a power cut takes"),
        pytest.param(FAULT - 0.023, ("when the fault took effect is known to 23 ms alone",), id="wide"),
        pytest.param(None, (), id="one moment"),
    ],
)
def test_a_fault_whose_moment_is_hardly_known_marks_its_trial(before: float | None, warnings: tuple[str, ...]) -> None:
    """A reader sees where the clock was read too far apart to say when the fault came."""
    assert wide_bracket(watched(seen(), before=before, began=FAULT).fault) == warnings


def test_an_outage_begins_with_its_first_lost_probe() -> None:
    """Seconds that nothing was lost in after the fault are no outage, and its parts add up all the same."""
    found = outage(seen(away=0.13), FAULT - 0.4, OLD)

    assert found.first_answer_seconds == pytest.approx(0.1302, abs=1e-6)
    parts = (found.detect_seconds, found.announce_seconds, found.learn_seconds, found.answer_seconds)
    assert sum(part for part in parts if part) == pytest.approx(found.first_answer_seconds)


def test_a_fault_that_costs_nothing_has_no_outage() -> None:
    """Nothing lost is zero, not unknown."""
    found = outage(seen(away=0.0), FAULT, OLD)

    assert (found.first_answer_seconds, found.steady_seconds, found.lost, found.longest_gap_seconds) == (0, 0, 0, 0)
    assert found.detect_seconds is None
    assert "detect_seconds" not in found.values()


def test_a_cold_client_has_waited_until_its_first_answer() -> None:
    """Whose first probe its kernel held until somebody announced has lost nothing, and waited all the same."""
    dues = [FAULT + 0.05 + at / 1000 for at in range(100)]
    rows: list[Row] = [(Kind.UDP, "", due, due, due + 0.07) for at, due in enumerate(dues)]

    found = outage(reading([rows_of(rows)], PERIODS), FAULT, OLD)

    assert found.first_answer_seconds == pytest.approx(0.12)
    assert found.lost == 0


def test_a_cold_client_s_first_answer_is_its_first_at_all() -> None:
    """What was lost after it does not make it later."""
    rows: list[Row] = [(Kind.UDP, "", FAULT + 0.01, FAULT + 0.01, FAULT + 0.02)]
    rows += [(Kind.UDP, "", FAULT + at / 100, FAULT, math.nan) for at in (2, 3)]
    rows += [(Kind.UDP, "", FAULT + 0.04, FAULT + 0.04, FAULT + 0.05)]

    assert outage(reading([rows_of(rows)], PERIODS), FAULT, OLD).first_answer_seconds == pytest.approx(0.02)


def test_all_is_steady_after_the_last_loss() -> None:
    """A second gap counts, although the first answer came before it."""
    again = [(Kind.UDP, "", FAULT + 1 + at / 1000, FAULT, math.nan) for at in range(10)]
    after = (Kind.UDP, "", FAULT + 1.01, FAULT + 1.01, FAULT + 1.011)

    found = outage(seen(more=[*again, after]), FAULT, OLD)

    assert found.first_answer_seconds == pytest.approx(0.1302)
    assert found.steady_seconds == pytest.approx(1.01)


def test_a_probe_that_left_late_has_waited_since_it_was_due() -> None:
    """A stall of the ruler itself is no shorter wait."""
    late = (Kind.UDP, "", FAULT + 0.5, FAULT + 0.7, FAULT + 0.71)

    assert outage(seen(more=[late]), FAULT, OLD).longest_wait_seconds == pytest.approx(0.21)


def test_what_the_old_announcer_still_answers_is_no_sign_of_another() -> None:
    """Detection ends with the successor's first sign."""
    assert outage(seen(doubly=0.05), FAULT, OLD).detect_seconds == pytest.approx(0.129)


def test_the_census_is_kept_by_its_questions() -> None:
    """Who answered each first, nobody where none did, and how many did."""
    arrays = seen(doubly=0.2).arrays()
    at = np.searchsorted(arrays["census_due"], [FAULT - 0.505, FAULT + 0.145, FAULT + 0.505])
    nobody = np.searchsorted(seen().arrays()["census_due"], FAULT + 0.055)

    assert arrays["census_who"][at].tolist() == [0, 0, 1]
    assert arrays["census_count"][at].tolist() == [1, 2, 1]
    assert seen().arrays()["census_who"][nobody] == -1
    assert seen().arrays()["census_count"][nobody] == 0


def test_an_outage_that_does_not_end_is_kept_as_such() -> None:
    """Without a first answer there is no figure, and no zero either."""
    found = outage(seen(away=5.0), FAULT, OLD)

    assert (found.first_answer_seconds, found.steady_seconds, found.longest_gap_seconds) == (None, None, None)
    assert found.lost == 1000


def test_two_announcers_are_counted_in_time() -> None:
    """Each question that two nodes answered counts until the next one."""
    two, none = announcers(seen(away=0.0, doubly=0.25), FAULT)

    assert two == pytest.approx(0.25)
    assert none == 0


def test_a_late_answer_of_one_node_is_no_gap() -> None:
    """An answer that missed its question's time is heard in the next one's: nobody was without an announcer."""
    rows: list[Row] = []
    for at in range(100):
        rows.append((Kind.ASK, "", FAULT + at / 100, FAULT, math.nan))
        late = 0.011 if at == 50 else 0.0001
        rows.append((Kind.ANSWER, OLD, FAULT + at / 100 + late, math.nan, math.nan))

    assert announcers(reading([rows_of(rows)], PERIODS), FAULT) == (0.0, 0.0)


def test_a_takeover_without_a_fault_is_seen() -> None:
    """Who answers now and did not before, and when; the first to answer took nothing over."""
    ((at, who),) = takeovers(seen(away=0.0), FAULT - 1)

    assert at == pytest.approx(FAULT + 0.0001)
    assert who == NEW
    assert takeovers(seen(away=0.0), FAULT + 0.5) == []


def test_what_the_census_cannot_see_is_not_guessed() -> None:
    """Where no ARP reaches (behind a router), who announces is unknown."""
    unseen = reading([rows_of([])], PERIODS)

    assert announcers(unseen, FAULT) == (None, None)
    assert "two_announcers_seconds" not in outage(unseen, FAULT, OLD).values()


def test_gaps_end_where_an_answered_sample_was_due() -> None:
    """A run of lost samples is as long as a client was without an answer, by the schedule."""
    (found,) = gaps(seen().udp)

    assert found == pytest.approx((FAULT, FAULT + 0.13))


def test_two_processes_speak_of_the_same_nodes() -> None:
    """Probe and capture count hardware addresses each for itself."""
    one = rows_of([(Kind.ANSWER, NEW, 1.0, math.nan, math.nan)])
    other = rows_of([(Kind.SIGNAL, THIRD, 1.0, math.nan, math.nan), (Kind.ANNOUNCED, NEW, 2.0, math.nan, math.nan)])

    found = reading([one, other], PERIODS, [OLD, NEW])

    assert found.macs == (OLD, NEW, THIRD)
    assert found.answers.who.tolist() == found.announced.who.tolist() == [1]


@pytest.mark.parametrize(
    ("now", "well"),
    [
        pytest.param(FAULT - 0.01, True, id="before the fault"),
        pytest.param(FAULT + 0.12, False, id="a hole at the end"),
        pytest.param(FAULT + 0.5, False, id="a hole within"),
        pytest.param(FAULT + 0.7, True, id="half a second later"),
    ],
)
def test_all_is_well_when_no_sample_is_missing(now: float, well: bool) -> None:
    """What is under way or lost has no record yet, so holes are looked for."""
    assert quiet(_until(seen(), now), FAULT - 1, now, 0.5) is well
    assert not quiet(_until(seen(), now), now - 0.4, now, 0.5)  # not long enough since


def _until(found: Reading, now: float) -> Reading:
    """What had come by a moment: no record of what was lost."""
    kept = {}
    for name in ("udp", "tcp"):
        stream = getattr(found, name).since(0, now)
        kept[name] = type(stream)(
            due=stream.due[~stream.lost], between=stream.between[~stream.lost], answered=stream.answered[~stream.lost]
        )
    fields = {name: getattr(found, name) for name in Reading.__dataclass_fields__}
    return Reading(**{**fields, **kept})
