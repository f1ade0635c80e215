"""What each package imports is what its extra requires, and a run brings no more than it needs."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
OURS = {"lbproof", "lbproof_perf", "lbproof_reference"}
LOADED_BY_NAME = {"pytest-timeout"}
"""Plugins of pytest: `lbproof run` names them to pytest and imports nothing of them."""


def required(requirements: list[str]) -> set[str]:
    """Names of the distributions that a list of requirements names."""
    return {re.split(r"[^A-Za-z0-9._-]", line)[0].lower() for line in requirements}


def imported(folder: str) -> set[str]:
    """Names of the distributions that the modules below a folder import, also late and for types alone."""
    modules: set[str] = set()
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                modules.add(node.module.partition(".")[0])
    providers = packages_distributions()
    return {providers[name][0].lower() for name in modules - OURS - sys.stdlib_module_names}


@pytest.mark.parametrize(
    ("folder", "extra", "besides"),
    [
        ("conformance/lbproof", PROJECT["dependencies"], required(EXTRAS["kind"])),
        ("reference/lbproof_reference", EXTRAS["reference"], set()),
        ("perf/lbproof_perf", EXTRAS["perf"], required(PROJECT["dependencies"])),
    ],
    ids=["suite", "reference", "perf"],
)
def test_an_extra_lists_exactly_what_its_package_imports(folder: str, extra: list[str], besides: set[str]) -> None:
    """The suite imports pytest-kind when a kind lab is asked for; perf stands on what the suite requires."""
    assert imported(folder) - besides == required(extra) - LOADED_BY_NAME


def test_the_kind_extra_is_what_the_kind_lab_imports() -> None:
    """One distribution, which only that lab needs."""
    assert required(EXTRAS["kind"]) == imported("conformance/lbproof/lab/kind") - required(PROJECT["dependencies"])


def test_the_reference_image_holds_what_the_reference_requires() -> None:
    """The image's list and the extra name the same distributions."""
    lines = (ROOT / "reference/image/requirements.in").read_text().splitlines()

    assert required([line for line in lines if not line.startswith("#")]) == required(EXTRAS["reference"])


def test_conformance_brings_what_every_lab_runs_and_no_more() -> None:
    """`make conformance` is `tools/setup lab`, whose components are those without a name: no MetalLB, no keepalived."""
    (conformance,) = re.findall(r"^conformance: (\S+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    (lab,) = re.findall(r"^    lab\) (.*?);;", (ROOT / "tools/setup").read_text(), re.MULTILINE)

    assert conformance == "setup-lab"
    assert lab.split() == [".venv/bin/python", "-m", "lbproof.lab.components", ">/dev/null"]


def test_list_does_not_load_pytest() -> None:
    """Who asks what there is to judge waits for no test runner and no Kubernetes client."""
    code = (
        "import sys; from click.testing import CliRunner; from lbproof.run.cli import cli\n"
        "code = CliRunner().invoke(cli, ['list']).exit_code\n"
        "print(code, *sorted({'pytest', 'kubernetes', 'jinja2', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["0"]
