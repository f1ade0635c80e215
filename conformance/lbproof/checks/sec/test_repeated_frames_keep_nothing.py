"""A host that records what a node sends to all, and repeats it: one node answers, also when that node is dead."""

from __future__ import annotations

import functools
from contextlib import ExitStack
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
            told_again_of_live_nodes(check, host, capture)
            found = lost(check, held, (host, capture))
        if found:
            with check.precondition("FAIL-01"):
                if without := lost(check, held):
                    raise without
            raise found


def told_again_of_live_nodes(check: CheckContext, host: Vantage, capture: Capture) -> None:
    """Restart the announcers of all workers, and repeat what these sent meanwhile: no two nodes claim what one has.

    Judged by new Services, which workers announce that were restarted.
    """
    workers = [node for node in check.lab.nodes if node.role is Role.WORKER]
    for node in workers:
        check.stop_announcer(node.name)
    check.pool(SERVICES)
    held = list(check.all_assigned(*(check.service(f"since-{n}") for n in range(SERVICES))).values())
    with check.precondition("L2-01"):
        one_answers(check, held)
    frames = sorted(frame for node in workers for frame in sent(check, capture, node, host, held))
    with check.claims() as made, crafted.Repeater(host, from_host(frames, host)):
        check.wait.consistently(
            lambda: {address: who for address, who in check.who_answers(*held).items() if len(who) > 1},
            lambda doubled: not doubled,
            what=f"no two nodes answer while {host.name} repeats what live nodes sent",
            budget="stays_unannounced",
            show=lambda doubled: words(doubled) or "no two",
        )
        in_turns = {address: first_interleaved(of) for address, of in made.of(held).items()}
    disputed = {str(address): who for address, who in by_node(in_turns).items() if who}
    assert not disputed, f"claimed in turns while {host.name} repeated what live nodes sent: {words(disputed)}"


def lost(
    check: CheckContext, held: Sequence[IPAddress], recording: tuple[Vantage, Capture] | None = None
) -> Violation | None:
    """Crash a node that announces, and have a host, if one records, repeat its frames; return what is wrong then.

    From its own hardware address before the crash too. The node is back at the end.
    """
    old, moving = check.worker_that_announces(held)
    found: Violation | None = None
    with ExitStack() as repeating:

        def repeat(*recordings: Sequence[tuple[float, bytes]]) -> None:
            for one in recordings:
                repeating.enter_context(crafted.Repeater(recording[0], one))  # type: ignore[index] # called with one

        if recording:
            host, capture = recording
            check.wait_out("stays_unannounced")  # in which the node says what it says at rest
            frames = sent(check, capture, old, host, held)
            repeat(*(from_host(part, host) for part in (frames, crafted.last_of_each_kind(frames))))
        with check.fault(Capability.NODE_CRASH, functools.partial(check.lab.node_crash, old.name)):
            if recording:
                frames = sent(check, capture, old, host, held)
                last = crafted.last_of_each_kind(frames)
                repeat(frames, last, from_host(last, host))
            try:
                check.holders(*moving, but=old.name, budget="failover")
                one_answers(check, held, but=old.name)
            except Violation as error:
                found = error
            repeating.close()  # before the node is back, and its hardware address its own again
    check.settled_after_fault()
    return found


def sent(
    check: CheckContext, capture: Capture, node: Node, host: Vantage, held: Sequence[IPAddress]
) -> list[tuple[float, bytes]]:
    """Return what a host has heard of a node until now that is not for this host: moments (s) and frames.

    Raises `CannotShow` when that is nothing.
    """
    heard = capture.frames()
    mac, own = (bytes.fromhex(text.replace(":", "")) for text in (node.mac, host.mac))
    frames = [(t, frame) for t, frame in heard if frame[6:12] == mac and frame[:6] != own and not claims(frame, held)]
    check.saw("capture", f"frames that {host.name} heard of {node.name}, to repeat them", len(frames))
    if not frames:
        raise CannotShow(Untestable.NOT_PROVOKED, f"{node.name} sent nothing that others hear")
    return [(t - frames[0][0], frame) for t, frame in frames]


def from_host(recording: Sequence[tuple[float, bytes]], host: Vantage) -> list[tuple[float, bytes]]:
    """Return a recording as a host would send it from its own hardware address."""
    return [(after, crafted.from_mac(frame, host.mac)) for after, frame in recording]


def claims(frame: bytes, held: Sequence[IPAddress]) -> bool:
    """Return whether a frame says by ARP or NDP where one of some addresses is."""
    message = decode(family_of(held[0]), frame, 0.0)
    return message is not None and message.sender_ip in held
