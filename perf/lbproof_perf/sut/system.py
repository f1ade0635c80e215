"""One arm's address under faults, and the labs of all arms that are measured together."""

from __future__ import annotations

import random
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lbproof.adapters.base import WorkloadRole
from lbproof.lab.base import LabError, Topology
from lbproof.lab.fault import Fault
from lbproof.witnesses import neighbours
from lbproof.witnesses.wait import EventuallyFailed, eventually
from lbproof_perf.outage_probe.jitter import JitterLog
from lbproof_perf.outage_probe.outage import Outage, announcers, outage
from lbproof_perf.outage_probe.probe import OutageProbe, at_client, at_far
from lbproof_perf.sut import deployment
from lbproof_perf.sut.faults import KINDS, restart_speakers

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from lbproof.lab.base import Lab, Node
    from lbproof.spec.families import IPAddress
    from lbproof_perf.outage_probe.reading import Reading
    from lbproof_perf.sut.arms import Arm
    from lbproof_perf.sut.deployment import Deployment
    from lbproof_perf.sut.faults import Kind

    Floats = NDArray[np.float64]

_READY = 60.0
_RECOVERY = 40.0
"""Seconds that an outage is watched for; one that lasts longer is kept as without recovery."""
_WHOLE = 90.0
"""Seconds that two sides of a healed segment are given to agree on one announcer."""
_ALONE = 2.0
"""Seconds in which one node alone answers once the two sides agree."""
_BEFORE = 1.0
"""Seconds before a fault in which a stall of the machine counts as beside it."""
_LOOK, _SOON = 0.08, 8.0
"""Seconds that answers are waited for before the next fault, and within which one node alone must give them."""
_PHASE = 0.2
"""Seconds over which the moment of a fault is drawn."""
_STALL = 0.025
"""Seconds of a stall of the machine from which on a trial is marked."""
_BRACKET = 0.01
"""Seconds within which a fault must have taken effect, else a trial is marked: a third of the shortest outage that is
published (27 ms). What is lost in a wider bracket for another reason would count as that of the fault."""
_START, _LEAD = 0.6, 0.08
"""Seconds that the outage probe's tasks take to start, and before a cold client's first question at which the fault is
begun: it takes some hundredths to take effect."""


