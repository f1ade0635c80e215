"""The promise that a bare-metal LoadBalancer is bought for, timed by a client that asks every 10 ms all the while."""

from __future__ import annotations

import functools
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lbproof.lab.base import Ability
from lbproof.observe import arp
from lbproof.observe.prober import Prober, first_outage, longest, steady
from lbproof.proves import proves

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lbproof.lab.base import Fault, Node
    from lbproof.stage import Stage

CENSUS = 10


def serving(stage: Stage) -> str:
    """An assigned address whose backend is on the control plane: it survives whatever happens to an announcer."""
    backend = stage.web("backend", nodes=[stage.lab.nodes[0].name])
    stage.pool(1)
    service = stage.service(serving=True, selector={"app": backend})
    address = stage.assigned(service)
    stage.serves(stage.client, address)
    return address


@contextmanager
def probing(stage: Stage, address: str, title: str) -> Iterator[Prober]:
    """Ask all the time; the timeline goes into the report, whether or not the check passes."""
    with Prober(stage.client, address) as prober:
        stage.wait.settles(
            lambda: steady(prober.samples),
            bool,
            what=f"{address} answers steadily before the fault",
            budget="serves",
            show=lambda well: "answered" if well else "not yet answered without a gap",
        )
        try:
            yield prober
        finally:
            prober.write(stage.ground.journal, title)


def answers_again(stage: Stage, prober: Prober, fault: Fault, address: str) -> None:
    """Wait for the end of the outage, should there be one, and keep the figures."""
    stage.wait.settles(
        lambda: first_outage(prober.samples, fault.earliest),
        lambda seconds: seconds is not None,
        what=f"{address} answers again after the {fault.kind} of {fault.target}",
        budget="failover",
        show=lambda seconds: "no answer" if seconds is None else "answered",
    )
    seconds = longest(prober.since(fault.earliest))
    stage.saw("http", f"longest outage of {address}", {"milliseconds": round(seconds * 1000)})


def one_answers(stage: Stage, address: str, *, but: str = "") -> Node:
    """Wait until one node answers for the address, and count that it is one."""
    announcer = stage.announcer(address, but=but, budget="one_answerer")
    seen = arp.census(stage.client, address, asks=CENSUS, over=stage.wait.budget("stays_silent"))
    names = {stage.mac_names().get(mac, mac): count for mac, count in seen.answers.items()}
    stage.saw("arp", f"{seen.asked} requests for {address}", {"answers": names, "unanswered": seen.unanswered})
    assert set(names) == {announcer.name}, f"{address} is answered for by {names}, expected {announcer.name} alone"
    return announcer


@proves("FAIL-01")
def test_another_node_takes_over_from_one_that_dies(stage: Stage, case: str) -> None:  # noqa: ARG001 - one verdict
    """With the announcing node's power cut, requests are answered again, and ARP by exactly one other node."""
    stage.ground.need(Ability.POWER_CUT)
    address = serving(stage)
    old = stage.announcer(address)

    with probing(stage, address, f"requests to {address} through the power cut of {old.name}") as prober:
        with stage.fault(Ability.POWER_CUT, functools.partial(stage.lab.power_cut, old.name)) as fault:
            answers_again(stage, prober, fault, address)
            one_answers(stage, address, but=old.name)
        stage.settled_after_fault()


@proves("FAIL-02")
def test_a_killed_announcer_is_replaced(stage: Stage, case: str) -> None:  # noqa: ARG001 - one verdict
    """With the announcer's process killed and its node alive, one node answers and serves, and never two."""
    stage.ground.need(Ability.KILL)
    address = serving(stage)
    old = stage.announcer(address)
    announcer = stage.ground.adapter.announcer
    pod = stage.ground.pods(announcer)[old.name]

    with (
        probing(stage, address, f"requests to {address} while the announcer on {old.name} is killed") as prober,
        arp.Listener(stage.client) as listener,
    ):
        with stage.fault(Ability.KILL, functools.partial(stage.lab.kill, announcer.namespace, pod)) as fault:
            new = one_answers(stage, address)
            stage.serves(stage.client, address, in_a_row=3, budget="failover")
            moved = [f.t for f in listener.gratuitous(address) if f.sender_mac == new.mac and f.t > fault.began]
            # up to here: once it runs again, the old one may take the address back
            stale = [
                f
                for f in listener.frames
                if f.sender_ip == address and f.sender_mac == old.mac and f.t > min(moved, default=0)
            ]
        stage.settled_after_fault()
        seconds = longest(prober.since(fault.earliest))
        stage.saw("http", f"longest outage of {address}", {"milliseconds": round(seconds * 1000)})

    if new.name != old.name and moved:
        assert not stale, f"{old.name} spoke for {address} {len(stale)} times after {new.name} had taken it over"


@proves("FAIL-04")
def test_one_node_answers_after_the_lost_one_is_back(stage: Stage, case: str) -> None:  # noqa: ARG001 - one verdict
    """Through a partition of the announcer from its peers, and after it is healed, it comes to exactly one node."""
    stage.ground.need(Ability.POWER_CUT)
    stage.ground.need(Ability.CABLE)
    stage.pool(1)
    address = stage.assigned(stage.service(serving=True))
    old = stage.announcer(address)

    with stage.fault(Ability.CABLE, functools.partial(stage.lab.pull_cable, old.name)):
        stage.announcer(address, but=old.name, budget="failover")
    stage.ground.nodes_ready()
    one_answers(stage, address)
    current = stage.announcer(address)
    with stage.fault(Ability.POWER_CUT, functools.partial(stage.lab.power_cut, current.name)):
        stage.announcer(address, but=current.name, budget="failover")
    stage.settled_after_fault()

    one_answers(stage, address)


@proves("FAIL-05")
def test_a_pulled_cable_moves_the_address(stage: Stage, case: str) -> None:  # noqa: ARG001 - one verdict
    """Another node serves while the announcer's cable is out, and exactly one answers when it is back."""
    stage.ground.need(Ability.CABLE)
    address = serving(stage)
    old = stage.announcer(address)

    with probing(stage, address, f"requests to {address} while the cable of {old.name} is out and back") as prober:
        with stage.fault(Ability.CABLE, functools.partial(stage.lab.pull_cable, old.name)) as fault:
            answers_again(stage, prober, fault, address)
            one_answers(stage, address, but=old.name)
        one_answers(stage, address)
        stage.serves(stage.client, address, in_a_row=3)
        stage.settled_after_fault()
