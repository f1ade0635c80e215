"""Pools that have addresses in common."""

from __future__ import annotations

from ipaddress import summarize_address_range
from typing import TYPE_CHECKING, Any, cast

from lbproof.adapters import rendering
from lbproof.adapters.base import AddressRange
from lbproof.checks.crd.owners import one_each
from lbproof.context import proves
from lbproof.context.refusal import Refused
from lbproof.text import words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lbproof.adapters.base import Block
    from lbproof.context import CheckContext, Pool
    from lbproof.spec.families import IPAddress

SIZE = 3
"""Addresses of each pool that another one overlaps."""
KINDS = 7
"""Ways in which a new pool overlaps one."""


def overlapping(part: Sequence[IPAddress]) -> dict[str, Sequence[Block]]:
    """Return the blocks of pools that overlap one of the addresses of a part between its ends, by how they do."""
    before, *own, beyond = part
    return {
        "the same range": [AddressRange(own[0], own[-1])],
        "more than its addresses": [AddressRange(own[0], beyond)],
        "all around it": [AddressRange(before, beyond)],
        "a part of it": [own[1]],
        "its first address": [AddressRange(before, own[0])],
        "its last address": [AddressRange(own[-1], beyond)],
        "the same networks": list(summarize_address_range(*cast("tuple[Any, Any]", (own[0], own[-1])))),
    }


def refused_or_flagged(check: CheckContext, what: str, there: Sequence[Pool], act: Callable[[], Pool]) -> Pool | None:
    """Create or change a pool that overlaps another; verify that this is refused, or that one of the two is flagged.

    `there`: those of the two that exist. What is said of them already does not count.
    """
    before = {one.name: rendering.pool_error(check.run.adapter, check.cluster, one.spec) for one in there}
    try:
        other = act()
    except Refused as refusal:
        check.saw("api", f"{what} is refused", str(refusal))
        return None
    both = {one.name: one for one in (*there, other)}

    def told() -> list[str]:
        found = {name: rendering.pool_error(check.run.adapter, check.cluster, one.spec) for name, one in both.items()}
        return [text for name, text in found.items() if text and text != before.get(name)]

    said = check.wait.eventually(
        told,
        bool,
        what=f"something new is said about {what}, or about the pool that it overlaps",
        budget="pool_applied",
    )
    check.saw("api", f"{what} is flagged", said)
    return other


@proves("CRD-02")
def test_overlapping_pools_share_no_address(check: CheckContext) -> None:
    """Pools that overlap another one are refused or flagged, and no address is given to two Services.

    The same addresses, all of them and more at one end or at both, a part, the first or the last one alone, as a
    network and as a range; and a pool that a change makes overlap. Each overlaps another pool, of which nothing has
    been said. Services keep their addresses at any time, and another pool works.
    """
    size = SIZE + 2
    block = check.run.addresses(size * (KINDS + 2))
    *parts, last = [block[n : n + size] for n in range(0, len(block), size)]
    pools = [check.pool([AddressRange(part[1], part[-2])], addresses=part[1:-1]) for part in parts]
    places = (check.namespace, check.second_namespace)
    with check.room():
        holders = [check.service(f"web-{n // 2}", namespace=places[n % 2]) for n in range(KINDS * SIZE)]
        check.all_assigned(*holders)
    names = check.random.sample(list(overlapping(parts[0])), KINDS)
    with check.unchanged(*holders):
        flagged: list[Pool] = []
        for name, part, pool in zip(names, parts, pools, strict=False):
            blocks = overlapping(part)[name]
            found = refused_or_flagged(check, f"a pool of {name}", [pool], lambda blocks=blocks: check.pool(blocks))  # type: ignore[misc]
            flagged += [found] if found else []
        late = check.pool(last[:2], addresses=last[:2])

        def overlap() -> Pool:
            check.change_pool(late, blocks=(last[1], parts[-1][1]))
            return late

        refused_or_flagged(check, "a change of a pool", [late, pools[-1]], overlap)
        other = check.pool(last[2:], addresses=last[2:])
        services = [check.service(f"more-{n // 2}", namespace=places[n % 2]) for n in range(len(block) - len(holders))]
        check.one_by_one(
            lambda: {address for held in check.statuses(*services).values() for address in held},
            lambda given: len(given & set(other.addresses)),
            len(other.addresses),
            what=f"one more of {words(other.addresses)}, of a pool that overlaps no other, is given",
            budget="pool_applied",
        )
        for found in flagged[::2]:
            check.remove_pool(found)
        one_each(check)
