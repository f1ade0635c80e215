"""Correctness of what operators read with `kubectl describe`: Events, conditions, the announcer's name."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from lbproof.adapters.base import Cause
from lbproof.context import CannotShow, proves
from lbproof.lab.base import Capability
from lbproof.spec import Untestable

if TYPE_CHECKING:
    from lbproof.context import CheckContext, Service
    from lbproof.lab.base import Node


@proves("EVT-01", "a")
def test_allocation_names_the_address(check: CheckContext) -> None:
    """The Event of an allocation contains the address in the status."""
    check.pool(1)
    service = check.service()
    address = check.assigned(service)

    check.event(service, check.run.adapter.allocation, says=str(address))


@proves("EVT-01", "b")
def test_refusal_names_the_cause(check: CheckContext) -> None:
    """A full pool is told, and an address outside all pools in other words, where one can be asked for."""
    check.pool(1)
    check.assigned(check.service("one"))

    full = check.refused(check.service("late"), Cause.POOL_EXHAUSTED)
    if not check.run.claims("explicit-ip"):
        return
    outside = check.run.addresses(1)[0]
    foreign = check.refused(check.service("outside", ask=outside), Cause.NOT_IN_POOL)

    assert full.replace("late", "") != foreign.replace("outside", ""), f"both refusals say {full!r}"
    assert str(outside) in foreign, f"the refusal of {outside} does not name it: {foreign!r}"


@proves("EVT-02", disruptive=True)
def test_the_announcer_is_named(check: CheckContext, case: str) -> None:
    """The implementation names the node that answers ARP: at first, after a move, and after the move back."""
    if case != "a":
        check.run.need(Capability.NODE_CRASH)
    check.pool(1)
    service = check.service(serving=True)
    address = check.assigned(service)
    first = check.announcer(address)
    named(check, service, first, since=0)
    if case == "a":
        return

    before = told(check, service, None)
    with check.fault(Capability.NODE_CRASH, functools.partial(check.lab.node_crash, first.name)):
        second = check.announcer(address, but=first.name, budget="failover")
        if case == "b":
            named(check, service, second, since=before)
            return
    check.settled_after_fault()
    third = check.announcer(address, budget="one_answerer")
    if third.name == first.name:
        named(check, service, first, since=before)
        return
    before = told(check, service, first)
    others = [node for node in check.lab.nodes if node.name not in {first.name, third.name}]
    for other in others:
        check.exclude(other.name)
    with check.fault(Capability.NODE_CRASH, functools.partial(check.lab.node_crash, third.name)):
        back = check.announcer(address, but=third.name, budget="failover")
        if back.name != first.name:  # nothing that is claimed says that the label keeps a node from announcing
            raise CannotShow(Untestable.NOT_PROVOKED, f"{back.name} took over, which is excluded, and not {first.name}")
        named(check, service, first, since=before)


def told(check: CheckContext, service: Service, node: Node | None) -> int:
    """Count how often the implementation has named a node as announcer (any node when None)."""
    return sum(node is None or name == node.name for name in check.named_announcers(service))


def named(check: CheckContext, service: Service, node: Node, *, since: int) -> None:
    """Wait until a node is named as announcer more often than before, or alone where only the present one is named."""
    history = check.run.adapter.announcer_status.keeps_history

    def times() -> int:
        if not history:
            return int(set(check.named_announcers(service)) == {node.name})
        if since == 0:
            return told(check, service, node)
        return told(check, service, None) * bool(told(check, service, node))

    check.wait.eventually(
        times,
        lambda count: count > (since if history else 0),
        what=f"{node.name} is named as the announcer of {service}",
        budget="event_seen",
    )
