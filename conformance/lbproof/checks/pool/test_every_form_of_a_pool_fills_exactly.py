"""Exact contents of a pool in each notation."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import TYPE_CHECKING

from lbproof.adapters.base import AddressRange
from lbproof.context import proves
from lbproof.context.draws import mixed
from lbproof.context.precedence import judging
from lbproof.spec.families import Family
from lbproof.text import words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lbproof.adapters.base import Block
    from lbproof.context import CheckContext, Service
    from lbproof.spec.families import IPAddress

BENCHMARK: dict[Family, IPAddress] = {Family.IPV4: IPv4Address("198.18.4.0"), Family.IPV6: IPv6Address("2001:2::400")}
"""Within networks for tests of devices (RFC 2544, RFC 5180), not on the segment: pools there are given, not reached."""
EDGES = ip_network("203.0.113.0/30"), ip_network("203.0.113.252/30")
"""Both ends of a documentation network (RFC 5737): the first address and the last one of a /24."""
KEPT = ip_network("198.51.100.0/30"), ip_network("198.51.100.252/30")
"""Those of another one."""


def fills(check: CheckContext, blocks: Sequence[Block], addresses: Sequence[IPAddress], **kind: bool) -> None:
    """Verify that a pool gives each of some addresses to one of as many Services, and that two more get none."""
    check.pool(blocks, addresses=addresses, **kind)
    places = (check.namespace, check.second_namespace)
    services = [check.service(f"web-{n // 2}", namespace=places[n % 2]) for n in range(len(addresses) + 2)]
    exactly(check, services, addresses)
    waiting = [service for service, held in check.statuses(*services).items() if not held]
    with check.unchanged(*waiting):
        check.control_apart()
        check.stays_pending(*waiting)
    check.control_in_turn(waiting, [service for service in services if service not in waiting][:1])


def exactly(check: CheckContext, services: Sequence[Service], addresses: Sequence[IPAddress]) -> None:
    """Wait until the statuses of Services have certain addresses, each once, and no other."""
    expected = sorted(map(str, addresses))
    seen: list[str] = []
    while seen != expected:
        seen = check.wait.eventually(
            lambda: sorted(str(address) for held in check.statuses(*services).values() for address in held),
            lambda now: now == expected or (len(now) > len(seen) and not set(now) - set(expected)),  # noqa: B023 - called at once
            what=f"{len(services)} Services are given exactly the addresses {words(expected)}",
            budget="address_assigned",
        )


@proves("POOL-03", "abcd")
def test_every_form_of_a_pool_fills_exactly(check: CheckContext, case: str) -> None:
    """CIDRs, ranges, single addresses, several blocks in any order: all their addresses are assigned, and no others."""
    if case == "a":
        block = check.run.addresses(15)  # of which eight are a network, and so are the two after or before them
        start = -int(block[0]) % 8
        network, pair = block[start : start + 8], block[start - 2 : start] if start > 1 else block[start + 8 :][:2]
        whole = network[0].max_prefixlen
        fills(check, [ip_network((network[0], whole - 3)), ip_network((pair[0], whole - 1))], [*network, *pair])
    elif case == "b":
        block = check.run.addresses(check.random.randint(3, 9))
        begin = BENCHMARK[check.family] + check.random.randint(250, 254)
        far = [begin + n for n in range(9)]  # over a multiple of 256
        fills(check, [AddressRange(block[0], block[-1]), AddressRange(far[0], far[-1])], [*block, *far])
    elif case == "c":
        block = check.run.addresses(5)
        single = mixed(check.random, block[::2])
        fills(check, single, single)
    else:
        block = check.run.addresses(9)
        parts = mixed(check.random, [block[:2], block[3:4], block[5:8], block[8:]])  # the last two touch each other
        fills(
            check, [AddressRange(part[0], part[-1]) for part in parts], [address for part in parts for address in part]
        )


@proves("POOL-03", "e")
def test_the_ends_of_a_network_are_given_as_declared(check: CheckContext) -> None:
    """The edges of a network are assigned if they are included in the pool, and not if they are kept back.

    Implementations differ in what an edge is: the first and the last address of each network, or those that end in 0
    and 255. What is both is kept back, and what is neither is given.
    """
    whole, kept = ([address for network in pair for address in network] for pair in (EDGES, KEPT))
    either, inner = {kept[3], kept[4]}, {*kept[1:3], *kept[5:7]}
    check.pool(EDGES, addresses=whole, include_edges=True)
    check.pool(KEPT, addresses=kept[1:-1], include_edges=False)
    services = [check.service(f"web-{n}") for n in range(len(whole) + len(kept))]
    must = {*whole, *inner}
    check.one_by_one(
        lambda: {address for held in check.statuses(*services).values() for address in held},
        lambda given: len(given & must),
        len(must),
        what=f"{len(services)} Services are given one more of {words(sorted(map(str, must)))}",
        budget="address_assigned",
        show=lambda given: f"not {words(sorted(map(str, must - given)))}",
    )

    def kept_back() -> None:
        check.wait.consistently(
            lambda: {address for held in check.statuses(*services).values() for address in held},
            lambda given: given <= must | either,
            what=f"{kept[0]} and {kept[-1]} are kept back",
            budget="stays_pending",
        )

    with judging(kept_back):
        check.control_apart()
