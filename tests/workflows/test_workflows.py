"""The workflows: nothing in them that a person could not run, every action pinned, and two linters find no fault."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from lbproof.lab.components import ensure
from lbproof.lab.components.catalogue import Build, Component, GoTree

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
ACTION = ROOT / "action.yml"
DEPENDABOT = ROOT / ".github/dependabot.yml"
ACTIONLINT = Component(
    name="actionlint",
    version="1.7.12",
    build=Build(
        tree=GoTree(
            module="github.com/rhysd/actionlint@v1.7.12", sum="h1:vQ4GeJN86C0QH+gTUQcs8McmK62OLT3kmakPMtEWYnY="
        ),
        package="./cmd/actionlint",
    ),
)
BIN = Path(sys.executable).parent
ids = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)


def read(path: Path) -> dict[str, Any]:
    """A workflow or an action."""
    found: dict[str, Any] = yaml.safe_load(path.read_text())
    return found


def steps(path: Path) -> list[dict[str, Any]]:
    """All steps of a workflow or of the action."""
    found = read(path)
    jobs = found["jobs"].values() if "jobs" in found else [found["runs"]]
    return [step for job in jobs for step in job["steps"]]


def test_actionlint_finds_no_fault() -> None:
    """Types, contexts, matrices, and the shell of each step."""
    program = ensure(["actionlint"], progress=print, known={"actionlint": ACTIONLINT})["actionlint"]
    argv = [str(program), f"-shellcheck={BIN}/shellcheck", "-no-color", *map(str, WORKFLOWS)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)

    assert done.stdout + done.stderr == ""


def test_zizmor_finds_no_fault() -> None:
    """Injection, credentials that stay, permissions that are too wide, actions that are not pinned."""
    argv = [
        str(BIN / "zizmor"),
        "--offline",
        "--no-progress",
        "--persona=pedantic",
        *map(str, [*WORKFLOWS, ACTION, DEPENDABOT]),
    ]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", [*WORKFLOWS, ACTION], ids=lambda path: path.stem)
def test_every_action_is_pinned_by_a_hash_that_says_its_version(path: Path) -> None:
    """A tag can be moved; a reader wants to know which one it was."""
    used = re.findall(r"uses: (.*)", path.read_text())

    assert used
    assert [line for line in used if not re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)] == []


@ids
def test_a_workflow_has_no_right_that_a_job_does_not_ask_for(path: Path) -> None:
    """`permissions: {}` above, and no credentials left in a checkout."""
    kept = [s["with"]["persist-credentials"] for s in steps(path) if s.get("uses", "").startswith("actions/checkout@")]

    assert read(path)["permissions"] == {}
    assert all(job["permissions"] for job in read(path)["jobs"].values())
    assert not any(kept)


@ids
def test_a_step_is_one_command_that_a_person_runs(path: Path) -> None:
    """A target of the Makefile that is there, and no logic around it."""
    runs = [step["run"] for step in steps(path) if "run" in step]
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    said = [re.fullmatch(r"(?:sudo (?:--preserve-env=RUN_ARGS )?)?make ([a-z-]+)", run) for run in runs]

    assert runs
    assert [run for run, match in zip(runs, said, strict=True) if match is None or match[1] not in targets] == []


def test_what_the_matrix_names_is_there() -> None:
    """Each topology is a file."""
    matrix = read(ROOT / ".github/workflows/conformance.yml")["jobs"]["kind"]["strategy"]["matrix"]

    assert [name for name in matrix["topology"] if not (ROOT / f"kind-configs/{name}.yaml").exists()] == []
