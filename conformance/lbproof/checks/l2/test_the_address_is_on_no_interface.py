"""An address that is announced by frames alone leaves no trace on the nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.proves import proves

if TYPE_CHECKING:
    from lbproof.stage import Stage


@proves("L2-03")
def test_the_address_is_on_no_interface(stage: Stage, case: str) -> None:  # noqa: ARG001 - one verdict
    """While it is announced, no node has it on an interface (IPVS's own, `kube-ipvs0`, excepted)."""
    stage.pool(1)
    address = stage.assigned(stage.service(serving=True))
    stage.announcer(address)

    stage.on_no_interface(address)
