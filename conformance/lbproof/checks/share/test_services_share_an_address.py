"""Services that ask to share, and those that may not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lbproof.adapters.base import Cause
from lbproof.checks.share.sharers import FIRST, KEY, OTHER_KEY, SECOND, THIRD, ports, served, taken_up
from lbproof.context import proves
from lbproof.context.unchanged import intact

if TYPE_CHECKING:
    from lbproof.context import CheckContext, Service


@proves("SHARE-01", "a")
def test_services_share_an_address(check: CheckContext) -> None:
    """The only address of a pool goes to all, those that ask for it by each way too. Each has own backends.

    Ports that two of them give up, the first and another one, are some for the next, and so is the port of one that
    leaves while others stay.
    """
    nodes = check.nodes_with_pods()
    (address,) = check.pool(1).addresses
    asking: list[dict[str, Any]] = [{}, {}, {}, *({"ask": address, "how": way} for way in check.run.ways)]
    services: dict[Service, int] = {}
    for n, asks in enumerate(asking):
        service = check.service(f"web-{n}", share=KEY, ports=ports(FIRST + n), nodes=[nodes[n % len(nodes)]], **asks)
        services[service] = FIRST + n
    held = check.all_assigned(*services)
    assert set(held.values()) == {address}
    for n, (service, port) in enumerate(services.items()):
        pods = check.serve_from(service, nodes=[nodes[n % len(nodes)]])
        check.wait.eventually(
            lambda port=port: check.ask_pod_or_why(check.client, address, port),  # type: ignore[misc]
            lambda pod, pods=pods: pod in pods,  # type: ignore[misc]
            what=f"port {port} of {address} is served by {' or '.join(pods)} of {service}",
            budget="serves",
            in_a_row=3,
        )
    first, *others = services
    edited = (first, check.random.choice(others))
    for n, service in enumerate(edited):
        service.patch(spec={"ports": ports(FIRST + len(services) + n)})
    taken_up(check, *services)
    late = check.service("late", share=KEY, ports=ports(*(services[service] for service in edited)))
    assert check.assigned(late) == address
    for service in edited:
        served(check, address, {late: services[service]})
    leaving = check.random.choice([service for service in services if service not in edited])
    check.delete(leaving)
    joining = check.service("joins", share=KEY, ports=ports(services[leaving]))
    given = check.all_assigned(joining, budget="reclaimed")
    assert given[joining] == address
    served(check, address, {joining: services[leaving]})


@proves("SHARE-01", "b")
def test_tcp_and_udp_of_one_number_share(check: CheckContext) -> None:
    """One Service has two numbers for TCP, another the same ones for UDP."""
    (address,) = check.pool(1).addresses
    tcp = check.service("tcp", share=KEY, ports=ports(FIRST, SECOND))
    udp = check.service("udp", share=KEY, ports=ports(FIRST, SECOND, protocol="UDP"))
    held = check.all_assigned(tcp, udp)
    assert set(held.values()) == {address}
    for number in (FIRST, SECOND):
        served(check, address, {tcp: number})
        check.wait.eventually(
            lambda number=number: check.ask_pod_by_udp_or_why(check.client, address, number),  # type: ignore[misc]
            lambda pod: pod.startswith(check.run.web),
            what=f"the client is served by UDP at port {number} of {address}",
            budget="serves",
            in_a_row=3,
        )


@proves("SHARE-02")
def test_who_may_not_share_is_refused(check: CheckContext, case: str) -> None:
    """Services that may not have the only address stay Pending, and its holder keeps it and is served.

    Asked for in each way and not at all, from the holder's namespace. Also when the holder may not share with them
    only since it was changed: it has one port more, another key, or none.
    """
    (address,) = check.pool(1).addresses
    holder_key, pairs = {
        "a": (KEY, [(KEY, [FIRST]), (KEY, [SECOND, FIRST])]),
        "b": (KEY, [(OTHER_KEY, [SECOND])]),
        "c": (KEY, [("", [SECOND])]),
        "d": ("", [("", [SECOND])]),
    }[case]
    holder = check.service("holder", share=holder_key, ports=ports(FIRST))
    check.assigned(holder)
    _refused(check, holder, pairs, only_asking=case == "d")
    if case != "d":  # where the holder has no key, before as after
        check.delete_all(*(service for service in check.services if service is not holder))
        if case == "a":
            holder.patch(spec={"ports": ports(FIRST, THIRD)})
        else:
            holder.patch(metadata=check.run.adapter.sharing_key.patch(OTHER_KEY if case == "b" else None))
        taken_up(check, holder)
        later = [(KEY, [THIRD]), (KEY, [SECOND, FIRST])] if case == "a" else [(KEY, [SECOND])]
        _refused(check, holder, later, stage="later")
    if case == "c":  # the other one of the two asks
        check.delete_all(*check.services)
        check.assigned(holder := check.service("alone", ports=ports(FIRST)))
        _refused(check, holder, [(KEY, [SECOND, THIRD])])
    served(check, address, {holder: FIRST})


def _refused(
    check: CheckContext,
    holder: Service,
    pairs: list[tuple[str, list[int]]],
    *,
    only_asking: bool = False,
    stage: str = "first",
) -> None:
    """Verify that Services with some keys and ports are not given the address of a holder, which stays as it is.

    `stage`: distinguishes their names from those of earlier ones.
    """
    (address,) = holder.addresses()
    asks: list[dict[str, Any]] = [{"ask": address, "how": way} for way in check.run.ways]
    ways = asks if only_asking else [{}, *asks]
    with check.unchanged(holder, part=intact):
        waiting = {
            service: Cause.IN_USE if way else Cause.POOL_EXHAUSTED
            for n, (key, numbers) in enumerate(pairs)
            for turn, way in enumerate(ways)
            for service in check.unusable(f"{holder.name}-{stage}-{n}-{turn}", share=key, ports=ports(*numbers), **way)
        }
        for service, cause in waiting.items():
            check.refused(service, cause)
        check.control_apart()
        check.stays_pending(*waiting)
