"""Verdicts for each family: told apart in every report, and a run is whole only with those of both."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from lbproof.report import bundle, html, jsonreport, junit, model, replay, terminal, verify
from lbproof.run.cli import cli
from lbproof.spec import PROFILES, REQUIREMENTS, Conclusion, Level, Verdict, lacking
from lbproof.spec.requirements import family_shown, needs_of, of_case

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.report.conftest import Page, Story

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
