"""One page a requirement and one of the mutants, from the specification, the checks' sources and the mutants."""

from __future__ import annotations

from functools import cache

from docs.site.check_sources import CheckSource, check_sources
from docs.site.tables import table
from tests.mutants import matrix
from tests.mutants.catalogue import CAUGHT, NOT_BROKEN, UNCAUGHT

from lbproof.run.coverage import Seen, coverage, seen
from lbproof.spec import AREAS, BUDGETS, REQUIREMENTS, Requirement

FOLDER = "docs/reference/requirements"


def requirement_pages() -> dict[str, str]:
    """Path in the site → Markdown: each requirement's page and the list of all."""
    checks = check_sources()
    found = {f"{FOLDER}/{one.id}.md": _page(one, checks.get(one.id, [])) for one in REQUIREMENTS.values()}
    return {f"{FOLDER}/index.md": _index(), **found}


def _index() -> str:
    parts = ["# Requirements\n", "Each has a permanent ID, which is never reused, and a page of its own.\n"]
    for area in AREAS.values():
        rows = [(f"[{r.id}]({r.id}.md)", r.level, r.text) for r in REQUIREMENTS.values() if r.area == area.name]
        parts += [f"## {area.title}\n", f"{area.text}\n", table(("ID", "level", "sentence"), rows) + "\n"]
    return "\n".join([*parts, "```{toctree}", ":hidden:", "", *REQUIREMENTS, "```", ""])


def _page(requirement: Requirement, checks: list[CheckSource]) -> str:
    facts = [
        ("level", requirement.level),
        ("area", AREAS[requirement.area].title),
        ("features that it needs", _code(sorted(requirement.needs))),
        ("sources", "; ".join(requirement.sources)),
        ("since specification", requirement.since),
        ("judged for", _families(requirement)),
    ]
    return "\n".join(
        (
            f"# {requirement.id}\n",
            f"> {requirement.text}\n",
            table(("", ""), facts) + "\n",
            _cases(requirement),
            _checks(checks),
            _mutants(requirement),
            _recorded(requirement),
            "## Judge it alone\n",
            f"```\nlbproof run {requirement.id}\n```\n",
        )
    )


def _families(requirement: Requirement) -> str:
    """Say which families each case is judged for, and why some are judged once."""
    told: dict[str, list[str]] = {}
    for case in requirement.case_ids:
        families = [family.label for family in requirement.families(case)]
        what = " and ".join(families) if families else f"once: {requirement.why_once(case)}"
        told.setdefault(what, []).append(case)
    if len(told) == 1:
        return next(iter(told))
    return "; ".join(f"{', '.join(cases)}: {what}" for what, cases in told.items())


def _code(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _cases(requirement: Requirement) -> str:
    if not requirement.cases:
        return "It has one verdict and no cases.\n"
    rows = [
        (f"{requirement.id}{letter}", text, _code(sorted(requirement.case_needs.get(letter, frozenset()))))
        for letter, text in requirement.cases.items()
    ]
    return "## Cases\n\n" + table(("case", "what it shows", "more features"), rows) + "\n"


def _checks(checks: list[CheckSource]) -> str:
    lines = [f"- {check.text}<br>`{check.path}`, `{check.function}`" for check in checks]
    named = [name for name in BUDGETS if any(name in check.budgets for check in checks)]
    rows = [(f"`{n}`", BUDGETS[n].text, f"{BUDGETS[n].default:g} s", f"{BUDGETS[n].ceiling:g} s") for n in named]
    budgets = table(("budget", "from → to", "default", "ceiling"), rows) if rows else "None of its own."
    return "\n".join(("## How it is checked\n", *lines, "", "### Budgets that its check waits by\n", budgets, ""))


def _mutants(requirement: Requirement) -> str:
    rows = [
        (f"`{name}`", " ".join(CAUGHT[name].text.split()), case, where)
        for case in requirement.names
        for name, where in _failures(case)
    ]
    none = [f"{case}: none; {NOT_BROKEN[case]}.\n" for case in requirement.case_ids if case in NOT_BROKEN]
    caught_ones = [table(("mutant", "what is wrong with it", "case", "fails at"), rows) + "\n"] if rows else []
    return "\n".join(["## Mutants that it catches\n", *caught_ones, *none])


def _failures(case: str) -> list[tuple[str, str]]:
    """Each mutant that a case must catch, and the line of the check at which it was seen to fail."""
    rows, found = _matrix(), []
    for mutant in CAUGHT.values():
        if case in mutant.cases:
            row = rows.get((mutant.name, case))
            where = f"`{row.line}`" if row and row.line else row.verdict if row else "not run yet"
            before = "" if row is None or matrix.is_current(row, mutant) else "; on earlier sources"
            found.append((mutant.name, f"{where}{before}"))
    return found


@cache
def _matrix() -> matrix.Rows:
    """Matrix of mutants, read once."""
    return matrix.read()


@cache
def _seen() -> list[Seen]:
    """Verdicts of recorded runs, read once."""
    return seen()


def _recorded(requirement: Requirement) -> str:
    found = coverage(requirement, _seen())
    rows = [
        ("labs", ", ".join(found.labs) or "none"),
        ("passes", "; ".join(found.passes) or "none"),
        ("fails", "; ".join(found.fails) or "none"),
    ]
    return "## What recorded runs saw\n\n" + table(("", ""), rows) + "\n"


def mutants() -> str:
    """Each case with the mutants that it must catch, and what no case catches, with the reasons."""
    caught = [
        (case, f"`{name}`", where)
        for requirement in REQUIREMENTS.values()
        for case in requirement.names
        for name, where in _failures(case)
    ]
    none = [
        (case, NOT_BROKEN[case])
        for requirement in REQUIREMENTS.values()
        for case in requirement.case_ids
        if case in NOT_BROKEN
    ]
    uncaught = [(f"`{one.name}`", " ".join(one.text.split()), one.uncaught) for one in UNCAUGHT.values()]
    return f"""# Mutants

A mutant is the reference with one fault. `make mutants` runs each under the cases that are named for it, fails where
one does not fail, and writes what it saw into the matrix below (`docs/findings/mutants.csv`). A step that another
requirement owns makes a case untestable, so a case that fails does so at what it judges itself.

`make test` fails when a mandatory case has no mutant in the matrix that it was seen to fail with, or a mutant fails
nothing. It runs the mutants again whose fault or check changed since, and a few others, which it draws by the commit.

## Which case catches which

{table(("case", "mutant", "line of the check that fails"), caught)}

## Cases that no mutant breaks

{table(("case", "why"), none)}

## Mutants that no case catches yet

Each fails a test of the reference (`tests/reference`).

{table(("mutant", "what is wrong with it", "why no case catches it"), uncaught)}
"""
