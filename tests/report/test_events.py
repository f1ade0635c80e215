"""A run is read back from its events: whole, cut short, or refused in one line that says where."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from lbproof.report import model
from lbproof.spec import SPEC_VERSION, Conclusion, Level, Verdict
from lbproof.spec.events import FORMAT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.report.conftest import Frames, Sample, Story


def verdicts(run: model.Run) -> dict[str, Verdict]:
    """Case → verdict."""
    return {case.id: case.verdict for case in run.cases}


def test_the_samples_conclude_as_they_were_meant(each: Sample) -> None:
    """What a folder and its events file say is the same, and it is what happened."""
    run = model.read(each.folder)

    assert run.conclusion is each.conclusion
    assert verdicts(model.read(each.folder / "events.ndjson")) == verdicts(run)


def test_a_run_that_was_killed_is_read_as_far_as_it_went(sample: Callable[[str], Sample]) -> None:
    """The last line is cut in half; what was not reached is an error that says so, and the time is the last event's."""
    killed = sample("interrupted")

    run = model.read(killed.folder)

    assert verdicts(run) == {"POOL-01": Verdict.PASSED, "L2-01": Verdict.ERROR}
    assert run.cases[1].reason == "not reached: the run was killed"
    assert run.cases[1].waits == []
    assert run.finished is None
    assert "killed" in run.note
    assert run.exit == 2
    assert run.seconds == killed.story.rows[-2]["t"]


def test_a_run_may_be_killed_at_any_byte(tmp_path: Path, begin: Callable[..., Story]) -> None:
    """Wherever its last line ends, what stands before it counts."""
    story = begin("POOL-01").judged("POOL-01", "failed", reason="déjà vu", observed="\N{SNOWMAN}")
    *before, last = [json.dumps(row, ensure_ascii=False).encode() for row in story.rows]
    whole = b"\n".join(before) + b"\n"
    file = tmp_path / "events.ndjson"

    for end in range(len(last)):
        file.write_bytes(whole + last[:end])
        assert verdicts(model.read(file)) == {"POOL-01": Verdict.ERROR}

    file.write_bytes(whole + last)
    assert verdicts(model.read(file)) == {"POOL-01": Verdict.FAILED}


def test_a_failure_is_not_taken_back_by_a_kill(begin: Callable[..., Story]) -> None:
    """What was seen was seen."""
    run = model.of_events(begin("POOL-01", "L2-01").judged("L2-01", "failed", reason="two nodes answer").rows)

    assert run.conclusion is Conclusion.NOT_CONFORMANT
    assert run.exit == 1


def test_the_last_verdict_on_a_case_counts(begin: Callable[..., Story]) -> None:
    """A second look replaces the first, and is marked."""
    story = begin("L2-01").judged("L2-01", "failed", reason="two nodes answer").judged("L2-01", flaky=True)

    (case,) = model.of_events(story.rows).cases

    assert (case.verdict, case.flaky, case.reason) == (Verdict.PASSED, True, "")


def test_levels_count_what_could_pass(sample: Callable[[str], Sample]) -> None:
    """What is not claimed is no part of the number; what the operator left out is, and did not pass."""
    levels = model.read(sample("left-out").folder).levels()

    assert levels[Level.MUST] == (1, 2)
    assert levels[Level.MAY] == (0, 0)


def test_waits_are_gathered_by_budget(begin: Callable[..., Story]) -> None:
    """Median and longest are of the times really taken: the end of a wait that failed is no measured time."""
    story = begin("POOL-01")
    for took in (0.5, 0.25, 1.0):
        story.waited("POOL-01", "address_assigned", took)
    story.waited("POOL-01", "address_assigned", 5.0, ok=False).waited("POOL-01", "serves", 10.0, ok=False)

    (wait,) = model.of_events(story.rows).waits()

    assert (wait.name, wait.count, wait.median, wait.longest) == ("address_assigned", 3, 0.5, 1.0)


def test_fields_of_a_later_version_are_let_pass(tmp_path: Path, begin: Callable[..., Story]) -> None:
    """Fields are only ever added, so one that is not known yet is no mistake."""
    story = begin("POOL-01", weather="fair").judged("POOL-01", mood="good").ended(Conclusion.PARTIAL, tide=3)

    assert model.read(story.write(tmp_path)).conclusion is Conclusion.PARTIAL


def test_a_stage_may_keep_its_time_to_itself(tmp_path: Path, begin: Callable[..., Story]) -> None:
    """The seconds of a stage are no field that must be there."""
    story = begin("POOL-01").add("stage", name="checks", phase="end").judged("POOL-01")

    assert model.read(story.write(tmp_path)).stages == [("boot", 4.25)]


def test_half_a_character_does_no_harm(tmp_path: Path, begin: Callable[..., Story]) -> None:
    """JSON can name half a surrogate pair, which no file can hold: it is replaced, the pair beside it is not."""
    story = begin("POOL-01").judged("POOL-01", "failed", reason="a \ud83d b \N{GRINNING FACE} c")

    (case,) = model.read(story.write(tmp_path)).cases

    assert case.reason == "a ? b \N{GRINNING FACE} c"


# --- what is refused


def refused(path: Path) -> str:
    """The one line that says why a run cannot be read."""
    with pytest.raises(model.BadRun) as caught:
        model.read(path)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 400
    return message


