"""Services of several namespaces that ask for one address, where not all of them allow that it is shared."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from lbproof.checks.share.sharers import FIRST, FOURTH, KEY, OTHER_KEY, SECOND, THIRD, ports
from lbproof.context import proves
from lbproof.context.unchanged import intact
from lbproof.witnesses.wait import Violation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lbproof.context import CheckContext, Pool, Service

LACKING = {"": [KEY], KEY: ["", OTHER_KEY]}
"""Key of who has an address → keys of others, so that not both sides allow that it is shared. The empty one is none."""


@proves("SEC-04", "b")
def test_an_address_is_shared_across_namespaces_only_if_all_allow_it(check: CheckContext) -> None:
    """A Service of another namespace is not given the only address while it, or who has that, does not allow sharing.

    By each way to ask, and with the name of a Service that has the address. Also where two Services of one namespace
    share it; where one of another namespace shares it with these by their key, which is not required; and when that
    one, or the two, have another key since.
    """
    pool = check.pool(1)
    for turn, (key, others) in enumerate(LACKING.items()):
        holder = check.service(f"holder-{turn}", share=key, ports=ports(FIRST))
        with check.precondition():
            check.assigned(holder)
        left_out(check, pool, others, holder)
        check.delete_all(*check.services)
    for turn in range(2):
        sharers = [check.service(f"sharer-{turn}-{n}", share=KEY, ports=ports(n)) for n in (FIRST, SECOND)]
        with check.precondition("SHARE-01"):
            check.all_assigned(*sharers)
        if turn == 0:
            left_out(check, pool, LACKING[KEY], *sharers)
        place = check.second_namespace
        joined = check.service(f"joins-{turn}", namespace=place, share=KEY, ports=ports(THIRD))
        if not is_given(check, joined):
            return
        if turn == 0:
            left_out(check, pool, LACKING[KEY], *sharers, joined)
        for changed in sharers if turn else [joined]:
            changed.patch(metadata=check.run.adapter.sharing_key.patch(OTHER_KEY))
        parted(check, sharers, joined)
        check.delete_all(*check.services)


def left_out(check: CheckContext, pool: Pool, keys: Sequence[str], *holders: Service) -> None:
    """Verify that Services of a further namespace, with some keys, are not given what others have, which keep it."""
    asks: list[dict[str, Any]] = [{}, *({"ask": pool.addresses[0], "how": way} for way in check.run.ways)]
    if check.run.claims("pool-select"):
        asks.append({"pool": pool})
    place = check.new_namespace(f"{check.namespace}-{len(check.services)}")
    names = [holders[-1].name, *(f"asks-{n}" for n in range(1, len(keys) * len(asks)))]
    with check.unchanged(*holders, part=intact):
        waiting: list[Service] = []
        for name, (key, ask) in zip(names, ((key, ask) for key in keys for ask in asks), strict=True):
            waiting += check.unusable(name, namespace=place, share=key, ports=ports(FOURTH), **ask)
        check.control_apart()
        check.stays_pending(*waiting)
    check.delete_all(*waiting)


def is_given(check: CheckContext, service: Service) -> bool:
    """Return whether a Service is given the address that others of another namespace share, by their key."""
    found = False
    with suppress(Violation), check.wait.tentative():
        check.assigned(service)
        found = True
    check.saw("api", "a Service is given the address that others of another namespace share, by their key", found)
    return found


def parted(check: CheckContext, sharers: Sequence[Service], joined: Service) -> None:
    """Wait until those of one namespace, or the one of the other, have left the address that they shared."""
    check.wait.eventually(
        lambda: check.statuses(*sharers, joined),
        lambda seen: bool(seen[joined]) != any(seen[one] for one in sharers),
        what=f"{joined} has the address, or Services of the other namespace have it, with which it shares no key",
        budget="address_assigned",
    )
