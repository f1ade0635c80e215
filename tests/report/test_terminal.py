"""What a person sees while a run goes on and at its end: every line in its width, colours only where asked for."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

import pytest
from tests.report.counts import ALL, LAYER2_MUSTS, LAYER2_MUSTS_UNCLAIMED

from lbproof.report import bundle, model, terminal
from lbproof.spec import SPEC_VERSION, Conclusion
from lbproof.spec.requirements import sentence

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.report.conftest import Sample, Story

COLOUR = re.compile(r"\033\[\d*m")


def live(story: Story, *, color: bool = False, width: int = 100) -> list[str]:
    """The lines of a run as it goes on."""
    stream = io.StringIO()
    show = terminal.LiveTerminal(stream, color=color, width=width)
    for row in story.rows:
        show(row)
    return stream.getvalue().splitlines()


def test_a_run_is_a_journal_of_lines(sample: Callable[[str], Sample]) -> None:
    """Who is judged, the stages, a line a verdict with its number, and the story of each failure below it."""
    lines = live(sample("failed").story)

    assert lines[0] == f"reference 0.1.0: 5 cases of specification {SPEC_VERSION}"
    assert [line[11:] for line in lines[1:4]] == [
        "booting the lab",
        "lab run-1: segment and certificates (0.1 s)",
        "judging",
    ]
    (at,) = (n for n, line in enumerate(lines) if " L2-01 " in line)
    assert re.fullmatch(r" +\d+\.\d s    4/5  ✗ failed     L2-01 {9}1\.5 s  Exactly one node answers .+", lines[at])
    assert [line.split(maxsplit=1) for line in lines[at + 1 : at + 3]] == [
        ["reason", "one node answers for 192.168.172.170: not within 5 s"],
        ["observed", "after 0.17 s: w01, w02"],
    ]


def test_what_never_ran_is_no_line(sample: Callable[[str], Sample]) -> None:
    """Only what was judged goes by; what was left out stands in the summary."""
    lines = live(sample("left-out").story)

    assert sum("1/1" in line for line in lines) == 1
    assert not any("L2-0" in line for line in lines)


@pytest.mark.parametrize("width", [20, 40, 80, 100, 120])
def test_lines_keep_within_the_width(each: Sample, width: int) -> None:
    """Also on the narrow screen that most people have; below 60 columns nothing breaks."""
    for line in live(each.story, width=width):
        assert len(line) <= max(width, 60), line


def test_a_flaky_line_keeps_within_the_width(begin: Callable[..., Story]) -> None:
    """The mark takes its room from the sentence, not from the screen."""
    (line,) = (row for row in live(begin("L2-02").judged("L2-02", flaky=True)) if "L2-02" in row)

    assert line.endswith(" … (flaky)")
    assert len(line) <= 100


def test_there_is_no_colour_where_nobody_sees_it(each: Sample) -> None:
    """A log of CI holds text alone."""
    assert "\033" not in "\n".join(live(each.story))


def test_colours_change_nothing_but_the_colour(each: Sample) -> None:
    """The words are the same, and each colour ends on its line."""
    coloured = live(each.story, color=True)

    assert [COLOUR.sub("", line) for line in coloured] == live(each.story)
    for line in coloured:
        assert [code == "\033[0m" for code in COLOUR.findall(line)] in ([], [False, True])
    assert any("\033[32m✓ passed" in line for line in coloured)


def test_a_long_story_is_cut_and_says_so(begin: Callable[..., Story]) -> None:
    """Six lines of what was observed; that there was more is seen."""
    story = begin("L2-01").judged("L2-01", "failed", reason="short", observed="word " * 400)

    lines = [line for line in live(story) if "word" in line]

    assert len(lines) == 6
    assert lines[-1].endswith(" …")
    assert all(len(line) <= 100 for line in lines)


def test_what_an_implementation_says_cannot_steer_the_screen(begin: Callable[..., Story], tmp_path: Path) -> None:
    """Control characters from the wire are shown as what they are: nothing."""
    story = begin("L2-01").judged("L2-01", "failed", reason="\033[2Jall \a\x9b31m fine\r\nand\tgood")

    shown = [*live(story), *terminal.summary(model.read(story.write(tmp_path)))]

    assert all(line.isprintable() for line in shown)
    assert any("all" in line and "fine and good" in line for line in shown)


# --- the end


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("passed", f"  partial: 3 of {ALL} requirements of profile full judged; what was judged held"),
        ("failed", f"  partial: 3 of {ALL} requirements of profile full judged, and 1 in part"),
        (
            "unclaimed",
            (
                "  profile layer2 requires features that are not claimed: l2, pool "
                f"({LAYER2_MUSTS_UNCLAIMED} of {LAYER2_MUSTS} MUSTs unsupported)"
            ),
        ),
    ],
)
def test_the_summary_says_what_the_conclusion_is_of(sample: Callable[[str], Sample], name: str, says: str) -> None:
    """A conclusion without its scope is read as one of the whole profile."""
    assert terminal.summary(model.read(sample(name).folder), width=120)[-2] == says


def test_the_summary_says_what_a_person_asks_first(sample: Callable[[str], Sample]) -> None:
    """The conclusion, the counts, each failure with its reason, and where the report and the capture are."""
    failed = sample("failed")

    lines = terminal.summary(model.read(failed.folder))
    text = "\n".join(lines)

    assert lines[-1] == "  reference 0.1.0: NOT CONFORMANT"
    assert "  cases: 2 passed, 3 failed" in lines
    assert "  requirements: MUST 1/4 passed" in lines
    assert re.search(r"^  in \d+ s: boot [\d.]+ s, ", text, re.MULTILINE), text
    for case, reason in (
        ("POOL-02b", "default/b shares 192.168.172.170"),
        ("L2-01", "one node answers for 192.168.172.170: not within 5 s"),
        ("FAIL-01", "an outage of 6.00 s"),
    ):
        (at,) = (n for n, line in enumerate(lines) if line.startswith(f"    ✗ {case} "))
        assert re.fullmatch(rf"    ✗ {case} +failed +{re.escape(sentence(case)[:30])}.*", lines[at])
        assert lines[at + 1].strip() == reason
    assert "evidence/L2-01/client.pcap" in [line.strip() for line in lines]
    assert f"  report: {failed.folder / 'report.html'}" in lines


def test_what_was_not_judged_is_a_line_with_its_reason(sample: Callable[[str], Sample]) -> None:
    """The sentence would say nothing of an implementation that was not looked at."""
    text = "\n".join(terminal.summary(model.read(sample("left-out").folder)))

    assert re.search(r"^    – L2-01 +skipped +left out by --skip L2$", text, re.MULTILINE)  # noqa: RUF001 - a dash
    assert re.search(r"^    · L2-03 +unsupported +l2-nonic not claimed$", text, re.MULTILINE)
    assert "  cases: 1 passed, 1 unsupported, 1 skipped" in text.splitlines()


def test_a_report_below_the_working_folder_has_a_short_path(
    sample: Callable[[str], Sample], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What can be typed is not spelt out from the root."""
    passed = sample("passed")
    monkeypatch.chdir(tmp_path)

    assert "  report: passed/report.html" in terminal.summary(model.read(passed.folder))


