"""What an implementation costs, by its processes and its requests, measured and not judged."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from lbproof.checks.perf.figures import Moments, create, most, usage, used
from lbproof.context import proves
from lbproof.lab.base import Capability

if TYPE_CHECKING:
    from lbproof.context import CheckContext

BURST = 100
RESTING = 10
MIB = 1024 * 1024
_POD = "authentication.kubernetes.io/pod-name"


@proves("PERF-03")
def test_what_a_hundred_services_cost(check: CheckContext) -> None:
    """Processor time until a hundred Services have addresses and are deleted again, and memory while they exist."""
    check.run.need(Capability.POD_PROCESSES)
    count = most(check, BURST)
    check.pool(count)
    before = usage(check)
    services = create(check, [f"web-{n}" for n in range(count)], Moments())
    check.all_assigned(*services)
    there = usage(check)
    check.delete_all(*services)
    after = usage(check)
    check.measured(f"processor time of {count} Services, created", round(used(before, there), 3), "s")
    check.measured(f"processor time of {count} Services, deleted", round(used(there, after), 3), "s")
    check.measured("memory without a Service", round(before.private / MIB, 1), "MiB")
    check.measured(f"memory with {count} Services", round(there.private / MIB, 1), "MiB")


@proves("PERF-04")
def test_what_it_costs_at_rest(check: CheckContext) -> None:
    """Ten Services that stay as they are, for a time in which nothing is done.

    What follows their assignment, such as Events and the use of the pool, has had its time before.
    """
    check.run.need(Capability.POD_PROCESSES)
    check.pool(RESTING)
    check.all_assigned(*create(check, [f"web-{n}" for n in range(RESTING)], Moments()))
    check.wait_out("event_seen")
    audited = check.lab.can(Capability.AUDIT_LOG)
    began, before, mark = time.monotonic(), usage(check), check.lab.audit_log.stat().st_size if audited else 0
    check.wait.consistently(lambda: None, lambda _: True, what="nothing is done", budget="watched_at_rest")
    minutes = (time.monotonic() - began) / 60
    cores = used(before, usage(check)) / (time.monotonic() - began)
    check.measured(f"processor time at rest with {RESTING} Services", round(cores * 100, 2), "% of a core")
    if audited:
        asked = requests(check, mark)
        check.measured("requests to the API server at rest", round(asked / minutes, 1), "a minute")
        check.measured("nodes", len(check.lab.nodes))


def requests(check: CheckContext, mark: int) -> int:
    """Return the number of requests by pods of the implementation since a length of the audit log.

    A request counts when it is answered, a watch when it begins.
    """
    prefixes = tuple(f"{workload.name}-" for workload in check.run.workloads.all)
    with check.lab.audit_log.open("rb") as log:
        log.seek(mark)
        lines = log.read().splitlines()
    events = [json.loads(line) for line in lines if line.endswith(b"}")]
    counted = [e for e in events if e["stage"] == ("ResponseStarted" if e["verb"] == "watch" else "ResponseComplete")]
    pods = [name for event in counted for name in event["user"].get("extra", {}).get(_POD, [])]
    return sum(pod.startswith(prefixes) for pod in pods)
