"""The matrix of mutants and cases: complete, of today's mutants, and what CI runs again by it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.mutants import fingerprints, matrix
from tests.mutants.catalogue import CAUGHT, NOT_BROKEN
from tests.mutants.matrix import FAILED, Row, choose, differences, line_of, problems

from lbproof.spec import REQUIREMENTS, Level
from lbproof.spec.requirements import of_case

if TYPE_CHECKING:
    from pathlib import Path

    from tests.mutants.matrix import Rows

NAMES = sorted(CAUGHT)


def test_each_mandatory_case_is_failed_by_a_mutant_and_each_mutant_fails_its_cases() -> None:
    """The committed matrix has no problem."""
    assert list(problems(matrix.read())) == []


def test_no_more_mutants_are_due_than_the_limit() -> None:
    """They are judged by what they did before their sources changed, or by their word."""
    left = choose(matrix.read(), "any").left

    assert len(left) <= matrix.UNSEEN, "write their rows anew: python -m tests.mutants --update"


def complete() -> Rows:
    """A matrix as a run of all mutants writes it."""
    rows = [
        Row(
            mutant=mutant.name,
            case=case,
            verdict=FAILED,
            line="test_x.py: assert True",
            fault=fingerprints.of_fault(mutant.apply),
            check=fingerprints.of_check(case),
        )
        for mutant in CAUGHT.values()
        for case in mutant.cases
    ]
    return {(row.mutant, row.case): row for row in rows}


def test_a_complete_matrix_has_no_problem_and_nothing_due() -> None:
    """Only drawn mutants are run by it."""
    chosen = choose(complete(), "seed")

    assert list(problems(complete())) == []
    assert (chosen.due, len(chosen.drawn), chosen.left) == ((), matrix.DRAWN, ())


def test_a_mandatory_case_that_no_mutant_fails_is_a_problem() -> None:
    """Rows that say that it passed do not count; a case that may fail needs none."""
    rows = complete()
    name, case = next(key for key in rows if level(key[1]) is Level.MUST)
    passed = {key: replace(row, verdict="passed") for key, row in rows.items() if key[1] == case}

    seen = list(problems(rows | passed))
    assert [line for line in seen if line.startswith(f"{case}: no mutant")]
    assert f"{name}: {case} does not fail, it is passed" in seen
    lenient = {key: replace(row, verdict="passed") for key, row in rows.items() if level(key[1]) is Level.SHOULD}
    assert not [line for line in problems(rows | lenient) if ": no mutant" in line]


def level(case: str) -> Level:
    """Level of a case, or of one for a further family."""
    return of_case(case).level


def test_a_mutant_that_fails_nothing_is_a_problem() -> None:
    """Where it was run; one that never was is due."""
    rows, (ran, never) = complete(), NAMES[:2]
    rows |= {key: replace(row, verdict="passed") for key, row in rows.items() if key[0] == ran}
    left = {key: row for key, row in rows.items() if key[0] != never}

    assert f"{ran}: fails nothing" in list(problems(left))
    assert never in choose(left, "seed").due


def test_a_row_of_no_mutant_is_a_problem() -> None:
    """Mutant or case may have another name now."""
    (name, case), row = next(iter(complete().items()))
    gone = {("gone", case): replace(row, mutant="gone"), (name, "POOL-99"): replace(row, case="POOL-99")}

    seen = list(problems(complete() | gone))

    assert seen == [f"gone: {case} is not named for it (any more)", f"{name}: POOL-99 is not named for it (any more)"]


def test_a_case_without_a_mutant_has_one_reason() -> None:
    """A case of NOT_BROKEN is one of the specification, and no mutant is named for it."""
    cases = {case for one in REQUIREMENTS.values() for case in one.case_ids}

    assert cases >= NOT_BROKEN.keys()
    assert not NOT_BROKEN.keys() & {case for mutant in CAUGHT.values() for case in mutant.cases}


@pytest.mark.parametrize("change", ["missing", "fault", "check"])
def test_a_mutant_is_due_when_a_row_is_missing_or_out_of_date(change: str) -> None:
    """Another fault, another check, or a case that was named for it since."""
    rows, name = complete(), NAMES[3]
    key = next(key for key in rows if key[0] == name)
    rows = {one: row for one, row in rows.items() if one != key} | (
        {} if change == "missing" else {key: replace(rows[key], **{change: "0" * 12})}
    )

    assert choose(rows, "seed").due == (name,)


def test_what_is_drawn_depends_on_the_seed_alone() -> None:
    """The same commit runs the same mutants, another one others, in all many."""
    drawn = [choose(complete(), f"commit {n}").drawn for n in range(80)]

    assert drawn == [choose(complete(), f"commit {n}").drawn for n in range(80)]
    assert len({name for names in drawn for name in names}) > len(CAUGHT) / 2


def test_a_part_of_the_further_verdicts_is_drawn_from_the_seed() -> None:
    """Those for IPv6 beside IPv4 alone, and each by some commit."""
    further = {name for one in REQUIREMENTS.values() for name in {*one.names} - {*one.case_ids}}
    left = [{*matrix.not_drawn(f"commit {n}")} for n in range(40)]

    assert {len(further - names) for names in left} == {matrix.FURTHER}
    assert all(names < further for names in left)
    assert not set.intersection(*left)


def test_no_more_are_run_than_the_bound() -> None:
    """Those that are due come first, and the rest of them is named."""
    rows = complete()
    due = {name: {key: row for key, row in rows.items() if key[0] not in NAMES[:name]} for name in (14, 20)}
    few, many = choose(due[14], "seed"), choose(due[20], "seed")

    assert few.due == tuple(NAMES[:14])
    assert (len(few.drawn), few.left) == (matrix.MOST - 14, ())
    assert (len(many.due), many.drawn) == (matrix.MOST, ())
    assert sorted((*many.due, *many.left)) == NAMES[:20]


def test_a_line_is_known_by_its_statement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole, of a block its head, with its rank where the file has it more than once: a comment changes nothing."""
    check = tmp_path / "test_x.py"
    lines = [
        "def test_x(check):",
        " with check.one(",
        "  1",
        " ):",
        "  check.wait(",
        "   2,  # two",
        "   3)",
        " a()",
        " a()",
    ]
    check.write_text("\n".join(lines))
    monkeypatch.setattr(fingerprints, "file_of", lambda _: check)

    assert line_of("X-01", "test_x.py:3: 1") == "test_x.py: with check.one( 1 ):"
    assert line_of("X-01", "test_x.py:7: 3)") == "test_x.py: check.wait( 2, 3)"
    assert line_of("X-01", "test_x.py:9: a()") == "test_x.py: a() (statement 2 of 2 such)"
    check.write_text("# comment\n" + check.read_text())
    assert line_of("X-01", "test_x.py:10: a()") == "test_x.py: a() (statement 2 of 2 such)"


