"""What keeps an address from being announced, or a pool from being declared: its author is told."""

from __future__ import annotations

import functools
import operator
from collections import Counter
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

from lbproof.adapters import rendering
from lbproof.adapters.base import AddressRange, PoolSpec, WorkloadRole
from lbproof.adapters.reports import times_of
from lbproof.context import CannotShow, proves
from lbproof.context.objects import KUBERNETES, author_of
from lbproof.context.refusal import Refused
from lbproof.spec import Untestable
from lbproof.spec.families import Family
from lbproof.text import words
from lbproof.witnesses.kube import ApiError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lbproof.context import CheckContext, Pool, Service
    from lbproof.spec.families import IPAddress

SERVICES = 3
ELSEWHERE: Mapping[Family, IPAddress] = {
    Family.IPV4: IPv4Address("198.51.100.64"),
    Family.IPV6: IPv6Address("2001:db8:c5::40"),
}
"""First address of a pool in a subnet of no host (RFC 5737, RFC 3849)."""


def notices(service: Service) -> Counter[str]:
    """Count how often each thing is told of a Service, by Warning Events and by conditions that are False.

    Not what Kubernetes' own controllers say.
    """
    now = service.read()
    told: Counter[str] = Counter()
    for event in service.cluster.events_about(now):
        if event.get("type") == "Warning" and author_of(event) not in KUBERNETES:
            told[f"Event {event.get('reason')}"] += times_of(event)
    for row in now.get("status", {}).get("conditions", []):
        if row.get("status") == "False":
            told[f"condition {row.get('type')} {row.get('reason')}"] += 1
    return told


@proves("CRD-05", "a")
def test_a_service_that_nothing_advertises_is_told(check: CheckContext) -> None:
    """A Warning Event or a condition tells each Service that has an address and is not announced; nobody else.

    Of a pool that never was advertised, and of one that no longer is. What is told of every Service, and what was told
    before an advertisement went, does not count; each pool is known before Services wait for it.
    """
    good = check.pool(3)
    check.control(budget="pool_applied")
    announced = [check.service("announced", namespace=place) for place in (check.namespace, check.second_namespace)]
    check.all_assigned(*announced)
    check.pool(SERVICES + 1, advertised=False)
    check.control(budget="pool_applied")
    services = [check.service(f"web-{n}") for n in range(SERVICES)]
    check.all_assigned(*services)
    usual = functools.reduce(operator.or_, map(notices, announced))
    told = {notice for service in services for notice in is_told(check, service, usual)}
    before = {service: notices(service) for service in announced}
    wrong = {str(service): sorted(told & found.keys()) for service, found in before.items() if told & found.keys()}
    assert not wrong, f"told to Services that are announced: {words(wrong)}"

    check.change_pool(good, advertised=False)
    for service in announced:
        is_told(check, service, before[service])


def is_told(check: CheckContext, service: Service, before: Counter[str]) -> Counter[str]:
    """Wait until a Service has a notice more than some, and return those."""
    return check.wait.eventually(
        lambda: notices(service) - before,
        bool,
        what=f"a Warning Event or a condition says that the address of {service} is not announced",
        budget="event_seen",
        show=lambda found: words(dict(found)) if found else "nothing new",
    )


@proves("CRD-05", "c")
def test_a_pool_that_no_interface_reaches_is_announced_or_told(check: CheckContext) -> None:
    """Addresses in a subnet of no node are answered for, or a Warning Event or a condition says that they are not.

    One about each Service, which is not told to Services of another pool that are announced, or one about the pool. A
    pool that is refused at once, with a reason, is told too.
    """
    check.pool(2)
    announced = [check.service("announced", namespace=place) for place in (check.namespace, check.second_namespace)]
    held = check.all_assigned(*announced)
    with check.precondition("L2-01"):
        check.holders(*held.values())
    try:
        pool = elsewhere(check)
    except Refused as refusal:
        check.saw("api", "a pool that no interface of a node reaches is refused", str(refusal))
        return
    services = [check.service("web", namespace=place) for place in (check.namespace, check.second_namespace)]
    may_lack_endpoints = check.run.claims("without-endpoints") and not check.run.claims("withdraw-no-endpoints")
    services.append(check.service("other", endpoints=not may_lack_endpoints))

    def told() -> dict[Service, str]:
        """Return what is told of each Service or of the pool, where something is."""
        usual = functools.reduce(operator.or_, map(notices, announced))
        if of_pool := rendering.pool_error(check.run.adapter, check.cluster, pool.spec):
            return dict.fromkeys(services, of_pool)
        found = {service: notices(service) - usual for service in services}
        return {service: words(dict(said)) for service, said in found.items() if said}

    with check.precondition():
        check.one_by_one(
            lambda: {s: words(held) for s, held in check.statuses(*services).items() if held} | told(),
            len,
            len(services),
            what="one more Service is given an address that no interface of a node reaches, or told why not",
            budget="pool_applied",
        )
    seen = check.one_by_one(
        lambda: answered(check, services) | told(),
        len,
        len(services),
        what=f"one more of {len(services)} Services with addresses that no interface of a node reaches is "
        "answered for, or told why not",
        budget=max("announced", "event_seen", key=check.wait.budget),
        show=lambda found: words({str(service): said for service, said in found.items()}),
    )
    check.saw("api", "addresses that no interface of a node reaches", {str(s): said for s, said in seen.items()})


