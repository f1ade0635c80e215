"""Verdicts for each family: told apart in every report, and a run is whole only with those of both."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from tests.report.tree import find, text

from lbproof.report import bundle, html, jsonreport, junit, model, replay, terminal, verify
from lbproof.run.cli import cli
from lbproof.spec import PROFILES, REQUIREMENTS, Conclusion, Level, Verdict, lacking
from lbproof.spec.requirements import family_shown, needs_of, of_case

OVERVIEW = "//table[contains(@class, 'overview')]"
CELLS = f"{OVERVIEW}/tbody/tr/td"

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.report.conftest import Story
    from tests.report.page import Page

CLAIMED = ["core", "default-class", "ipv6", "pool"]


def story_of(begin: Callable[..., Story], *, without: str = "", failed: str = "") -> Story:
    """A run over the profile `core`, by an implementation that claims IPv6."""
    profile = PROFILES["core"].features
    names = [name for r in REQUIREMENTS.values() for name in r.names if not lacking(needs_of(name), profile)]
    names = [name for name in names if name != without]
    selected = [name for name in names if not lacking(needs_of(name), CLAIMED)]
    story = begin(*selected, profile="core", claimed=CLAIMED)
    for name in names:
        if name not in selected:
            story.not_run(name, "unsupported", "class not claimed")
        elif name == failed:
            story.judged(name, "failed", reason="no address was given")
        else:
            if of_case(name).level is Level.INFO:
                story.add("measured", case=name, what="pool of a node", value="refused", unit="")
            story.judged(name)
    return story


@pytest.fixture
def whole(begin: Callable[..., Story], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a run that judged all for both families."""
    monkeypatch.setattr(verify, "__version__", "0.1.0")
    made = story_of(begin).ended(Conclusion.CONFORMANT).write(tmp_path / "run")
    bundle.write(made)
    return made


def test_a_whole_run_has_both_families(whole: Path) -> None:
    """Each case has a row for each family, one that is judged once has one row of none."""
    run = model.read(whole)
    report = json.loads((whole / "report.json").read_text())
    rows = [(c["id"], c["family"]) for r in report["requirements"] for c in r["cases"]]

    assert verify.verify(whole) == []
    assert run.conclusion is Conclusion.CONFORMANT
    assert run.families == ["IPv4", "IPv6"]
    assert [family for case, family in rows if case == "POOL-01"] == ["IPv4", "IPv6"]
    assert [family for case, family in rows if case == "POOL-02b"] == [""]
    assert len(set(rows)) == len(rows) == sum(report["counts"].values())
    assert bundle.badge(run)["message"].endswith("IPv4 and IPv6")


def test_a_run_without_a_verdict_for_one_family_is_partial(begin: Callable[..., Story], tmp_path: Path) -> None:
    """A report that says otherwise is refused."""
    story = story_of(begin, without="POOL-01-IPv6").ended(Conclusion.CONFORMANT)
    folder = story.write(tmp_path / "run")
    bundle.write(folder)
    report = folder / "report.json"

    assert model.read(folder).conclusion is Conclusion.PARTIAL
    told = json.loads(report.read_text())
    told["scope"]["whole"], told["conclusion"] = True, "conformant"
    report.write_text(json.dumps(told))
    found = verify.verify(report)
    assert any(line.startswith("scope: whole is True, but the verdicts give False") for line in found), found


@pytest.mark.parametrize("family", ["", "IPv4"])
def test_a_verdict_of_another_family_is_a_forgery(whole: Path, family: str) -> None:
    """What was found for IPv6 cannot be told as found for IPv4."""
    report = json.loads((whole / "report.json").read_text())
    (case,) = [c for c in report["requirements"][0]["cases"] if c["family"] == "IPv6"]
    case["family"] = family
    (whole / "report.json").write_text(json.dumps(report))

    assert "POOL-01: is duplicated" in verify.verify(whole / "report.json")


