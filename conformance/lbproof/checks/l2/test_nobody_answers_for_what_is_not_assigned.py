"""No ARP answers for unassigned addresses: an answer would divert traffic from the owner of the address."""

from __future__ import annotations

import functools
from contextlib import ExitStack
from ipaddress import ip_address
from typing import TYPE_CHECKING

from lbproof.adapters.base import AddressRange, Cause, WorkloadRole
from lbproof.context import CannotShow, proves
from lbproof.context.claims import by_node
from lbproof.context.draws import types_to_leave_for
from lbproof.context.precedence import judging
from lbproof.lab.base import Capability
from lbproof.spec import Untestable
from lbproof.spec.families import family_of, unspecified
from lbproof.text import words
from lbproof.witnesses import neighbour

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lbproof.context import CheckContext, Pool, Service
    from lbproof.spec.families import IPAddress

FOREIGN = "example.com/another"
SERVICES = 3
HOLDERS = 12
"""More than the nodes of any lab of ours: one node announces several."""
RELEASED = 6
"""So many that, when one of them is given again, there is one left of each way to leave."""
ASKS = 5
API = "/api/v1/namespaces/default/services/kubernetes"


def answered_control(check: CheckContext) -> IPAddress:
    """Create a Service and wait until its address is answered for: something newer than what must not be."""
    given = check.control(serving=True)
    with check.precondition("L2-01"):
        check.holders(given)
    return given


