"""A host that records what a node sends to all, and repeats it when that node is dead: another node answers."""

from __future__ import annotations

import functools
from contextlib import ExitStack
from typing import TYPE_CHECKING

from lbproof.checks.fail.moves import assigned, one_answers
from lbproof.context import CannotShow, proves
from lbproof.lab.base import Capability
from lbproof.spec import Untestable
from lbproof.spec.families import family_of
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
    """One other node answers for the addresses of a node that dies, while a host repeats what that node sent at rest.

    At the pace of the recording, from the host's own hardware address, and once the node is dead from the node's too.
    Messages that say where an address of a Service is are left out: of a host that does, L2-05 judges. What fails is
    done again without the host, so that a failover that fails without it too is not judged here.
    """
    check.run.need(Capability.NODE_CRASH)
    held = list(assigned(check))
    (own,) = check.run.addresses(1)
    added: list[Attachment] = []

    def join() -> Attachment:
        added.append(check.lab.foreign_host(own))
        return added[0]

    with check.fault(Capability.FOREIGN_HOST, join):
        found = lost(check, held, added[0].vantage)
        if found:
            with check.precondition("FAIL-01"):
                if without := lost(check, held):
                    raise without
            raise found


def lost(check: CheckContext, held: Sequence[IPAddress], host: Vantage | None = None) -> Violation | None:
    """Crash a node that announces, and have a host, if one is given, repeat its frames; return what is wrong then.

    The node is back at the end.
    """
    old, moving = check.worker_that_announces(held)
    found: Violation | None = None
    with ExitStack() as repeating:
        frames = recorded(check, old, host, held) if host else []
        if host:
            as_own = [(after, crafted.from_mac(frame, host.mac)) for after, frame in frames]
            repeating.enter_context(crafted.Repeater(host, as_own))
        with check.fault(Capability.NODE_CRASH, functools.partial(check.lab.node_crash, old.name)):
            if host:
                repeating.enter_context(crafted.Repeater(host, frames))
            try:
                check.holders(*moving, but=old.name, budget="failover")
                one_answers(check, held, but=old.name)
            except Violation as error:
                found = error
            repeating.close()  # before the node is back, and its hardware address its own again
    check.settled_after_fault()
    return found


def recorded(check: CheckContext, node: Node, host: Vantage, held: Sequence[IPAddress]) -> list[tuple[float, bytes]]:
    """Record for a while what a host hears of a node that is not for this host; return moments (s) and frames.

    Raises `CannotShow` when that is nothing.
    """
    with Capture(host, snap=WHOLE) as capture:
        check.wait_out("stays_unannounced")
        heard = capture.frames()
    mac, own = (bytes.fromhex(text.replace(":", "")) for text in (node.mac, host.mac))
    frames = [(t, frame) for t, frame in heard if frame[6:12] == mac and frame[:6] != own and not claims(frame, held)]
    check.saw("capture", f"frames that {host.name} heard of {node.name}, to repeat them", len(frames))
    if not frames:
        raise CannotShow(Untestable.NOT_PROVOKED, f"{node.name} sent nothing while all was at rest that others hear")
    return [(t - frames[0][0], frame) for t, frame in frames]


def claims(frame: bytes, held: Sequence[IPAddress]) -> bool:
    """Return whether a frame says by ARP or NDP where one of some addresses is."""
    message = decode(family_of(held[0]), frame, 0.0)
    return message is not None and message.sender_ip in held
