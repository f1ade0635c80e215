"""Named budgets for waits, each with a default and a ceiling for conformant implementations.

A check never contains a number of seconds: it names a budget. The report shows the measured time beside both values,
so that a run also shows how fast the implementation is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lbproof.spec.names import BadOption, check_name

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Named wait, in seconds."""

    name: str
    text: str
    default: float
    """Default wait, unless the operator or the adapter sets another."""
    ceiling: float
    """Maximum wait for a conformant implementation."""
    judges: bool = True
    """Whether a check fails when this wait is exceeded. False where something else may be late (Kubernetes, the lab, a
    workload of the suite), or where no requirement says that it happens in time: the verdict is then `error`."""
    follows: tuple[str, ...] = ()
    """Of a time that something is watched for: the waits for the opposite. The watch lasts at least as long as the
    slowest of these waits so far in this lab, so that an implementation that is slow is seen to do what it must not."""

    @property
    def when_exceeded(self) -> str:
        """Verdict when the wait is exceeded; empty where `text` says it, and of how long something is watched for."""
        if "exceeded" in self.text or "not judged" in self.text or self.text.startswith("how long"):
            return ""
        return "failed" if self.judges else "error"


_ALL = (
    Budget(name="address_assigned", text="create or change a Service → its address in status", default=5, ceiling=30),
    Budget(name="refusal_visible", text="a request that cannot be met → an Event that says why", default=5, ceiling=30),
    Budget(name="announced", text="address in status → first answer to an ARP request for it", default=5, ceiling=30),
    Budget(name="announcement", text="address in status → first announcement of it (RFC 5227)", default=2, ceiling=10),
    Budget(name="serves", text="address in status → first answer from a backend through it", default=10, ceiling=60),
    Budget(name="silent", text="address released → no more ARP answers for it", default=5, ceiling=30),
    Budget(name="reclaimed", text="Service deleted → its address can be given again", default=5, ceiling=30),
    Budget(name="pool_applied", text="pool created or changed → taken into account", default=5, ceiling=30),
    Budget(
        name="pool_removed",
        text="object of a pool deleted → gone, after its finalizers",
        default=10,
        ceiling=30,
        judges=False,
    ),
    Budget(name="event_seen", text="something happened → its Event can be read", default=5, ceiling=30),
    Budget(name="annotation_seen", text="address assigned or released → the annotation says so", default=5, ceiling=30),
    Budget(name="failover", text="announcer lost → first answer through another node", default=15, ceiling=40),
    Budget(
        name="second_failover",
        text="announcer lost while another node is dead → first answer through a third",
        default=30,
        ceiling=60,
    ),
    Budget(
        name="handed_over",
        text="announcer stopped in order → first answer of another, or of itself again",
        default=5,
        ceiling=30,
    ),
    Budget(name="returned", text="longest time without an answer when a lost node is back", default=5, ceiling=30),
    Budget(name="one_answerer", text="after a fault or its repair → exactly one node answers", default=15, ceiling=120),
    Budget(
        name="at_rest",
        text="after a check's faults or many Services → the implementation is at rest; not judged",
        default=120,
        ceiling=120,
        judges=False,
    ),
    Budget(
        name="restarted",
        text="controller or announcer restarted → ready again",
        default=30,
        ceiling=120,
        judges=False,
    ),
    Budget(
        name="workload_ready",
        text="a Deployment of the suite's own → all replicas ready",
        default=30,
        ceiling=120,
        judges=False,
    ),
    Budget(
        name="namespace_emptied",
        text="namespace deleted → Kubernetes has deleted what it held",
        default=30,
        ceiling=120,
        judges=False,
    ),
    Budget(name="node_back", text="a node's fault undone → node Ready", default=30, ceiling=120, judges=False),
    Budget(
        name="stays_pending",
        text="how long at least an address that must not be given is watched for",
        default=1,
        ceiling=60,
        follows=("address_assigned", "pool_applied", "reclaimed"),
    ),
    Budget(
        name="stays_silent",
        text="how long at least silence on the wire is watched for",
        default=1,
        ceiling=60,
        follows=("announced",),
    ),
    Budget(
        name="stays_unannounced",
        text="how long at least announcements are watched for that must not come; some repeat theirs every 3 s",
        default=4,
        ceiling=60,
        follows=("announced",),
    ),
    Budget(
        name="stays_unserved",
        text="how long at least a port that must not be open is watched for",
        default=1,
        ceiling=60,
        follows=("serves",),
    ),
    Budget(
        name="stays_put",
        text="how long at least an announcer is watched that must not change",
        default=2,
        ceiling=60,
        follows=("announced", "failover"),
    ),
    Budget(name="api_away", text="how long the API server is away", default=20, ceiling=60),
    Budget(
        name="api_back",
        text="API server back → a Service that waited is given an address; client-go waits up to 60 s between attempts",
        default=60,
        ceiling=120,
    ),
    Budget(name="corrected", text="status written by somebody else → as it was", default=5, ceiling=30),
    Budget(
        name="announced_last",
        text="address assigned → the last announcement of it that nobody provoked; exceeded: untestable",
        default=15,
        ceiling=60,
    ),
    Budget(name="defended", text="address announced by another host → announced by its node", default=2, ceiling=10),
    Budget(name="stays_quiet", text="how long Services are watched for Events at rest", default=5, ceiling=60),
    Budget(
        name="stays_unwritten",
        text="how long Services are watched at rest for writes that come back; some wait 15 s between two",
        default=16,
        ceiling=60,
    ),
    Budget(name="stays_untouched", text="how long a foreign Service is watched for a change", default=60, ceiling=60),
    Budget(
        name="stays_assigned",
        text="how long at least an assigned address is watched across a disturbance",
        default=1,
        ceiling=60,
        follows=("address_assigned", "pool_applied", "reclaimed"),
    ),
    Budget(
        name="stays_unnamed",
        text="how long at least a node is watched for that must not be named as an announcer",
        default=1,
        ceiling=60,
        follows=("event_seen",),
    ),
    Budget(
        name="stays_after_recreation",
        text="how long at least a Service is watched that was created again under the name of a deleted one",
        default=5,
        ceiling=60,
        follows=("address_assigned", "reclaimed"),
    ),
    Budget(name="arp_answer", text="request by ARP or NDP → the reply to it", default=0.3, ceiling=1),
    Budget(
        name="watched_at_rest",
        text="how long the cost of an implementation at rest is measured",
        default=10,
        ceiling=60,
        judges=False,
    ),
    Budget(name="one_answerer_recount", text="how long answers are counted after a fault", default=1.5, ceiling=60),
    Budget(name="one_answerer_watch", text="how long the answers for one address are counted", default=10, ceiling=60),
)
BUDGETS = {budget.name: budget for budget in _ALL}


def check_budgets(budgets: Mapping[str, Any], where: str) -> None:
    """Validate names and seconds of budgets. Raises `UnknownName` or `BadOption` for the first invalid one."""
    for name, seconds in budgets.items():
        check_name("budget", name, where, BUDGETS, "lbproof list --budgets")
        ceiling = BUDGETS[name].ceiling
        number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
        if not number or not 0 < float(seconds) <= ceiling:
            shown = f"{seconds:g}" if number else repr(seconds)
            raise BadOption(f"budget {name} = {shown} in {where}: more than 0 and at most {ceiling:g} s is allowed")
