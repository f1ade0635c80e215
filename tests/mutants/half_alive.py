"""Faults of nodes that stop, stand still, are cut off or come back, and of a control plane that is away."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tests.mutants.mutant import fault, patch

from lbproof_reference import informer, nodes
from lbproof_reference.controller import loop as controller
from lbproof_reference.controller import main as controller_main
from lbproof_reference.speaker import loop as speaker
from lbproof_reference.speaker import offers, peers, plan, segment, source

if TYPE_CHECKING:
    from lbproof_reference.kube import Object
    from lbproof_reference.speaker.elect import Station

HOLD = 1.5
"""Seconds; the kubelet waits for 2 until it kills a speaker."""
MUTE = 6.0
GROWN = 5.0
"""Seconds after which a speaker is no longer starting."""
FROZEN = 0.3
"""Seconds: two dead intervals."""
STILL = 1.0


@fault("FAIL-03", "UPGR-03")
def holds_addresses_while_it_stops() -> None:
    """A speaker that is told to stop claims its addresses until it ends, and answers nothing meanwhile."""

    async def leave(self: speaker.Speaker) -> None:
        patch(segment.Segment, "answers", lambda *_: False)
        await asyncio.sleep(HOLD)
        for one in self._segment_speakers.values():
            one.close()

    patch(speaker.Speaker, "leave", leave)


def _goes_on_alone(is_alone: list[bool]) -> None:
    """Once that is said, have a speaker keep its addresses, whoever claims them, and tell no other."""
    real, send = plan.plan, speaker.SegmentSpeaker._send_heartbeats  # noqa: SLF001 - a fault replaces private functions

    def keep(view: plan.SegmentView) -> plan.Plan:
        return plan.NOTHING if is_alone else real(view)

    def send_heartbeats(self: speaker.SegmentSpeaker, now: float, *, beat: bool) -> None:
        if is_alone:
            self.segment.heartbeats(now, beat=beat)  # as if sent: what is due for ever keeps a core busy
        else:
            send(self, now, beat=beat)

    patch(segment, "plan", keep)
    patch(speaker.SegmentSpeaker, "_send_heartbeats", send_heartbeats)


@fault("FAIL-06a")
def frozen_speaker_goes_on() -> None:
    """A speaker that was suspended for longer than a dead interval goes on with its addresses, and tells nobody."""
    is_alone: list[bool] = []
    _goes_on_alone(is_alone)

    def on_suspend(self: segment.Segment, _now: float, late: float) -> None:
        if late > FROZEN and self.claims:
            is_alone.append(True)

    patch(segment.Segment, "on_suspend", on_suspend)


@fault("FAIL-06b")
def speaker_that_lost_two_peers_goes_on() -> None:
    """A speaker that has lost two peers goes on with its addresses, and tells nobody."""
    is_alone: list[bool] = []
    _goes_on_alone(is_alone)
    lost: list[Station] = []
    real = segment.Segment.expire_peers

    def expire_peers(self: segment.Segment, now: float) -> list[Station]:
        dead = real(self, now)
        lost.extend(dead)
        if len(lost) > 1 and self.claims:  # who has lost one alone is not cut off
            is_alone.append(True)
        return dead

    patch(segment.Segment, "expire_peers", expire_peers)


@fault("FAIL-06c")
def waits_for_ever_for_a_winner() -> None:
    """A winner that does not know of a new address, since it lacks the API server, is waited for for ever."""
    patch(segment, "PATIENCE", 10**6)


@fault("FAIL-06d")
def takes_over_from_who_is_not_heard() -> None:
    """A speaker relays nothing, and keeps its addresses though another, which does not hear it, claims them too."""
    patch(peers.Peers, "take_relays", lambda *_: [])
    real = plan.plan

    def keep(view: plan.SegmentView) -> plan.Plan:
        found = real(view)
        return replace(found, withdraw=tuple(a for a in found.withdraw if a not in view.desired))

    patch(segment, "plan", keep)


@fault("FAIL-07")
def is_mute_when_a_peer_is_back() -> None:
    """A speaker that hears a lost peer again answers nothing for six seconds."""
    until, born = [0.0], time.monotonic()
    receive, answers = segment.Segment.receive, segment.Segment.answers

    def hear(self: segment.Segment, heartbeat: Any, frame: bytes, now: float) -> bool:  # noqa: ANN401
        is_new = heartbeat.station not in self.peers.live
        news = receive(self, heartbeat, frame, now)
        if is_new and heartbeat.station in self.peers.live and now - born > GROWN:
            until[0] = now + MUTE
        return news

    def answer(self: segment.Segment, address: bytes, now: float) -> bool:
        return now > until[0] and answers(self, address, now)

    patch(segment.Segment, "receive", hear)
    patch(segment.Segment, "answers", answer)


@fault("FAIL-08a")
def ignores_the_label_of_nodes() -> None:
    """A node that is excluded by Kubernetes' label announces as before."""
    patch(nodes, "EXCLUDED", "example.com/none")


