"""No ARP answers for unassigned addresses: an answer would divert traffic from the owner of the address."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.adapters.base import Cause
from lbproof.context import proves
from lbproof.spec.families import family_of
from lbproof.text import words

if TYPE_CHECKING:
    from lbproof.context import CheckContext


@proves("L2-04", "a")
def test_nobody_answers_for_free_addresses_of_a_pool(check: CheckContext) -> None:
    """No host answers for the three free addresses of a pool of four while the assigned one is answered."""
    pool = check.pool(4)
    address = check.assigned(check.service(serving=True))
    check.announcer(address)

    check.stays_silent(*(free for free in pool.addresses if free != address))


@proves("L2-04", "b")
def test_nobody_answers_for_a_refused_address(check: CheckContext) -> None:
    """No host answers for a requested address outside the pool, while the pool is announced."""
    check.pool(1)
    outside = check.run.addresses(1)[0]
    service = check.service("refused", ask=outside, serving=True)
    check.refused(service, Cause.NOT_IN_POOL)

    check.announcer(check.control(serving=True))
    check.stays_silent(outside)


@proves("L2-04", "c")
def test_nobody_answers_for_a_pool_that_is_not_advertised(check: CheckContext) -> None:
    """No host answers for an address of a pool without advertisement, while another pool is announced."""
    quiet = check.pool(1, advertised=False)
    address = check.assigned(check.service("quiet", serving=True))
    assert address in quiet.addresses

    check.pool(1)
    check.announcer(check.control(serving=True))
    check.stays_silent(address)


@proves("L2-04", "d")
def test_nobody_answers_for_addresses_of_nobody(check: CheckContext) -> None:
    """No host answers for adjacent addresses in no pool, while an address of a pool is announced."""
    check.pool(1)
    check.announcer(check.assigned(check.service(serving=True)))

    check.stays_silent(*check.run.addresses(8))


@proves("L2-04", "e")
def test_another_host_answers_for_itself_alone(check: CheckContext) -> None:
    """Only the router, and no node, answers for the router's address."""
    check.pool(1)
    address = check.assigned(check.service(serving=True))
    check.announcer(address)
    router = check.lab.segment.subnet_for(family_of(address))[1]

    answers = {answer.mac for answer in check.replies(router, count=5)}

    nodes = {mac: name for mac, name in check.mac_names().items() if mac in answers}
    assert len(answers) == 1, f"{router} is answered for by {words(sorted(answers))}, expected one host"
    assert not nodes, f"{router} is the router's, and is answered for by {words(nodes)}"