def test_a_family_where_none_is_claimed_is_found(whole: Path) -> None:
    """Without the claim of IPv6, no verdict says a family, and there is none for IPv6."""
    report = json.loads((whole / "report.json").read_text())
    report["implementation"]["claimed"].remove("ipv6")
    (whole / "report.json").write_text(json.dumps(report))

    found = verify.verify(whole / "report.json")

    assert "POOL-01: family is 'IPv4', but by the specification and the claims ''" in found
    assert "POOL-01-IPv6: is passed, but needs features that are not claimed: ipv6" in found


def test_the_page_has_a_column_for_each_family(begin: Callable[..., Story], page: Callable[[str], Page]) -> None:
    """In the overview and in each requirement of several verdicts; a run of IPv4 alone has none."""
    both = model.of_events(story_of(begin, failed="RECL-01a-IPv6").ended(Conclusion.NOT_CONFORMANT).rows)
    told = page(html.of(both))

    assert ["case", "IPv4", "IPv6", "once"] in told.rows
    assert "RECL-01a-IPv6" in told.ids
    assert "lbproof run RECL-01a-IPv6" in told.text
    assert "IPv6" not in page(html.of(model.of_events(begin("L2-01").judged("L2-01").rows))).text


@pytest.fixture
def both(begin: Callable[..., Story]) -> str:
    """The page of a run for both families, with a failure."""
    story = story_of(begin, failed="RECL-01a-IPv6").ended(Conclusion.NOT_CONFORMANT)
    return html.of(model.of_events(story.rows))


@pytest.fixture
def single(begin: Callable[..., Story]) -> str:
    """The page of a run for one family, with a case that is judged once where there are two."""
    return html.of(model.of_events(begin("POOL-02b", "L2-01").judged("POOL-02b").judged("L2-01").rows))


def test_each_row_of_the_overview_names_its_area_and_each_cell_its_family(both: str) -> None:
    """By headings of columns and rows, and by a label that a narrow screen shows in place of the heading."""
    headings = [(th.get("scope"), th.text) for th in find(both, f"{OVERVIEW}/thead/tr/th")]
    rows = find(both, f"{OVERVIEW}/tbody/tr")
    empty = [cell for cell in find(both, CELLS) if not len(cell)]

    assert headings == [("col", "area"), ("col", "IPv4"), ("col", "IPv6"), ("col", "once")]
    assert len(rows) > 3
    for row in rows:
        assert [cell.get("scope") for cell in row.iterfind("th")] == ["row"]
        assert [cell.get("data-label") for cell in row.iterfind("td")] == ["IPv4", "IPv6", "once"]
    assert empty
    assert all(cell.text is None for cell in empty), "a cell without a verdict is empty, so that its label is hidden"


def test_each_verdict_of_the_overview_is_said_in_words(both: str) -> None:
    """A screen reader says the case and its verdict, not the name of a glyph."""
    found = {link.get("aria-label") for link in find(both, f"{CELLS}//a")}

    assert {"POOL-01 passed", "RECL-01a-IPv6 failed"} <= found


def test_what_once_means_is_said_above_the_overview(both: str, single: str) -> None:
    """In sight, and by the table's description for a screen reader; where there is one family, nothing is said."""
    (table,) = find(both, OVERVIEW)
    (note,) = find(both, f"//p[@id='{table.get('aria-describedby')}']")

    assert "once" in text(note)
    assert both.index(f'id="{note.get("id")}"') < both.index('<table class="overview')
    assert find(single, f"{CELLS}//a")
    assert find(single, f"//*[@id='{note.get('id')}']") == []
    assert find(single, f"{OVERVIEW}[@aria-describedby]") == []
    assert find(single, f"{CELLS}[@data-label]") == []
    assert find(single, "//p[contains(@class, 'once')]") == []


