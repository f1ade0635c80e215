"""`report.html`: one page that opens anywhere, shows what a failure rests on, and runs nothing that it was told."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree
from tests.report.counts import ALL

from lbproof.report import html, model, pictures, svg
from lbproof.spec import REQUIREMENTS, Conclusion

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.report.conftest import Frames, Sample, Story
    from tests.report.page import Page

HOSTILE = "</td></details><script>alert(1)</script><img src=x onerror=alert(1)>\"'&amp;"


@pytest.fixture
def shown(page: Callable[[str], Page]) -> Callable[[Path], Page]:
    """The page of a run's folder, read."""
    return lambda folder: page(html.of(model.read(folder)))


def pictures_of(source: str, kind: str) -> list[etree._Element]:
    """The pictures of a kind, each of which is a document of its own."""
    found = re.findall(rf'<svg class="{kind}".*?</svg>', source, re.DOTALL)
    return [etree.fromstring(text) for text in found]


def test_it_opens_without_a_network(each: Sample, shown: Callable[[Path], Page]) -> None:
    """Nothing is loaded, nothing runs, and links lead to places of the page or to files beside it."""
    told = shown(each.folder)

    assert told.loads == []
    assert told.handlers == []
    assert told.tags & {"script", "iframe", "object", "embed", "link", "base", "form", "img"} == set()
    assert re.search(r"url\(|@import|https?:|//", told.source.partition("</style>")[0].partition("<style>")[2]) is None
    for link in told.links:
        assert link.startswith("#") or re.match(r"[a-z]+:|/", link, re.IGNORECASE) is None, link


def test_every_link_leads_somewhere(each: Sample, shown: Callable[[Path], Page]) -> None:
    """IDs are unique, and no link within the page is dead."""
    told = shown(each.folder)

    assert sorted(set(told.ids)) == sorted(told.ids)
    assert {link[1:] for link in told.links if link.startswith("#")} <= set(told.ids)


def test_the_clock_of_each_vantage_is_stated(begin: Callable[..., Story]) -> None:
    """Whether it is the suite's, or its offset and uncertainty."""
    story = begin("L2-01").add("probe", vantage="client", offset=0.0, uncertainty=0.0)
    story.add("probe", vantage="agent", offset=-1.25, uncertainty=0.0005)
    source = html.of(model.of_events(story.judged("L2-01").rows))

    assert "<th>clock of client</th><td>the suite&#39;s</td>" in source.replace("suite's", "suite&#39;s")
    assert "<th>clock of agent</th><td>-1.250000 s ± 0.000500 s to the suite" in source


def test_evidence_is_linked_where_it_lies(sample: Callable[[str], Sample], shown: Callable[[Path], Page]) -> None:
    """A click opens the capture."""
    failed = sample("failed")

    links = [link for link in shown(failed.folder).links if "evidence" in link]

    assert links
    assert all((failed.folder / link).is_file() for link in links)


def test_an_outage_of_a_lettered_case_links_to_its_requirement(
    begin: Callable[..., Story], page: Callable[[str], Page]
) -> None:
    """The table of outages names cases; what can be opened is the requirement."""
    story = begin("POOL-02b").timeline("POOL-02b", 10.0, 12.0, (10.5, 10.9)).judged("POOL-02b")

    told = page(html.of(model.of_events(story.rows)))

    assert "#r-POOL-02" in told.links
    assert "#r-POOL-02b" not in told.links
    assert ["POOL-02b", "requests to 192.168.172.170 through the power cut of w01", "400 ms"] in told.rows


def test_a_failure_is_told_in_full(sample: Callable[[str], Sample], shown: Callable[[Path], Page]) -> None:
    """The sentence that did not hold, what was expected, what was observed, who said so, and each frame."""
    told = shown(sample("failed").folder)

    assert "Not conformant" in told.text
    for requirement in ("POOL-02", "L2-01", "FAIL-01"):
        assert REQUIREMENTS[requirement].text in told.text
    for words in ("one node answers for 192.168.172.170: not within 5 s", "after 0.17 s: w01, w02", "at most 5 s"):
        assert words in told.text
    assert ["arp", "3 requests for 192.168.172.170", "answers: 02:00:c0:a8:ac:97: 3"] in told.rows
    assert ["+0.001 s", "w01", "02:00:c0:a8:ac:97", "192.168.172.170 is here (to 192.168.172.50)"] in told.rows
    assert ["+0.002 s", "w02", "02:00:c0:a8:ac:98", "192.168.172.170 is here (to 192.168.172.50)"] in told.rows
    assert ["+0.000 s", "client", "02:00:c0:a8:ac:32", "who has 192.168.172.170? tell 192.168.172.50"] in told.rows
    assert "several hardware addresses claim the same address" in told.text
    assert "still Pending" in told.text


