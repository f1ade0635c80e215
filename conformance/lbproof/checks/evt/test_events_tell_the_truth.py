"""Correctness of what operators read with `kubectl describe`: Events, conditions, the announcer's name."""

from __future__ import annotations

import functools
import re
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from lbproof.adapters.base import AddressRange, Cause, WorkloadRole
from lbproof.checks.share.sharers import SECOND, ports
from lbproof.context import CannotShow, proves
from lbproof.context.claims import by_node
from lbproof.context.refusal import Refused
from lbproof.lab.base import Capability, Role
from lbproof.spec import Untestable
from lbproof.spec.families import Family, family_of
from lbproof.text import words
from lbproof.witnesses.wait import EventuallyFailed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lbproof.adapters.reports import ConditionPattern, EventPattern
    from lbproof.context import CheckContext, Pool, Service
    from lbproof.lab.base import Node
    from lbproof.spec.families import IPAddress

SERVICES = 3


@proves("EVT-01", "a")
def test_allocation_names_the_address(check: CheckContext) -> None:
    """The Event of each allocation contains the address in the status, also those of namesakes and of a successor.

    So does that of the second allocation to a Service, which left the type meanwhile, whatever address it is. And that
    of an address that a Service is given later: beside the one that it has, of the other family, or for that one.
    """
    pool = check.pool(4)
    places = (check.namespace, check.second_namespace)
    services = [check.service("asks", ask=pool.addresses[2])] if check.run.ways else []
    held = check.all_assigned(*services)
    services += [check.service("web", namespace=place) for place in places]
    for service, address in (held | check.all_assigned(*services[len(held) :])).items():
        check.event(service, check.run.adapter.allocation, says=str(address))

    check.delete(services[-1])
    again = check.service("web", namespace=services[-1].namespace)
    check.event(again, check.run.adapter.allocation, says=str(check.assigned(again)))

    before = {
        address: check.times_told(again, check.run.adapter.allocation, str(address)) for address in pool.addresses
    }
    address = given_again(check, again)
    check.wait.eventually(
        lambda: check.times_told(again, check.run.adapter.allocation, str(address)),
        lambda times: times > before[address],
        what=f"the second allocation to {again} is told too, which names {address}",
        budget="event_seen",
    )
    for service, later in (given_beside(check, pool) | given_instead(check, again)).items():
        check.event(service, check.run.adapter.allocation, says=str(later))


def given_beside(check: CheckContext, pool: Pool) -> dict[Service, IPAddress]:
    """Have a Service that has an address of its first family get one of the other; return that, if it is given.

    Nothing without the feature `dual-stack`, or where the lab has one family. That it is given is judged by DUAL-03.
    """
    there = {family_of(subnet) for subnet in check.lab.segment.subnets}
    if not check.run.claims("dual-stack") or there < {*Family}:
        return {}
    other = next(family for family in Family if family is not check.family)
    families: dict[str, Any] = {"ipFamilies": [check.family.label, other.label]}
    with check.precondition("DUAL-03"):
        service = check.service("both", ipFamilyPolicy="PreferDualStack", **families)
        check.assigned(service)
    block = check.run.addresses(1, other)
    check.change_pool(pool, blocks=(*pool.spec.blocks, AddressRange(block[0], block[0])))
    return is_given(check, service, block[0], budget="pool_applied")


def given_instead(check: CheckContext, service: Service) -> dict[Service, IPAddress]:
    """Have a Service ask for another address than its own; return that, if it is given, which is judged by REQ-05."""
    if not check.run.ways:
        return {}
    address = check.pool(1).addresses[0]
    if not ask_for(check, service, address):
        return {}
    return is_given(check, service, address, budget="address_assigned")


def ask_for(check: CheckContext, service: Service, address: IPAddress) -> bool:
    """Have a Service ask for another address; return False, which is recorded, when admission denies the request."""
    try:
        check.request(service, address)
    except Refused as refusal:
        check.saw("api", f"the request of {service} is refused", str(refusal))
        return False
    return True


def is_given(check: CheckContext, service: Service, address: IPAddress, *, budget: str) -> dict[Service, IPAddress]:
    """Wait for an address in the status of a Service; return both, or nothing when it does not come."""
    with suppress(EventuallyFailed), check.wait.tentative():
        check.wait.eventually(
            service.addresses,
            lambda held: address in held,
            what=f"{service} is given {address}",
            budget=budget,
        )
        return {service: address}
    return {}


def given_again(check: CheckContext, service: Service) -> IPAddress:
    """Have a Service leave the type LoadBalancer and return to it; return its address, which may be another one."""
    with check.precondition():
        check.leaves_type(service)
        check.retype(service, "LoadBalancer")
        return check.assigned(service)


