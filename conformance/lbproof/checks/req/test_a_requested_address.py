"""Who asks gets that address or none: never another, and never at another's cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.adapters.base import Ask, Cause
from lbproof.observe.kube import ApiError
from lbproof.proves import proves

if TYPE_CHECKING:
    from lbproof.adapters.base import Object
    from lbproof.stage import Service, Stage

UNPROCESSABLE = 422


@proves("REQ-01")
def test_a_free_address_of_a_pool_is_given(stage: Stage, case: str) -> None:
    """The last address of a pool, which is nobody's first choice, is given to the Service that asks for it."""
    pool = stage.pool(4)
    wanted = pool.addresses[-1]

    given = stage.assigned(stage.service(ask=wanted, how=Ask.ANNOTATION if case == "a" else Ask.FIELD))

    assert given == wanted, f"{wanted} was asked for and {given} was given"


@proves("REQ-02")
def test_an_address_outside_every_pool_is_refused(stage: Stage, case: str) -> None:  # noqa: ARG001 - one verdict
    """The Service stays Pending with a reason, and nobody answers for the address."""
    stage.pool(2)
    outside = stage.ground.addresses(1)[0]
    service = stage.service(ask=outside, serving=True)

    stage.refused(service, Cause.NOT_IN_POOL)

    stage.stays_pending(service)
    stage.stays_silent(outside)


@proves("REQ-03")
def test_an_address_of_another_is_refused(stage: Stage, case: str) -> None:  # noqa: ARG001 - one verdict
    """The second who asks stays Pending with a reason; the first keeps the address, its announcer and its traffic."""
    stage.pool(2)
    holder = stage.service("holder", serving=True)
    address = stage.assigned(holder)
    announcer = stage.announcer(address)
    stage.serves(stage.client, address)

    second = stage.service("second", ask=address)
    stage.refused(second, Cause.IN_USE)
    stage.stays_pending(second)

    assert holder.addresses() == [address], f"{holder} held {address} and now holds {holder.addresses()}"
    assert stage.announcer(address).name == announcer.name
    stage.serves(stage.client, address)


@proves("REQ-04")
def test_an_unusable_request_is_refused(stage: Stage, case: str) -> None:
    """No address and a reason for who asks for what cannot be; whoever asks rightly is served."""
    pool = stage.pool(2)
    other = stage.pool(1, automatic=False)
    wrong = _unusable(stage, case, pool.addresses, other.name)

    if wrong is not None:
        stage.refused(wrong, Cause.BAD_REQUEST)
        stage.stays_pending(wrong)
    given = stage.assigned(stage.service("right"))
    assert given in pool.addresses


def _unusable(stage: Stage, case: str, free: list[str], other: str) -> Service | None:
    """A Service whose request cannot be met; None when the API server itself refused it."""
    adapter = stage.ground.adapter

    def both(service: Object) -> None:
        adapter.ask(service, free[0], Ask.ANNOTATION)
        adapter.ask(service, free[1], Ask.FIELD)

    try:
        if case == "a":
            return stage.service("wrong", ask="192.168.1000.1")
        if case == "b":
            return stage.service("wrong", ask="2001:db8::1")
        if case == "c":
            return stage.service("wrong", change=both)
        return stage.service("wrong", ask=free[0], pool=other)
    except ApiError as error:
        if error.status != UNPROCESSABLE:
            raise
        return None
