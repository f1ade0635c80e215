"""The example of a vendor: its adapter, and what is said when a member of it is missing or misspelt."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
from click.testing import CliRunner

from acme_lb.__main__ import INVALID
from acme_lb.assign import read_pools
from acme_lb_proof import Acme
from lbproof.adapters.base import Adapter, PoolSpec
from lbproof.run.cli import cli
from lbproof.witnesses.kube import Kube, Object

MEMBERS = [name for name in vars(Acme) if not name.startswith("_")]
OPTIONAL = {"images", "pool_error"}
"""They have a default: judged on kind alone, nothing said about a malformed pool."""


def check(monkeypatch: pytest.MonkeyPatch, adapter: type[Adapter]) -> tuple[int, list[str]]:
    """Exit code and lines of `lbproof adapter check`."""
    module = ModuleType("acme_copy")
    vars(module)["Acme"] = adapter
    monkeypatch.setitem(sys.modules, "acme_copy", module)
    done = CliRunner().invoke(cli, ["adapter", "check", "acme_copy:Acme"])
    return done.exit_code, done.stdout.splitlines()


def copy_without(name: str, **members: object) -> type[Adapter]:
    """Copy the adapter without a member, and with others."""
    kept = {key: value for key, value in vars(Acme).items() if key in MEMBERS and key != name}
    return type("Acme", (Adapter,), {**kept, **members})


def test_it_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every line."""
    code, lines = check(monkeypatch, Acme)

    assert code == 0
    assert all(line.startswith("✓ ") for line in lines)


@pytest.mark.parametrize("name", MEMBERS)
def test_a_missing_member_is_one_line(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Unless it has a default."""
    code, lines = check(monkeypatch, copy_without(name))

    if name in OPTIONAL:
        assert code == 0
    else:
        assert code == 1
        assert f"lacks the member {name}" in lines[0]
        assert len(lines) == 1


@pytest.mark.parametrize("name", MEMBERS)
def test_a_misspelt_member_is_one_line(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """With the right spelling."""
    wrong = f"{name}s"
    code, lines = check(monkeypatch, copy_without(name, **{wrong: vars(Acme)[name]}))

    assert code == 1
    (line,) = lines
    assert f"unknown member {wrong!r}; did you mean {name!r}?" in line


class Config(Kube):
    """API server with the ConfigMap alone, annotated by the program."""

    def __init__(self, data: dict[str, str]) -> None:
        annotations = {INVALID: "; ".join(read_pools(data)[1])}
        self.config: Object = {"metadata": {"annotations": annotations}}

    def get(self, path: str, **query: object) -> Object:  # noqa: ARG002
        return self.config


def test_a_malformed_pool_is_found_by_its_name() -> None:
    """Not by the beginning of another one's."""
    config = Config({"crd-1": "192.0.2.300/28", "crd-11": "192.0.2.9-192.0.2.1", "crd": "192.0.2.1"})
    said = {name: Acme().pool_error(config, PoolSpec(name=name, blocks=())) for name in ("crd-1", "crd-11", "crd")}

    assert "192.0.2.300" in said["crd-1"]
    assert "ends before it begins" in said["crd-11"]
    assert not said["crd"]
