"""A host that records what a node sends to all, and repeats it: one node answers, also when that node is dead."""

from __future__ import annotations

import functools
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lbproof.checks.fail.moves import SERVICES, assigned, one_answers
from lbproof.context import CannotShow, proves
from lbproof.context.claims import by_node, first_interleaved
from lbproof.lab.base import Capability, Role
from lbproof.spec import Untestable
from lbproof.spec.families import family_of
from lbproof.text import words
from lbproof.witnesses import crafted
from lbproof.witnesses.capture import WHOLE, Capture
from lbproof.witnesses.neighbour import decode
from lbproof.witnesses.wait import Violation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lbproof.context import CheckContext
    from lbproof.lab.base import Node
    from lbproof.lab.fault import Attachment
    from lbproof.spec.families import IPAddress
    from lbproof.witnesses.vantage import Vantage


@proves("SEC-05", "b", disruptive=True)
def test_a_host_that_repeats_frames_keeps_no_address(check: CheckContext) -> None:
    """One node answers for each address while a host repeats what a node sent, before that node is dead and after.

    Among what is repeated is what an announcer says when it ends in order and starts again; first that alone, while it
    lives. Of a dead node it is all that it sent, and the last of each kind over and over, from the host's own hardware
    address and from the node's. Messages that say where an address of a Service is are left out: of a host that does,
    L2-05 judges. What fails is done again without the host, so that a failover that fails without it too is not judged
    here.
    """
    check.run.need(Capability.NODE_CRASH)
    held = list(assigned(check))
    (own,) = check.run.addresses(1)
    added: list[Attachment] = []

    def join() -> Attachment:
        added.append(check.lab.foreign_host(own))
        return added[0]

    with check.fault(Capability.FOREIGN_HOST, join):
        (host,) = (one.vantage for one in added)
        with Capture(host, snap=WHOLE) as capture:
            recording = Recording(check, host, capture)
            restarted_nodes_keep_what_they_have(check, recording)
            found = lost(check, held, recording)
        if found:
            with check.precondition("FAIL-01"):
                if without := lost(check, held):
                    raise without
            raise found


@dataclass(frozen=True, slots=True)
class Recording:
    """What a host hears of the nodes, and repeats."""

    check: CheckContext
    host: Vantage
    capture: Capture

    def of(self, *nodes: Node) -> list[tuple[float, bytes]]:
        """Return what was heard until now of some nodes that is not for the host: seconds since the first, and frames.

        Messages that say where an address of the check is are left out. Raises `CannotShow` when nothing is left.
        """
        macs, own = {octets(node.mac) for node in nodes}, octets(self.host.mac)
        frames = [
            (t, frame)
            for t, frame in self.capture.frames()
            if frame[6:12] in macs and frame[:6] != own and not claims(frame, self.check.used)
        ]
        names = words([node.name for node in nodes])
        self.check.saw("capture", f"frames that {self.host.name} heard of {names}, to repeat them", len(frames))
        if not frames:
            raise CannotShow(Untestable.NOT_PROVOKED, f"{names} sent nothing that others hear")
        return [(t - frames[0][0], frame) for t, frame in frames]

    def as_own(self, frames: Sequence[tuple[float, bytes]]) -> list[tuple[float, bytes]]:
        """Return frames as the host would send them from its own hardware address."""
        return [(after, crafted.from_mac(frame, self.host.mac)) for after, frame in frames]

    def repeated(self, *several: Sequence[tuple[float, bytes]]) -> ExitStack:
        """Return a context in which the host repeats several lists of frames beside one another."""
        with ExitStack() as stack:
            for frames in several:
                stack.enter_context(crafted.Repeater(self.host, frames))
            return stack.pop_all()


def restarted_nodes_keep_what_they_have(check: CheckContext, recording: Recording) -> None:
    """Restart the announcers of all workers, and repeat what these sent: no two nodes claim an address in turns.

    Judged by new Services, which workers announce that were restarted.
    """
    workers = [node for node in check.lab.nodes if node.role is Role.WORKER]
    for node in workers:
        check.stop_announcer(node.name)
    check.pool(SERVICES)
    held = list(check.all_assigned(*(check.service(f"since-{n}") for n in range(SERVICES))).values())
    with check.precondition("L2-01"):
        one_answers(check, held)
    with check.claims() as made, recording.repeated(recording.as_own(recording.of(*workers))):
        check.wait.consistently(
            lambda: {address: who for address, who in check.who_answers(*held).items() if len(who) > 1},
            lambda doubled: not doubled,
            what=f"no two nodes answer while {recording.host.name} repeats what live nodes sent",
            budget="stays_unannounced",
            show=lambda doubled: words(doubled) or "no two",
        )
        in_turns = {address: first_interleaved(of) for address, of in made.of(held).items()}
    disputed = {str(address): who for address, who in by_node(in_turns).items() if who}
    assert not disputed, (
        f"claimed in turns while {recording.host.name} repeated what live nodes sent: {words(disputed)}"
    )


def lost(check: CheckContext, held: Sequence[IPAddress], recording: Recording | None = None) -> Violation | None:
    """Crash a node that announces, and have its frames repeated, if there is a recording; return what is wrong then.

    They are repeated before the crash too, from the host's own hardware address. The node is back at the end.
    """
    old, moving = check.worker_that_announces(held)
    with ExitStack() as repeating:
        if recording:
            check.wait_out("stays_unannounced")  # in which the node says what it says at rest
            frames = recording.as_own(recording.of(old))
            repeating.enter_context(recording.repeated(frames, crafted.last_of_each_kind(frames)))
        with check.fault(Capability.NODE_CRASH, functools.partial(check.lab.node_crash, old.name)):
            if recording:
                frames = recording.of(old)
                last = crafted.last_of_each_kind(frames)
                repeating.enter_context(recording.repeated(frames, last, recording.as_own(last)))
            found = wrong_without(check, held, moving, old)
            repeating.close()  # before the node is back, and its hardware address its own again
    check.settled_after_fault()
    return found


def wrong_without(
    check: CheckContext, held: Sequence[IPAddress], moving: Sequence[IPAddress], lost_node: Node
) -> Violation | None:
    """Return what is wrong with the answers for addresses, some of which a lost node had."""
    try:
        check.holders(*moving, but=lost_node.name, budget="failover")
        one_answers(check, held, but=lost_node.name)
    except Violation as error:
        return error
    return None


def octets(mac: str) -> bytes:
    """Return a hardware address as a frame holds it."""
    return bytes.fromhex(mac.replace(":", ""))


def claims(frame: bytes, addresses: Sequence[IPAddress]) -> bool:
    """Return whether a frame says by ARP or NDP where one of some addresses is."""
    message = decode(family_of(addresses[0]), frame, 0.0)
    return message is not None and message.sender_ip in addresses
