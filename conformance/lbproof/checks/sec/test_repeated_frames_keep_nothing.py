"""A host that records what a node sends to all, and repeats it: one node answers, also when that node is dead."""

from __future__ import annotations

import functools
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lbproof.checks.fail.moves import SERVICES, assigned, one_answers
from lbproof.context import CannotShow, proves
from lbproof.context.claims import by_node, first_interleaved
from lbproof.lab.base import Capability, Role
from lbproof.spec import Untestable
from lbproof.spec.families import Family
from lbproof.text import words
from lbproof.witnesses import crafted
from lbproof.witnesses.capture import WHOLE, Capture
from lbproof.witnesses.frames import mac_bytes
from lbproof.witnesses.neighbour import decode
from lbproof.witnesses.wait import Violation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lbproof.context import CheckContext
    from lbproof.lab.base import Node
    from lbproof.lab.fault import Attachment
    from lbproof.spec.families import IPAddress
    from lbproof.witnesses.vantage import Vantage


@proves("SEC-05", "b", disruptive=True)
def test_a_host_that_repeats_frames_keeps_no_address(check: CheckContext) -> None:
    """One node answers for each address while a host repeats what a node sent, before that node is dead and after.

    Among what is repeated is what an announcer says when it ends in order and starts again; first that alone, while it
    lives. Of a node that dies it is each message at once, from some time before its crash, and the last of each kind
    over and over from then on, since others give a silent node up soon; and all that it ever sent. That is done from
    the host's own hardware address, and once the node is dead from the node's too. ARP and NDP messages that name an
    address of a Service are left out: of a host that sends these, L2-05 judges. What fails is done again without the
    host, so that a failover that fails without it too is not judged here.
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

    def heard(self, *nodes: Node) -> list[tuple[float, bytes]]:
        """Return what was heard until now of some nodes that is not for the host: seconds since the first, and frames.

        ARP and NDP messages that name an address of the check are left out.
        """
        macs, own = {mac_bytes(node.mac) for node in nodes}, mac_bytes(self.host.mac)
        frames = [
            (t, frame)
            for t, frame in self.capture.frames()
            if frame[6:12] in macs and frame[:6] != own and not names(frame, self.check.used)
        ]
        return [(t - frames[0][0], frame) for t, frame in frames]

    def of(self, *nodes: Node) -> list[tuple[float, bytes]]:
        """Return what was heard of some nodes, as `heard` does. Raises `CannotShow` when it is nothing."""
        frames, who = self.heard(*nodes), words([node.name for node in nodes])
        self.check.saw("capture", f"frames that {self.host.name} heard of {who}, to repeat them", len(frames))
        if not frames:
            raise CannotShow(Untestable.NOT_PROVOKED, f"{who} sent nothing that others hear")
        return frames

    @contextmanager
    def copied(self, node: Node) -> Iterator[None]:
        """Have the host send what it hears of a node once more at once, from its own hardware address, in the block.

        And the last frame of each kind again and again, from the first moment on.
        """
        replayer = crafted.Replayer(
            self.host,
            [node.mac],
            mac=self.host.mac,
            first=[frame for _, frame in crafted.last_of_each_kind(self.heard(node))],
            but=self.check.used,
            seconds=self.check.wait.budget("stays_unannounced") + crafted.LONGEST,
        )
        with replayer:
            yield
        self.check.saw("capture", f"frames of {node.name} that {self.host.name} sent again at once", replayer.counts)

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
            repeating.enter_context(recording.copied(old))
            check.wait_out("stays_unannounced")  # in which the node says what it says at rest
            repeating.enter_context(recording.repeated(recording.as_own(recording.of(old))))
        with check.fault(Capability.NODE_CRASH, functools.partial(check.lab.node_crash, old.name)):
            if recording:
                frames = recording.of(old)
                repeating.enter_context(recording.repeated(frames, crafted.last_of_each_kind(frames)))
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


def names(frame: bytes, addresses: Sequence[IPAddress]) -> bool:
    """Return whether a frame is an ARP or NDP message that names one of some addresses."""
    messages = [decode(family, frame, 0.0) for family in Family]
    return any(message and {message.sender_ip, message.target_ip} & {*addresses} for message in messages)
