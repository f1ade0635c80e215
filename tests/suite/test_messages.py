"""Messages are read by people who do not know Python, nor its libraries."""

from __future__ import annotations

import ast
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.suite import containers
from tests.suite.fake_lab import KUBECONFIG

import lbproof
from lbproof.adapters.reports import EventPattern
from lbproof.context.observations import Observations
from lbproof.witnesses.kube import ApiUnreachable, Kube

HOME = Path(lbproof.__file__).parent
TREES = {path: ast.parse(path.read_text()) for path in sorted(HOME.rglob("*.py"))}
KNOWN = containers.known(list(TREES.values()))
JUDGING = [path for path in TREES if path.relative_to(HOME).parts[0] in {"adapters", "checks", "context", "standing"}]
"""Modules whose messages are those of verdicts."""


@pytest.mark.parametrize("path", JUDGING, ids=lambda path: str(path.relative_to(HOME)))
def test_no_message_holds_a_list_as_python_writes_it(path: Path) -> None:
    """Whatever holds several values is put in words (`lbproof.text.words`)."""
    assert containers.shown(TREES[path], KNOWN) == []


@pytest.mark.parametrize(
    "part",
    [
        "[e for e in events]",
        "untouched(service)",
        "service.events()",
        "check.statuses(service)[service] or sorted(events)",
        "seen",
        "seen[:3]",
        "given",
        "made",
        "watch.existing",
    ],
)
def test_a_list_or_dict_in_a_message_is_found(part: str) -> None:
    """Written out, returned by a function of the package, kept in a variable, a parameter or an attribute."""
    source = (
        f"def f(given: list[str], *made: str):\n    seen = {{1: 2}}\n    return f'{{{part}}}', f'{{words({part})}}'"
    )

    assert containers.shown(ast.parse(source), KNOWN) == [part]


@pytest.mark.parametrize(
    ("reasons", "says"), [(["Allocated", "Announced"], "Allocated, Announced"), ([], "nothing")], ids=str
)
def test_reasons_of_events_are_put_in_words(reasons: list[str], says: str) -> None:
    """What was seen while an Event or a refusal was waited for."""
    shown: list[str] = []

    def eventually(look: Any, _good: object, *, show: Any, **_: object) -> list[str]:  # noqa: ANN401
        shown.append(show(look()))
        return [""]

    wait = SimpleNamespace(eventually=eventually)
    adapter = SimpleNamespace(refusals={"full": EventPattern(type="Warning", reason="Full")})
    run: Any = SimpleNamespace(wait=wait, adapter=adapter, claims=lambda _: True, cluster=None)
    events = [{"reason": reason} for reason in reasons]
    service: Any = SimpleNamespace(events=lambda: events, read=dict)
    run.cluster = SimpleNamespace(events_about=lambda _: events)
    seen = Observations(run)
    cause: Any = "full"
    seen.event(service, EventPattern(type="Normal", reason="Ready"))
    seen.refused(service, cause)

    assert shown == [f"0 such, of Events {says}"] * 2


def test_an_api_server_that_is_not_there_is_told_in_plain_words(tmp_path: Path) -> None:
    """The system's reason, and nothing of the classes of the HTTP library."""
    (tmp_path / "kubeconfig").write_text(KUBECONFIG)
    kube = Kube(tmp_path / "kubeconfig")
    with pytest.raises(ApiUnreachable) as caught:
        kube.list("/api/v1/nodes")
    kube.close()

    assert str(caught.value) == (
        "GET /api/v1/nodes: the API server at http://127.0.0.1:9 does not answer: Connection refused"
    )