def test_a_requirement_says_why_a_case_of_it_is_judged_once(both: str) -> None:
    """Which cases, if not all of it, and the reason that the specification has."""

    def said(requirement: str) -> list[str]:
        return [text(p) for p in find(both, f"//*[@id='r-{requirement}']//p[@class='small soft once']")]

    whole = of_case("POOL-02b")
    assert said("POOL-02") == [f"{case} is judged once: {whole.why_once(case)}." for case in ("POOL-02b", "POOL-02c")]
    assert said("CLASS-01") == [f"Judged once: {of_case('CLASS-01a').why_once('CLASS-01a')}."]
    assert said("POOL-01") == []


def test_a_requirement_has_columns_for_what_it_has_verdicts_of(both: str) -> None:
    """No column is empty, and where all is judged once there is no table."""

    def columns(requirement: str) -> list[str | None]:
        verdicts = f"//*[@id='r-{requirement}']//table[contains(@class, 'verdicts')]"
        return [th.text for th in find(both, f"{verdicts}/thead/tr/th")]

    assert columns("POOL-02") == ["case", "IPv4", "IPv6", "once"]
    assert columns("POOL-01") == ["case", "IPv4", "IPv6"]
    assert columns("CLASS-01") == []


def test_the_terminal_tells_families_apart(begin: Callable[..., Story]) -> None:
    """While the run goes on, in its areas, and in what did not pass."""
    rows = story_of(begin, failed="RECL-01a-IPv6").ended(Conclusion.NOT_CONFORMANT).rows
    stream = io.StringIO()
    show = terminal.LiveTerminal(stream, color=False, width=100)
    for row in rows:
        show(row)
    lines = terminal.summary(model.of_events(rows))

    assert any("RECL-01a-IPv6   0.2 s  One Service" in line for line in stream.getvalue().splitlines())
    begins = next(at for at, line in enumerate(lines) if line.split()[:1] == ["RECL"])
    area = [line.split()[-3:] for line in lines[begins : begins + 3]]
    assert [row[0] for row in area] == ["once", "IPv4", "IPv6"]
    of_ipv4, of_ipv6 = ([int(number) for number in row[1].split("/")] for row in area[1:])
    assert (of_ipv4[0] - 1, of_ipv4[1]) == (of_ipv6[0], of_ipv6[1])
    assert any(line.startswith("    ✗ RECL-01a-IPv6 failed") for line in lines)


def test_other_reports_name_the_family(begin: Callable[..., Story]) -> None:
    """JUnit by the name of the test, the command by a pattern for the family alone."""
    run = model.of_events(story_of(begin, failed="POOL-01-IPv6").ended(Conclusion.NOT_CONFORMANT).rows)
    text = junit.of(run)

    assert text.count('name="POOL-01 An automatically') == text.count('name="POOL-01-IPv6 An automatically') == 1
    assert replay.command(run.started, "POOL-01").startswith("lbproof run POOL-01-IPv4")
    assert replay.command(run.started, "POOL-02b").startswith("lbproof run POOL-02b")
    assert jsonreport.of(run).counts[Verdict.FAILED] == 1


def test_events_name_the_family(begin: Callable[..., Story]) -> None:
    """By the name of the verdict; what family it has follows from the specification and the claims."""
    assert family_shown("POOL-01", ["core"]) == ""
    assert family_shown("POOL-01", CLAIMED) == "IPv4"
    assert family_shown("POOL-01-IPv6", CLAIMED) == "IPv6"
    assert family_shown("POOL-02b", CLAIMED) == ""
    with pytest.raises(model.BadRun, match="POOL-02b-IPv6 is not in specification"):
        model.of_events(begin("POOL-02b-IPv6", claimed=CLAIMED).judged("POOL-02b-IPv6").rows)


def test_the_list_names_the_families_of_a_case() -> None:
    """A case is listed once, whatever it is judged for."""
    done = CliRunner().invoke(cli, ["list", "--json", "POOL-02a", "POOL-02b", "POOL-03e"])

    assert [(row["name"], row["families"]) for row in json.loads(done.output)] == [
        ("POOL-02a", ["IPv4", "IPv6"]),
        ("POOL-02b", []),
        ("POOL-03e", ["IPv4"]),
    ]
