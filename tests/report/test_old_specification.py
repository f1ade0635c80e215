"""A report of specification 1.0 is read by its own names of features and in its own wording."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from lbproof.report import bundle, model, verify
from lbproof.run.cli import cli
from lbproof.spec import PROFILES, REQUIREMENTS, Conclusion, claims, lacking
from lbproof.spec.requirements import needs_of, sentence

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.report.conftest import Story

CLAIMED = ["core", "events", "explicit-ip", "pool", "pool-annotation"]


@pytest.fixture
def folder(begin: Callable[..., Story], tmp_path: Path) -> Path:
    """A run over the profile `core`, by an implementation that claimed nearly all that it judges."""
    profile, claimed = PROFILES["core"].features, claims(CLAIMED, "1.0")
    cases = [case for r in REQUIREMENTS.values() for case in r.cases_in("1.0") if not lacking(needs_of(case), profile)]
    selected = [case for case in cases if not lacking(needs_of(case), claimed)]
    story = begin(*selected, spec="1.0", profile="core", claimed=CLAIMED)
    for case in cases:
        if case in selected:
            story.judged(case)
        else:
            story.not_run(case, "unsupported", "class not claimed")
    made = story.ended(Conclusion.CONFORMANT).write(tmp_path / "run")
    bundle.write(made)
    return made


def test_it_is_valid(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be declined then was claimed with `core` and `pool`."""
    monkeypatch.setattr(verify, "__version__", "0.1.0")

    done = CliRunner().invoke(cli, ["report", "verify", str(folder)])

    assert done.exit_code == 0, done.output
    assert "is conformant, profile core, specification 1.0" in done.output


def test_it_keeps_its_wording(folder: Path) -> None:
    """Sentences are those of its version, and a newer one in it is a forgery."""
    result = next(r for r in model.read(folder).results if r.requirement.id == "EVT-03")
    assert result.requirement.text.startswith("The annotation that names the pool is right")
    assert result.cases[0].sentence == "The annotation names the pool that holds the address."

    path = folder / "report.json"
    report = json.loads(path.read_text())
    case = next(c for r in report["requirements"] for c in r["cases"] if c["id"] == "EVT-03a")
    case["sentence"] = sentence("EVT-03a")
    path.write_text(json.dumps(report))
    done = CliRunner().invoke(cli, ["report", "verify", str(path)])

    assert done.exit_code == 1
    assert "EVT-03a: sentence is 'The mark names" in done.output


def test_what_its_profile_required_is_compared_by_its_names(folder: Path) -> None:
    """`not_claimed` of a report has the names of its version, which stand for the present ones."""
    path = folder / "report.json"
    report = json.loads(path.read_text())
    report["scope"]["not_claimed"] = ["events"]
    path.write_text(json.dumps(report))

    done = CliRunner().invoke(cli, ["report", "verify", str(path)])

    assert "scope: not_claimed is ['allocation-event', 'refusal-reason'], but the verdicts give []" in done.output
