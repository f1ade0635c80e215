"""externalTrafficPolicy Local: no node replaces the client's address."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.checks.etp.local import assigned, own_address_seen
from lbproof.context import proves
from lbproof.lab.base import Capability

if TYPE_CHECKING:
    from lbproof.context import CheckContext


@proves("ETP-01")
def test_the_backend_sees_the_client(check: CheckContext, case: str) -> None:
    """At each of several Services, whose endpoints are on different nodes, and at one with endpoints on all nodes."""
    if case == "b":
        check.run.need(Capability.ROUTED_CLIENT)
    nodes = check.nodes_with_pods()
    held = assigned(check, nodes)
    wide = next(iter(held))
    check.serve_from(wide, nodes=nodes)
    for address, _ in held.values():
        own_address_seen(check, check.client if case == "a" else check.lab.routed_client(), address)
