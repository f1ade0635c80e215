"""Isolation of a malformed pool from other pools."""

from __future__ import annotations

from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TYPE_CHECKING, Any

from lbproof.adapters import rendering
from lbproof.adapters.base import AddressRange, WorkloadRole
from lbproof.context import proves
from lbproof.context.refusal import Refused
from lbproof.spec.families import Family, family_of
from lbproof.text import words
from lbproof.witnesses.wait import EventuallyFailed, Violation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lbproof.adapters.base import Block
    from lbproof.context import CheckContext, Pool, Service
    from lbproof.spec.families import IPAddress

FIRST, LAST = IPv4Address("192.168.172.230"), IPv4Address("192.168.172.239")
MALFORMED: dict[str, tuple[Block, ...]] = {
    "a": ("192.168.172.300/28", "192.168.172.230/33", "192.168.172.230/-1", "192.168.172.230/28/28", "/28", "no-block"),
    "b": (AddressRange(LAST, FIRST), AddressRange(FIRST + 1, FIRST), AddressRange(IPv4Address("198.51.100.9"), FIRST)),
    "c": (AddressRange(FIRST, IPv6Address("2001:db8::1")), AddressRange(IPv6Address("2001:db8::1"), FIRST)),
}

MALFORMED_IPV6: dict[str, tuple[Block, ...]] = {
    "a": ("2001:db8::g/64", "2001:db8::/129", "2001:db8:::/64"),
    "b": (AddressRange(IPv6Address("2001:db8::9"), IPv6Address("2001:db8::1")),),
    "c": (),
}
"""Where IPv6 is claimed too."""
NETMASKS = ("255.255.255.252", "0.0.0.3")
"""A mask and a wildcard in place of the prefix length 30: refused or flagged, or meant as they are read by people."""


UNUSABLE: tuple[IPv4Network | IPv6Network, ...] = (
    IPv4Network("0.0.0.0/32"),
    IPv4Network("127.0.0.8/30"),
    IPv4Network("169.254.7.8/30"),
    IPv4Network("224.0.0.8/30"),
    IPv4Network("255.255.255.255/32"),
    IPv6Network("::/128"),
    IPv6Network("::1/128"),
    IPv6Network("::ffff:192.0.2.8/126"),
    IPv6Network("fe80::8/126"),
    IPv6Network("ff02::1:ff00:8/126"),
)
"""Unspecified, loopback, link-local, multicast, broadcast and IPv4-mapped addresses (RFC 6890, RFC 4291)."""


@proves("CRD-01", "abc", disruptive=True)
def test_malformed_pools_harm_nobody(check: CheckContext, case: str) -> None:
    """Malformed pools are rejected by the API or flagged on the object; other pools and addresses still work.

    Several at once; two whose other block is valid, before or after; one that a change makes malformed, again once
    it was valid; and one with a mask for a prefix length, which may also be taken to mean exactly what it says. Other
    pools can be created and changed beside them, Services keep their addresses at any time, and a controller can start.
    """
    pool, holders, spare = held(check)
    bad = [*MALFORMED[case], *(MALFORMED_IPV6[case] if check.run.claims("ipv6") else ())]
    check.random.shuffle(bad)
    *good, changed = (AddressRange(*check.run.addresses(2)) for _ in range(3))

    with check.unchanged(*holders):
        flagged = [refused_or_flagged(check, [block], lambda block=block: check.pool([block])) for block in bad]  # type: ignore[misc]
        beside: list[list[Block]] = [[bad[0], good[0]], [good[1], bad[0]]]
        flagged += [refused_or_flagged(check, both, lambda both=both: check.pool(both)) for both in beside]  # type: ignore[misc]
        late = check.pool([changed])
        malformed = (changed, bad[-1])
        flagged.append(refused_or_flagged(check, malformed, lambda: change(check, late, malformed)))

        new = check.pool(1)
        check.assigned(check.service("after", **of(check, new, new.addresses[0])), budget="pool_applied")
        wider = check.run.addresses(2)
        check.change_pool(pool, blocks=(*pool.spec.blocks, AddressRange(wider[0], wider[1])))
        more = [check.service(f"more-{n}", **of(check, pool, address)) for n, address in enumerate([*wider, spare])]
        check.all_assigned(*more, budget="pool_applied")
        if flagged[-1]:
            mended(check, late, changed)
            flagged[-1] = refused_or_flagged(check, malformed, lambda: change(check, late, malformed))
        if case == "a":
            flagged += [masked(check, mask) for mask in NETMASKS]
            check.delete_all(*more)
            check.run.workloads.restart(WorkloadRole.CONTROLLER)
            served(check, check.service("restarted", **of(check, pool, wider[0])), [bad for bad in flagged if bad])


def held(check: CheckContext) -> tuple[Pool, list[Service], IPAddress]:
    """Create a pool and Services that have all of its addresses but one; return these, and that one."""
    pool = check.pool(3)
    with check.room():
        holders = [check.service("web", namespace=place) for place in (check.namespace, check.second_namespace)]
        given = check.all_assigned(*holders)
    spare = next(address for address in pool.addresses if address not in given.values())
    return pool, holders, spare


def mended(check: CheckContext, pool: Pool, block: AddressRange) -> None:
    """Leave a malformed pool a block that is valid, and wait until it gives an address of that."""
    check.change_pool(pool, blocks=(block,))
    service = check.service("mended", **of(check, pool, block.first))
    with check.precondition():
        check.assigned(service, budget="pool_applied")
    check.delete(service)