def kind_of(case: str) -> Kind:
    """The fault of a case, whoever asks meanwhile and wherever the backends are."""
    return KINDS[case.removesuffix("-cold").removesuffix("-far").removesuffix("-endpoints")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A fault, or its undo taken as one, and what was read from it on."""

    case: str
    fault: Fault
    announcer: Node
    """Who announced when it happened."""
    found: Reading
    end: float
    """Until when it was watched."""
    warnings: tuple[str, ...] = ()

    @property
    def outage(self) -> Outage:
        """What it cost."""
        return outage(self.found, self.fault.earliest, self.announcer.mac, self.end)


@dataclass(slots=True, kw_only=True)
class SystemUnderTest:
    """One arm's address under faults."""

    deployment: Deployment
    address: IPAddress
    jitter: JitterLog

    @property
    def _lab(self) -> Lab:
        return self.deployment.lab

    def watch(self, case: str) -> list[Watched]:
        """Do a fault and put it right; what was seen of its undo, where that is watched, and then of itself.

        Raises `LabError` when the address does not serve before it.
        """
        kind = kind_of(case)
        announcer = self.deployment.check.announcer(self.address, budget="one_answerer")
        with ExitStack() as stack:
            if case.endswith("-cold"):
                probe, fault, warnings = self._cold(stack, kind, announcer)
            else:
                probe, warnings = self._warm(stack, far=case.endswith("-far")), []
                fault = self._strike(kind, announcer)
            if kind.over:
                kind.over(self.deployment)
            warnings += wide_bracket(fault)
            if not probe.quiet(_RECOVERY, after=fault.began, span=kind.watch):
                warnings.append(f"no recovery within {_RECOVERY:g} s")
            begin, healed = time.monotonic(), True
            if kind.heals:
                fault.undo()
                healed = probe.until(lambda found, now: one_answers(found, now, begin), _WHOLE)
            end = time.monotonic()
        found = probe.reading()
        fault.undo()
        self._restore()
        seen = [Watched(case=case, fault=fault, announcer=announcer, found=found, end=begin, warnings=tuple(warnings))]
        if kind.heals:  # the undo is a fault of its own
            undone = Fault(kind=f"{fault.kind} undone", target=fault.target, began=begin, undo_with=lambda: None)
            healer = self._announcing(found, begin) or announcer
            late = () if healed else (f"not one announcer {_WHOLE:g} s after the repair",)
            seen.insert(0, Watched(case="heal", fault=undone, announcer=healer, found=found, end=end, warnings=late))
        return seen

    def _announcing(self, found: Reading, now: float) -> Node | None:
        """The node that answered the census last, within a second; None when none did."""
        recent = found.answers.who[(found.answers.at > now - 1.0) & (found.answers.at <= now)]
        mac = found.macs[recent[-1]] if len(recent) else ""
        return next((node for node in self._lab.nodes if node.mac == mac), None)

    def _warm(self, stack: ExitStack, *, far: bool) -> OutageProbe:
        """Return a probe whose client was answered, by a new neighbour entry and no former announcer."""
        neighbours.forget(self._lab.router() if far else self._lab.client(), self.address)
        probe = stack.enter_context((at_far if far else at_client)(self._lab, self.address))
        if not probe.quiet(_READY):
            raise LabError(
                f"{self.deployment.arm.name}: {self.address} was not answered without a gap before the fault"
            )
        threading.Event().wait(random.uniform(0, _PHASE))  # noqa: S311 - a phase, no secret
        return probe

    def _cold(self, stack: ExitStack, kind: Kind, announcer: Node) -> tuple[OutageProbe, Fault, list[str]]:
        """A client that has no neighbour entry and asks for the first time just after the fault."""
        probe = at_client(self._lab, self.address)
        probe.open()
        stack.push(probe)
        neighbours.forget(self._lab.client(), self.address)
        begin = time.monotonic() + _START
        probe.start(begin)
        threading.Event().wait(begin - _LEAD - time.monotonic())
        fault = self._strike(kind, announcer)
        return probe, fault, [] if fault.began < begin else ["the fault came after the first question"]

    def _strike(self, kind: Kind, announcer: Node) -> Fault:
        fault = kind.act(self.deployment, announcer)
        self.deployment.check.undo.later(f"{fault.kind} of {fault.target}", fault.undo)
        return fault

    def kept(self, seen: Watched) -> dict[str, Any]:
        """What is kept of a fault: values, warnings, detail and arrays of its trial."""
        fault, found = seen.fault, seen.found
        names = self.deployment.check.mac_names()
        worst, stall_arrays = stalls(self.jitter, fault.earliest - _BEFORE, seen.end)
        stalled = (f"the machine stalled for {worst * 1000:.0f} ms",) if worst >= _STALL else ()
        after = self._announcing(found, seen.end)
        values = seen.outage.values() | {"worst_stall_seconds": worst}
        if fault.before is not None:
            values["fault_bracket_seconds"] = fault.began - fault.before
        return {
            "values": values,
            "warnings": (*seen.warnings, *stalled),
            "detail": {
                "fault": fault.kind,
                "target": fault.target,
                "before": seen.announcer.name,
                "after": after.name if after else "",
                "macs": list(found.macs),
                "nodes": [names.get(mac, "") for mac in found.macs],
            },
            "arrays": {
                **found.arrays(),
                **stall_arrays,
                "fault_at": np.array([fault.began]),
                "fault_before": np.array([fault.earliest]),
            },
            "clocks": found.clocks,
        }

    def _restore(self) -> None:
        """Wait until the lab is as before, and one node answers.

        Where they do not agree soon, the announcers are restarted, so that the next fault meets a whole cluster: how
        long they would have taken by themselves is what the case `heal` shows.
        """
        check = self.deployment.check
        check.settled_after_fault()
        try:
            eventually(
                lambda: sorted(check.answerers(self.address, wait=_LOOK)),
                lambda who: len(who) == 1,
                what=f"one node answers for {self.address}",
                within=_SOON,
                in_a_row=3,
            )
        except EventuallyFailed:
            restart_speakers(self.deployment)
            check.run.workloads.rolled_out(*check.run.workloads.of(WorkloadRole.ANNOUNCER))


class LabPool(ExitStack):
    """The labs of several arms: booted when first asked for and kept up until it is closed, each with an address."""

    def __init__(
        self,
        components: Path | None,
        say: Callable[[str], None],
        topology: Topology | None = None,
        *,
        everywhere: bool = False,
    ) -> None:
        """Nothing is booted yet. `everywhere`: backends on every worker, else where no fault reaches."""
        super().__init__()
        self._components, self._say, self._topology = components, say, topology or Topology()
        self._everywhere = everywhere
        self._systems: dict[str, SystemUnderTest] = {}

    def system(self, arm: Arm) -> SystemUnderTest:
        """The arm, at work; booted anew after `close`. Raises `LabError` when a lab cannot be had."""
        if arm.name not in self._systems:
            opened = deployment.opened(arm, self._topology, components=self._components, say=self._say)
            made = self.enter_context(opened)
            if not self._systems:
                self._jitter = self.enter_context(JitterLog(made.lab.client()))
                self.callback(self._systems.clear)
            control_plane, *workers = [node.name for node in made.lab.nodes]
            nodes = workers if self._everywhere else [control_plane]
            app = made.check.web("backend", nodes=nodes, replicas=len(nodes))
            address = made.expose("outage", {"app": app})
            self._systems[arm.name] = SystemUnderTest(deployment=made, address=address, jitter=self._jitter)
        return self._systems[arm.name]


def one_answers(found: Reading, now: float, since: float) -> bool:
    """Whether one node alone answered in the last seconds, all of them after a moment."""
    begin = now - _ALONE
    two, none = announcers(found, begin, now)
    return begin >= since and two == 0 and none is not None and none < _ALONE / 2


def wide_bracket(fault: Fault) -> tuple[str, ...]:
    """The mark of a fault whose two readings of the clock are far apart; empty where they are not."""
    seconds = fault.began - fault.earliest
    if seconds <= _BRACKET:
        return ()
    return (f"when the fault took effect is known to {seconds * 1000:.0f} ms alone",)


def stalls(jitter: JitterLog, begin: float, end: float) -> tuple[float, dict[str, Floats]]:
    """The worst stall of the machine in a span of `time.monotonic()`, in seconds, and the arrays of all of them."""
    late = np.array(jitter.between(begin, end), dtype=np.float64).reshape(-1, 2)
    return float(late[:, 1].max(initial=0.0)), {"stall_at": late[:, 0], "stall_seconds": late[:, 1]}
