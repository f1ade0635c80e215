"""Failures that leave a node half alive: frozen, cut from its peers or from the API server, heard in one direction."""

from __future__ import annotations

import functools
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

from lbproof.adapters.base import WorkloadRole
from lbproof.checks.fail.moves import SERVICES, assigned, one_answers
from lbproof.context import CannotShow, proves
from lbproof.lab.base import Capability, Role
from lbproof.spec import Untestable
from lbproof.witnesses.wait import Violation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lbproof.context import CheckContext
    from lbproof.spec.families import IPAddress

NEW = 13
"""Services that are created while a node is cut off: so many that it would announce some."""


def wait_for_another(check: CheckContext, addresses: Sequence[IPAddress], but: str) -> None:
    """Wait until others answer for some addresses, which need not come about: the end of the fault is judged."""
    with suppress(Violation), check.wait.tentative():
        check.holders(*addresses, but=but, budget="failover")


@proves("FAIL-06", "a", disruptive=True)
def test_one_answers_after_an_announcer_was_frozen(check: CheckContext) -> None:
    """The announcer's process stands still until others have taken over, and goes on; so does a whole node then."""
    check.run.need(Capability.FREEZE_POD)
    check.run.need(Capability.FREEZE)
    held = list(assigned(check))
    old, moving = check.worker_that_announces(held)
    pod = check.run.workloads.pod_on(WorkloadRole.ANNOUNCER, old.name)
    with check.fault(Capability.FREEZE_POD, functools.partial(check.lab.freeze_pod, *pod)):
        wait_for_another(check, moving, old.name)
    one_answers(check, held)
    old, moving = check.worker_that_announces(held)
    with check.fault(Capability.FREEZE, functools.partial(check.lab.freeze, old.name)):
        wait_for_another(check, moving, old.name)
    check.settled_after_fault()
    one_answers(check, held)


@proves("FAIL-06", "b", disruptive=True)
def test_one_answers_after_an_announcer_was_cut_off(check: CheckContext) -> None:
    """The announcer is cut from all other nodes until another answers too, and then from the API server.

    The client, which reaches all of them, is answered by one when the cut has ended.
    """
    check.run.need(Capability.PARTITION)
    check.run.need(Capability.API_CUT)
    held = list(assigned(check))
    old, moving = check.worker_that_announces(held)
    with ExitStack() as cuts:
        for node in check.lab.nodes:
            if node != old:
                cut = functools.partial(check.lab.partition, old.name, node.name)
                cuts.enter_context(check.fault(Capability.PARTITION, cut))
        wait_for_another(check, moving, old.name)
    check.settled_after_fault()
    one_answers(check, held)
    old, moving = check.worker_that_announces(held)
    with check.fault(Capability.API_CUT, functools.partial(check.lab.api_cut, old.name)):
        wait_for_another(check, moving, old.name)
        check.holders(*held, budget="failover")
    check.settled_after_fault()
    one_answers(check, held)


@proves("FAIL-06", "c", disruptive=True)
def test_new_services_are_answered_while_a_node_lacks_the_api(check: CheckContext) -> None:
    """Services that are created while a worker is cut from the API server, but not from its peers, are all answered.

    The worker runs no controller: who gives addresses without the API server is judged by FAIL-10.
    """
    check.run.need(Capability.API_CUT)
    controllers = {node for node, _, _ in check.run.workloads.pods(WorkloadRole.CONTROLLER)}
    workers = [node for node in check.lab.nodes if node.role is Role.WORKER and node.name not in controllers]
    if not workers:
        raise CannotShow(Untestable.NOT_PROVOKED, "every worker runs a controller")
    check.pool(SERVICES + NEW)
    held = list(check.all_assigned(*(check.service(f"web-{n}") for n in range(SERVICES))).values())
    old = check.random.choice(workers)
    with check.fault(Capability.API_CUT, functools.partial(check.lab.api_cut, old.name)):
        made = check.all_assigned(*(check.service(f"new-{n}") for n in range(NEW)))
        new = list(made.values())
        check.holders(*new, budget="failover")
    check.settled_after_fault()
    one_answers(check, [*held, *new])


@proves("FAIL-06", "d", disruptive=True)
def test_one_answers_while_frames_are_lost_one_way(check: CheckContext) -> None:
    """What the announcer sends to another worker is lost, then what comes from there: one answers, and afterwards."""
    check.run.need(Capability.ONE_WAY_LOSS)
    held = list(assigned(check))
    old, moving = check.worker_that_announces(held)
    other = check.random.choice([node for node in check.lab.nodes if node.role is Role.WORKER and node != old])
    for source, target in ((old, other), (other, old)):
        loses = functools.partial(check.lab.one_way_loss, source.name, target.name, 1.0)
        with check.fault(Capability.ONE_WAY_LOSS, loses):
            if source == old:  # the other one may take it for lost
                wait_for_another(check, moving, old.name)
            found = one_answers(check, held)
        check.saw(
            "arp",
            f"who answers while frames from {source.name} to {target.name} are lost",
            {str(address): who for address, who in found.items()},
        )
    one_answers(check, held)