def of(check: CheckContext, pool: Pool, address: IPAddress) -> dict[str, Any]:
    """Return a request for a pool, or for an address of it, as far as requests are claimed."""
    if check.run.claims("pool-select"):
        return {"pool": pool}
    return {"ask": address} if check.run.ways else {}


def masked(check: CheckContext, mask: str) -> Pool | None:
    """Create a pool with a mask for its prefix length; verify that it is refused, flagged, or fills exactly.

    Return it if it is flagged.
    """
    block = check.run.addresses(8)  # of which four are a network
    start = -int(block[0]) % 4
    network = block[start : start + 4]
    pools: list[Pool] = []

    def create() -> Pool:
        pools.append(check.pool([f"{network[0]}/{mask}"], addresses=network))
        return pools[0]

    try:
        with check.wait.tentative():
            return refused_or_flagged(check, f"{network[0]}/{mask}", create)
    except EventuallyFailed:
        if not pools:
            raise
        fills_exactly(check, pools[0], [address for address in block if address not in network])
        return None


def fills_exactly(check: CheckContext, pool: Pool, others: list[IPAddress]) -> None:
    """Verify that a pool gives each of its addresses and none of the others, as far as requests are claimed."""
    name = f"of-{pool.name}"
    if check.run.claims("pool-select"):
        any_of_them = [check.service(f"{name}-{n}", pool=pool) for n in range(len(pool.addresses) + 1)]

        def given() -> list[IPAddress]:
            return [address for held in check.statuses(*any_of_them).values() for address in held]

    elif check.run.ways:
        asked = {check.service(f"{name}-{n}", ask=a): a for n, a in enumerate((*pool.addresses, *others))}

        def given() -> list[IPAddress]:
            return [asked[one] for one, held in check.statuses(*asked).items() if asked[one] in held]

    else:
        return
    check.one_by_one(
        given,
        lambda now: len(now) if len(now) == len(set(now) & set(pool.addresses)) else 0,
        len(pool.addresses),
        what=f"a pool of {words(pool.spec.blocks)}, which is not flagged, gives one more of {words(pool.addresses)}",
        budget="pool_applied",
        show=words,
    )


def served(check: CheckContext, service: Service, malformed: list[Pool]) -> None:
    """Wait until a controller that started beside malformed pools gives an address of another one.

    Raises `CannotShow` when it gives none without the malformed pools either.
    """
    try:
        check.assigned(service, budget="restarted")
    except EventuallyFailed as failure:
        for pool in malformed:
            check.remove_pool(pool)
        with check.precondition():
            check.assigned(service, budget="restarted")
        raise Violation(f"{service} got an address only when the malformed pools were removed") from failure


def change(check: CheckContext, pool: Pool, blocks: tuple[Block, ...]) -> Pool:
    """Change the blocks of a pool, and return it."""
    check.change_pool(pool, blocks=blocks)
    return pool


def refused_or_flagged(check: CheckContext, blocks: object, act: Callable[[], Pool]) -> Pool | None:
    """Create or change a malformed pool; verify that this is refused (None), or that something is said of the pool."""
    try:
        bad = act()
    except Refused as refusal:
        check.saw("api", f"a pool of {words(blocks)} is refused", str(refusal))
        return None
    said = check.wait.eventually(
        lambda: rendering.pool_error(check.run.adapter, check.cluster, bad.spec),
        bool,
        what=f"something is said about the pool of {words(blocks)}",
        budget="pool_applied",
        show=lambda said: said or "nothing",
    )
    check.saw("api", f"a pool of {words(blocks)} is flagged", said)
    return bad


@proves("CRD-01", "d")
def test_pools_of_unusable_addresses_harm_nobody(check: CheckContext) -> None:
    """Pools of addresses that no host can have are refused or flagged, or else give these and no others.

    Of each family of the lab. Other pools can be created and changed beside them, and Services keep their addresses.
    """
    pool, holders, spare = held(check)
    able = [network for network in UNUSABLE if family_of(network) in check.run.site.families]
    with check.unchanged(*holders):
        silent = taken_in_silence(check, check.random.sample(able, len(able)))
        new = check.pool(1)
        check.assigned(check.service("after", **of(check, new, new.addresses[0])), budget="pool_applied")
        wider = check.run.addresses(1)
        check.change_pool(pool, blocks=(*pool.spec.blocks, wider[0]))
        last = [check.service(f"last-{n}", **of(check, pool, address)) for n, address in enumerate([*wider, spare])]
        check.all_assigned(*last, budget="pool_applied")
        for one in silent:
            fills_exactly(check, one, [])


def taken_in_silence(check: CheckContext, networks: Sequence[IPv4Network | IPv6Network]) -> list[Pool]:
    """Create a pool of each network; return those that are neither refused nor flagged in time.

    Of IPv4 alone: that of the other family would need Services of that family to be looked at.
    """
    kept = check.run.claims("auto-assign")
    pools: list[Pool] = []
    for network in networks:
        try:
            pools.append(check.pool([network], addresses=list(network), auto_assign=not kept))
        except Refused as refusal:
            check.saw("api", f"a pool of {network} is refused", str(refusal))

    def silent() -> list[Pool]:
        return [one for one in pools if not rendering.pool_error(check.run.adapter, check.cluster, one.spec)]

    with suppress(EventuallyFailed), check.wait.tentative():
        check.wait.eventually(
            silent,
            lambda found: not found,
            what="something is said about each pool of unusable addresses",
            budget="pool_applied",
            show=lambda found: words([block for one in found for block in one.spec.blocks]) or "something of each",
        )
    found = silent()
    check.saw("api", "neither refused nor flagged", [str(block) for one in found for block in one.spec.blocks])
    return [one for one in found if family_of(one.addresses[0]) is Family.IPV4]
