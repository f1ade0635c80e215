"""What is released is nobody's: it answers nothing, anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.observe import neighbours
from lbproof.observe.capture import Capture
from lbproof.observe.frames import mac_bytes
from lbproof.proves import proves

if TYPE_CHECKING:
    from lbproof.stage import Stage


@proves("RECL-02")
def test_leaving_the_type_releases_the_address(stage: Stage, case: str) -> None:
    """Changed to ClusterIP or NodePort, a Service has an empty status; its address is silent and goes to the next."""
    stage.pool(1)
    service = stage.service("web", serving=True)
    address = stage.assigned(service)
    stage.announcer(address)

    service.patch(spec={"type": "ClusterIP" if case == "a" else "NodePort"})

    stage.wait.settles(
        service.addresses, lambda held: not held, what=f"the status of {service} is empty", budget="address_assigned"
    )
    stage.goes_silent(address)
    assert stage.assigned(stage.service("next")) == address


@proves("RECL-03")
def test_a_released_address_is_quiet(stage: Stage, case: str) -> None:  # noqa: ARG001 - one verdict
    """Nobody answers ARP for it, no interface has it, no connection is made, and no packet to it comes back."""
    stage.pool(1)
    service = stage.service(serving=True)
    address = stage.assigned(service)
    old = stage.announcer(address)
    stage.serves(stage.client, address)

    stage.delete(service)

    stage.goes_silent(address)
    stage.on_no_interface(address)
    stage.undo.later("the client's neighbour entry", lambda: neighbours.forget(stage.client, address))
    neighbours.pin(stage.client, address, old.mac, "permanent")
    with Capture(stage.client) as capture:
        stage.not_served(stage.client, address, 80)
        own = mac_bytes(stage.client.mac)
        back = [f for _, f in capture.frames() if f[6:12] != own and f[30:34] == bytes(map(int, address.split(".")))]
    assert not back, f"{len(back)} packets to {address} were sent back to the segment: a forwarding loop"