def test_only_the_frames_that_contradict_are_marked(sample: Callable[[str], Sample]) -> None:
    """A node that answers for another address too is not at fault for that."""
    source = html.of(model.read(sample("failed").folder))
    first = source[source.index("ARP at the client") :].partition("</table>")[0]

    assert first.count('<tr class="contested">') == 2
    assert first.count("<tr>") == 1 + 2


def test_why_something_was_not_judged_is_said(sample: Callable[[str], Sample], shown: Callable[[Path], Page]) -> None:
    """A row each, and none of them counts as judged."""
    told = shown(sample("left-out").folder)

    assert ["L2-01", "– skipped", "left out by --skip L2"] in told.rows  # noqa: RUF001 - the mark of what is skipped
    assert ["L2-03", "· unsupported", "l2-nonic not claimed"] in told.rows
    assert "1cases judged" in told.text.replace("case judged", "cases judged")


def test_where_it_broke_and_that_it_was_killed_are_said(
    sample: Callable[[str], Sample], shown: Callable[[Path], Page]
) -> None:
    """Neither is said of the implementation."""
    assert "KeyError: 'x'" in shown(sample("error").folder).text
    assert "the run was killed: its events have no end" in shown(sample("interrupted").folder).text


# --- what came from outside


def test_what_looks_like_html_is_shown_as_text(
    begin: Callable[..., Story], arp: Frames, tmp_path: Path, shown: Callable[[Path], Page]
) -> None:
    """An implementation, a cluster or whoever sent the events puts nothing into the page but words."""
    frame = arp.reply(1.0, arp.first) | {"node": HOSTILE, "sender_mac": HOSTILE, "sender_ip": HOSTILE}
    story = begin("L2-01", implementation=HOSTILE, version=HOSTILE, command=[HOSTILE], claimed=[HOSTILE])
    story.rows[4]["facts"] = {"kubernetes": HOSTILE, HOSTILE: HOSTILE}
    story.add("stage", name=HOSTILE, phase="end", seconds=20.0)
    story.add("saw", case="L2-01", witness=HOSTILE, what=HOSTILE, value={HOSTILE: [HOSTILE]})
    story.add("saw", case="L2-01", witness="arp", what="", value=HOSTILE)
    story.waited("L2-01", "announced", 1.0, ok=False).rows[-1].update(what=HOSTILE, observed=[[0, HOSTILE]])
    story.exchange("L2-01", [frame]).rows[-1]["title"] = HOSTILE
    story.fault("L2-01", 10.2, 10.4, target=HOSTILE).timeline("L2-01", 10.0, 11.0).rows[-1]["title"] = HOSTILE
    story.add("evidence", case="L2-01", kind="text", title=HOSTILE, path="evidence/L2-01/a b.txt")
    story.judged("L2-01", "error", reason=HOSTILE, expected=HOSTILE, observed=HOSTILE, traceback=HOSTILE)
    story.ended(Conclusion.INCONCLUSIVE, note=HOSTILE)

    seen = shown(story.write(tmp_path))

    assert seen.tags & {"script", "img"} == set()
    assert seen.handlers == []
    assert seen.loads == []
    assert seen.text.count("<script>alert(1)</script>") > 20
    assert "./evidence/L2-01/a%20b.txt" in seen.links
    assert pictures_of(seen.source, "timeline")


@pytest.mark.parametrize(
    "path", ["javascript:alert(1)", "//example.org/x", "https://example.org/x", "data:text/html,x"]
)
def test_evidence_never_leads_out(begin: Callable[..., Story], page: Callable[[str], Page], path: str) -> None:
    """The report of a stranger's run is opened by a reviewer: its links stay below its folder."""
    story = begin("L2-01").add("evidence", case="L2-01", kind="text", title="see", path=path).judged("L2-01", "failed")

    for link in page(html.of(model.of_events(story.rows))).links:
        assert link.startswith(("#", "./")) or link in {"events.ndjson", "report.json", "junit.xml", "SHA256SUMS"}


@settings(max_examples=30)
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), min_size=1, max_size=60))
def test_any_text_is_shown_as_it_was(begin: Callable[..., Story], page: Callable[[str], Page], text: str) -> None:
    """Not a character more, not one less."""
    story = begin("L2-01").judged("L2-01", "failed", reason=f"[{text}]", observed=f"({text})")

    told = page(html.of(model.of_events(story.rows)))

    assert f"[{text}]" in told.text
    assert f"({text})" in told.text


def test_a_run_with_nothing_in_it_makes_a_page(begin: Callable[..., Story], page: Callable[[str], Page]) -> None:
    """No case, no command, no stage, no sample, no frame."""
    nothing = begin(command=[])
    nothing.rows[1:] = []
    assert "Inconclusive" in page(html.of(model.of_events(nothing.rows))).text

    little = begin("L2-01").exchange("L2-01", []).timeline("L2-01", 1.0, 2.0).judged("L2-01", "failed")
    little.rows[-3]["samples"] = []
    assert "0 frames" in page(html.of(model.of_events(little.rows))).text


