"""Requested addresses: a Service gets exactly that address or none, without effect on other Services."""

from __future__ import annotations

from contextlib import nullcontext, suppress
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from typing import TYPE_CHECKING, Any

from lbproof.adapters.base import AddressRange, Ask, Cause
from lbproof.context import proves
from lbproof.context.claims import claimants
from lbproof.context.draws import mixed, types_to_leave_for
from lbproof.context.refusal import Refused, admission
from lbproof.context.unchanged import intact
from lbproof.spec.families import Family
from lbproof.text import words

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from lbproof.adapters.base import Object
    from lbproof.context import CheckContext, Service
    from lbproof.spec.families import IPAddress

ELSEWHERE: dict[Family, IPAddress] = {
    Family.IPV4: IPv4Address("203.0.113.77"),
    Family.IPV6: IPv6Address("2001:db8:77::77"),
}
"""Addresses of documentation networks (RFC 5737, RFC 3849), in no pool."""
LAST_NETWORK = IPv4Network("198.51.100.252/30")
"""End of another one, whose last address is kept back by every implementation that keeps edges back."""
MALFORMED = {
    Family.IPV4: ("192.168.1000.1", "192.168.172", "no-address"),
    Family.IPV6: ("2001:db8::10000", "2001:db8:1", "no-address"),
}
BESIDE = {
    Family.IPV4: ("{}/32", "{}/24", "{}-{}", "{}:80", "{}x"),
    Family.IPV6: ("{}/128", "{}/64", "{}-{}", "[{}]:80", "{}x"),
}
"""Texts that contain a free address and are none: with a prefix length, a range, with a port, with a letter more."""
OTHER_PORTS = [{"name": "other", "port": 8443, "targetPort": 8443}]
OTHER_FAMILY: dict[Family, tuple[IPAddress, ...]] = {
    Family.IPV4: (IPv6Address("2001:db8::1"), IPv6Address("fd00::a:1")),
    Family.IPV6: (IPv4Address("203.0.113.77"), IPv4Address("10.0.0.10")),
}
"""Addresses of another family than that of a Service."""


@proves("REQ-01")
def test_free_addresses_of_pools_are_given(check: CheckContext, case: str) -> None:
    """Services that ask for free addresses get exactly those, in mixed order, of two blocks and of a pool that is kept.

    The ends of both blocks are among them, and one that was released before. Services that do not ask get the others.
    """
    how = Ask.ANNOTATION if case == "a" else Ask.FIELD
    block = check.run.addresses(8)
    lower, upper = block[:4], block[5:]
    check.pool([AddressRange(one[0], one[-1]) for one in (lower, upper)], addresses=[*lower, *upper])
    kept = check.pool(1, auto_assign=False).addresses if check.run.claims("auto-assign") else []
    places = (check.namespace, check.second_namespace)
    wanted = asked_for(check.random, lower, upper) + kept

    asking = {check.service(f"asks-{n}", namespace=places[n % 2], ask=a, how=how): a for n, a in enumerate(wanted)}
    exactly(check, asking)
    others = [check.service(f"any-{n}", namespace=places[n]) for n in range(2)]
    assert not set(check.all_assigned(*others).values()) & set(wanted)

    left = check.random.choice(list(asking))
    check.delete(left)
    again = check.service("again", namespace=left.namespace, ask=asking[left], how=how)
    with check.precondition():
        check.assigned(again)
    exactly(check, {again: asking[left]})


def asked_for(random: Random, *blocks: Sequence[IPAddress]) -> list[IPAddress]:
    """Draw addresses of blocks to ask for: the ends of each block and one between them, mixed."""
    between = random.choice([address for block in blocks for address in block[1:-1]])
    return mixed(random, sorted([between, *(end for block in blocks for end in (block[0], block[-1]))], key=int))


def exactly(check: CheckContext, asking: dict[Service, IPAddress]) -> None:
    """Wait until Services have addresses, and verify that each has the one that it asked for, and no other."""
    check.all_assigned(*asking)
    wrong = {
        f"{s}, which asked for {wanted}": held for s, wanted in asking.items() if (held := s.addresses()) != [wanted]
    }
    assert not wrong, f"another address was given: {words(wrong)}"


def refused_for_good(check: CheckContext, services: Sequence[Service]) -> None:
    """Verify that Services stay Pending while an address is given and freed, a pool is new, and another is served."""
    with check.unchanged(*services):
        control = check.service("control")
        with check.precondition():
            check.assigned(control)
        check.pool(1)
        check.delete(control)
        check.control(seen=True)
        check.stays_pending(*services)


