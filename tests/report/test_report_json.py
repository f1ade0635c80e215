"""`report.json`: the fields that programs rely on, true to the verdicts, the same each time it is made."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jsonschema
from tests.report.counts import ALL, count

from lbproof.report import bundle, jsonreport, model
from lbproof.spec import PROFILES, REQUIREMENTS, SPEC_VERSION, Conclusion, Exit, Level, Verdict, conclude, worst

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.report.conftest import Sample, Story


def made(folder: Path) -> dict[str, Any]:
    """`report.json` of a run's folder."""
    bundle.write(folder)
    found: dict[str, Any] = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return found


def test_the_clock_of_each_vantage(begin: Callable[..., Story]) -> None:
    """The last one that was measured; a run of an earlier version has none."""
    story = begin("L2-01")
    story.add("probe", vantage="client", offset=0.0, uncertainty=0.0)
    story.add("probe", vantage="agent", offset=7.5, uncertainty=0.2)
    story.add("probe", vantage="agent", offset=7.4, uncertainty=0.1)
    told = jsonreport.of(model.of_events(story.judged("L2-01").rows))
    old = jsonreport.of(model.of_events(begin("L2-01").judged("L2-01").rows))

    assert {vantage: (clock.offset, clock.uncertainty) for vantage, clock in told.clocks.items()} == {
        "client": (0.0, 0.0),
        "agent": (7.4, 0.1),
    }
    assert old.clocks == {}


def test_the_fields_that_programs_rely_on(sample: Callable[[str], Sample]) -> None:
    """None is renamed, none changes what it means."""
    report = made(sample("failed").folder)

    assert report["schema_version"] == 3
    assert report["scope"] == {
        "judged": 3,
        "in_part": 1,
        "unsupported": ALL - count(claimed=["core", "l2", "pool"]),
        "of": ALL,
        "whole": False,
        "not_claimed": sorted(PROFILES["full"].requires - {"core", "l2", "pool"}),
    }
    assert (report["spec"], report["suite"], report["profile"]) == (SPEC_VERSION, "0.1.0", "full")
    assert report["implementation"] == {"name": "reference", "version": "0.1.0", "claimed": ["core", "l2", "pool"]}
    assert (report["conclusion"], report["exit"], report["note"]) == ("not conformant", 1, "")
    assert report["counts"] == {v.value: {"passed": 2, "failed": 3}.get(v, 0) for v in Verdict}
    assert report["environment"] == {"kubernetes": "v1.36.3", "kernel": "6.18"}
    assert [r["id"] for r in report["requirements"]] == ["POOL-01", "POOL-02", "L2-01", "FAIL-01"]
    wire = report["requirements"][2]
    assert {name: wire[name] for name in ("id", "area", "level", "verdict", "since")} == {
        "id": "L2-01",
        "area": "L2",
        "level": "MUST",
        "verdict": "failed",
        "since": REQUIREMENTS["L2-01"].since,
    }
    assert wire["sentence"] == REQUIREMENTS["L2-01"].text
    assert wire["cases"] == [
        {
            "id": "L2-01",
            "family": "",
            "sentence": REQUIREMENTS["L2-01"].text,
            "verdict": "failed",
            "flaky": False,
            "seconds": 1.5,
            "reason": "one node answers for 192.168.172.170: not within 5 s",
            "expected": "one node answers for 192.168.172.170",
            "observed": "after 0.17 s: w01, w02",
            "waits": [],
            "evidence": [
                {"kind": "pcap", "title": "Frames at the client", "path": "evidence/L2-01/client.pcap"},
                {"kind": "objects", "title": "Services", "path": "evidence/L2-01/objects.json"},
            ],
            "measured": [],
        }
    ]
    (wait,) = report["requirements"][1]["cases"][1]["waits"]
    assert (wait["budget"], wait["took"], wait["within"], wait["ok"]) == ("address_assigned", 5.02, 5, False)


def test_the_conclusion_is_that_of_the_verdicts(each: Sample) -> None:
    """A reader who works it out again comes to the same end."""
    report = made(each.folder)

    assert report["conclusion"] == each.conclusion
    rows = report["requirements"]
    assert all(r["verdict"] == worst(Verdict(c["verdict"]) for c in r["cases"]) for r in rows)
    found = conclude(
        ((Level(r["level"]), Verdict(c["verdict"])) for r in rows for c in r["cases"]),
        whole=report["scope"]["whole"],
        not_claimed=report["scope"]["not_claimed"],
        flaky=[Level(r["level"]) for r in rows for c in r["cases"] if c["flaky"]],
    )
    assert report["conclusion"] == found
    assert sum(report["counts"].values()) == sum(len(r["cases"]) for r in rows)
    assert report["exit"] == Exit.of(each.conclusion)


def test_a_run_without_an_end_is_inconclusive_though_all_of_it_passed(begin: Callable[..., Story]) -> None:
    """Nobody knows what was still to come."""
    report = jsonreport.of(model.of_events(begin("POOL-01").judged("POOL-01").rows))

    assert (report.conclusion, report.exit) == (Conclusion.INCONCLUSIVE, Exit.INCONCLUSIVE)
    assert "killed" in report.note


def test_the_exit_of_a_broken_environment_is_kept(begin: Callable[..., Story]) -> None:
    """The verdicts alone do not say that the lab never came up."""
    story = begin("POOL-01").not_run("POOL-01", "error", "not reached: no veth")

    report = jsonreport.of(model.of_events(story.ended(Conclusion.INCONCLUSIVE, exit=69, note="no veth").rows))

    assert (report.exit, report.note) == (69, "no veth")


def test_the_same_events_give_the_same_files(each: Sample) -> None:
    """Made again, in a year or on another machine, not a byte is different."""
    bundle.write(each.folder)
    first = {path.name: path.read_bytes() for path in each.folder.iterdir() if path.is_file()}
    bundle.write(each.folder)

    assert {path.name: path.read_bytes() for path in each.folder.iterdir() if path.is_file()} == first


def test_it_is_as_its_own_schema_says(each: Sample) -> None:
    """The schema that other programs are made from is the one that is kept."""
    schema = jsonreport.Report.model_json_schema(mode="serialization")

    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(made(each.folder), schema)
