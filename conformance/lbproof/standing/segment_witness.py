"""Standing witness of the segment: every ARP and NDP message with its port of entry, and questions that provoke them.

It asks, from the switch, for each assigned address and for those that were released lately, and at the end of each case
for all addresses that are free. The answers, like those to everybody's questions, are judged as claims.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from ipaddress import ip_address
from typing import TYPE_CHECKING

from lbproof.context.claims import Claim
from lbproof.lab.base import Capability
from lbproof.spec.families import Family, family_of
from lbproof.standing.claims import EARLY, ClaimJudge
from lbproof.standing.silence import SilenceJudge
from lbproof.witnesses import neighbour
from lbproof.witnesses.stream import ProbeError
from lbproof.witnesses.switch import CLAIMS, SwitchListener

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lbproof.context import RunContext
    from lbproof.standing.assignments import Assignments
    from lbproof.standing.finding import Finding
    from lbproof.standing.surroundings import Surroundings
    from lbproof.witnesses.neighbour import Message

_EVERY = 0.2
"""Seconds between two questions for an assigned address."""
_SELDOM = 5
"""Questions for an assigned address for each one for a released one."""
_LATE = 1.0
"""Seconds for the answers to the last questions: Linux' time until it asks again. All statuses are known by then."""
_RELEASED = 60.0
"""Seconds for which a released address is asked for."""


class NoPorts(Exception):  # noqa: N818 - a limit of the lab
    """The lab has no ports to watch."""


class SegmentWitness:
    """Watches and judges the first segment of one lab."""

    def __init__(self, run: RunContext, surroundings: Surroundings, assignments: Assignments) -> None:
        """Watch nothing yet."""
        self._run, self._assignments = run, assignments
        self._free = {str(address) for address in run.lab.segment.free}
        self._of_nodes = {str(address) for node in run.lab.nodes for address in node.addresses}
        """Addresses that nodes claim for themselves, whatever pool has them (REQ-06)."""
        macs = {node.mac: node.name for node in run.lab.nodes}
        self._judge = ClaimJudge(surroundings, assignments, macs=macs, budget=run.wait.budget)
        self._silence = SilenceJudge(surroundings, assignments, budget=run.wait.budget)
        self._claims: deque[Claim] = deque()
        self._questions: deque[tuple[float, list[str]]] = deque()
        """Moment and addresses of each round of questions for what is assigned."""
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._ask, name="standing questions", daemon=True)
        self._failure: Exception | None = None

    def start(self) -> None:
        """Start to watch and to ask. Raises `NoPorts` and `ProbeError`."""
        if not self._run.lab.can(Capability.PORTS):
            raise NoPorts("this lab has no ports at which frames enter the segment")
        ports = self._run.lab.ports()
        self._vantage = ports.vantage
        self._listener = SwitchListener(
            ports.vantage, ports.nodes, CLAIMS, ignored=ports.own, each=self._keep, apart=True
        )
        self._listener.__enter__()
        self._thread.start()

    def stop(self) -> None:
        """End. Raises `ProbeError` when frames were lost."""
        self._ending.set()
        self._thread.join()
        self._listener.__exit__()

    def _keep(self, t: float, node: str, frame: bytes) -> None:
        """Keep a frame that a node sent, if it claims an address that the run uses."""
        family = Family.IPV4 if frame[12:14] == b"\x08\x06" else Family.IPV6
        message = neighbour.decode(family, frame, t)
        if message and self._is_used(message):
            self._claims.append(Claim(message, node, node))

    def _is_used(self, message: Message) -> bool:
        """Return whether the run uses an address that hosts may claim.

        Where node ports are served at 127.0.0.1, as kube-proxy does, every node answers ARP for all of 127.0.0.0/8
        (Linux, `route_localnet`), whoever has such an address by a status.
        """
        address = str(message.sender_ip)
        if message.sender_ip.is_loopback or address in self._of_nodes:
            return False
        return address in self._free or self._assignments.knows(address)

    def _ask(self) -> None:
        """Ask for assigned and lately released addresses until the end."""
        try:
            for turn in itertools.count():
                if self._ending.wait(_EVERY):
                    return
                released = [] if turn % _SELDOM else self._assignments.released(time.monotonic() - _RELEASED)
                now, assigned = time.monotonic(), [one.address for one in self._assignments.present()]
                asked = self._send([*assigned, *released])
                self._questions.append((now, [one for one in assigned if one in asked]))
        except Exception as error:  # noqa: BLE001 - whatever it is, the judge is told
            if not self._ending.is_set():
                self._failure = error

    def _send(self, addresses: Iterable[str]) -> set[str]:
        """Ask for addresses; return those of IPv4.

        By NDP the switch asks from an address that is nobody's, so that no answer holds nothing against anybody: a node
        may have to ask for that address before it can answer.
        """
        asked = [found for one in addresses if family_of(found := ip_address(one)) in self._vantage.families]
        self._listener.send(neighbour.encode(self._vantage, neighbour.Question(target=one)) for one in asked)
        return {str(one) for one in asked if family_of(one) is Family.IPV4}

    def judge(self) -> Iterator[Finding]:
        """Judge the claims of which all is known. Raises `ProbeError` when something may be missing."""
        self._send(self._free)
        yield from self._until(time.monotonic() - EARLY)

    def _until(self, moment: float) -> Iterator[Finding]:
        self._listener.exchange()
        while self._claims and self._claims[0].message.t <= moment:
            claim = self._claims.popleft()
            yield from self._ask_in_vain(claim.message.t)
            self._silence.claim(claim)
            yield from self._judge.claim(claim)
        yield from self._ask_in_vain(moment)
        if self._failure is not None:
            raise ProbeError(f"questions of the standing witness: {self._failure}") from self._failure

    def _ask_in_vain(self, moment: float) -> Iterator[Finding]:
        """Judge the questions up to a moment, at which the next claim arrived."""
        while self._questions and self._questions[0][0] <= moment:
            t, addresses = self._questions.popleft()
            for address in addresses:
                yield from self._silence.question(t, address)

    def finish(self) -> Iterator[Finding]:
        """Ask once more for everything that is free, and judge everything."""
        yield from self.judge()
        self._ending.wait(_LATE)
        yield from self._until(time.monotonic())
