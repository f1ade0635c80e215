"""The documentation's site: a page for everything that the code names, and links that lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from docs.site.build import ROOT
from docs.site.check_sources import check_sources
from docs.site.pages import pages
from tests.mutants.catalogue import MUTANTS, NOT_BROKEN

from lbproof.environment import VARIABLES
from lbproof.run.flags import all_flags, key_of
from lbproof.run.options import options_model
from lbproof.spec import BUDGETS, FEATURES, PROFILES, REQUIREMENTS
from lbproof.spec.requirements import of_case
from lbproof_perf.load.options import LOAD_OPTIONS

if TYPE_CHECKING:
    from pathlib import Path

    from lbproof.spec import Requirement

FOLDER = "docs/reference"


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    """Every generated page."""
    return pages()


@pytest.mark.parametrize("requirement", REQUIREMENTS.values(), ids=lambda one: one.id)
def test_a_requirement_has_a_page(made: dict[str, str], requirement: Requirement) -> None:
    """Sentence, level, features, sources, cases, and at least one check."""
    page = made[f"{FOLDER}/requirements/{requirement.id}.md"]
    wanted = [
        requirement.text,
        requirement.level,
        *requirement.sources,
        *requirement.needs,
        *requirement.cases.values(),
    ]

    assert [part for part in wanted if part.replace("|", "\\|") not in page] == []
    assert [case for case in requirement.case_ids if requirement.cases and f"| {case} |" not in page] == []
    assert "`checks/" in page
    assert f"[{requirement.id}]({requirement.id}.md)" in made[f"{FOLDER}/requirements/index.md"]


def test_every_mutant_is_on_the_page_of_each_case_that_catches_it(made: dict[str, str]) -> None:
    """The pages and the table of mutants say the same."""
    for mutant in MUTANTS.values():
        for requirement in {of_case(case).id for case in mutant.cases}:
            assert f"| `{mutant.name}` |" in made[f"{FOLDER}/requirements/{requirement}.md"]


def test_a_mutant_that_no_case_catches_is_listed_with_the_reason(made: dict[str, str]) -> None:
    """The page of the mutants says what the cases do not see yet."""
    for mutant in MUTANTS.values():
        is_listed = f"| `{mutant.name}` | {' '.join(mutant.text.split())}" in made[f"{FOLDER}/mutants.md"]

        assert is_listed != bool(mutant.cases)


def test_each_case_has_a_mutant_or_the_reason_why_there_is_none(made: dict[str, str]) -> None:
    """In the catalogue, and on the page of the mutants."""
    broken = {case for mutant in MUTANTS.values() for case in mutant.cases}
    cases = {case for one in REQUIREMENTS.values() for case in one.case_ids}

    assert cases - broken == NOT_BROKEN.keys()
    rows = re.findall(r"^\| ([\w-]+) \| (.*) \|$", made[f"{FOLDER}/mutants.md"], re.MULTILINE)
    for case in cases:
        assert any(name == case and text.startswith(NOT_BROKEN.get(case, "`")) for name, text in rows)


def test_the_budgets_of_a_check_are_read_from_its_source() -> None:
    """What it names itself, and what it waits by in what it calls; nothing of others."""
    (check,) = check_sources()["FAIL-05"]

    assert {"failover", "one_answerer", "serves", "one_answerer_recount"} <= check.budgets
    assert "refusal_visible" not in check.budgets


def test_the_specification_page_is_complete(made: dict[str, str]) -> None:
    """Features, profiles and budgets."""
    page = made[f"{FOLDER}/specification.md"]

    assert [name for name in (*FEATURES, *PROFILES, *BUDGETS) if f"| `{name}` |" not in page] == []


def test_the_options_page_is_complete(made: dict[str, str]) -> None:
    """Each key of an options file has a flag, and each flag but `--options` a key."""
    page = made[f"{FOLDER}/options.md"]

    assert {key_of(name) for name, _ in all_flags()} - {"options"} == set(options_model().model_fields)
    assert [key for key in options_model().model_fields if f"| `{key}` |" not in page] == []


def test_the_environment_page_names_every_variable_that_the_code_does(made: dict[str, str]) -> None:
    """`LBPROOF_…` in any source of the project is in one of the two tables, and both are on the page."""
    sources = [path for folder in ("conformance", "perf", "reference", "kind-configs") for path in _sources(folder)]
    named = {name for path in sources for name in re.findall(r"\bLBPROOF_[A-Z_]+\b", path.read_text(errors="ignore"))}
    known = {*VARIABLES, *(option.variable for option in LOAD_OPTIONS)}

    assert named <= known
    assert [name for name in known if f"| `{name}` |" not in made[f"{FOLDER}/environment.md"]] == []


def _sources(folder: str) -> list[Path]:
    return [p for p in (ROOT / folder).rglob("*") if p.is_file() and p.suffix != ".pyc" and p.stat().st_size < 1 << 20]


def test_the_tutorials_have_the_same_commands() -> None:
    """English and Chinese differ in prose alone, and the files that they name are there."""
    blocks = [
        re.findall(r"```\n(.*?)```", (ROOT / f"docs/{name}").read_text(), re.DOTALL)
        for name in ("tutorial.md", "tutorial.zh.md")
    ]

    assert blocks[0] == blocks[1]
    assert all((ROOT / name).is_file() for name in re.findall(r"-f (\S+)", "".join(blocks[0])))


@pytest.mark.timeout(400)  # a minute where nothing else runs
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    """Every link inside it leads to a page or a heading that is there."""
    argv = [sys.executable, "-m", "docs.site.build", str(tmp_path / "site")]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "site/html/index.html").exists()
    assert (tmp_path / "site/html/docs/reference/requirements/POOL-03.html").exists()
    assert 'id="lbproof-lab-up"' in (tmp_path / "site/html/docs/reference/commands.html").read_text()
