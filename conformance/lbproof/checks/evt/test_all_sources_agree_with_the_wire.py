"""Agreement of everything that names the announcer with the node that answers, at rest and right after moves."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from lbproof.context import proves
from lbproof.lab.base import Capability
from lbproof.text import words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lbproof.context import CheckContext, Service
    from lbproof.spec.families import IPAddress

SERVICES = 4


@proves("EVT-04", disruptive=True)
def test_all_sources_agree_with_the_wire(check: CheckContext) -> None:
    """Each source names last, or alone, the node that answers: at first, after a node has died, and when it is back."""
    check.run.need(Capability.NODE_CRASH)
    check.pool(SERVICES)
    held = check.all_assigned(*(check.service(f"web-{n}", serving=True) for n in range(SERVICES)))
    agree(check, held, "announced")
    old, _ = check.worker_that_announces(list(held.values()))
    with check.fault(Capability.NODE_CRASH, functools.partial(check.lab.node_crash, old.name)):
        agree(check, held, "failover", but=old.name)
    check.settled_after_fault()
    agree(check, held, "one_answerer")


def agree(check: CheckContext, held: Mapping[Service, IPAddress], budget: str, *, but: str = "") -> None:
    """Wait until one node answers for each address, and then until each source names it."""
    with check.precondition("FAIL-04" if budget != "announced" else "L2-01"):
        holders = check.sole_holders(*held.values(), but=but, budget=budget)

    def wrong() -> dict[str, dict[str, str]]:
        found = {service: check.announcers_by_source(service) for service in held}
        now = check.sweep(list(held.values()))  # it may have moved meanwhile
        answer = {service: now.get(address) or [holders[address]] for service, address in held.items()}
        return {
            f"{service}, for which {words(answer[service])} answers": off
            for service, sources in found.items()
            if (off := {source: named for source, named in sources.items() if named not in answer[service]})
        }

    check.one_by_one(
        wrong,
        lambda seen: len(held) - len(seen),
        len(held),
        what=f"every source names the node that answers, for one more of {words(list(map(str, held)))}",
        budget="event_seen",
        every=0.1,
    )