def elsewhere(check: CheckContext) -> Pool:
    """Create a pool of addresses that are in no subnet of a node. Raises `CannotShow` where one is, and `Refused`."""
    addresses = [ELSEWHERE[check.family] + n for n in range(SERVICES)]
    subnets = [subnet for segment in check.lab.segments for subnet in segment.subnets]
    if any(address in subnet for address in addresses for subnet in subnets):
        raise CannotShow(Untestable.NO_FREE_ADDRESS, f"{addresses[0]} is on a segment of the lab")
    return check.pool([AddressRange(addresses[0], addresses[-1])], addresses=addresses)


def answered(check: CheckContext, services: list[Service]) -> dict[Service, str]:
    """Return who answers for the addresses of each Service that has some, and of which all are answered for."""
    statuses = check.statuses(*services)
    who = check.sweep([address for held in statuses.values() for address in held])
    return {
        service: words({str(address): who[address] for address in held})
        for service, held in statuses.items()
        if held and all(address in who for address in held)
    }


@proves("CRD-05", "b", disruptive=True)
def test_pools_are_taken_or_refused_while_no_controller_runs(check: CheckContext) -> None:
    """While no controller runs, and with it no webhook of its own, Services keep their addresses and are answered for.

    A pool that is created meanwhile is taken, and used when a controller is back, or its author has an error that says
    why; then it can be created again.
    """
    check.pool(3)
    with check.room():
        services = [check.service("web", namespace=place) for place in (check.namespace, check.second_namespace)]
        held = check.all_assigned(*services)
    if check.run.claims("l2"):
        with check.precondition("L2-01"):
            check.holders(*held.values())
    block = check.run.addresses(2)
    spec = PoolSpec(name="crd-05b-late", blocks=(AddressRange(block[0], block[-1]),))
    check.used += block
    with check.unchanged(*services):
        with check.run.workloads.stopped(WorkloadRole.CONTROLLER):
            check.undo.later(f"pool {spec.name}", functools.partial(check.run.pools.drop, spec.name))
            check.run.acts.add_pool(spec)
            check.undo.later(f"pool {spec.name} beside", functools.partial(check.run.acts.drop_pool, spec.name))
            error = refusal(check, spec)
            assert error is None or error.strip(), "the author of a pool is refused without a reason"
            if check.run.claims("l2") and not announces_too(check):
                check.holders(*held.values())
        check.run.pools.put(spec)
        check.control(budget="restarted")
        after = [check.service(f"after-{n}") for n in range(2)]
        check.all_assigned(*after, budget="pool_applied")  # all five addresses are given then


def announces_too(check: CheckContext) -> bool:
    """Return whether the pods of a controller are those of an announcer too."""
    return any({WorkloadRole.CONTROLLER, WorkloadRole.ANNOUNCER} <= {*one.roles} for one in check.run.workloads.all)


def refusal(check: CheckContext, spec: PoolSpec) -> str | None:
    """Create the objects of a pool; return the error of the one that is refused, None when all are taken."""
    for made in rendering.pools(check.run.adapter, [spec], check.run.site):
        try:
            check.cluster.apply(made)
        except ApiError as error:
            check.saw("api", "a pool is refused while no controller runs", str(error))
            return error.message
    return None
