"""Pools that have addresses of hosts: what an implementation gives of them, and who answers then."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from lbproof.adapters import rendering
from lbproof.adapters.base import AddressRange
from lbproof.context import proves
from lbproof.context.refusal import Refused
from lbproof.lab.base import Capability
from lbproof.text import words

if TYPE_CHECKING:
    from lbproof.context import CheckContext, Pool, Service
    from lbproof.spec.families import IPAddress


@proves("REQ-06", disruptive=True)
def test_a_pool_over_addresses_of_hosts_is_looked_at(check: CheckContext) -> None:
    """Pools of the address of a node, of the router and of a host that is no part of the cluster, beside a good pool.

    For each: whether it is refused or flagged, whether its address is given, and who answers then. The pool of the
    node's address is not announced where that can be declared, so that the cluster is not cut.
    """
    hosts = addresses_of_hosts(check)
    pools = {what: pool for what, address in hosts.items() if (pool := covering(check, what, address))}
    check.pool(1)
    services = [check.service(f"web-{n}", serving=True) for n in range(len(pools) + 1)]
    with check.precondition():
        check.wait.eventually(
            lambda: check.statuses(*services),
            lambda seen: any(seen.values()),
            what="one of the addresses is given",
            budget="address_assigned",
        )
    given = seen_for_a_time(check, services)
    for what, pool in pools.items():
        address = pool.addresses[0]
        if error := rendering.pool_error(check.run.adapter, check.cluster, pool.spec):
            check.measured(f"pool of {what}", f"flagged: {error}")
        if address not in given:
            check.measured(f"pool of {what}", "its address is given to no Service")
            continue
        answers = sorted(check.answerers(address))
        told = f"{words(answers)} answer" if len(answers) > 1 else f"{words(answers) or 'nobody'} answers"
        announced = "" if pool.spec.advertised else " (it is not announced)"
        check.measured(f"pool of {what}", f"its address is given to a Service; {told}{announced}")


def addresses_of_hosts(check: CheckContext) -> dict[str, IPAddress]:
    """Return addresses of hosts that the lab has, by what they are."""
    found = {"a node": check.lab.nodes[-1].address}
    if check.lab.can(Capability.ROUTED_CLIENT):
        found["the router"] = check.lab.router().address
    if check.lab.can(Capability.FOREIGN_HOST):
        address = check.run.addresses(1)[0]
        check.undo.enter(
            f"host {address}",
            check.fault(Capability.FOREIGN_HOST, functools.partial(check.lab.foreign_host, address)),
        )
        found["another host"] = address
    return found


def covering(check: CheckContext, what: str, address: IPAddress) -> Pool | None:
    """Create a pool of one address; return None when it is refused, which is reported."""
    hidden = what == "a node" and check.run.claims("advertised")
    try:
        return check.pool([AddressRange(address, address)], addresses=[address], advertised=not hidden)
    except Refused as refusal:
        check.measured(f"pool of {what}", f"refused: {refusal}")
        return None


def seen_for_a_time(check: CheckContext, services: list[Service]) -> list[IPAddress]:
    """Return all addresses that Services have after the time for which what must not be given is watched for."""
    seen = check.wait.consistently(
        lambda: check.statuses(*services),
        lambda _: True,
        what="the addresses that are given",
        budget="stays_pending",
    )
    return [address for held in seen.values() for address in held]