def test_a_failure_at_another_line_is_told() -> None:
    """Unless the row is out of date: then another line is what can be expected."""
    rows, name = complete(), next(name for name in NAMES if len(CAUGHT[name].cases) == 1)
    mutant = CAUGHT[name]
    (case,) = mutant.cases
    old = rows | {(name, case): replace(rows[name, case], check="0" * 12)}

    told = f"{name}: {case} fails at test_x.py: assert False; the matrix says test_x.py: assert True"
    file = fingerprints.file_of(case).parent / "test_x.py"
    assert not file.exists()
    assert list(differences(mutant, {case: "assert False"}, rows)) == [
        told.replace("test_x.py: assert False", "assert False")
    ]
    assert list(differences(mutant, {case: "assert False"}, old)) == []


def test_a_mutant_that_was_run_replaces_its_rows_alone(tmp_path: Path) -> None:
    """Rows of mutants that are no more go; the file is sorted, so that changes of several people merge."""
    path, mutant = tmp_path / "mutants.csv", next(one for one in CAUGHT.values() if len(one.cases) > 1)
    other = CAUGHT[next(name for name in NAMES if name != mutant.name)]
    matrix.update(other, dict.fromkeys(other.cases, FAILED), {}, path)
    for verdict in ("passed", FAILED):
        matrix.update(mutant, dict.fromkeys(mutant.cases, verdict), {mutant.cases[0]: "assert a, b"}, path)
    rows = matrix.read(path)

    assert {row.verdict for row in rows.values() if row.mutant == mutant.name} == {FAILED}
    assert rows[mutant.name, mutant.cases[0]].line == "assert a, b"
    assert list(rows) == sorted(rows)
