"""Who has an address: what several checks of pools ask."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    """Verify that no address is given to two Services of the check."""
    check.wait.consistently(
        lambda: twice(check),
        lambda found: not found,
        what="no address is given to two Services",
        budget="stays_assigned",
    )
