"""The prober for ARP: when is an address answered for first, and when last?

Requests are packed frames (RFC 826) with an address and a hardware address of the prober's own, so that no kernel keeps
a neighbour entry because of it. Only a unicast reply to that hardware address is an answer: an announcement is none.

`python -m lbproof_perf.probes.service_arp SOCKET MAC ADDRESS`, the inherited socket hearing replies to MAC alone.
Verbs: `first ADDRESS` (ask until it is answered) and `last ADDRESS` (ask until it was silent for a while). Findings:
`["first", address, moment, step, mac]`, `step` being the seconds since the request before the one that was answered
(since the first where that was the one): so much earlier the answerer may have been there; of an address that is to
go silent, the same with `still`, which says that it is watched; and
`["last", address, moment or null, step]`, `step` being the seconds to the next request, which stayed unanswered.
"""

from __future__ import annotations

import contextlib
import select
import socket
import sys
import time
from dataclasses import dataclass, field

from lbproof.witnesses.frames import encode, request
from lbproof_perf.probes.arp_frames import FRAME_BYTES, SENDER, SENDER_MAC, TARGET
from lbproof_perf.probes.turns import Turns, serve, tell

BATCH = 10
"""Requests a turn at most: 2,000 a second, which cost a few per cent of a core on a segment of five."""
QUIET, SILENT_ASKS = 0.3, 4
"""Seconds and requests in a row without an answer after which an address is silent."""
TURN = 0.005
"""Seconds between two turns."""


@dataclass(slots=True, kw_only=True)
class _Address:
    """What is known of an address that is asked for."""

    last: bool
    """Its last answer is wanted, else its first."""
    asked: float = 0.0
    asked_before: float = 0.0
    answered: float | None = None
    first_unanswered: float = 0.0
    """The first request since the last answer."""
    unanswered: int = 0


@dataclass(slots=True, kw_only=True)
class Asking:
    """What is asked and what was found; no socket and no clock in it. Addresses are four bytes."""

    turns: Turns[bytes] = field(default_factory=lambda: Turns(BATCH))
    _known: dict[bytes, _Address] = field(default_factory=dict)

    def begin(self, address: bytes, *, last: bool) -> None:
        """Ask for the first answer, or for the last."""
        self._known[address] = _Address(last=last)
        self.turns.add(address)

    def turn(self, now: float) -> tuple[list[bytes], list[tuple[bytes, float | None, float]]]:
        """Whom to ask now, and which have gone silent: (address, its last answer or None, step)."""
        asked: list[bytes] = []
        silent: list[tuple[bytes, float | None, float]] = []
        for address in self.turns.turn():
            state = self._known[address]
            if state.last and state.unanswered >= SILENT_ASKS and now - state.first_unanswered >= QUIET:
                since = state.first_unanswered if state.answered is None else state.answered
                silent.append((address, state.answered, state.first_unanswered - since))
                self._forget(address)
                continue
            state.asked_before, state.asked = state.asked, now
            state.first_unanswered = state.first_unanswered if state.unanswered else now
            state.unanswered += 1
            asked.append(address)
        return asked, silent

    def heard(self, address: bytes, now: float) -> float | None:
        """An answer came; gives the step where it was the first since `begin`."""
        state = self._known.get(address)
        if state is None:
            return None
        again, state.answered, state.unanswered = state.answered is not None, now, 0
        if not state.last:
            self._forget(address)
        return None if again else now - (state.asked_before or state.asked)

    def waits_for_silence(self, address: bytes) -> bool:
        """Whether the last answer of an address is wanted."""
        state = self._known.get(address)
        return state is not None and state.last

    def _forget(self, address: bytes) -> None:
        del self._known[address]
        self.turns.drop(address)


def main(wire: socket.socket, mac: str, address: str) -> None:
    """Ask until the end of stdin."""
    asking = Asking()
    template = encode(request(mac=mac, address=address, target=address))
    poll = select.epoll()
    poll.register(wire, select.EPOLLIN)

    def hear(_: int) -> None:
        with contextlib.suppress(BlockingIOError):  # no more frames wait
            while True:
                frame, now = wire.recv(128), time.monotonic()
                if len(frame) < FRAME_BYTES:
                    continue
                sender = frame[SENDER]
                if (step := asking.heard(sender, now)) is not None:
                    verb = "still" if asking.waits_for_silence(sender) else "first"
                    tell(verb, socket.inet_ntoa(sender), now, step, frame[SENDER_MAC].hex(":"))

    def turn(now: float) -> None:
        asked, silent = asking.turn(now)
        for target in asked:
            wire.send(template[: TARGET.start] + target + template[TARGET.stop :])
        for target, moment, step in silent:
            tell("last", socket.inet_ntoa(target), moment, step)

    serve(
        poll,
        TURN,
        busy=lambda: bool(asking.turns),
        asked=lambda verb, target: asking.begin(socket.inet_aton(target), last=verb == "last"),
        ready=hear,
        turn=turn,
    )


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as inherited:
        main(inherited, *sys.argv[2:])
