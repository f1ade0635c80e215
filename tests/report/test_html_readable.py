"""What a reader of `report.html` sees: contrast, failures by cause, each told once, in words and with its command."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from tests.report import contrast
from tests.report.tree import find

from lbproof.report import html, model, replay, terminal
from lbproof.spec import REQUIREMENTS, Conclusion, Level

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.report.conftest import Frames, Sample, Story
    from tests.report.page import Page


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_every_text_has_contrast(sample: Callable[[str], Sample], scheme: int) -> None:
    """At least 4.5 (WCAG 2.2, 1.4.3) on each ground that it stands on."""
    source = html.of(model.read(sample("passed").folder))
    colours = contrast.colours(source)[scheme]
    tones = ("passed", "failed", "error", "untestable", "quiet")
    pairs = [(text, ground) for text in (*tones, "ink", "soft", "blue", "fault-ink") for ground in ("page", "card")]
    pairs += [(tone, f"{tone}-bg") for tone in tones] + [("blue", "quiet-bg"), ("ink", "code"), ("ink", "failed-bg")]

    assert contrast.poor(colours, pairs) == {}


def _many(begin: Callable[..., Story], arp: Frames) -> Story:
    """28 cases fail because no Service is given an address, a MAY among them; one is an error."""
    judged = [one for one in REQUIREMENTS.values() if one.level is not Level.INFO]
    ids = [case for requirement in judged for case in requirement.case_ids]
    chosen = ["L2-03", *(case for case in ids if case != "L2-03")][:29]
    story = begin(*chosen, implementation="acme", command=["lbproof", "run", "--implementation", "acme_lb:Acme", "L2"])
    for number, case in enumerate(chosen[:28]):
        story.exchange(case, [arp.request(9.0 + number)])
        name = f"lbproof-{case.lower()}/web-{number}"
        story.judged(
            case,
            "failed",
            reason=f"{name} is given an address: not within 5 s",
            expected=f"{name} is given an address",
            observed=f"after 0.0{number % 10} s nothing",
        )
    story.judged(chosen[28], "error", reason="before the check: 'x'", traceback="Traceback")
    return story.ended(Conclusion.NOT_CONFORMANT)


def test_failures_of_one_cause_are_one_group(
    begin: Callable[..., Story], arp: Frames, page: Callable[[str], Page]
) -> None:
    """The overview first, then one open card with its frames; MUST before MAY, failures before errors."""
    run = model.of_events(_many(begin, arp).rows)
    source = html.of(run)
    told = page(source)

    assert source.index("<h2>Overview</h2>") < source.index("<h2>Failures and errors</h2>")
    assert "✗ 28 cases failed" in told.text
    trouble = source[source.index("<h2>Failures and errors</h2>") :].partition("<h2>")[2].partition("<h2>")[0]
    assert "27 more" in told.text
    assert trouble.count("<section") == 2
    assert trouble.count('<details class="card failed" open>') == 1
    assert trouble.count('<details class="fold" open>') == 1
    cards = re.findall(r'<details class="card (\w+)".*?<span class="time">(\w+)</span>', trouble, re.DOTALL)
    assert cards == sorted(cards, key=lambda card: (card[0] == "error", ["MUST", "SHOULD", "MAY"].index(card[1])))
    assert ("failed", "MAY") in cards


def test_each_failure_has_its_command(begin: Callable[..., Story], arp: Frames, page: Callable[[str], Page]) -> None:
    """With the options that can change its verdict, and without those that chose the cases."""
    told = page(html.of(model.of_events(_many(begin, arp).rows)))

    assert "lbproof run POOL-01 --implementation acme_lb:Acme" in told.text
    assert told.text.count("--implementation acme_lb:Acme") == 2 * 29 + 1


def test_a_command_keeps_what_can_change_a_verdict() -> None:
    """Options of a lab provider too; not what chose the cases or the place."""
    given = ["L2", "--topology=three", "--keep", "--node-image", "acme:1", "--labs", "2", "--small", "--", "-x"]

    started = {"command": ["lbproof", "run", *given], "implementation": "reference", "claimed": ["core"]}
    told = replay.command(started, "L2-01")

    assert told == "lbproof run L2-01 --topology three --node-image acme:1 --small"


@pytest.mark.parametrize(("given", "seed"), [([], 4711), (["--seed", "12"], 12)])
def test_a_command_repeats_the_seed(given: list[str], seed: int) -> None:
    """Also one that the run chose."""
    started = {"command": ["lbproof", "run", *given], "implementation": "reference", "claimed": [], "seed": seed}

    assert replay.command(started, "L2-01") == f"lbproof run L2-01 --seed {seed}"


def test_a_text_is_told_once(sample: Callable[[str], Sample], page: Callable[[str], Page]) -> None:
    """What was expected is a part of the reason of a wait that failed."""
    told = page(html.of(model.read(sample("failed").folder)))
    first = told.text[told.text.index("Failures and errors") :].partition("Outages seen")[0]

    assert first.count("one node answers for 192.168.172.170") == 1


def test_no_value_is_shown_as_python_writes_it(begin: Callable[..., Story], page: Callable[[str], Page]) -> None:
    """Lists, tables and nothing are in words."""
    value = {"answers": {"02:00:00:00:00:01": 3}, "nodes": ["w01", "w02"], "lost": None, "late": [], "calm": False}
    story = begin("L2-01").add("saw", case="L2-01", witness="arp", what="3 requests", value=value).judged("L2-01")

    text = "answers: 02:00:00:00:00:01: 3, nodes: (w01, w02), lost: nothing, late: nothing, calm: no"
    assert ["arp", "3 requests", text] in page(html.of(model.of_events(story.rows))).rows


def test_the_colours_of_a_timeline_are_named(sample: Callable[[str], Sample], page: Callable[[str], Page]) -> None:
    """Below each picture."""
    told = page(html.of(model.read(sample("failed").folder)))

    for words in ("answered", "not answered", "outage", "fault"):
        assert words in told.text.partition("Failures and errors")[2]


def _seen_often(begin: Callable[..., Story]) -> Story:
    """A run in which a standing witness saw two answerers while each of forty cases ran, and once another thing."""
    cases = ["L2-01", "L2-02", "L2-03", "L2-06"]
    story = begin(*cases)
    for n in range(40):
        case = cases[n % 4]
        seen: dict[str, Any] = {"begin": float(n), "end": n + 0.5, "observed": []}
        what = f"{n}.0.2.1 is claimed by w01 and by w02 at a time, though no check moved it"
        story.add("standing", promise="one-answerer", requirement="L2-01", during=case, what=what, **seen)
    story.add("standing", promise="own-mac", requirement="L2-02", during="L2-02", what="a strange MAC", **seen)
    for case in cases:
        story.judged(case)
    return story.ended(Conclusion.NOT_CONFORMANT)


def test_what_a_witness_sees_again_and_again_is_told_once(
    begin: Callable[..., Story], page: Callable[[str], Page]
) -> None:
    """Forty violations of one promise: the first, how many more, and the cases meanwhile; another promise beside."""
    run = model.of_events(_seen_often(begin).rows)
    lines = terminal.summary(run)
    told = " ".join(" ".join(lines[lines.index("  at any time:") :]).split())

    assert told.count("is claimed by w01") == 1
    assert "0.0.2.1 is claimed" in told
    assert "… and 39 more like this, while these ran: L2-02, L2-03, L2-06, L2-01" in told
    assert "a strange MAC" in told
    source = html.of(run)
    shown = page(source)
    assert "39 more" in shown.text
    block = source[source.index('id="r-at-any-time"') :]
    assert block.count('<details class="fold"><summary>39 more</summary>') == 1


def narrow(source: str) -> dict[str, str]:
    """The rules for a narrow screen: selector → declarations."""
    block = source.partition("@media (max-width: 40rem) {")[2].partition("@media print")[0]
    rules: dict[str, str] = {}
    for selectors, declared in re.findall(r"([^{}]+)\{([^{}]*)\}", block):
        for selector in selectors.split(","):
            rules[selector.strip()] = rules.get(selector.strip(), "") + declared
    return rules


def test_a_cell_on_a_narrow_screen_has_the_heading_of_its_column(each: Sample) -> None:
    """Rows are stacked there, without the headings: each cell has its own as a label; no heading is empty."""
    source = html.of(model.read(each.folder))

    for table in find(source, "//table[contains(@class, 'stack')][thead]"):
        headings = [th.text for th in table.iterfind("thead/tr/th")]
        for row in table.iterfind("tbody/tr"):
            assert [cell.get("data-label", headings[0]) for cell in row] == headings
    for heading in find(source, "//tr[count(th) > 1]/th"):
        assert (heading.text or "").strip()
    rules = narrow(source)
    assert "attr(data-label)" in rules[".stack [data-label]::before"]
    assert "border-bottom" in rules[".stack tr"]
    assert "display: none" in rules[".stack thead"]


def test_every_table_of_many_columns_is_fit_for_a_narrow_screen(each: Sample) -> None:
    """Stacked, or with the last column below the others (frames)."""
    source = html.of(model.read(each.folder))

    for table in find(source, "//table[*/tr/*[3] or tr/*[3]]"):
        assert {"stack", "exchange"} & set(table.get("class", "").split())
    rules = narrow(source)
    assert "grid-column: 1 / -1" in rules[".exchange td:last-child"]
    assert "white-space: normal" in rules[".exchange td:last-child"]


def test_a_long_name_of_the_environment_leaves_room_for_its_value(
    begin: Callable[..., Story], page: Callable[[str], Page]
) -> None:
    """A clock has the name of a pod; on a narrow screen the value stands below it."""
    pod = "pod lbproof/tier-02a-asking-7fc85b4d88-bnhkp"
    story = begin("L2-01").add("probe", vantage=pod, offset=0.0, uncertainty=0.0).judged("L2-01")
    source = html.of(model.of_events(story.rows))

    assert [f"clock of {pod}", "the suite's"] in page(source).rows
    assert find(source, f"//table[@class='facts']//th[text()='clock of {pod}']")
    assert "display: block" in narrow(source)[".facts th"]
    assert "display: block" in narrow(source)[".facts td"]


def test_each_stage_of_the_run_is_named(begin: Callable[..., Story], page: Callable[[str], Page]) -> None:
    """In words below the picture, also a stage that is too short for a name in it."""
    story = begin("L2-01").add("stage", name="install", phase="end", seconds=0.02).judged("L2-01")
    story.ended(Conclusion.PARTIAL)

    text = page(html.of(model.of_events(story.rows))).text.partition("Environment and command")[2]

    for words in ("boot 4.2 s", "install 20 ms", "checks 30.0 s"):
        assert words in text


def test_a_picture_that_goes_on_beyond_a_narrow_screen_shows_it(sample: Callable[[str], Sample]) -> None:
    """By a shadow at its edge, which a cover hides that moves with the picture, once its end is in sight."""
    cover, shadow = narrow(html.of(model.read(sample("failed").folder)))[".plot"].split(", linear-gradient")

    assert "var(--card)" in cover
    assert cover.endswith("local")
    assert shadow.rstrip("; ").endswith("scroll")