# --- the timeline


def spots(picture: etree._Element, kind: str) -> list[tuple[float, float]]:
    """From where to where something is drawn."""
    found = []
    for element in drawn(picture, kind):
        at = {name: float(value) for name, value in element.items() if name in {"x", "x1", "x2", "cx", "width"}}
        since = at.get("x", at.get("x1", at.get("cx", -1.0)))
        found.append((since, at.get("x2", since + at.get("width", 0.0))))
    return found


def drawn(picture: etree._Element, kind: str) -> list[etree._Element]:
    """All that is of a kind."""
    return [element for element in picture.iter() if element.get("class") == kind]


def written(picture: etree._Element, kind: str) -> list[str]:
    """The words of a kind."""
    return [element.text or "" for element in drawn(picture, kind)]


def test_the_timeline_shades_the_fault_and_names_the_outage(sample: Callable[[str], Sample]) -> None:
    """What a client lost is seen where the fault was."""
    source = html.of(model.read(sample("failed").folder))

    picture = pictures_of(source, "timeline")[0]

    ((since, until),) = spots(picture, "fault")
    ((lost, found),) = spots(picture, "outage")
    assert 0 < since < lost < found < until < svg.WIDTH
    assert (found - lost) / (until - since) == pytest.approx(6 / 8, abs=0.01)
    assert written(picture, "faultname") == ["power-cut of node w01"]
    assert written(picture, "outagename") == ["6.00 s"]
    assert "outages 6.00 s" in str(picture.findtext("title"))
    assert len(spots(picture, "lost")) == 600
    assert spots(picture, "answer")


def test_nothing_is_drawn_beside_the_picture(begin: Callable[..., Story]) -> None:
    """A case may cause faults before and after a client asks; they belong to other pictures."""
    story = begin("FAIL-01").fault("FAIL-01", 1.0, 2.0).fault("FAIL-01", 12.0, 13.0).fault("FAIL-01", 30.0, 31.0)
    story.timeline("FAIL-01", 10.0, 16.0, (12.1, 12.4)).fault("FAIL-01", 40.0, None).judged("FAIL-01")
    (case,) = model.of_events(story.rows).cases

    picture = etree.fromstring(pictures.timeline(case.timelines[0], case.faults))

    assert len(spots(picture, "fault")) == 1
    for kind in ("fault", "grid", "lost", "answer", "outage"):
        for since, until in spots(picture, kind):
            assert 0 <= since <= until <= svg.WIDTH
    assert " 1 fault," in str(picture.findtext("title"))


def test_a_fault_that_was_never_undone_lasts_to_the_end(begin: Callable[..., Story]) -> None:
    """The run may have been killed in the middle of it."""
    story = begin("FAIL-01").fault("FAIL-01", 12.0, None).timeline("FAIL-01", 10.0, 14.0, (12.1, 14.0))
    (case,) = model.of_events(story.rows).cases

    ((_, until),) = spots(etree.fromstring(pictures.timeline(case.timelines[0], case.faults)), "fault")

    assert until == pytest.approx(svg.WIDTH - 8, abs=0.2)


def test_long_calm_is_thinned_and_loss_never(begin: Callable[..., Story]) -> None:
    """A minute of probes stays a small picture, and a single lost request is seen in it."""
    story = begin("FAIL-01").fault("FAIL-01", 10.0, 70.0).timeline("FAIL-01", 10.0, 70.0, (40.0, 40.01))
    (case,) = model.of_events(story.rows).cases

    picture = etree.fromstring(pictures.timeline(case.timelines[0], case.faults))

    assert len(spots(picture, "lost")) == 1
    assert len(spots(picture, "answer")) <= 2000


def test_every_shown_number_is_a_number(each: Sample) -> None:
    """No picture holds a NaN or an infinity, whatever the times were."""
    for value in re.findall(r' (?:x|y|x1|x2|y1|y2|cx|cy|width|height)="([^"]*)"', html.of(model.read(each.folder))):
        assert re.fullmatch(r"-?\d+(\.\d+)?", value), value


def test_a_partial_run_says_so_in_its_headline(sample: Callable[[str], Sample], page: Callable[[str], Page]) -> None:
    """Nobody reads "Conformant" above three requirements of many."""
    told = page(html.of(model.read(sample("passed").folder)))

    assert "Conformant" not in told.text
    assert f"partial: 3 of {ALL} requirements of profile full judged; what was judged held" in told.text
    assert "A part of profile full" in told.text


def test_a_profile_whose_features_are_not_claimed_is_said_in_the_headline(
    sample: Callable[[str], Sample], page: Callable[[str], Page]
) -> None:
    """And how much of it that leaves open."""
    told = page(html.of(model.read(sample("unclaimed").folder)))

    assert "Not conformant" in told.text
    assert "profile layer2 requires features that are not claimed: l2, pool (" in told.text
