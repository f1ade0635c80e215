"""Silence is a promise too: an answer for a free, refused or foreign address takes traffic from who owns it."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from lbproof.adapters.base import Cause
from lbproof.observe import arp
from lbproof.proves import proves

if TYPE_CHECKING:
    from lbproof.stage import Stage


@proves("L2-04", "a")
def test_nobody_answers_for_free_addresses_of_a_pool(stage: Stage, case: str) -> None:  # noqa: ARG001 - its only case
    """With one address of four assigned and answered for, nobody answers for the other three."""
    pool = stage.pool(4)
    address = stage.assigned(stage.service(serving=True))
    stage.announcer(address)

    stage.stays_silent(*(free for free in pool.addresses if free != address))


@proves("L2-04", "b")
def test_nobody_answers_for_a_refused_address(stage: Stage, case: str) -> None:  # noqa: ARG001 - its only case
    """While a pool is announced, nobody answers for an address outside of it that a Service asked for in vain."""
    stage.pool(1)
    stage.announcer(stage.assigned(stage.service("heard", serving=True)))
    outside = stage.ground.addresses(1)[0]
    service = stage.service("refused", ask=outside, serving=True)
    stage.refused(service, Cause.NOT_IN_POOL)

    stage.stays_silent(outside)


@proves("L2-04", "c")
def test_nobody_answers_for_a_pool_that_is_not_advertised(stage: Stage, case: str) -> None:  # noqa: ARG001 - its only case
    """While another pool is announced, nobody answers for an address of a pool that nothing carries to the segment."""
    announced = stage.pool(1)
    quiet = stage.pool(1, advertised=False)
    stage.announcer(stage.assigned(stage.service("heard", serving=True, ask=announced.addresses[0])))
    address = stage.assigned(stage.service("quiet", serving=True, ask=quiet.addresses[0]))

    stage.stays_silent(address)


@proves("L2-04", "d")
def test_nobody_answers_for_addresses_of_nobody(stage: Stage, case: str) -> None:  # noqa: ARG001 - its only case
    """While an address of a pool is announced, nobody answers for its neighbours in the subnet that are in no pool."""
    stage.pool(1)
    stage.announcer(stage.assigned(stage.service(serving=True)))

    stage.stays_silent(*stage.ground.addresses(8))


@proves("L2-04", "e")
def test_another_host_answers_for_itself_alone(stage: Stage, case: str) -> None:  # noqa: ARG001 - its only case
    """Asked for the router, the router answers and no node does."""
    stage.pool(1)
    stage.announcer(stage.assigned(stage.service(serving=True)))
    router = str(ipaddress.ip_network(stage.lab.segment.subnet)[1])

    answers = {answer.mac for _ in range(5) for answer in arp.ask(stage.client, router)}

    nodes = {mac: name for mac, name in stage.mac_names().items() if mac in answers}
    assert len(answers) == 1, f"{router} is answered for by {sorted(answers)}, expected one host"
    assert not nodes, f"{router} is the router's, and is answered for by {nodes}"