@proves("EVT-01", "b")
def test_refusal_names_the_cause(check: CheckContext) -> None:
    """A full pool is told each Service, and an address outside all pools in other words, where one can be asked for.

    Also when a Service that waited for a full pool asks for such an address later, and when one that has an address
    does, whose change of a request is seen to be acted on. Which words, is not judged.
    """
    check.pool(1)
    one = check.service("one")
    check.assigned(one)
    places = (check.namespace, check.second_namespace)

    late = [check.service("late", namespace=place) for place in places]
    for service in late:
        check.refused(service, Cause.POOL_EXHAUSTED)
    if not check.run.ways:
        return
    outside = check.run.addresses(3)
    asking = check.unusable("outside", ask=outside[0])
    refusals = [check.run.adapter.refusals[cause] for cause in (Cause.POOL_EXHAUSTED, Cause.NOT_IN_POOL)]
    full = {text for service in late for pattern in refusals for text in worded(service, pattern)}
    check.request(late[0], outside[1])
    for service, address in (*((service, outside[0]) for service in asking), (late[0], outside[1])):
        told_otherwise(check, service, address, full)
    check.delete(late[1])  # which would take what is free next
    if given_instead(check, one) and ask_for(check, one, outside[2]):
        told_otherwise(check, one, outside[2], full)


def told_otherwise(check: CheckContext, service: Service, address: IPAddress, full: set[str]) -> None:
    """Wait until a Service is told that it is refused an address, in other words than those of a full pool."""
    check.wait.eventually(
        lambda: worded(service, check.run.adapter.refusals[Cause.NOT_IN_POOL]),
        lambda texts: texts - full,
        what=f"the refusal of {address} to {service} is told in other words than {words(sorted(full))}",
        budget="refusal_visible",
    )


def worded(service: Service, pattern: EventPattern | ConditionPattern) -> set[str]:
    """Return the texts of a Service that match, with a dash for its name, so that those of two can be compared."""
    now = service.read()
    texts = pattern.texts(now, service.cluster.events_about(now))
    return {re.sub(rf"\b({re.escape(service.namespace)}/)?{re.escape(service.name)}\b", "-", text) for text in texts}


@proves("EVT-02", "abc", disruptive=True)
def test_the_announcer_is_named(check: CheckContext, case: str) -> None:
    """The implementation names the node that answers ARP: at first, after a move, and after the move back.

    At first is also when a node is given several addresses within a moment, as there are more than nodes, and when a
    Service that had left the type LoadBalancer gets an address again. What moves is shared by two Services each, where
    Services can share an address.
    """
    if case != "a":
        check.run.need(Capability.NODE_CRASH)
    shares = case != "a" and check.run.claims("sharing")
    count = len(check.lab.nodes) + 1 if case == "a" else SERVICES
    check.pool(count)
    keys = [f"key-{n}" if shares else "" for n in range(count)]
    services = [check.service(f"web-{n}", serving=True, share=key) for n, key in enumerate(keys)]
    held = check.all_assigned(*services)
    with check.precondition("L2-01"):
        announcers = {service: check.announcer(held[service]) for service in services}
    for service, node in announcers.items():
        named(check, service, node, before={})
    if case == "a":
        again = check.random.choice(services)
        before_that = told(check, again)
        address = given_again(check, again)
        with check.precondition():
            node = check.announcer(address)
        named(check, again, node, before=before_that)
        return

    by_address: dict[IPAddress, list[Service]] = {}
    for service, address in (held | (joining(check, keys) if shares else {})).items():
        by_address.setdefault(address, []).append(service)
    first, moving = check.worker_that_announces(list(by_address))
    before = {service: told(check, service) for address in moving for service in by_address[address]}
    with check.fault(Capability.NODE_CRASH, functools.partial(check.lab.node_crash, first.name)):
        with check.precondition("FAIL-04"):
            moved = {address: check.announcer(address, but=first.name, budget="failover") for address in moving}
        for address, node in moved.items():
            for service in by_address[address]:
                named(check, service, node, before=before[service])
        if case == "b":
            return
    check.settled_after_fault()
    with check.precondition("FAIL-04"):
        third = {address: check.announcer(address, budget="one_answerer") for address in moving}
    returned = [address for address in moving if third[address].name == first.name]
    for service in (service for address in returned for service in by_address[address]):
        named(check, service, first, before=before[service])
    if not returned:
        move_back(check, by_address, first, third)