@proves("REQ-02")
def test_addresses_outside_every_pool_are_refused(check: CheckContext) -> None:
    """Services that ask for addresses beside, between and far from pools stay Pending with a reason, and silent.

    Also for an address of a pool that was removed, and when the pools change afterwards.
    """
    block = check.run.addresses(7)
    check.pool(
        [AddressRange(block[1], block[2]), AddressRange(block[4], block[5])], addresses=[*block[1:3], *block[4:6]]
    )
    outside: list[IPAddress] = [block[0], block[3], block[6], ELSEWHERE[check.family]]
    removed = check.pool(1)
    check.run.pools.drop(removed.name)
    check.wait_out("pool_applied")
    outside += removed.addresses
    if check.run.claims("include-edges") and check.family is Family.IPV4:
        check.pool([LAST_NETWORK], addresses=list(LAST_NETWORK)[1:3], include_edges=False)
        outside.append(LAST_NETWORK[-1])
    check.random.shuffle(outside)
    services = [
        service
        for n, address in enumerate(outside)
        for how in check.run.ways
        for service in check.unusable(f"asks-{n}-{how}", ask=address, how=how, serving=True)
    ]

    for service in services:
        check.refused(service, Cause.NOT_IN_POOL)
    refused_for_good(check, services)
    check.stays_silent(*(address for address in outside if any(address in net for net in check.lab.segment.subnets)))


@proves("REQ-03")
def test_an_address_of_another_is_refused(check: CheckContext) -> None:
    """Services that ask for a held address stay Pending with a reason, by each way, namesakes of the holder too.

    Those with another port than the holder's among them: nobody has allowed that an address is shared. Services that
    are older than the holders get no held address either: by each way one that has an address and asks for another, and
    one that was no LoadBalancer before.
    The holders, some of which asked for their address, keep it at any time, and are answered for by one node and served
    afterwards; also when who asked is deleted or no longer a LoadBalancer, and others take what is free.
    """
    ways = check.run.ways
    pool = check.pool(3 + 2 * len(ways))
    having = [check.service(f"has-{how}") for how in ways]
    becoming = [check.service(f"becomes-{how}", type="ClusterIP", ports=OTHER_PORTS) for how in ways]
    with check.precondition():
        own = set(check.all_assigned(*having).values())
    check.next_second()
    asked = zip(ways, [address for address in pool.addresses if address not in own][2:], strict=False)
    holders = [check.service(f"asked-{how}", serving=True, ask=address, how=how) for how, address in asked]
    held = check.all_assigned(*holders)
    with check.room():
        holders.append(check.service("holder", serving=True))
        held |= check.all_assigned(holders[-1])
    answers = {}
    if check.run.claims("l2"):
        with check.precondition("L2-01"):
            answers = check.sole_holders(*held.values())
    for address in held.values():
        check.serves(check.client, address)

    claimed = check.claims() if answers else nullcontext()
    with claimed as claims, check.unchanged(*holders, part=intact):
        places = dict(zip(ways, (check.second_namespace, check.namespace), strict=False))
        asking = [
            service
            for holder, address in held.items()
            for how, place in places.items()
            for name, fields in ((holder.name, {}), (f"{holder.name}-too", {"ports": OTHER_PORTS}))
            for service in check.unusable(name, namespace=place, ask=address, how=how, **fields)
        ]
        ask_later(check, having, becoming, list(held.values()))
        for service in asking:
            check.refused(service, Cause.IN_USE)
        refused_for_good(check, [*asking, *becoming])
        wrong = {str(one): found for one, found in check.statuses(*having).items() if set(found) & set(held.values())}
        assert not wrong, f"given addresses that others hold, by a later request: {words(wrong)}"
        check.delete_all(*having, *becoming)
        given = leave(check, asking, len(pool.addresses) - len(held))
        assert not set(given.values()) & set(held.values()), (
            f"{words({str(s): str(address) for s, address in given.items()})} were given after others had asked for "
            f"{words(sorted(map(str, held.values())))} and left, which are held"
        )

    now = check.sole_holders(*answers) if answers else {}
    made = claims.of(now) if claims else {}
    moved = {str(a): claimants(made[a], name, now[a]) for a, name in answers.items() if now[a] != name}
    check.saw("arp", "held addresses that moved while others asked for them, and who claimed them", moved)
    disputed = {address: order for address, order in moved.items() if len(order) > len(set(order))}
    assert not disputed, f"claimed again after another node had, while others asked for them: {words(disputed)}"
    for address in held.values():
        check.serves(check.client, address)


