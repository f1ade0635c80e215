"""Services that share the only address that is free, each with ports and endpoints of its own."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from lbproof.context.manifests import TARGET_PORT
from lbproof.context.refusal import Refused, admission
from lbproof.spec.families import host_port
from lbproof.witnesses import neighbours

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from lbproof.context import CheckContext, Pool, Service
    from lbproof.spec.families import IPAddress

KEY, OTHER_KEY = "one", "another"
FIRST, SECOND, THIRD, FOURTH = 80, 8081, 8082, 8083
ROOM = 2
"""Addresses that are free beside the shared one, while it is judged who keeps that."""


def ports(*numbers: int, protocol: str = "TCP") -> list[dict[str, Any]]:
    """Return TCP or UDP ports of a Service, whose names stay those of its endpoints when the numbers change."""
    return [
        {"name": f"p{turn}", "port": number, "targetPort": TARGET_PORT, "protocol": protocol}
        for turn, number in enumerate(numbers)
    ]


def together(check: CheckContext, *numbers: int) -> tuple[IPAddress, dict[Service, int]]:
    """Create Services that share the only free address, with a port each; return that, and the port of each."""
    services = {check.service(f"web-{n}", share=KEY, ports=ports(n)): n for n in numbers}
    with check.precondition("SHARE-01"):
        address = next(iter(check.all_assigned(*services).values()))
        served(check, address, services)
    return address, services


@contextmanager
def filled(check: CheckContext) -> Iterator[None]:
    """Have Services that do not share take all free addresses but one during the block: those who share take that.

    The lowest address is free afterwards: who gives a shared one out anew gives another one.
    """
    others = [check.service(f"fills-{n}") for n in range(ROOM)]
    with check.precondition():
        check.all_assigned(*others)
    yield
    check.delete_all(*others)


def joining(check: CheckContext, *requests: Mapping[str, Any], **fields: Any) -> list[Service]:  # noqa: ANN401 - of `service`
    """Create Services that ask by the key of others to share an address that is not for them.

    By the key alone, and with each of some requests. No other Service has their port, which would forbid to share.
    """
    return [
        made
        for n, request in enumerate([{}, *requests])
        for made in check.unusable(f"joins-{n}", share=KEY, ports=ports(SECOND), **fields, **request)
    ]


def requests_for(check: CheckContext, address: IPAddress, pool: Pool) -> list[dict[str, Any]]:
    """Return the requests for an address, by each way that is claimed, for its pool, and for both."""
    found: list[dict[str, Any]] = [{"ask": address, "how": way} for way in check.run.ways]
    if not check.run.claims("pool-select"):
        return found
    return [*found, {"pool": pool}, *(request | {"pool": pool} for request in found)]


def given_key(check: CheckContext, service: Service) -> None:
    """Give a Service the key of others, unless that is refused."""
    with suppress(Refused), admission(f"the sharing key of {service}"):
        service.patch(metadata=check.run.adapter.sharing_key.patch(KEY))


def served(check: CheckContext, address: IPAddress, services: Mapping[Service, int]) -> None:
    """Wait until the client is served at the address and the port of each Service."""
    for port in services.values():
        check.serves(check.client, address, port, in_a_row=3)


def taken_up(check: CheckContext, *services: Service) -> None:
    """Wait until a change of Services that have an address, and may keep it, is taken up; they have one then.

    By something newer, in a pool apart; where there can be none, for as long as an assignment may take.
    """
    check.control_apart()
    if not check.keeps_apart():
        check.wait_out("address_assigned")
    with check.precondition():
        check.all_assigned(*services)


def keep_serving(check: CheckContext, address: IPAddress, numbers: Sequence[int]) -> None:
    """Verify that some ports of an address consistently answer; what had no answer is asked once more."""

    def silent() -> list[str]:
        return [host_port(address, port) for port in asked(check, address, asked(check, address, numbers))]

    check.wait.consistently(
        silent, lambda found: not found, what=f"each port of {address} that is left answers", budget="stays_assigned"
    )


def asked(check: CheckContext, address: IPAddress, numbers: Iterable[int]) -> list[int]:
    """Ask once at some ports of an address, and anew where it is; return those that did not answer."""
    neighbours.forget(check.client, address)
    return [n for n in numbers if not check.ask_pod_or_why(check.client, address, n).startswith(check.run.web)]
