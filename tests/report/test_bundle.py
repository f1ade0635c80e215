"""The folder of a run is complete, and a reviewer finds what was changed in it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.report.counts import ALL, count

from lbproof.report import bundle, model
from lbproof.report.folder import checksums
from lbproof.spec import REQUIREMENTS, SPEC_VERSION, Conclusion, Level

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.report.conftest import Sample, Story


def change(folder: Path, edit: Callable[[Any], object], *, sums: bool = True) -> Path:
    """Change `report.json`, and make the sums fit as somebody would who wants it to go unseen."""
    path = folder / "report.json"
    told = json.loads(path.read_text(encoding="utf-8"))
    edit(told)
    path.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    if sums:
        remake_sums(folder)
    return folder


def remake_sums(folder: Path) -> None:
    """Write the sums of what is there."""
    rows = checksums(folder)
    (folder / bundle.SUMS).write_text("".join(f"{digest}  {name}\n" for name, digest in rows.items()))


@pytest.fixture
def failed(sample: Callable[[str], Sample]) -> Path:
    """The folder of a run with failures, its reports made."""
    folder = sample("failed").folder
    bundle.write(folder)
    return folder


def test_all_files_are_made_and_in_order(each: Sample) -> None:
    """A folder and its `report.json` alone are both accepted, evidence included in the sums."""
    bundle.write(each.folder)

    made = {path.name for path in each.folder.iterdir() if path.is_file()}
    assert made == {
        "SHA256SUMS",
        "environment.json",
        "events.ndjson",
        "junit.xml",
        "report.html",
        "report.json",
    }
    assert bundle.verify(each.folder) == []
    assert bundle.verify(each.folder / "report.json") == []


def test_the_sums_are_those_that_sha256sum_reads(failed: Path) -> None:
    """A digest, two spaces, a path below the folder; every file but the sums themselves, in order."""
    rows = [line.split("  ") for line in (failed / "SHA256SUMS").read_text().splitlines()]

    assert [name for _, name in rows] == sorted(name for _, name in rows)
    assert {"evidence/L2-01/client.pcap", "events.ndjson", "report.json"} <= {name for _, name in rows}
    assert all(len(digest) == 64 for digest, _ in rows)


def test_the_facts_of_the_environment_have_a_file(failed: Path) -> None:
    """As they are in the events."""
    assert json.loads((failed / "environment.json").read_text()) == {"kubernetes": "v1.36.3", "kernel": "6.18"}


def test_events_that_cannot_be_read_leave_the_folder_as_it_was(failed: Path) -> None:
    """A report is not replaced by half of one."""
    before = {path: path.read_bytes() for path in failed.iterdir() if path.is_file()}
    (failed / "events.ndjson").write_text("garbage\n")

    with pytest.raises(model.BadRun):
        bundle.write(failed)

    del before[failed / "events.ndjson"]
    assert {path: path.read_bytes() for path in before} == before


# --- what a reviewer finds


def test_changed_missing_and_added_files_are_found(failed: Path) -> None:
    """Each by its name."""
    (failed / "evidence/L2-01/client.pcap").write_text("other frames")
    (failed / "evidence/L2-01/objects.json").unlink()
    (failed / "evidence/L2-01/extra.txt").write_text("new")

    assert bundle.verify(failed) == [
        "evidence/L2-01/objects.json: missing",
        "evidence/L2-01/extra.txt: not in SHA256SUMS",
        "evidence/L2-01/client.pcap: changed since SHA256SUMS was written",
        "report.json: evidence/L2-01/objects.json of L2-01 does not exist",
    ]


def test_missing_evidence_is_found_though_the_sums_fit(failed: Path) -> None:
    """What a verdict rests on is a part of it."""
    (failed / "evidence/L2-01/client.pcap").unlink()
    remake_sums(failed)

    assert bundle.verify(failed) == ["report.json: evidence/L2-01/client.pcap of L2-01 does not exist"]


@pytest.mark.parametrize("path", ["..", "/etc", "a\0b", "a" * 5000], ids=["above", "root", "nul", "long"])
def test_evidence_outside_the_folder_is_none(failed: Path, path: str) -> None:
    """A report is judged by what came with it."""
    change(failed, lambda told: told["requirements"][2]["cases"][0]["evidence"][0].update(path=path))

    shown = path.replace("\0", "\N{REPLACEMENT CHARACTER}")
    wanted = f"report.json: {shown} of L2-01 does not exist"
    assert any(problem == wanted or problem == f"{wanted[:400]}…" for problem in bundle.verify(failed))


def test_a_changed_verdict_is_found_by_the_sums(failed: Path) -> None:
    """The plain case: somebody edited the file."""
    change(failed, lambda told: told["requirements"][2]["cases"][0].update(verdict="passed"), sums=False)

    problems = bundle.verify(failed)

    assert "report.json: changed since SHA256SUMS was written" in problems
    assert "L2-01: is failed, but the worst of its cases is passed" in problems


def whitewash(told: Any) -> None:  # noqa: ANN401 - it is JSON
    """Make a run conformant in every place of its report."""
    for row in told["requirements"]:
        row["verdict"] = "passed"
        for case in row["cases"]:
            case.update(verdict="passed", reason="", expected="", observed="")
    told["counts"] = {name: 5 if name == "passed" else 0 for name in told["counts"]}
    told.update(conclusion="conformant", exit=0)


def test_a_report_that_was_whitewashed_with_care_is_contradicted_by_its_events(failed: Path) -> None:
    """The events are the run; the report only tells of it."""
    change(failed, whitewash)

    problems = bundle.verify(failed)

    assert "report.json: conclusion differs from events.ndjson" in problems
    assert "report.json: exit differs from events.ndjson" in problems
    assert [problem for problem in problems if "is passed, but events.ndjson says failed" in problem] == [
        "report.json: POOL-02b is passed, but events.ndjson says failed",
        "report.json: L2-01 is passed, but events.ndjson says failed",
        "report.json: FAIL-01 is passed, but events.ndjson says failed",
    ]


def test_a_case_that_was_dropped_is_contradicted_by_the_events(failed: Path) -> None:
    """Nobody is conformant by leaving out what failed."""
    change(failed, lambda told: told["requirements"].pop(2))

    assert "report.json: L2-01 is not there, but events.ndjson says failed" in bundle.verify(failed)


@pytest.mark.parametrize(
    ("edit", "name"),
    [
        (lambda told: told["implementation"].update(version="v9"), "implementation"),
        (lambda told: told["implementation"].update(claimed=["core"]), "implementation"),
        (lambda told: told.update(profile="core"), "profile"),
        (lambda told: told.update(at="2027-01-01T00:00:00.000Z"), "at"),
        (lambda told: told.update(note="interrupted"), "note"),
    ],
    ids=["version", "claimed", "profile", "at", "note"],
)
def test_who_was_judged_and_when_is_what_the_events_say(failed: Path, edit: Callable[[Any], object], name: str) -> None:
    """The report of one version is not that of another."""
    assert f"report.json: {name} differs from events.ndjson" in bundle.verify(change(failed, edit))


def test_events_that_were_spoilt_are_said_once(failed: Path) -> None:
    """In the words of whoever could not read them."""
    (failed / "events.ndjson").write_text("garbage\nmore\n")
    remake_sums(failed)

    (problem,) = bundle.verify(failed)

    assert "events.ndjson, line 1: not JSON" in problem


EDITS: list[tuple[str, Callable[[Any], object], str]] = [
    (
        "unknown-case",
        lambda told: told["requirements"][1]["cases"][0].update(id="POOL-02z"),
        "POOL-02z: not a case of POOL-02",
    ),
    (
        "unknown-requirement",
        lambda told: told["requirements"][0].update(id="POOL-99"),
        "POOL-99: not a requirement of the specification",
    ),
    (
        "twice",
        lambda told: told["requirements"].append(told["requirements"][0]),
        "POOL-01: is duplicated",
    ),
    ("requirement", lambda told: told["requirements"][0].update(verdict="failed"), "POOL-01: is failed, but the worst"),
    (
        "level",
        lambda told: told["requirements"][2].update(level="SHOULD"),
        f"L2-01: is a SHOULD, but in the specification a {REQUIREMENTS['L2-01'].level}",
    ),
    (
        "conclusion",
        lambda told: told.update(conclusion="conformant"),
        "conclusion: is conformant, but the verdicts give not conformant",
    ),
    ("exit", lambda told: told.update(exit=0), "exit: is 0, but the conclusion is not conformant"),
    (
        "counts",
        lambda told: told["counts"].update(failed=0),
        "counts: failed is 0, but the number of cases is 3",
    ),
    (
        "newer",
        lambda told: told.update(schema_version=4, mood="good"),
        "report.json: schema_version 4 is newer than this lbproof reads (3): update lbproof",
    ),
    ("missing", lambda told: told.pop("conclusion"), "report.json: conclusion: Field required"),
    ("verdict", lambda told: told["requirements"][0].update(verdict="fine"), "report.json: requirements.0.verdict: "),
]


@pytest.mark.parametrize(("edit", "says"), [row[1:] for row in EDITS], ids=[row[0] for row in EDITS])
def test_a_report_that_contradicts_itself_is_found_without_its_folder(
    failed: Path, edit: Callable[[Any], object], says: str
) -> None:
    """`report.json` is what is handed in: it is judged by itself too."""
    problems = bundle.verify(change(failed, edit) / "report.json")

    assert any(problem.startswith(says) for problem in problems), problems
    assert all("\n" not in problem for problem in problems)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"schema_version":"x"}'])
def test_what_is_no_report_is_said_in_lines(failed: Path, content: bytes) -> None:
    """Also when it is not even text."""
    (failed / "report.json").write_bytes(content)

    problems = bundle.verify(failed / "report.json")

    assert problems
    assert all(problem.startswith("report.json: ") and "\n" not in problem for problem in problems)


def test_a_folder_without_sums_or_report_says_so(failed: Path) -> None:
    """And how the sums are made again."""
    (failed / "SHA256SUMS").unlink()
    (failed / "report.json").unlink()

    assert bundle.verify(failed) == [
        f"SHA256SUMS is missing: generate it with lbproof report html {failed}",
        f"{failed / 'report.json'}: No such file or directory",
    ]


def test_sums_that_are_no_text_are_no_sums(failed: Path) -> None:
    """Every file is then one that they do not hold."""
    (failed / "SHA256SUMS").write_bytes(b"\xff\xfe\n\n")

    assert "report.json: not in SHA256SUMS" in bundle.verify(failed)


# --- the badge


def all_of(profile: str, *claimed: str) -> str:
    """What a badge says when everything passed that is claimed of a profile."""
    counts = {level: count(profile, level, claimed=claimed, in_part=False) for level in Level}
    musts = count(profile, Level.MUST)
    said = [f"{level} {number}/{number}" for level, number in counts.items() if number]
    if unsupported := musts - count(profile, Level.MUST, claimed=claimed):
        said.append(f"{unsupported}/{musts} MUST unsupported")
    return " · ".join(said)


@pytest.mark.parametrize(
    ("name", "message", "colour"),
    [
        (
            "whole",
            all_of("core", "core", "default-class", "explicit-ip-annotation", "pool", "refusal-reason"),
            "brightgreen",
        ),
        ("passed", f"partial 3/{ALL}", "blue"),
        ("unclaimed", all_of("layer2", "core"), "red"),
        ("few", all_of("layer2", "core", "l2", "pool"), "brightgreen"),
        ("failed", f"MUST 1/4 · partial 3/{ALL}", "red"),
        ("untestable", f"MUST 1/2 · partial 1/{ALL}", "yellow"),
        ("interrupted", f"MUST 1/2 · partial 1/{ALL}", "yellow"),
    ],
)
def test_a_badge_holds_the_numbers(sample: Callable[[str], Sample], name: str, message: str, colour: str) -> None:
    """Requirements of each level that passed, of how many; the colour is the conclusion."""
    assert bundle.badge(model.read(sample(name).folder)) == {
        "schemaVersion": 1,
        "label": f"lbproof {SPEC_VERSION}",
        "message": message,
        "color": colour,
    }


def test_a_badge_of_nothing_says_so(begin: Callable[..., Story]) -> None:
    """An empty badge looks like a mistake."""
    story = begin().not_run("L2-03", "unsupported", "l2-nonic not claimed").ended(Conclusion.CONFORMANT)

    assert bundle.badge(model.of_events(story.rows))["message"] == "nothing judged"
