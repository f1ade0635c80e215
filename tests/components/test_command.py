"""`python -m lbproof.lab.components` brings what a run needs and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from lbproof.lab.components import LAB, __main__, catalogue

if TYPE_CHECKING:
    from collections.abc import Iterable


@pytest.mark.parametrize(
    ("arguments", "brought"),
    [([], set(LAB)), (["--all"], set(catalogue())), (["keepalived"], {"keepalived"})],
)
def test_what_is_brought(monkeypatch: pytest.MonkeyPatch, arguments: list[str], brought: set[str]) -> None:
    """A run of the reference brings no other implementation and no control of the benchmarks."""
    seen: list[str] = []

    def ensure(names: Iterable[str], **_: Any) -> dict[str, Any]:  # noqa: ANN401 - as the real one
        seen.extend(names)
        return {}

    monkeypatch.setattr(__main__, "ensure", ensure)

    assert __main__.main(arguments) == 0
    assert set(seen) == brought
    assert not [name for name in LAB if name.startswith(("metallb", "keepalived"))]
