"""Requested addresses: a Service gets exactly that address or none, without effect on other Services."""

from __future__ import annotations

from ipaddress import IPv6Address
from typing import TYPE_CHECKING

from lbproof.adapters.base import Ask, Cause
from lbproof.context import proves
from lbproof.text import words
from lbproof.witnesses.kube import ApiError

if TYPE_CHECKING:
    from lbproof.adapters.base import Object
    from lbproof.context import CheckContext, Service
    from lbproof.spec.families import IPAddress

UNPROCESSABLE = 422


@proves("REQ-01")
def test_a_free_address_of_a_pool_is_given(check: CheckContext, case: str) -> None:
    """The last address of a pool, unlikely as an automatic choice, is assigned to the Service that requests it."""
    pool = check.pool(4)
    wanted = pool.addresses[-1]

    given = check.assigned(check.service(ask=wanted, how=Ask.ANNOTATION if case == "a" else Ask.FIELD))

    assert given == wanted, f"{wanted} was asked for and {given} was given"


@proves("REQ-02")
def test_an_address_outside_every_pool_is_refused(check: CheckContext) -> None:
    """The Service stays Pending with a reason, and no host answers for the address."""
    check.pool(2)
    outside = check.run.addresses(1)[0]
    service = check.service(ask=outside, serving=True)

    check.refused(service, Cause.NOT_IN_POOL)
    check.control()

    check.stays_pending(service)
    check.stays_silent(outside)


@proves("REQ-03")
def test_an_address_of_another_is_refused(check: CheckContext) -> None:
    """The second Service stays Pending with a reason; the first keeps the address, its announcer and its traffic."""
    check.pool(2)
    holder = check.service("holder", serving=True)
    address = check.assigned(holder)
    announcer = check.announcer(address)
    check.serves(check.client, address)

    second = check.service("second", ask=address)
    check.refused(second, Cause.IN_USE)
    check.control()
    check.stays_pending(second)

    assert holder.addresses() == [address], f"{holder} held {address} and now holds {words(holder.addresses())}"
    assert check.announcer(address).name == announcer.name
    check.serves(check.client, address)


@proves("REQ-04")
def test_an_unusable_request_is_refused(check: CheckContext, case: str) -> None:
    """A Service with an invalid request gets no address and a reason; one with a valid request is served."""
    pool = check.pool(2)
    wrong = _unusable(check, case, pool.addresses)

    if wrong is not None:
        check.refused(wrong, Cause.BAD_REQUEST)
    given = check.assigned(check.service("right"))
    assert given in pool.addresses
    if wrong is not None:
        check.stays_pending(wrong)


def _unusable(check: CheckContext, case: str, free: list[IPAddress]) -> Service | None:
    """Create a Service with an unsatisfiable request; None when the API server itself rejected it."""

    def both(service: Object) -> None:
        check.run.ask(service, str(free[0]), Ask.ANNOTATION)
        check.run.ask(service, str(free[1]), Ask.FIELD)

    try:
        if case == "a":
            return check.service("wrong", ask="192.168.1000.1")
        if case == "b":
            return check.service("wrong", ask=IPv6Address("2001:db8::1"))
        if case == "c":
            return check.service("wrong", change=both)
        return check.service("wrong", ask=free[0], pool=check.pool(1, auto_assign=False))
    except ApiError as error:
        if error.status != UNPROCESSABLE:
            raise
        return None
