"""Shape of the statuses of Services: what clients and kube-proxy read."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from lbproof.context import proves
from lbproof.context.draws import types_to_leave_for
from lbproof.context.objects import rows_of
from lbproof.context.precedence import judging
from lbproof.context.service_watch import ServiceWatch
from lbproof.text import words

if TYPE_CHECKING:
    from collections.abc import Callable

    from lbproof.adapters.base import Object
    from lbproof.context import CheckContext, Service

SEVERAL = [
    {"name": "web", "port": 80, "targetPort": 8080},
    {"name": "other", "port": 443, "targetPort": 8080},
]
EDITS = [
    (SEVERAL, [SEVERAL[0], SEVERAL[1] | {"port": 8443}]),
    (SEVERAL, SEVERAL[1:]),
    (SEVERAL[:1], [SEVERAL[0] | {"protocol": "UDP"}]),
]
"""Ports of Services before and after an edit: another number, fewer, another protocol of the same number."""
ODD: dict[str, list[dict[str, Any]]] = {
    "udp": [{"name": "udp", "port": 80, "targetPort": 8080, "protocol": "UDP"}],
    "mixed": [{"name": "tcp", "port": 80}, {"name": "udp", "port": 80, "protocol": "UDP"}],
    "sctp": [{"name": "tcp", "port": 80}, {"name": "sctp", "port": 90, "protocol": "SCTP"}],
}
"""Ports that an implementation need not serve."""


def entries(service: Object) -> list[str]:
    """Return what is wrong with the addresses of a status."""
    found, seen = [], set()
    for row in rows_of(service):
        text = row.get("ip") or row.get("hostname")
        if not text:
            found.append("an entry without an address")
            continue
        try:
            text = str(ip_address(row["ip"])) if "ip" in row else text
        except ValueError:
            found.append(f"{text}, which is no address")
        if text in seen:
            found.append(f"{text} twice")
        seen.add(text)
        if "ipMode" in row and "ip" not in row:
            found.append(f"a mode of {text}, which is no IP")
    return found


def modes(service: Object) -> list[str]:
    """Return the addresses of a status whose mode is another than VIP."""
    return [f"{row['ip']} of mode {row['ipMode']}" for row in rows_of(service) if row.get("ipMode", "VIP") != "VIP"]


def ports(service: Object) -> list[str]:
    """Return the ports of a status that the spec does not have, or that are named twice."""
    declared = {(port["port"], port.get("protocol", "TCP")) for port in service["spec"]["ports"]}
    found = []
    for row in rows_of(service):
        named = [(port["port"], port.get("protocol", "TCP")) for port in row.get("ports") or []]
        found += [f"{port}/{protocol}" for port, protocol in named if (port, protocol) not in declared]
        found += [f"{port}/{protocol} twice" for port, protocol in set(named) if named.count((port, protocol)) > 1]
    return found


def watched(check: CheckContext, wrong: Callable[[Object], list[str]]) -> list[Service]:
    """Create Services of all kinds, some of which change meanwhile; verify each version of each, and return them."""
    seen: dict[str, list[str]] = {}

    def changed(_kind: str, made: Object) -> None:
        ours = made["metadata"]["namespace"].startswith(check.namespace)
        if ours and (found := wrong(made)):
            seen.setdefault(f"{made['metadata']['namespace']}/{made['metadata']['name']}", []).extend(found)

    def judge() -> None:
        assert not seen, f"in a status: {words(seen)}"

    with judging(judge), ServiceWatch(check.cluster, check.namespace, changed, everywhere=True):
        asked = check.run.addresses(len(check.run.ways))
        if asked:
            check.pool(asked, addresses=asked)
        services = [check.service(f"asks-{n}", ask=asked[n], how=how) for n, how in enumerate(check.run.ways)]
        with check.precondition():
            check.all_assigned(*services)
        check.pool(10)
        for name, odd in ODD.items():
            check.unusable(name, ports=odd)
        services += [check.service("web", namespace=place) for place in (check.namespace, check.second_namespace)]
        edited = [check.service(f"edited-{n}", ports=before) for n, (before, _) in enumerate(EDITS)]
        services += edited
        with check.precondition():
            check.all_assigned(*services)
        for service, (_, after) in zip(edited, EDITS, strict=True):
            service.patch(spec={"ports": after})
        for service, kind in zip(services[:2], types_to_leave_for(check.random), strict=False):
            check.retype(service, kind)
            check.retype(service, "LoadBalancer")
            with check.precondition():
                check.assigned(service)
        check.control(seen=True)
    return services


@proves("EVT-05")
def test_a_status_is_well_formed(check: CheckContext) -> None:
    """No version of a status has an address twice or one that is none; ports that it names are those of the spec.

    Of Services of one and several ports, of other protocols, that ask for an address, that come back to the type from
    ClusterIP and from NodePort, and whose ports change.
    """
    services = watched(check, entries)
    check.wait.eventually(
        lambda: {str(service): found for service in services if (found := ports(service.read()))},
        lambda found: not found,
        what="statuses name the ports of their specs alone",
        budget="address_assigned",
    )


@proves("EVT-08")
def test_an_announced_address_is_of_mode_vip(check: CheckContext) -> None:
    """No version of a status has an address of another mode than VIP, which kube-proxy would not serve on the nodes."""
    watched(check, modes)