def holding(check: CheckContext, pool: Pool, count: int, name: str = "web") -> dict[Service, IPAddress]:
    """Create Services that have addresses of a pool, one of which by each way asked for its own; those are first.

    Of many addresses, they ask for some in the middle.
    """
    asked = pool.addresses[:count] if count == SERVICES else pool.addresses[count // 3 : count - count // 3]
    drawn = check.random.sample(asked, len(check.run.ways))
    asking = [
        check.service(f"{name}-asks-{way}", serving=True, ask=address, how=way)
        for address, way in zip(drawn, check.run.ways, strict=True)
    ]
    with check.precondition("REQ-01"):
        held = check.all_assigned(*asking)
    return held | check.all_assigned(*(check.service(f"{name}-{n}", serving=True) for n in range(count - len(asking))))


@proves("L2-04", "a")
def test_nobody_answers_for_free_addresses_of_a_pool(check: CheckContext) -> None:
    """No host answers for the addresses of a pool that no Service of this implementation holds.

    Those that were never given, the first and the last among them, that were released by deletion or for each other
    type, also between two addresses of one node and by Services that asked for them, and that the status of another
    controller's Service names.
    """
    pool = check.pool(HOLDERS + 3)
    held = holding(check, pool, HOLDERS)
    with check.precondition("L2-01"):
        holders = check.holders(*held.values())
    asking, services = list(held)[: len(check.run.ways)], list(held)[len(check.run.ways) :]
    check.random.shuffle(services)
    low, high = ends_of_a_node(holders)
    services.sort(key=lambda one: not int(low) < int(held[one]) < int(high))
    leaving = [service for service in (*asking, *services) if held[service] not in {low, high}][:RELEASED]
    kept = [service for service in held if service not in leaving]
    retyped = [service for n, service in enumerate(leaving) if n % 3]
    for service, kind in zip(retyped, types_to_leave_for(check.random), strict=False):
        check.retype(service, kind)
    check.delete_all(*leaving[::3])
    foreign = check.service("foreign", serving=True, loadBalancerClass=FOREIGN)
    taken = check.random.choice([address for address in pool.addresses if address not in held.values()])
    foreign.write_address(taken)

    given = answered_control(check)
    # what another than its own controller gave to a foreign Service is judged by CLASS-02
    assigned = {given, *(held[one] for one in kept), *foreign.addresses()} - {taken}
    if given == taken:
        assigned.add(taken)
    check.goes_silent(*(address for address in pool.addresses if address not in assigned))


def ends_of_a_node(holders: Mapping[IPAddress, Sequence[str]]) -> tuple[IPAddress, IPAddress]:
    """Return the lowest and the highest address of the node for which most others lie between them.

    They are kept: a node must not take what lies between its addresses for its own.
    """
    nodes = {name for names in holders.values() for name in names}
    held = {name: sorted((one for one, who in holders.items() if name in who), key=int) for name in nodes}
    ends = [(found[0], found[-1]) for found in held.values()]
    return max(ends, key=lambda of: sum(int(of[0]) < int(one) < int(of[1]) for one in holders))


@proves("L2-04", "b")
def test_nobody_answers_for_a_refused_address(check: CheckContext) -> None:
    """No host answers for addresses beside a pool that are asked for in each way, while the pool is announced.

    Nor for those of a pool that is for another namespace, where there can be one.
    """
    block = check.run.addresses(6)
    check.pool([AddressRange(block[2], block[3])], addresses=block[2:4])
    outside = [block[0], block[1], block[4], block[5]]
    asking = [
        service
        for n, address in enumerate(outside)
        for how in check.run.ways
        for service in check.unusable(f"refused-{n}-{how}", ask=address, how=how, serving=True)
    ]
    restricted = ask_for_restricted(check)
    for service in asking:
        check.refused(service, Cause.NOT_IN_POOL)

    answered_control(check)
    check.stays_silent(*outside, *(address for service, address in restricted.items() if not service.addresses()))


def ask_for_restricted(check: CheckContext) -> dict[Service, IPAddress]:
    """Create Services that ask, by each way, for addresses of a pool of another namespace; return the addresses.

    SEC-04 judges whether such a Service is given one.
    """
    if not check.run.claims("pool-scope") or not check.run.ways:
        return {}
    pool = check.pool(len(check.run.ways), namespaces=(check.second_namespace,))
    return {
        service: address
        for how, address in zip(check.run.ways, pool.addresses, strict=True)
        for service in check.unusable(f"restricted-{how}", ask=address, how=how, serving=True)
    }


@proves("L2-04", "c")
def test_nobody_answers_for_a_pool_that_is_not_advertised(check: CheckContext) -> None:
    """No host answers for addresses of a pool without advertisement, while another pool is announced.

    So it is for a pool that never had one, and for a pool whose advertisement is removed while it is in use; for
    addresses that are asked for, by each way, and for others.
    """
    with check.claims() as claims:
        quiet = check.pool(SERVICES, advertised=False)  # at first there is no advertisement at all

        def judge() -> None:
            claimed = {str(address): who for address, who in by_node(claims.of(quiet.addresses)).items() if who}
            assert not claimed, f"announced or answered for though nothing advertises it: {words(claimed)}"

        with judging(judge):
            holding(check, quiet, SERVICES, "quiet")
            former = check.pool(SERVICES)
            holding(check, former, SERVICES, "former")
            with check.precondition("L2-01"):
                check.holders(*former.addresses)
    check.change_pool(former, advertised=False)
    check.goes_silent(*former.addresses)  # before anything else changes

    check.pool(1)
    answered_control(check)
    check.goes_silent(*quiet.addresses, *former.addresses)


@proves("L2-04", "d")
def test_nobody_answers_for_addresses_of_nobody(check: CheckContext) -> None:
    """No host answers for addresses in no pool, before and behind a pool whose first and last address are announced.

    Nor for the cluster addresses of Services that are announced, where those of other Services are not answered for.
    Some of these Services asked for their address, one by each way.
    """
    block = check.run.addresses(8 + SERVICES)
    inside = block[4:-4]
    held = holding(check, check.pool([AddressRange(inside[0], inside[-1])], addresses=inside), SERVICES)
    with check.precondition("L2-01"):
        check.holders(*held.values())

    check.stays_silent(*block[:4], *block[-4:], *cluster_addresses(check, list(held)))


def cluster_addresses(check: CheckContext, services: Sequence[Service]) -> list[IPAddress]:
    """Return the cluster addresses of Services of the client's families.

    None where that of the API server, which nobody announces, is answered for: kube-proxy in mode ipvs without
    `strictARP` has them on an interface.
    """
    made = [check.cluster.get(API), *(service.known for service in services)]
    plain, *found = (ip_address(one["spec"]["clusterIP"]) for one in made)
    families = set(map(family_of, check.client.addresses))
    if family_of(plain) in families and (who := check.answerers(plain)):
        check.saw("arp", f"{plain}, the cluster address of the API server, is answered for by", sorted(who))
        return []
    return [address for address in found if family_of(address) in families]


@proves("L2-04", "f", disruptive=True)
def test_nobody_announces_what_a_status_alone_names(check: CheckContext) -> None:
    """Free addresses of no pool, the router's and a node's are in statuses while the allocator stands still.

    Nobody answers for the free ones, the others are answered for by their hosts alone, and no node announces one.
    """
    check.run.need(Capability.FREEZE_POD)
    pods = check.run.workloads.pods(WorkloadRole.CONTROLLER)
    if both := set(pods) & set(check.run.workloads.pods(WorkloadRole.ANNOUNCER)):
        raise CannotShow(Untestable.NO_WORKLOAD, f"{words([name for *_, name in both])} allocate and announce")
    check.pool(HOLDERS)
    services = [check.service(f"web-{n}", serving=True) for n in range(HOLDERS)]
    held = check.all_assigned(*services)
    with check.precondition("L2-01"):
        check.holders(*held.values())
    family = family_of(held[services[0]])
    outside = check.run.addresses(2, family)
    hosts = [check.lab.segment.subnet_for(family)[1], check.lab.nodes[-1].address_for(family)]
    before = {host: check.who_has(host) for host in hosts}
    with ExitStack() as still:
        for _, namespace, name in pods:
            freeze = functools.partial(check.lab.freeze_pod, namespace, name)
            still.enter_context(check.fault(Capability.FREEZE_POD, freeze))
        for service, address in zip(services, [*outside, *hosts], strict=False):
            service.write_address(address)
        check.known_to_every_node(check.service("newer", serving=True))
        check.stays_silent(*outside)
        now = {host: check.who_has(host) for host in hosts}
    assert now == before, f"answered for by {words(now)}, before statuses named them by {words(before)}"


@proves("L2-04", "e")
def test_another_host_answers_for_itself_alone(check: CheckContext) -> None:
    """Routers answer for their addresses, each node for its own, and no node for the client's.

    Also when Services ask for these addresses, where they can ask.
    """
    check.pool(1)
    address = check.assigned(check.service(serving=True))
    family = family_of(address)
    check.an_announcer(address)
    owners = {node.address_for(family): node.mac for node in check.lab.nodes}
    owners[check.client.address_for(family)] = check.client.mac
    if check.lab.can(Capability.ROUTED_CLIENT):
        owners[check.lab.router().address_for(family)] = check.lab.router().mac
    gateway = check.lab.segment.subnet_for(family)[1]
    hosts = [*dict.fromkeys((gateway, *owners))]
    for n, host in enumerate(hosts):
        for how in check.run.ways:
            check.unusable(f"asks-{n}-{how}", ask=host, how=how, serving=True)
    check.pool(1)
    answered_control(check)

    names = check.mac_names()
    found = answers_of(check, hosts)
    if not found[gateway]:
        raise CannotShow(Untestable.PATH_BROKEN, f"{gateway}, the router, is answered for by nobody")
    if gateway not in owners:  # another than the lab's router: its MAC is not known, but that of no node
        owners[gateway] = min(found[gateway] - names.keys(), default="")
    wrong = {
        str(host): [names.get(mac, mac) for mac in sorted(macs)]
        for host, macs in found.items()
        if macs - {owners[host]}
    }
    assert not wrong, f"answered for by another host than the one that has the address: {words(wrong)}"


def answers_of(check: CheckContext, hosts: Sequence[IPAddress]) -> dict[IPAddress, set[str]]:
    """Ask some times for the addresses of hosts; return the MACs at which they are said to be.

    By broadcast, except the client for its own address, which would announce it, and as one that is about to take it.
    """
    senders = {
        host: [unspecified(family_of(host)), *([] if host in check.client.addresses else [None])] for host in hosts
    }
    ways = [neighbour.Question(target=host, sender=sender) for host in hosts for sender in senders[host]] * ASKS
    within = check.wait.budget("arp_answer")
    replies = neighbour.ask_each(check.client, ways, every=within / len(ways), within=within)
    found: dict[IPAddress, set[str]] = {host: set() for host in hosts}
    for way, answers in zip(ways, replies, strict=True):
        found[way.target] |= {answer.mac for answer in answers}
    return found
