"""Who has an address: what checks of pools and of statuses ask."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.context.precedence import judging
from lbproof.text import words

if TYPE_CHECKING:
    from lbproof.context import CheckContext


def twice(check: CheckContext) -> dict[str, list[str]]:
    """Return the addresses that are in the statuses of several Services of the check, with their names."""
    holders: dict[str, list[str]] = {}
    for service, held in check.statuses(*(one for one in check.services if not one.gone)).items():
        for address in held:
            holders.setdefault(str(address), []).append(str(service))
    return {address: names for address, names in holders.items() if len(names) > 1}


def one_each(check: CheckContext) -> None:
    """Verify that no address is given to two Services of the check, until something newer was acted on and after."""

    def judge() -> None:
        found = twice(check)
        assert not found, f"given to two Services: {words(found)}"

    with judging(judge):
        _newer_is_given(check)
    check.wait.consistently(
        lambda: twice(check),
        lambda found: not found,
        what="no address is given to two Services",
        budget="stays_assigned",
    )


def _newer_is_given(check: CheckContext) -> None:
    """Wait until a newer Service has an address of a pool apart, or without such pools any or one that waits has."""
    check.control_apart()
    if check.keeps_apart():
        return
    (address,) = check.pool(1).addresses
    newest = check.service("newest")
    with check.precondition():
        check.wait.eventually(
            lambda: check.statuses(*(one for one in check.services if not one.gone)),
            lambda seen: seen[newest] or any(address in held for held in seen.values()),
            what=f"{newest} has an address, or another Service has {address}, of a newer pool",
            budget="pool_applied",
        )
