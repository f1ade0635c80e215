"""An address that is announced by frames alone leaves no trace on the nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.context import proves

if TYPE_CHECKING:
    from lbproof.context import CheckContext


@proves("L2-03")
def test_the_address_is_on_no_interface(check: CheckContext) -> None:
    """While it is announced, no node has it on an interface (IPVS's own, `kube-ipvs0`, excepted)."""
    check.pool(1)
    address = check.assigned(check.service(serving=True))
    check.announcer(address)

    check.on_no_interface(address)
