"""Ports at the announced address: those of the Service, not those of the node."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.context import CannotShow, proves
from lbproof.context.manifests import TARGET_PORT
from lbproof.lab.base import Capability
from lbproof.spec import Untestable
from lbproof.text import words
from lbproof.witnesses.capture import Capture
from lbproof.witnesses.packets import hops_to
from lbproof.witnesses.transport import listening, send_datagrams

if TYPE_CHECKING:
    from lbproof.context import CheckContext
    from lbproof.spec.families import IPAddress

HOST_PORTS = (22, 10250)
UNUSED = 4711
PACKETS = 5
TTL = 64


@proves("TIER-06")
def test_only_declared_ports_answer(check: CheckContext, case: str) -> None:
    """The address has no open node port, target port, host listener or unused port."""
    check.run.need(Capability.NODE_VANTAGE)
    check.pool(1)
    service = check.service(serving=True)
    address = check.assigned(service)
    check.serves(check.client, address)
    announcer = check.announcer(address)

    if case == "a":
        check.not_served(check.client, address, service.node_port())
    elif case == "b":
        check.not_served(check.client, address, TARGET_PORT)
    elif case == "c":
        with listening(check.lab.node(announcer.name), HOST_PORTS):
            check.not_served(check.client, address, *HOST_PORTS)
    else:
        _unused(check, address)


def _unused(check: CheckContext, address: IPAddress) -> None:
    """An unused port is not open, and a packet to it is not sent back to the segment with a lower TTL, as in a loop."""
    vantage = check.client
    with Capture(vantage) as capture:
        send_datagrams(vantage, address, UNUSED, b"lbproof", count=PACKETS, ttl=TTL)
        check.not_served(check.client, address, UNUSED)
    seen = [ttl for _, frame in capture.frames() if (ttl := hops_to(frame, address)) is not None]

    if not seen:
        raise CannotShow(Untestable.NOT_PROVOKED, f"no packet to {address} left the client")
    assert set(seen) == {TTL}, (
        f"packets to port {UNUSED} of {address} came back to the segment, with TTLs {words(set(seen))}"
    )
