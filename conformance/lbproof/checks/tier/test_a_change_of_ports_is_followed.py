"""Ports of a live Service that are added, renumbered and removed, at an address that stays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lbproof.context import proves
from lbproof.context.manifests import TARGET_PORT
from lbproof.witnesses import neighbours

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lbproof.context import CheckContext, Service
    from lbproof.spec.families import IPAddress

FIRST, SECOND, THIRD = 80, 8081, 8082
SERVICES = 2
IN_A_ROW = 3


def ports(*numbers: int) -> list[dict[str, Any]]:
    """Return ports of a Service, the first of which keeps its name whatever its number."""
    return [
        {"name": name, "port": number, "targetPort": TARGET_PORT}
        for name, number in zip(("a", "b"), numbers, strict=False)
    ]


def edited(check: CheckContext, held: dict[Service, IPAddress], *numbers: int) -> None:
    """Change the ports of Services, and wait until all clients are served at them, also one that asks for it anew."""
    for service in held:
        service.patch(spec={"ports": ports(*numbers)})
    served(check, held, numbers)
    for address in held.values():
        neighbours.forget(check.client, address)
        check.serves(check.client, address, numbers[0], in_a_row=IN_A_ROW)


def served(check: CheckContext, held: dict[Service, IPAddress], numbers: Sequence[int]) -> None:
    """Wait until all clients are served at some ports."""
    for vantage in check.clients():
        for address in held.values():
            for number in numbers:
                check.serves(vantage, address, number, in_a_row=IN_A_ROW)


def closed(check: CheckContext, held: dict[Service, IPAddress], *numbers: int) -> None:
    """Wait until connections to some ports are no longer established, and verify that this lasts."""
    places = [
        (client, address, number) for client in check.clients() for address in held.values() for number in numbers
    ]
    timeout = check.wait.budget("arp_answer")
    for client, address, number in places:
        check.wait.eventually(
            lambda place=(client, address, number): check.ask_pod_or_why(*place, timeout=timeout),  # type: ignore[misc]
            lambda pod: not pod.startswith(check.run.web),
            what=f"port {number} of {address} no longer serves {client.name}",
            budget="serves",
        )
    check.none_open(places)


@proves("TIER-11")
def test_a_change_of_ports_is_followed(check: CheckContext, case: str) -> None:
    """A port is added, another renumbered, one removed: what is declared serves, what is not is closed.

    The Services keep their addresses, though others are free.
    """
    with check.pool_with_room(SERVICES):
        services = [check.service(f"web-{n}", serving=True, ports=ports(FIRST)) for n in range(SERVICES)]
        held = check.all_assigned(*services)
    with check.precondition("TIER-01"):
        served(check, held, [FIRST])
    with check.unchanged(*services):
        if case == "a":
            edited(check, held, FIRST, SECOND)
            edited(check, held, FIRST, THIRD)
            edited(check, held, SECOND, THIRD)
            return
        with check.precondition():
            edited(check, held, FIRST, SECOND)
            edited(check, held, FIRST, THIRD)
        closed(check, held, SECOND)
        with check.precondition():
            edited(check, held, SECOND)
        closed(check, held, FIRST, THIRD)