@pytest.mark.parametrize("later", ["check.finished", "moon.rose"])
def test_a_newer_format_asks_for_an_update(tmp_path: Path, begin: Callable[..., Story], later: str) -> None:
    """Also when it has events that this version has never heard of."""
    folder = begin("POOL-01", format=FORMAT + 1, selected={"POOL-01": 1}).add(later).ended(Conclusion.CONFORMANT)

    message = refused(folder.write(tmp_path))

    assert f"events.ndjson: format {FORMAT + 1} is newer than this lbproof reads ({FORMAT}): update lbproof" in message


@pytest.mark.parametrize("given", [0, -1, "1", None, True])
def test_what_is_no_format_is_refused(tmp_path: Path, begin: Callable[..., Story], given: object) -> None:
    """There never was a format 0, and a text is no number."""
    assert "line 1: run.started: format: " in refused(begin("POOL-01", format=given).write(tmp_path))


@pytest.mark.parametrize("text", ["", "\n\n", '{"event":"run.sta'])
def test_a_run_without_a_beginning_is_refused(tmp_path: Path, text: str) -> None:
    """It was killed before it wrote a line."""
    (tmp_path / "events.ndjson").write_text(text)

    assert refused(tmp_path).endswith("events.ndjson: it does not begin with run.started")


def test_events_before_the_beginning_are_refused(tmp_path: Path, begin: Callable[..., Story]) -> None:
    """Half a file is none."""
    story = begin("POOL-01")
    del story.rows[0]

    assert refused(story.write(tmp_path)).endswith("it does not begin with run.started")


def test_a_folder_that_holds_no_run_is_refused(tmp_path: Path) -> None:
    """The path that was looked for is named."""
    assert refused(tmp_path) == f"{tmp_path / 'events.ndjson'}: No such file or directory"


@pytest.mark.parametrize(
    ("garbage", "says"),
    [
        (b"\x00\x01\x02", "not JSON"),
        (b'{"event":"stage"', "not JSON"),
        (b"\xff\xfe\xfd", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[1,2]", "no event of a run: [1,2]"),
        (b'"run.started"', "no event of a run"),
        (b'{"event":"moon.rose","t":1,"at":""}', "no event of a run"),
        (b'{"event":["stage"]}', "no event of a run"),
        (b'{"event":"' + b"x" * 5000 + b'"}', "no event of a run"),
    ],
    ids=["nul", "half", "not-utf8", "deep", "list", "text", "unknown", "event-is-a-list", "long"],
)
def test_garbage_in_the_middle_is_refused_with_its_line(
    tmp_path: Path, begin: Callable[..., Story], garbage: bytes, says: str
) -> None:
    """A run is never read around a hole."""
    lines = [line.encode() for line in begin("POOL-01").judged("POOL-01").lines]
    (tmp_path / "events.ndjson").write_bytes(b"\n".join([*lines[:3], garbage, *lines[3:], b""]))

    assert f"events.ndjson, line 4: {says}" in refused(tmp_path)


MISTAKES: list[tuple[str, str, Any, str]] = [
    ("run.started", "selected", None, "selected: "),
    ("run.started", "at", 3, "at: "),
    ("run.started", "command", "lbproof", "command: "),
    ("check.finished", "verdict", "fine", "verdict: Input should be 'passed'"),
    ("check.finished", "case", 7, "case: "),
    ("check.finished", "seconds", "long", "seconds: "),
    ("check.finished", "reason", None, "reason: "),
    ("waited", "observed", [[1]], "observed.0.1: "),
    ("stage", "t", "noon", "t: "),
    ("timeline", "samples", [[1, "x", "y"]], "samples.0.1: "),
    ("exchange", "frames", [{"t": 1}], "frames.0.op: "),
    ("run.finished", "exit", "0", "exit: "),
    ("run.finished", "seconds", float("nan"), "seconds: Input should be a finite number"),
    ("fault", "t", float("inf"), "t: Input should be a finite number"),
]


@pytest.mark.parametrize(("event", "name", "value", "says"), MISTAKES, ids=[f"{e}.{n}" for e, n, *_ in MISTAKES])
def test_an_event_that_is_not_of_its_form_is_refused(
    sample: Callable[[str], Sample], event: str, name: str, value: object, says: str
) -> None:
    """The line, the event and the field are named, whether the field has a wrong value or is missing."""
    wrong = sample("failed")
    number, row = next((n, r) for n, r in enumerate(wrong.story.rows, 1) if r["event"] == event)
    right, row[name] = row.get(name), value
    assert f"events.ndjson, line {number}: {event}: {says}" in refused(wrong.story.write(wrong.folder))

    del row[name]
    if right is not None:
        assert f"line {number}: {event}: {name}: Field required" in refused(wrong.story.write(wrong.folder))


def test_a_case_of_no_specification_is_refused(tmp_path: Path, begin: Callable[..., Story]) -> None:
    """The file and the case are named."""
    for folder, story in (("selected", begin("POOL-99")), ("judged", begin("POOL-01").judged("x"))):
        assert f"is not in specification {SPEC_VERSION}" in refused(story.write(tmp_path / folder))
        assert str(tmp_path / folder / "events.ndjson") in refused(tmp_path / folder)


def test_frames_of_an_unknown_host_are_read(tmp_path: Path, begin: Callable[..., Story], arp: Frames) -> None:
    """A MAC that is nobody's is what such a frame is kept for."""
    story = begin("L2-01").exchange("L2-01", [arp.reply(1.0, "02:00:00:00:00:66")]).judged("L2-01")

    (case,) = model.read(story.write(tmp_path)).cases

    assert case.exchanges[0]["frames"][0]["node"] == ""
