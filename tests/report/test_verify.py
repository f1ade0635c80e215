"""A reviewer is told of every field of a report that somebody invented, and of what no check can prove."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from tests.report.counts import ALL, LAYER2_MUSTS, LAYER2_MUSTS_UNCLAIMED, count
from tests.report.forging import Edit, case, forge, forge_events, keep_one, remake_sums, wait

from lbproof.report import bundle, model, verify
from lbproof.report.folder import SUMS
from lbproof.run.cli import cli
from lbproof.spec import REQUIREMENTS, SPEC_VERSION, VERSIONS, Conclusion
from lbproof.spec.requirements import of_case

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.report.conftest import Sample, Story

KNOWN = " and ".join(VERSIONS)


FORGERIES: list[tuple[str, Edit, str]] = [
    (
        "spec",
        lambda told: told.update(spec="9.9"),
        f"report.json: spec '9.9' is not known; this lbproof knows {KNOWN}: use the lbproof of that version",
    ),
    (
        "profile",
        lambda told: told.update(profile="gold"),
        f"report.json: profile 'gold' is not in specification {SPEC_VERSION}, which has core, layer2, article, full",
    ),
    (
        "other-profile",
        lambda told: told.update(profile="full"),
        "conclusion: is conformant, but the verdicts give partial",
    ),
    (
        "one-case",
        keep_one,
        (
            "conclusion: is conformant, but the verdicts give partial "
            f"(partial: 1 of {count('core')} requirements of profile core"
        ),
    ),
    ("scope", lambda told: told["scope"].update(judged=999), "scope: judged is 999, but the verdicts give "),
    ("no-scope", lambda told: told.pop("scope"), "scope: is missing"),
    (
        "sentence",
        lambda told: told["requirements"][0].update(sentence="It works."),
        "POOL-01: sentence is 'It works.', but in the specification 'An automatically chosen",
    ),
    (
        "case-sentence",
        lambda told: case(told, "POOL-02a").update(sentence="It works."),
        "POOL-02a: sentence is 'It works.', but in the specification 'Services created",
    ),
    ("area", lambda told: told["requirements"][0].update(area="L2"), "POOL-01: area is 'L2', but in the specification"),
    ("since", lambda told: told["requirements"][0].update(since="0.1"), "POOL-01: since is '0.1', but in the"),
    ("sources", lambda told: told["requirements"][0].update(sources=["me"]), "POOL-01: sources is 'me', but in the"),
    ("no-case", lambda told: told["requirements"][0].update(cases=[]), "POOL-01: has no case"),
    ("order", lambda told: told["requirements"].reverse(), "requirements: are not in the order of the specification"),
    (
        "invented",
        lambda told: case(told, "CLASS-01b").update(verdict="passed", reason=""),
        "CLASS-01b: is passed, but needs features that are not claimed: class",
    ),
    (
        "unsupported",
        lambda told: case(told, "POOL-01").update(verdict="unsupported", reason="hard"),
        "POOL-01: is unsupported, although every feature that it needs is claimed",
    ),
    ("failed", lambda told: case(told, "POOL-01").update(verdict="failed"), "POOL-01: is failed without a reason"),
    (
        "untestable",
        lambda told: case(told, "POOL-01").update(verdict="untestable", reason="no time"),
        "POOL-01: is untestable for a reason that is not in the closed list",
    ),
    (
        "excuse",
        lambda told: case(told, "POOL-01").update(reason="nearly"),
        "POOL-01: is passed, but has a reason why it is not",
    ),
    (
        "flaky",
        lambda told: case(told, "POOL-01").update(verdict="failed", reason="x", flaky=True),
        "POOL-01: is failed, but only passed cases can be flaky",
    ),
    ("seconds", lambda told: case(told, "POOL-01").update(seconds=1e6), "POOL-01: took 1e+06 s of a run of"),
    (
        "case-twice",
        lambda told: told["requirements"][0]["cases"].append(case(told, "POOL-01")),
        "POOL-01: is duplicated",
    ),
    (
        "took",
        lambda told: wait(told).update(took=61),
        "POOL-01: wait by serves: took 61 s, but at most 60 s is allowed",
    ),
    (
        "took-of-budget",
        lambda told: wait(told).update(took=20),
        "POOL-01: wait by serves: took 20 s of its budget of 10 s, but is recorded as settled",
    ),
    ("took-below", lambda told: wait(told).update(took=-1), "POOL-01: wait by serves: took -1 s, which is negative"),
    (
        "within",
        lambda told: wait(told).update(within=90),
        "POOL-01: wait by serves: its budget is 90 s, but at most 60 s is allowed",
    ),
    ("two-budgets", lambda told: wait(told).update(within=11), "budget serves: is 10 s and 11 s in one run"),
    (
        "ceiling",
        lambda told: wait(told).update(ceiling=900),
        "POOL-01: wait by serves: ceiling is 900 s, but in the specification 60 s",
    ),
    ("budget", lambda told: wait(told).update(budget="patience"), "POOL-01: wait by patience: there is no such budget"),
    (
        "mode",
        lambda told: wait(told).update(mode="hopes"),
        "POOL-01: wait by serves: mode 'hopes' is neither settles nor",
    ),
    (
        "held-too-short",
        lambda told: wait(told).update(mode="holds"),
        "POOL-01: wait by serves: held for 0.4 s of 10 s, but is recorded as held",
    ),
    (
        "failed-wait",
        lambda told: wait(told).update(ok=False),
        "POOL-01: is passed, and a wait of it by serves failed: default/web is given an address",
    ),
    ("not-finite", lambda told: told.update(seconds=float("nan")), "report.json: seconds: Input should be a finite"),
    (
        "clock",
        lambda told: told.update(clocks={"w01": {"offset": 0.0, "uncertainty": -1.0}}),
        "clocks: w01 has an uncertainty of -1 s, which is negative",
    ),
    ("length", lambda told: told.update(seconds=-3), "seconds: is -3, which is negative"),
    ("time", lambda told: told.update(at="yesterday"), "at: 'yesterday' is not an RFC 3339 time in UTC"),
    ("nobody", lambda told: told["implementation"].update(name=" "), "implementation.name: is empty"),
    (
        "claims",
        lambda told: told["implementation"]["claimed"].append("telepathy"),
        "implementation.claimed: telepathy is not a feature",
    ),
    (
        "claims-twice",
        lambda told: told["implementation"]["claimed"].append("core"),
        "implementation.claimed: core is duplicated",
    ),
    ("old", lambda told: told.update(schema_version=0), "report.json: schema_version 0 is below 1"),
    ("exit", lambda told: told.update(exit=1), "exit: is 1, but the conclusion is conformant"),
]


@pytest.mark.parametrize(("edit", "says"), [row[1:] for row in FORGERIES], ids=[row[0] for row in FORGERIES])
def test_a_report_with_one_forged_field_is_refused_by_itself(whole: Path, edit: Edit, says: str) -> None:
    """One line names the field, what it says and what is right; a bare `report.json` is enough to see it."""
    assert verify.verify(whole) == verify.verify(whole / "report.json") == []

    problems = verify.verify(forge(whole, edit) / "report.json")

    assert any(problem.startswith(says) for problem in problems), problems
    assert all(problem.isprintable() for problem in problems)


@pytest.mark.parametrize(
    ("edit", "name"),
    [
        (lambda told: told.update(suite="9.9"), "suite"),
        (lambda told: told.update(seconds=500), "seconds"),
        (lambda told: told.update(command=["lbproof", "run"]), "command"),
        (lambda told: told["environment"].update(kernel="7"), "environment"),
        (lambda told: case(told, "POOL-01").update(seconds=0.1), "seconds of POOL-01"),
        (lambda told: wait(told).update(took=0.01), "waits of POOL-01"),
        (lambda told: wait(told).update(what="a miracle"), "waits of POOL-01"),
        (lambda told: case(told, "POOL-01").update(waits=[]), "waits of POOL-01"),
        (lambda told: case(told, "CLASS-01b").update(reason="not now"), "reason of CLASS-01b"),
        (lambda told: case(told, "POOL-01").update(flaky=True), "flaky of POOL-01"),
    ],
    ids=["suite", "seconds", "command", "environment", "case-seconds", "took", "what", "no-waits", "reason", "flaky"],
)
def test_a_field_that_only_the_events_contradict_is_refused(whole: Path, edit: Edit, name: str) -> None:
    """Everything that the events hold too is compared with them."""
    assert f"report.json: {name} differs from events.ndjson" in verify.verify(forge(whole, edit))


def test_a_requirement_of_a_later_specification_is_refused(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A report of specification 1.0 holds none that came with 1.1."""
    later = replace(REQUIREMENTS["POOL-01"], since=SPEC_VERSION)
    with monkeypatch.context() as changed:
        changed.setitem(REQUIREMENTS, "POOL-01", later)
        of_case.cache_clear()
        problems = verify.verify(forge(whole, lambda told: told.update(spec="1.0")) / "report.json")
    of_case.cache_clear()

    assert f"POOL-01: not in specification 1.0, which it came after ({SPEC_VERSION})" in problems


