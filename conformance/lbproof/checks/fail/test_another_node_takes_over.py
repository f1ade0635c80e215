"""Failover to another node, measured by a client that sends a request every 10 ms."""

from __future__ import annotations

import functools
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lbproof.adapters.base import WorkloadRole
from lbproof.context import proves
from lbproof.lab.base import Capability
from lbproof.text import words
from lbproof.witnesses import neighbour
from lbproof.witnesses.prober import Prober, first_outage, longest, steady

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lbproof.context import CheckContext
    from lbproof.lab.base import Node
    from lbproof.lab.fault import Fault
    from lbproof.spec.families import IPAddress

CENSUS = 10


def serving(check: CheckContext) -> IPAddress:
    """Create a Service whose backend is on the control plane and therefore survives faults of the announcer."""
    backend = check.web("backend", nodes=[check.lab.nodes[0].name])
    check.pool(1)
    service = check.service(serving=True, selector={"app": backend})
    address = check.assigned(service)
    check.serves(check.client, address)
    return address


@contextmanager
def probing(check: CheckContext, address: IPAddress, title: str) -> Iterator[Prober]:
    """Send requests during the block; the timeline is reported whether or not the check passes."""
    with Prober(check.client, address) as prober:
        with check.precondition():
            check.wait.eventually(
                lambda: steady(prober.samples),
                bool,
                what=f"{address} answers steadily before the fault",
                budget="serves",
                show=lambda well: "answered" if well else "not yet answered without a gap",
            )
        try:
            yield prober
        finally:
            prober.write(check.run.journal, title)


def answers_again(check: CheckContext, prober: Prober, fault: Fault, address: IPAddress) -> None:
    """Wait for the end of the outage, if any, and record its figures."""
    check.wait.eventually(
        lambda: first_outage(prober.samples, fault.earliest),
        lambda seconds: seconds is not None,
        what=f"{address} answers again after the {fault.kind} of {fault.target}",
        budget="failover",
        show=lambda seconds: "no answer" if seconds is None else "answered",
    )
    seconds = longest(prober.since(fault.earliest))
    check.saw("http", f"longest outage of {address}", {"milliseconds": round(seconds * 1000)})


def one_answers(check: CheckContext, address: IPAddress, *, but: str = "") -> Node:
    """Wait until a node answers for the address, and verify that it is exactly one."""
    announcer = check.announcer(address, but=but, budget="one_answerer")
    over, within = check.wait.budget("one_answerer_recount"), check.wait.budget("arp_answer")
    seen = neighbour.census(check.client, address, asks=CENSUS, over=over, within=within)
    names = {check.mac_names().get(mac, mac): count for mac, count in seen.answers.items()}
    check.saw("arp", f"{seen.asked} requests for {address}", {"answers": names, "unanswered": seen.unanswered})
    assert set(names) == {announcer.name}, (
        f"{address} is answered for by {words(names)}, expected {announcer.name} alone"
    )
    return announcer


@proves("FAIL-01", disruptive=True)
def test_another_node_takes_over_from_one_that_dies(check: CheckContext) -> None:
    """After a crash of the announcing node, requests are answered again, and ARP by exactly one other node."""
    check.run.need(Capability.NODE_CRASH)
    address = serving(check)
    old = check.announcer(address)

    with probing(check, address, f"requests to {address} through the power cut of {old.name}") as prober:
        with check.fault(Capability.NODE_CRASH, functools.partial(check.lab.node_crash, old.name)) as fault:
            answers_again(check, prober, fault, address)
            one_answers(check, address, but=old.name)
        check.settled_after_fault()


@proves("FAIL-02", disruptive=True)
def test_a_killed_announcer_is_replaced(check: CheckContext) -> None:
    """After the announcer's process is killed, exactly one node answers and serves, and never two."""
    check.run.need(Capability.KILL)
    address = serving(check)
    old = check.announcer(address)
    namespace, pod = check.run.workloads.pod_on(WorkloadRole.ANNOUNCER, old.name)

    with (
        probing(check, address, f"requests to {address} while the announcer on {old.name} is killed") as prober,
        neighbour.Listener(check.client) as listener,
    ):
        with check.fault(Capability.KILL, functools.partial(check.lab.kill, namespace, pod)) as fault:
            new = one_answers(check, address)
            check.serves(check.client, address, in_a_row=3, budget="failover")
            moved = [f.t for f in listener.announcements(address) if f.sender_mac == new.mac and f.t > fault.began]
            # only up to here: the old announcer may take the address back once it runs again
            stale = [
                f
                for f in listener.messages
                if f.sender_ip == address and f.sender_mac == old.mac and f.t > min(moved, default=0)
            ]
        check.settled_after_fault()
        seconds = longest(prober.since(fault.earliest))
        check.saw("http", f"longest outage of {address}", {"milliseconds": round(seconds * 1000)})

    if new.name != old.name and moved:
        assert not stale, f"{old.name} spoke for {address} {len(stale)} times after {new.name} had taken it over"


@proves("FAIL-04", disruptive=True)
def test_one_node_answers_after_the_lost_one_is_back(check: CheckContext) -> None:
    """Exactly one node answers during a partition of the announcer from its peers and after its end."""
    check.run.need(Capability.NODE_CRASH)
    check.run.need(Capability.LINK_DOWN)
    check.pool(1)
    address = check.assigned(check.service(serving=True))
    old = check.announcer(address)

    with check.fault(Capability.LINK_DOWN, functools.partial(check.lab.link_down, old.name)):
        check.announcer(address, but=old.name, budget="failover")
    check.run.nodes_ready()
    one_answers(check, address)
    current = check.announcer(address)
    with check.fault(Capability.NODE_CRASH, functools.partial(check.lab.node_crash, current.name)):
        check.announcer(address, but=current.name, budget="failover")
    check.settled_after_fault()

    one_answers(check, address)


@proves("FAIL-05", disruptive=True)
def test_a_pulled_cable_moves_the_address(check: CheckContext) -> None:
    """Another node serves while the announcer's link is down, and exactly one node answers when it is up again."""
    check.run.need(Capability.LINK_DOWN)
    address = serving(check)
    old = check.announcer(address)

    with probing(check, address, f"requests to {address} while the cable of {old.name} is out and back") as prober:
        with check.fault(Capability.LINK_DOWN, functools.partial(check.lab.link_down, old.name)) as fault:
            answers_again(check, prober, fault, address)
            one_answers(check, address, but=old.name)
        one_answers(check, address)
        check.serves(check.client, address, in_a_row=3)
        check.settled_after_fault()
