"""`lbproof list`: list requirements, features, profiles, budgets and adapters, without a cluster."""
# ruff: noqa: PLC0415 - imports inside commands keep `lbproof list` and `--help` fast

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from lbproof.spec import ALIASES, AREAS, BUDGETS, FEATURES, PROFILES, REQUIREMENTS, Budget, Profile, select
from lbproof.spec.requirements import case_of, of_case, sentence

if TYPE_CHECKING:
    from collections.abc import Sequence


@click.command("list", short_help="List the requirements and their cases.")
@click.argument("patterns", nargs=-1)
@click.option("--features", "what", flag_value="features", help="list the features that an implementation may claim")
@click.option("--profiles", "what", flag_value="profiles", help="list the profiles")
@click.option("--budgets", "what", flag_value="budgets", help="list the named waits with default and ceiling")
@click.option("--implementations", "what", flag_value="implementations", help="list the installed adapters")
@click.option("--coverage", is_flag=True, help="say what stands behind each: checks, mutants, recorded runs")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def list_(patterns: tuple[str, ...], what: str | None, coverage: bool, as_json: bool) -> None:
    """List the requirements and their cases; needs no cluster.

    PATTERNS are IDs, cases or areas (default: all). A case has the level of its requirement.
    """
    if coverage:
        _list_coverage(patterns, as_json=as_json)
        return
    rows = _rows(what, patterns)
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    if what is None:
        _list_requirements([row["name"] for row in rows])
        return
    width = max((len(row["name"]) for row in rows), default=0)
    for row in rows:
        click.echo(f"{row['name']:{width}}  {row['text']}")


def _list_requirements(cases: Sequence[str]) -> None:
    """Print each requirement with its level, followed by its selected cases."""
    shown = ""
    for case in cases:
        requirement = of_case(case)
        if requirement.id != shown:
            shown = requirement.id
            click.echo(f"{requirement.id:<10}  {requirement.level:6}  {requirement.text}")
        if requirement.cases:
            click.echo(f"  {case:<16}  {sentence(case)}")


def _required(profile: Profile) -> str:
    """Say which features a profile requires, or which not, whichever is shorter."""
    declined = FEATURES.keys() - profile.requires
    few = len(profile.requires) < len(declined)
    return ", ".join(sorted(profile.requires)) if few else f"every feature but {', '.join(sorted(declined))}"


def _list_coverage(patterns: tuple[str, ...], *, as_json: bool) -> None:
    """Print what stands behind each selected requirement."""
    from lbproof.run.coverage import coverage, seen

    recorded = seen()
    wanted = dict.fromkeys(of_case(name).id for name in select(patterns or AREAS, "the command line"))
    found = [coverage(REQUIREMENTS[name], recorded) for name in wanted]
    if as_json:
        click.echo(json.dumps([one.as_json() for one in found], indent=1))
        return
    for one in found:
        click.echo(f"{one.requirement.id:<10}  {one.requirement.level:6}  {one.requirement.text}")
        for label, text in one.lines():
            click.echo(f"  {label:<8}  {text}")


def _rows(what: str | None, patterns: tuple[str, ...]) -> list[dict[str, Any]]:
    if what == "features":
        known = [{"name": f.name, "text": f.text} for f in FEATURES.values()]
        return known + [{"name": name, "text": f"short for {' and '.join(of)}"} for name, of in ALIASES.items()]
    if what == "profiles":
        return [
            {
                "name": p.name,
                "text": f"{p.text}; requires {_required(p)}",
                "features": sorted(p.features),
                "requires": sorted(p.requires),
            }
            for p in PROFILES.values()
        ]
    if what == "budgets":
        return [
            {
                "name": b.name,
                "text": f"{b.default:>4g} s (at most {b.ceiling:g} s)  {b.text}{_consequence(b)}",
                "default": b.default,
                "ceiling": b.ceiling,
                "judges": b.judges,
            }
            for b in BUDGETS.values()
        ]
    if what == "implementations":
        from lbproof.adapters.installed import adapters

        return [{"name": name, "text": f"{make().version}"} for name, make in _made(adapters())]
    cases = dict.fromkeys(map(case_of, select(patterns or AREAS, "the command line")))
    return [
        {
            "name": case,
            "text": f"{of_case(case).level:6}  {sentence(case)}",
            "level": of_case(case).level,
            "sentence": sentence(case),
            "requirement": of_case(case).id,
            "families": [family.label for family in of_case(case).families(case)],
            "sources": of_case(case).sources,
        }
        for case in cases
    ]


def _made(found: dict[str, Any]) -> list[tuple[str, Any]]:
    return [(name, found[name]()) for name in sorted(found)]


def _consequence(budget: Budget) -> str:
    """Say what a wait that is exceeded means, if it is no failure."""
    return "; exceeded: error" if budget.when_exceeded == "error" else ""