@fault("FAIL-08b")
def reads_the_label_by_presence() -> None:
    """A node whose label says `false` is excluded."""
    patch(nodes, "_FALSE", frozenset())


def _nodes_decide(is_bad: Any) -> None:  # noqa: ANN401 - a predicate of nodes
    """Have nothing announced while one of the nodes is bad."""
    real, fields = offers.AnnouncementPolicy.__init__, nodes.relevant_fields

    def init(self: offers.AnnouncementPolicy, *, nodes: Any, **others: Any) -> None:  # noqa: ANN401
        found = list(nodes)
        real(self, nodes=found, **others)
        if any(map(is_bad, found)):
            self._advertisements = []

    patch(offers.AnnouncementPolicy, "__init__", init)
    for module in (controller, source):
        patch(module, "relevant_fields", lambda node: (fields(node), bool(node and is_bad(node))))


@fault("FAIL-09a")
def one_node_without_network_silences_all() -> None:
    """Nothing is announced while the condition NetworkUnavailable of a node is true."""
    _nodes_decide(nodes._lacks_network)  # noqa: SLF001


@fault("FAIL-09d")
def one_silent_kubelet_silences_all() -> None:
    """Nothing is announced while the condition Ready of a node is Unknown."""
    _nodes_decide(_is_unknown)


def _is_unknown(node: Object) -> bool:
    conditions = (node.get("status") or {}).get("conditions") or []
    return any((one.get("type"), one.get("status")) == ("Ready", "Unknown") for one in conditions)


@fault("FAIL-09b", "FAIL-09c")
def a_cordon_silences_all() -> None:
    """Nothing is announced while a node is cordoned."""
    _nodes_decide(lambda node: node["spec"].get("unschedulable"))


@fault("FAIL-12")
def silent_without_the_api_server() -> None:
    """A speaker that is cut from the API server answers nothing."""
    real = segment.Segment.answers
    patch(segment.Segment, "answers", lambda self, *args: not self.outdated and real(self, *args))


@fault("FAIL-10b")
def hears_nothing_after_it_stood_still() -> None:
    """A controller that was suspended for a second no longer notices changes of Services."""
    real, changed = controller.Controller.run, controller.Controller._service_changed  # noqa: SLF001
    stood_still: list[bool] = []

    async def watch_clock() -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.1)
            if time.monotonic() - before > STILL:
                stood_still.append(True)

    async def run(self: controller.Controller) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(watch_clock())
            await real(self)

    def service_changed(self: controller.Controller, key: str, before: Object | None) -> None:
        if not stood_still:
            changed(self, key, before)

    patch(controller.Controller, "run", run)
    patch(controller.Controller, "_service_changed", service_changed)
    patch(controller_main, "Controller", controller.Controller)


@fault("FAIL-10c")
def does_not_return_to_the_api_server() -> None:
    """A list or a watch that failed once is not tried again."""
    patch(informer, "_RETRY_SECONDS", (10.0**6,))
