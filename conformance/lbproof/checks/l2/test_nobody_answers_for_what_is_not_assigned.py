"""Silence is a promise too: an answer for a free, refused or foreign address takes traffic from who owns it."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from lbproof.adapters.base import Cause
from lbproof.context import proves
from lbproof.witnesses import arp

if TYPE_CHECKING:
    from lbproof.context import CheckContext


@proves("L2-04", "a")
def test_nobody_answers_for_free_addresses_of_a_pool(check: CheckContext) -> None:
    """With one address of four assigned and answered for, nobody answers for the other three."""
    pool = check.pool(4)
    address = check.assigned(check.service(serving=True))
    check.announcer(address)

    check.stays_silent(*(free for free in pool.addresses if free != address))


@proves("L2-04", "b")
def test_nobody_answers_for_a_refused_address(check: CheckContext) -> None:
    """While a pool is announced, nobody answers for an address outside of it that a Service asked for in vain."""
    check.pool(1)
    check.announcer(check.assigned(check.service("heard", serving=True)))
    outside = check.run.addresses(1)[0]
    service = check.service("refused", ask=outside, serving=True)
    check.refused(service, Cause.NOT_IN_POOL)

    check.stays_silent(outside)


@proves("L2-04", "c")
def test_nobody_answers_for_a_pool_that_is_not_advertised(check: CheckContext) -> None:
    """While another pool is announced, nobody answers for an address of a pool that nothing carries to the segment."""
    announced = check.pool(1)
    quiet = check.pool(1, advertised=False)
    check.announcer(check.assigned(check.service("heard", serving=True, ask=announced.addresses[0])))
    address = check.assigned(check.service("quiet", serving=True, ask=quiet.addresses[0]))

    check.stays_silent(address)


@proves("L2-04", "d")
def test_nobody_answers_for_addresses_of_nobody(check: CheckContext) -> None:
    """While an address of a pool is announced, nobody answers for its neighbours in the subnet that are in no pool."""
    check.pool(1)
    check.announcer(check.assigned(check.service(serving=True)))

    check.stays_silent(*check.run.addresses(8))


@proves("L2-04", "e")
def test_another_host_answers_for_itself_alone(check: CheckContext) -> None:
    """Asked for the router, the router answers and no node does."""
    check.pool(1)
    check.announcer(check.assigned(check.service(serving=True)))
    router = str(ipaddress.ip_network(check.lab.segment.subnet)[1])

    answers = {answer.mac for _ in range(5) for answer in arp.ask(check.client, router)}

    nodes = {mac: name for mac, name in check.mac_names().items() if mac in answers}
    assert len(answers) == 1, f"{router} is answered for by {sorted(answers)}, expected one host"
    assert not nodes, f"{router} is the router's, and is answered for by {nodes}"
