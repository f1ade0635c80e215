"""What is measured and not judged, in every report: figures in words, and no influence on the rest."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from lbproof.report import bundle, claims, html, jsonreport, junit, model, terminal
from lbproof.spec import Conclusion

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.report.conftest import Story
    from tests.report.page import Page


def told(begin: Callable[..., Story], verdict: str = "passed", **details: Any) -> Story:  # noqa: ANN401 - it is JSON
    """A run of a case that is judged and of one that is measured, with two figures."""
    story = begin("POOL-01", "REQ-06").judged("POOL-01")
    story.add("measured", case="REQ-06", what="pool of a node", value="its address is given to no Service", unit="")
    story.add("measured", case="REQ-06", what="refused after", value=0.25, unit="s")
    return story.judged("REQ-06", verdict, **details).ended(Conclusion.PARTIAL)


def test_figures_are_in_every_report(begin: Callable[..., Story], page: Callable[[str], Page], tmp_path: Path) -> None:
    """In words, with the unit of a number."""
    folder = told(begin).write(tmp_path / "run")
    bundle.write(folder)
    run = model.read(folder)
    words = ["pool of a node: its address is given to no Service", "refused after: 0.25 s"]

    for text in (page(html.of(run)).text, junit.of(run), " ".join(terminal.summary(run))):
        assert [word for word in words if word not in text] == []
    cases = [case for row in json.loads((folder / "report.json").read_text())["requirements"] for case in row["cases"]]
    (case,) = (case for case in cases if case["id"] == "REQ-06")
    assert [row["value"] for row in case["measured"]] == ["its address is given to no Service", 0.25]
    assert bundle.verify(folder) == []


@pytest.mark.parametrize("verdict", ["passed", "untestable", "error", "skipped"])
def test_it_counts_nowhere(begin: Callable[..., Story], verdict: str) -> None:
    """Neither in the conclusion, nor in the levels, nor in the scope."""
    run = model.of_events(told(begin, verdict).rows)

    assert run.conclusion is Conclusion.PARTIAL
    assert [str(level) for level in run.levels()] == ["MUST", "SHOULD", "MAY"]
    assert run.scope.judged == 1


def test_what_cannot_be_is_found(begin: Callable[..., Story]) -> None:
    """A failure of what is not judged, a figure of what is judged, and nothing measured at all."""
    report = jsonreport.of(model.of_events(told(begin, "failed", reason="x").rows)).model_dump()
    assert "REQ-06: is failed, but is measured and not judged" in problems(report)

    report = jsonreport.of(model.of_events(told(begin).rows)).model_dump()
    pool, request = (case for row in report["requirements"] for case in row["cases"])
    pool["measured"], request["measured"] = request["measured"], []
    assert {"POOL-01: has figures, but is a MUST", "REQ-06: is passed, but nothing was measured"} <= problems(report)


def problems(report: dict[str, object]) -> set[str]:
    """Return what is found in a report."""
    return set(claims.problems(jsonreport.Report.model_validate(report)))