def ask_later(
    check: CheckContext, having: Sequence[Service], becoming: Sequence[Service], held: Sequence[IPAddress]
) -> None:
    """Have Services ask for addresses that others hold: those that have one, and those that become LoadBalancers then.

    One of each for each way, and for two addresses. A request that admission denies is not made.
    """
    for how, has, becomes in zip(check.run.ways, having, becoming, strict=True):
        one, other = check.random.sample(held, 2)
        with suppress(Refused):
            check.request(has, one, how=how)
        with suppress(Refused), admission(f"the type of {becomes}"):
            check.request(becomes, other, how=how)
            check.retype(becomes, "LoadBalancer")


def leave(check: CheckContext, asking: Sequence[Service], free: int) -> dict[Service, IPAddress]:
    """Have Services that were refused leave, by deletion and for other types, and new ones take what is free.

    Return what these were given, after one more of them was seen to stay Pending.
    """
    deleted = halves(check.random, len(asking))
    types = types_to_leave_for(check.random)
    for n in check.random.sample(range(len(asking)), len(asking)):
        if deleted[n]:
            check.delete(asking[n])
        else:
            check.retype(asking[n], next(types))
    given = check.all_assigned(*(check.service(f"next-{n}") for n in range(free)), budget="reclaimed")
    check.stays_pending(check.service("late"))
    return given


def halves(random: Random, count: int) -> list[bool]:
    """Divide so many Services, which were created by nested loops whose inner ones are over pairs, into two halves.

    One of each pair is in each half, in turns, so that half of those with one place in all pairs is (Thue and Morse).
    """
    turn = random.randrange(2)
    return [bool((n.bit_count() + turn) % 2) for n in range(count)]


@proves("REQ-04")
def test_unusable_requests_are_refused(check: CheckContext, case: str) -> None:
    """Services with requests that cannot be met get no address and a reason, now and later; others are served.

    Older and younger ones, those of the same namespace and those that ask for an address. An older one keeps its own,
    though others are free.
    """
    pool = check.pool(6)
    with check.room():
        holder = check.service("holder")
        check.assigned(holder)
    free = [address for address in pool.addresses if address not in holder.addresses()]
    with check.unchanged(holder):
        wrong = unusable(check, case, free)
        for service in wrong:
            check.refused(service, Cause.BAD_REQUEST)
        with check.unchanged(*wrong):
            right = [check.service(f"asks-{how}", ask=free.pop(), how=how) for how in check.run.ways]
            check.all_assigned(*right)
            right += [check.service("any", namespace=place) for place in (check.namespace, check.second_namespace)]
            check.all_assigned(*right)
            check.delete(check.random.choice(right))
            check.control()
            check.stays_pending(*wrong)


def unusable(check: CheckContext, case: str, free: list[IPAddress]) -> list[Service]:
    """Create Services with requests that cannot be met, except those whose creation is refused."""
    made: list[dict[str, Any]] = []
    if case == "a":
        texts = [*MALFORMED[check.family], *(form.format(*free) for form in BESIDE[check.family])]
        made = [{"ask": text, "how": how} for text in texts for how in check.run.ways]
    elif case == "b":
        made = [{"ask": address, "how": how} for address in OTHER_FAMILY[check.family] for how in check.run.ways]
    elif case == "c":
        made = [{"change": contradicts(check, *pair)} for pair in (free[:2], free[1::-1])]
    else:
        other = check.pool(2, auto_assign=False)
        removed = check.pool(1, auto_assign=False)
        check.run.pools.drop(removed.name)
        pools = [(free[0], other), (other.addresses[0], check.pool(1, auto_assign=False)), (free[1], removed)]
        made = [{"ask": address, "pool": pool, "how": how} for address, pool in pools for how in check.run.ways]
    check.random.shuffle(made)
    return [service for n, fields in enumerate(made) for service in check.unusable(f"wrong-{n}", **fields)]


def contradicts(check: CheckContext, one: IPAddress, other: IPAddress) -> Any:  # noqa: ANN401 - a change of a manifest
    """Return a change of a manifest that asks for two addresses."""

    def change(service: Object) -> None:
        check.run.ask(service, str(one), Ask.ANNOTATION)
        check.run.ask(service, str(other), Ask.FIELD)

    return change
