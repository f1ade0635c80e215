"""`lbproof adapter check`: a line for each thing that it looks at, and an exit code for a CI."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from tests.suite.acme import Acme

from lbproof.adapters.base import Workload
from lbproof.lab.base import Image, LabError
from lbproof.run.cli import cli

if TYPE_CHECKING:
    from collections.abc import Callable

NOTHING: dict[str, Any] = {}
STEPS = ["members", "manifests", "images", "class", "pools", "service", "reports"]


def checked(monkeypatch: pytest.MonkeyPatch, make: Callable[[], object]) -> tuple[int, list[str]]:
    """Exit code and lines of the command for an adapter."""
    module = ModuleType("acme_lb")
    vars(module)["Acme"] = make
    monkeypatch.setitem(sys.modules, "acme_lb", module)
    done = CliRunner().invoke(cli, ["adapter", "check", "acme_lb:Acme"])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout.splitlines()


def test_a_right_adapter_has_a_line_for_each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """And ends with 0."""

    class Right(Acme):
        def pools(self, alive: Any, site: Any) -> list[dict[str, Any]]:  # noqa: ANN401, ARG002
            text = {pool.name: repr(pool) for pool in alive}
            return [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "pools"}, "data": text}]

    code, lines = checked(monkeypatch, Right)

    assert code == 0, lines
    assert [line.split()[1] for line in lines] == STEPS
    assert all(line.startswith("✓ ") for line in lines)


def wrong(**members: Any) -> type[Acme]:  # noqa: ANN401 - of any type
    """The model with other members."""
    return type("Acme", (Acme,), members)


def fails(*_: object) -> Any:  # noqa: ANN401 - it returns nothing
    """Fail as a program that an adapter runs fails."""
    raise LabError("`helm template acme` ended with exit code 1: no chart")


@pytest.mark.parametrize(
    ("make", "step", "says"),
    [
        (wrong(features=frozenset({"core", "l22"})), "members", "unknown feature 'l22'"),
        (wrong(workloads=None), "members", "workloads is None"),
        (wrong(manifests=fails), "manifests", "adapter acme: manifests(): `helm template acme` ended with exit code 1"),
        (
            wrong(manifests=lambda *_: dict[str, Any]()["x"]),
            "manifests",
            "adapter acme: manifests() failed: KeyError: 'x'",
        ),
        (wrong(manifests=lambda *_: [{"kind": "Pod"}]), "manifests", "which lacks apiVersion, kind or metadata.name"),
        (wrong(images=lambda *_: ["acme"]), "images", "images() returned 'acme', which is no Image"),
        (wrong(images=lambda *_: [Image(pattern="acme", program="/no/such")]), "images", "/no/such"),
        (wrong(manifests=lambda *_: []), "class", "is the same with and without site.class_only"),
        (wrong(pools=lambda *_: []), "pools", "is the same with and without a second pool (a network)"),
        (wrong(), "pools", "is the same for auto_assign true and false, but auto-assign is claimed"),
    ],
    ids=str,
)
def test_what_is_wrong_is_one_line_and_exit_1(
    monkeypatch: pytest.MonkeyPatch, make: type[Acme], step: str, says: str
) -> None:
    """The step and the reason; the other steps have their lines all the same."""
    code, lines = checked(monkeypatch, make)

    assert code == 1
    (line,) = (line for line in lines if line.startswith(f"✗ {step} "))
    assert says in line


def test_a_selector_that_matches_nothing_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its pods would never be seen as ready."""
    template = {"metadata": {"labels": {"app": "acme-lb"}}, "spec": {"containers": []}}
    daemons = {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "acme", "namespace": "acme"}}
    made = wrong(
        manifests=lambda *_: [{**daemons, "spec": {"template": template}}],
        workloads=(Workload(kind="DaemonSet", namespace="acme", name="acme", selector={"app": "acme"}),),
    )

    _, lines = checked(monkeypatch, made)

    assert any("does not match its labels, {'app': 'acme-lb'}" in line for line in lines)


def test_an_unknown_name_is_a_wrong_use() -> None:
    """Exit 64, with the nearest name."""
    done = CliRunner().invoke(cli, ["adapter", "check", "metalb"])

    assert "did you mean 'metallb'?" in str(done.exception)