def joining(check: CheckContext, keys: Sequence[str]) -> dict[Service, IPAddress]:
    """Have a Service share each address of a full pool; return those whose announcer is named, and their addresses.

    An implementation that has named the node to one Service of an address need not name it to one that comes later.
    """
    asking = [check.service(f"beside-{n}", serving=True, share=key, ports=ports(SECOND)) for n, key in enumerate(keys)]
    with check.precondition("SHARE-01"):
        given = check.all_assigned(*asking)
    with suppress(EventuallyFailed), check.wait.tentative():
        check.wait.eventually(
            lambda: {str(service): sorted(told(check, service)) for service in given},
            lambda seen: all(seen.values()),
            what="a node is named to each Service that shares an address",
            budget="event_seen",
        )
    return {service: address for service, address in given.items() if told(check, service)}


def move_back(
    check: CheckContext,
    by_address: Mapping[IPAddress, Sequence[Service]],
    first: Node,
    announcers: Mapping[IPAddress, Node],
) -> None:
    """Crash the worker that announces one of some addresses now, so that the first announcer announces that again.

    `by_address`: the Services that have each address. Raises `CannotShow` when another node takes over, and when the
    control plane alone announces, which is not crashed.
    """
    found = [(address, node) for address, node in announcers.items() if node.role is Role.WORKER]
    if not found:
        shown = {str(address): node.name for address, node in announcers.items()}
        raise CannotShow(Untestable.NOT_PROVOKED, f"no worker announces what could move back: {words(shown)}")
    address, third = found[0]
    services = by_address[address]
    before = {service: told(check, service) for service in services}
    others = [node for node in check.lab.nodes if node.name not in {first.name, third.name}]
    for other in others:
        check.exclude(other.name)
    with check.fault(Capability.NODE_CRASH, functools.partial(check.lab.node_crash, third.name)):
        with check.precondition("FAIL-04"):
            back = check.announcer(address, but=third.name, budget="failover")
        if back.name != first.name:  # nothing that is claimed says that the label keeps a node from announcing
            raise CannotShow(Untestable.NOT_PROVOKED, f"{back.name} took over, which is excluded, and not {first.name}")
        for service in services:
            named(check, service, first, before=before[service])


@proves("EVT-02", "d", disruptive=True)
def test_a_node_that_starts_is_not_named_for_others(check: CheckContext) -> None:
    """A node whose announcer is killed and starts again is not named for what another has announced all the time."""
    check.pool(SERVICES + 1)
    services = [check.service(f"web-{n}", serving=True) for n in range(SERVICES)]
    held = check.all_assigned(*services)
    with check.precondition("L2-01"):
        announcers = {service: check.announcer(held[service]) for service in services}
    with check.precondition("EVT-02"):
        for service, node in announcers.items():
            named(check, service, node, before={})
    killed = _announces_fewest(check, list(announcers.values()))
    staying = {service: node for service, node in announcers.items() if node != killed}
    before = {service: told(check, service) for service in staying}
    with check.claims() as claims:
        check.run.workloads.kill_on(WorkloadRole.ANNOUNCER, killed.name)
        answered = check.control(serving=True)
        with check.precondition("L2-01"):
            check.holders(answered)

        def named_for() -> dict[str, int]:
            check.sweep([held[service] for service in staying])
            stayed = [s for s, node in staying.items() if set(by_node(claims.of([held[s]]))[held[s]]) == {node.name}]
            return {str(s): told(check, s)[killed.name] - before[s][killed.name] for s in stayed}

        seen = check.wait.consistently(
            named_for,
            lambda more: not any(more.values()),
            what=f"{killed.name}, whose announcer started again, is not named for what others announce",
            budget="stays_unnamed",
        )
    if not seen:
        raise CannotShow(Untestable.NOT_PROVOKED, f"all addresses moved when the announcer on {killed.name} was killed")


def _announces_fewest(check: CheckContext, announcers: Sequence[Node]) -> Node:
    """Return a node that announces as few of some Services as any."""
    counts = Counter(node.name for node in announcers)
    nodes = check.random.sample(check.lab.nodes, len(check.lab.nodes))
    return min(nodes, key=lambda node: counts[node.name])


def told(check: CheckContext, service: Service) -> Counter[str]:
    """Count how often the implementation has named each node as announcer."""
    return Counter(check.named_announcers(service))


def named(check: CheckContext, service: Service, node: Node, *, before: Mapping[str, int]) -> None:
    """Wait until a node is named as announcer more often than before, or alone where only the present one is named."""
    history = check.run.adapter.announcer_status.keeps_history
    check.wait.eventually(
        lambda: told(check, service),
        lambda now: now[node.name] > before.get(node.name, 0) if history else set(now) == {node.name},
        what=f"{node.name} is named{' once more' if before.get(node.name) else ''} as the announcer of {service}",
        budget="event_seen",
    )
