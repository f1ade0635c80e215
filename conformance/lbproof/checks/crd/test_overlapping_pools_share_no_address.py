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

SIZE = 4


def refused_or_flagged(check: CheckContext, what: str, pool: Pool, act: Callable[[], Pool]) -> Pool | None:
    """Create or change a pool that overlaps another; verify that this is refused, or that one of the two is flagged."""
    try:
        other = act()
    except Refused as refusal:
        check.saw("api", f"{what} is refused", str(refusal))
        return None
    said = check.wait.eventually(
        lambda: [rendering.pool_error(check.run.adapter, check.cluster, one.spec) for one in (other, pool)],
        any,
        what=f"something is said about {what}, or about the pool that it overlaps",
        budget="pool_applied",
        show=lambda said: words([one for one in said if one]) or "nothing",
    )
    check.saw("api", f"{what} is flagged", [one for one in said if one])
    return other


@proves("CRD-02")
def test_overlapping_pools_share_no_address(check: CheckContext) -> None:
    """Pools that overlap another one are refused or flagged, and no address is given to two Services.

    The same addresses, all of them and more, a part, the last one alone, as a network and as a range; and a pool that a
    change makes overlap. Services keep their addresses at any time, and another pool works.
    """
    block = check.run.addresses(SIZE + 6)
    own, beyond = block[:SIZE], block[SIZE:]
    pool = check.pool([AddressRange(own[0], own[-1])], addresses=own)
    places = (check.namespace, check.second_namespace)
    holders = [check.service("web", namespace=place) for place in places]
    check.all_assigned(*holders)
    overlapping: dict[str, Sequence[Block]] = {
        "the same range": [AddressRange(own[0], own[-1])],
        "more than its addresses": [AddressRange(own[0], beyond[0])],
        "a part of it": [own[1], own[2]],
        "its last address": [AddressRange(own[-1], beyond[1])],
        "the same networks": list(summarize_address_range(*cast("tuple[Any, Any]", (own[0], own[-1])))),
    }
    names = check.random.sample(list(overlapping), len(overlapping))
    with check.unchanged(*holders):
        flagged: list[Pool] = []
        for name in names:
            blocks = overlapping[name]
            found = refused_or_flagged(check, f"a pool of {name}", pool, lambda blocks=blocks: check.pool(blocks))  # type: ignore[misc]
            flagged += [found] if found else []
        late = check.pool(beyond[2:4], addresses=beyond[2:4])

        def overlap() -> Pool:
            check.change_pool(late, blocks=(beyond[3], own[0]))
            return late

        refused_or_flagged(check, "a change of a pool", pool, overlap)
        other = check.pool(beyond[4:], addresses=beyond[4:])
        services = [check.service(f"more-{n // 2}", namespace=places[n % 2]) for n in range(len(block) + 1)]
        for count, _ in enumerate(other.addresses, start=1):  # the budget is that of one
            check.wait.eventually(
                lambda: {address for held in check.statuses(*services).values() for address in held},
                lambda given, count=count: len(given & set(other.addresses)) >= count,  # type: ignore[misc]
                what=f"one more of {words(other.addresses)}, of a pool that overlaps no other, is given",
                budget="pool_applied",
            )
        for found in flagged[::2]:
            check.remove_pool(found)
        one_each(check)