def test_events_without_a_folder_have_no_report(begin: Callable[..., Story]) -> None:
    """Nothing is said of what there is not."""
    assert "report" not in "\n".join(terminal.summary(model.of_events(begin("POOL-01").judged("POOL-01").rows)))


@pytest.mark.parametrize("width", [20, 60, 80, 100, 120])
def test_the_summary_keeps_within_the_width(
    each: Sample, width: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Paths alone are never cut."""
    monkeypatch.chdir(tmp_path)

    for line in terminal.summary(model.read(each.folder), width=width):
        assert len(line) <= max(width, 60) or "evidence/" in line or "--rerun" in line, line


def test_the_summary_ends_with_the_conclusion(each: Sample) -> None:
    """One word for the whole run, in capitals, and the reason when it ended before its time."""
    bundle.write(each.folder)
    lines = terminal.summary(model.read(each.folder))

    assert lines[-1].endswith(f": {each.conclusion.upper()}")
    assert any("killed" in line for line in lines) == (each.name == "interrupted")


def test_a_note_of_many_lines_is_put_in_order(begin: Callable[..., Story]) -> None:
    """A lab that could not boot may have much to say."""
    story = begin("POOL-01").ended(Conclusion.INCONCLUSIVE, note="etcd did not start:\nno space left\n" + "x " * 100)

    lines = terminal.summary(model.of_events(story.rows))

    assert "  etcd did not start: no space left x" in "\n".join(lines)
    assert all(len(line) <= 100 and line.isprintable() for line in lines)


def test_all_that_passed_leaves_nothing_to_list(sample: Callable[[str], Sample]) -> None:
    """No news is no line."""
    text = "\n".join(terminal.summary(model.read(sample("passed").folder)))

    assert "not passed" not in text
    assert "  cases: 3 passed" in text.splitlines()


def test_cases_that_were_not_reached_are_one_line(begin: Callable[..., Story], tmp_path: Path) -> None:
    """Who pressed Ctrl-C need not read the list of everything that he knows was not judged."""
    cases = ["POOL-01", "PEND-02", "L2-01", "L2-02", "L2-03"]
    story = begin(*cases)
    for case in cases:
        story.not_run(case, "error", "not reached: interrupted")

    lines = terminal.summary(model.read(story.ended(Conclusion.INCONCLUSIVE).write(tmp_path)))

    assert [line for line in lines if "not reached" in line] == [
        "    ! 5 cases, from POOL-01 on: not reached: interrupted"
    ]


def test_many_failures_of_one_cause_are_told_once(begin: Callable[..., Story], tmp_path: Path) -> None:
    """With the IDs of the others; a failure for a reason of its own stands by itself."""
    cases = ["POOL-01", "PEND-02", "L2-01", "L2-02", "L2-03"]
    story = begin(*cases, "FAIL-01", implementation="acme", command=["lbproof", "run", "--implementation", "a_lb:Acme"])
    for number, case in enumerate(cases):
        story.judged(case, "failed", reason=f"lbproof-{number}/web is given an address: not within {number} s")
    story.judged("FAIL-01", "failed", reason="an outage of 6 s")

    lines = terminal.summary(model.read(story.ended(Conclusion.NOT_CONFORMANT).write(tmp_path / "run")))

    assert [line for line in lines if "is given an address" in line] == [
        f"{'':30}lbproof-0/web is given an address: not within 0 s"
    ]
    assert "      … and 4 more for the same reason: L2-01, L2-02, PEND-02, L2-03" in lines
    assert any(line.startswith("    ✗ FAIL-01 ") for line in lines)
    assert f"  judge these again: lbproof run --rerun {tmp_path}/run --implementation a_lb:Acme" in lines


def test_a_run_that_judged_nothing_has_no_table(begin: Callable[..., Story], tmp_path: Path) -> None:
    """A lab that could not boot is a reason, and not fifteen rows of marks."""
    cases = ["POOL-01", "PEND-02", "L2-01", "L2-02", "L2-03"]
    story = begin(*cases)
    for case in cases:
        story.not_run(case, "error", "not reached: the kernel lacks veth")

    lines = terminal.summary(model.read(story.ended(Conclusion.INCONCLUSIVE).write(tmp_path)))

    assert not [line for line in lines if line.startswith(("  POOL ", "  L2 "))]
    assert any("the kernel lacks veth" in line for line in lines)