@pytest.mark.parametrize("name", ["report.html", "junit.xml", "environment.json"])
def test_a_page_that_says_something_else_is_refused(whole: Path, name: str) -> None:
    """What a person looks at is what the events say, not only what a program reads."""
    (whole / name).write_text("all is well\n")
    remake_sums(whole)

    assert verify.verify(whole) == [
        f"{name}: differs from what events.ndjson generates; lbproof report html generates it again"
    ]


@pytest.mark.parametrize("name", ["evidence/far.txt", "report.json", "events.ndjson", "logs"])
def test_a_folder_with_a_link_that_leads_out_of_it_is_not_read(whole: Path, tmp_path: Path, name: str) -> None:
    """A reviewer's own files are no part of a submission."""
    (tmp_path / "secret").mkdir()
    link = whole / name
    link.parent.mkdir(exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(tmp_path / "secret")

    assert verify.verify(whole) == [f"{name}: a symbolic link; such a folder is not verified"]


@pytest.mark.parametrize("target", ["../secret", "report.json"])
def test_no_command_reads_or_writes_a_folder_with_a_link(whole: Path, tmp_path: Path, target: str) -> None:
    """Neither out of the folder nor within it, and nothing is written through it."""
    secret = tmp_path / "secret"
    secret.write_text("mine\n")
    for name in ("report.html", f".report.html.{os.getpid()}", "events.ndjson"):
        was = (whole / name).read_bytes() if (whole / name).exists() else None
        (whole / name).unlink(missing_ok=True)
        (whole / name).symlink_to(target)
        for command in (["html"], ["badge"], ["verify"]):
            done = CliRunner().invoke(cli, ["report", *command, str(whole)])
            assert done.exit_code in {1, 64}, done.output
            assert f"{name}: a symbolic link" in str(done.exception) + done.output
        (whole / name).unlink()
        if was is not None:
            (whole / name).write_bytes(was)

    assert secret.read_text() == "mine\n"
    assert verify.verify(whole) == []


def test_a_field_that_is_said_twice_is_refused(whole: Path) -> None:
    """A reader of the first and a reader of the last would see two reports."""
    path = whole / "report.json"
    path.write_text(path.read_text().replace('"exit": 0,', '"exit": 1,\n "exit": 0,'))

    assert verify.verify(path) == ["report.json: the field exit is duplicated in an object"]


def test_what_a_report_says_cannot_steer_the_screen_of_its_reviewer(whole: Path) -> None:
    """Neither by a value nor by the name of a field or of a file."""

    def spoil(told: Any) -> None:  # noqa: ANN401 - it is JSON
        told["requirements"][0]["id"] = "\033[2JPOOL-01"
        told["implementation"]["claimed"].append("\x9b31m\u202e")
        case(told, "POOL-02a")["sentence"] = "\033]0;fine\a\r\n"

    forge(whole, spoil)
    (whole / "evidence").mkdir(exist_ok=True)
    (whole / "evidence" / "\033[31mred").write_text("x")
    problems = verify.verify(whole)
    assert len(problems) > 3
    assert all(problem.isprintable() for problem in problems)

    forge(whole, lambda told: told.update({"\033[2J": 1}))
    problems = verify.verify(whole)
    assert any("Extra inputs" in problem for problem in problems)
    assert all(problem.isprintable() for problem in problems)


# --- what is said of a report that is in order


def said(what: Path) -> tuple[int, list[str]]:
    """The exit code and the lines of `lbproof report verify`."""
    done = CliRunner().invoke(cli, ["report", "verify", str(what)])
    return done.exit_code, done.output.splitlines()


def test_what_cannot_be_proven_is_said(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A report is not signed, and a bare one lacks its events."""
    monkeypatch.setattr(verify, "__version__", "0.1.0")

    head = f"valid: reference 0.1.0 is conformant, profile core, specification {SPEC_VERSION}"
    unsigned = "not proven: that the run took place as recorded (nothing is signed)"
    assert said(whole) == (0, [head, unsigned])
    assert said(whole / "report.json") == (
        0,
        [head, unsigned, "not proven: that its events agree (verify the run's folder instead)"],
    )


def test_a_partial_report_in_order_says_of_what_it_is_a_part(sample: Callable[[str], Sample]) -> None:
    """So does one of a profile whose features are not claimed; both are in order, whatever they say."""
    partial, unclaimed = sample("passed").folder, sample("unclaimed").folder
    bundle.write(partial)
    bundle.write(unclaimed)

    assert said(partial)[1][:2] == [
        f"valid: reference 0.1.0 is partial, profile full, specification {SPEC_VERSION}",
        f"partial: 3 of {ALL} requirements of profile full judged; what was judged held",
    ]
    assert said(unclaimed)[1][:2] == [
        f"valid: reference 0.1.0 is not conformant, profile layer2, specification {SPEC_VERSION}",
        (
            "profile layer2 requires features that are not claimed: l2, pool "
            f"({LAYER2_MUSTS_UNCLAIMED} of {LAYER2_MUSTS} MUSTs unsupported)"
        ),
    ]


def test_a_forged_report_is_refused_with_exit_1(whole: Path) -> None:
    """And nothing is called in order."""
    code, lines = said(forge(whole, keep_one))

    assert code == 1
    assert not any(line.startswith(("in order", "cannot prove")) for line in lines)


# --- reports of before


def test_a_whole_report_of_schema_1_is_still_in_order(whole: Path, begin: Callable[..., Story]) -> None:
    """It has no scope, and its pages were made by what was then."""

    def age(told: Any) -> None:  # noqa: ANN401 - it is JSON
        told.pop("scope")
        told["schema_version"] = 1

    forge_events(whole, lambda row: row.update(format=1), event="run.started")
    forge(whole, age)
    (whole / "report.html").write_text("as it was\n")
    remake_sums(whole)

    assert verify.verify(whole) == []
    assert verify.verify(whole / "report.json") == []
    assert begin().rows[0]["format"] == 3


def test_a_partial_run_of_before_is_no_longer_called_conformant(begin: Callable[..., Story], tmp_path: Path) -> None:
    """Its events are read, and its reports can be made again."""
    story = begin("POOL-01", format=1).judged("POOL-01").ended(Conclusion.CONFORMANT)
    folder = story.write(tmp_path / "run")

    bundle.write(folder)

    assert model.read(folder).conclusion is Conclusion.PARTIAL
    assert verify.verify(folder) == []


@pytest.mark.parametrize("name", ["report.json", "SHA256SUMS", "events.ndjson", "extra"])
def test_what_would_be_read_for_ever_is_not_read(whole: Path, name: str) -> None:
    """A FIFO blocks whoever opens it."""
    (whole / name).unlink(missing_ok=True)
    os.mkfifo(whole / name)

    assert bundle.verify(whole) == [f"{name}: neither a folder nor a regular file; such a folder is not verified"]


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (lambda told: told.update(exit=70), "exit: is 70, but the conclusion is conformant"),
        (lambda told: wait(told).update(mode="holds", took=1e9), "took 1e+09 s of a run of"),
        (lambda told: told.update(exit="0"), "report.json: exit: "),
        (lambda told: case(told, "POOL-01").update(seconds="0.1"), "seconds: "),
        (lambda told: told.update(schema_version="99"), "schema_version is missing, or not a whole number"),
        (lambda told: told["implementation"].update(name="a\x1b[31mb"), "contains unprintable characters"),
        (lambda told: told.update(at="2026-W01-1T00+00:00"), "is not an RFC 3339 time"),
        (lambda told: told.update(at="2026-11-24T00:00:00+14:00"), "is not an RFC 3339 time"),
    ],
    ids=["exit", "watched", "text-exit", "text-seconds", "text-version", "escape", "week", "zone"],
)
def test_what_is_of_another_type_or_form_is_refused(whole: Path, edit: Edit, says: str) -> None:
    """Numbers are numbers, times are in UTC, and names can be printed."""
    problems = bundle.verify(forge(whole, edit))

    assert any(says in problem for problem in problems), problems


def test_a_file_called_as_the_sums_in_a_folder_below_is_summed(whole: Path) -> None:
    """Only the sums themselves are in no sum."""
    (whole / "evidence").mkdir(exist_ok=True)
    (whole / "evidence" / SUMS).write_text("payload")

    assert f"evidence/{SUMS}: not in {SUMS}" in bundle.verify(whole)
