"""An operator reads what happened with `kubectl describe`; what stands there must be so."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from lbproof.adapters.base import Cause
from lbproof.lab.base import Ability
from lbproof.proves import proves

if TYPE_CHECKING:
    from lbproof.adapters.base import Object
    from lbproof.lab.base import Node
    from lbproof.stage import Service, Stage


@proves("EVT-01", "a")
def test_allocation_names_the_address(stage: Stage, case: str) -> None:  # noqa: ARG001 - its only case
    """The Event of an allocation holds the address that the status shows."""
    stage.pool(1)
    service = stage.service()
    address = stage.assigned(service)

    stage.event(service, stage.ground.adapter.words.allocated, says=address)


@proves("EVT-01", "b")
def test_refusal_names_the_cause(stage: Stage, case: str) -> None:  # noqa: ARG001 - its only case
    """Two causes, two Events that differ: a full pool, and an address that is in none."""
    stage.pool(1)
    stage.assigned(stage.service("one"))
    outside = stage.ground.addresses(1)[0]

    full = stage.refused(stage.service("late"), Cause.POOL_EXHAUSTED)["message"]
    foreign = stage.refused(stage.service("outside", ask=outside), Cause.NOT_IN_POOL)["message"]

    assert full.replace("late", "") != foreign.replace("outside", ""), f"both refusals say {full!r}"
    assert outside in foreign, f"the refusal of {outside} does not name it: {foreign!r}"


@proves("EVT-02")
def test_the_announcer_is_named(stage: Stage, case: str) -> None:
    """Whoever the wire shows is named by an Event: at first, after a move, and after the way back."""
    if case != "a":
        stage.ground.need(Ability.POWER_CUT)
    stage.pool(1)
    service = stage.service(serving=True)
    address = stage.assigned(service)
    first = stage.announcer(address)
    named(stage, service, first, since=0)
    if case == "a":
        return

    before = told(stage, service, None)
    with stage.fault(Ability.POWER_CUT, functools.partial(stage.lab.power_cut, first.name)):
        second = stage.announcer(address, but=first.name, budget="failover")
        if case == "b":
            named(stage, service, second, since=before)
            return
    stage.settled_after_fault()
    third = stage.announcer(address, budget="one_answerer")
    if third.name == first.name:
        named(stage, service, first, since=before)
        return
    before = told(stage, service, first)
    others = [node for node in stage.lab.nodes if node.name not in {first.name, third.name}]
    for other in others:
        stage.exclude(other.name)
    with stage.fault(Ability.POWER_CUT, functools.partial(stage.lab.power_cut, third.name)):
        back = stage.announcer(address, but=third.name, budget="failover")
        assert back.name == first.name, f"{back.name} took over, expected {first.name}, the only node that may"
        named(stage, service, first, since=before)


def told(stage: Stage, service: Service, node: Node | None) -> int:
    """How often an Event said that a node announces (any node when None); Events of one text are counted together."""
    pattern = stage.ground.adapter.words.announcing
    name = f'"{node.name}"' if node else ""
    found = [event for event in service.events() if pattern.matches(event) and name in event["message"]]
    return sum(_count(event) for event in found)


def _count(event: Object) -> int:
    return int(event.get("count") or (event.get("series") or {}).get("count") or 1)


def named(stage: Stage, service: Service, node: Node, *, since: int) -> None:
    """Wait until an Event names a node as announcer, more often than before."""
    stage.wait.settles(
        lambda: (
            told(stage, service, node) if since == 0 else told(stage, service, None) * bool(told(stage, service, node))
        ),
        lambda times: times > since,
        what=f"an Event says that {node.name} announces {service}",
        budget="event_seen",
    )
