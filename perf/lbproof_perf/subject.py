"""One arm's address under faults, and the labs of all arms that are measured together."""

from __future__ import annotations

import random
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from lbproof.lab.base import Fault, LabError, Topology
from lbproof.witnesses.wait import EventuallyFailed, eventually
from lbproof_perf import scene
from lbproof_perf.book import Step
from lbproof_perf.faults import KINDS
from lbproof_perf.ruler.outage import Outage, announcers, outage
from lbproof_perf.ruler.ruler import Ruler, at_client, at_far, names_of
from lbproof_perf.ruler.stalls import Stalls

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from lbproof.lab.base import Lab, Node
    from lbproof_perf.arms import Arm
    from lbproof_perf.book import Book
    from lbproof_perf.faults import Kind
    from lbproof_perf.ruler.reading import Reading
    from lbproof_perf.scene import Scene

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
"""Seconds that the ruler's processes take to start, and before a cold client's first question at which the fault is
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
    marks: tuple[str, ...] = ()

    @property
    def outage(self) -> Outage:
        """What it cost."""
        return outage(self.found, self.fault.earliest, self.announcer.mac, self.end)


@dataclass(slots=True, kw_only=True)
class Subject:
    """One arm's address under faults."""

    scene: Scene
    address: str
    stalls: Stalls

    @classmethod
    def of(cls, made: Scene, stalls: Stalls, *, nodes: Sequence[str] | None = None) -> Subject:
        """Expose a workload on the named nodes, or on every worker."""
        workers = [node.name for node in made.lab.nodes[1:]]
        app = made.check.web("backend", nodes=nodes or workers, replicas=1 if nodes else len(workers))
        return cls(scene=made, address=made.expose("outage", {"app": app}), stalls=stalls)

    @property
    def _lab(self) -> Lab:
        return self.scene.lab

    def trial(self, book: Book, step: Step) -> None:
        """Do the fault that the step names, watch what it costs, put it right, and keep it."""
        *healed, watched = self.watch(step.case)
        for one in healed:  # first, so that a run that is stopped in between makes both again
            number = 1 + len(book.of(step.bench, step.arm, one.case))
            self._keep(book, Step(bench=step.bench, arm=step.arm, case=one.case, number=number), one)
        self._keep(book, step, watched)

    def watch(self, case: str) -> list[Watched]:
        """Do a fault and put it right; what was seen of its undo, where that is watched, and then of itself.

        Raises `LabError` when the address does not serve before it.
        """
        kind = kind_of(case)
        announcer = self.scene.check.announcer(self.address, budget="one_answerer")
        with ExitStack() as stack:
            if case.endswith("-cold"):
                ruler, fault, marks = self._cold(stack, kind, announcer)
            else:
                ruler, marks = self._warm(stack, far=case.endswith("-far")), []
                fault = self._strike(kind, announcer)
            if kind.over:
                kind.over(self.scene)
            marks += wide_bracket(fault)
            if not ruler.quiet_after(fault.began, _RECOVERY, kind.watch):
                marks.append(f"no recovery within {_RECOVERY:g} s")
            ends = time.monotonic()
            undone = self._heal(ruler, fault) if kind.heals else None
            closed = time.monotonic()
        found = ruler.reading()
        fault.undo()
        self._restore()
        seen = [Watched(case=case, fault=fault, announcer=announcer, found=found, end=ends, marks=tuple(marks))]
        if undone:
            again, told = undone
            healer = self._announcing(found, again.began) or announcer
            seen.insert(0, Watched(case="heal", fault=again, announcer=healer, found=found, end=closed, marks=told))
        return seen

    def _heal(self, ruler: Ruler, fault: Fault) -> tuple[Fault, tuple[str, ...]]:
        """Undo a fault and watch until one announces: the undo as a fault of its own, and why to look twice."""
        began = time.monotonic()
        fault.undo()
        agreed = ruler.until(lambda found, now: one_answers(found, now, began), _WHOLE)
        undone = Fault(kind=f"{fault.kind} undone", target=fault.target, began=began, undo_with=_nothing)
        return undone, () if agreed else (f"not one announcer {_WHOLE:g} s after the repair",)

    def _announcing(self, found: Reading, now: float) -> Node | None:
        """The node that answered the census last, within a second; None when none did."""
        recent = found.answers.who[(found.answers.at > now - 1.0) & (found.answers.at <= now)]
        mac = found.macs[recent[-1]] if len(recent) else ""
        return next((node for node in self._lab.nodes if node.mac == mac), None)

    def _warm(self, stack: ExitStack, *, far: bool) -> Ruler:
        ruler = stack.enter_context((at_far if far else at_client)(self._lab, self.address))
        if not ruler.quiet(_READY):
            raise LabError(f"{self.scene.arm.name}: {self.address} was not answered without a gap before the fault")
        threading.Event().wait(random.uniform(0, _PHASE))  # noqa: S311 - a phase, no secret
        return ruler

    def _cold(self, stack: ExitStack, kind: Kind, announcer: Node) -> tuple[Ruler, Fault, list[str]]:
        """A client that has no neighbour entry and asks for the first time just after the fault."""
        ruler = at_client(self._lab, self.address)
        client = self._lab.client()
        scene.ip_at(client, "neigh", "flush", "to", self.address, "dev", client.interface)
        begin = time.monotonic() + _START
        stack.callback(ruler.__exit__)
        ruler.start(begin)
        threading.Event().wait(begin - _LEAD - time.monotonic())
        fault = self._strike(kind, announcer)
        return ruler, fault, [] if fault.began < begin else ["the fault came after the first question"]

    def _strike(self, kind: Kind, announcer: Node) -> Fault:
        fault = kind.act(self.scene, announcer)
        self.scene.check.undo.later(f"{fault.kind} of {fault.target}", fault.undo)
        return fault

    def _keep(self, book: Book, step: Step, seen: Watched) -> None:
        fault, found = seen.fault, seen.found
        names = names_of(self._lab)
        late = self.stalls.between(fault.earliest - _BEFORE, seen.end)
        worst = max((seconds for _, seconds in late), default=0.0)
        stalled = (f"the machine stalled for {worst * 1000:.0f} ms",) if worst >= _STALL else ()
        after = self._announcing(found, seen.end)
        detail: dict[str, Any] = {
            "fault": fault.kind,
            "target": fault.target,
            "before": seen.announcer.name,
            "after": after.name if after else "",
            "macs": list(found.macs),
            "nodes": [names.get(mac, "") for mac in found.macs],
        }
        arrays = found.arrays() | {
            "stall_at": np.array([at for at, _ in late]),
            "stall_seconds": np.array([seconds for _, seconds in late]),
            "fault_at": np.array([fault.began]),
            "fault_before": np.array([fault.earliest]),
        }
        values = seen.outage.values() | {"worst_stall_seconds": worst}
        if fault.before is not None:
            values["fault_bracket_seconds"] = fault.began - fault.before
        book.add(step, values, marks=(*seen.marks, *stalled), detail=detail, arrays=arrays)

    def _restore(self) -> None:
        """Wait until the lab is as before, and one node answers.

        Where they do not agree soon, the announcers are restarted, so that the next fault meets a whole cluster: how
        long they would have taken by themselves is what the case `heal` shows.
        """
        stage = self.scene.check
        stage.settled_after_fault()
        try:
            eventually(
                lambda: sorted(stage.answerers(self.address, wait=_LOOK)),
                lambda who: len(who) == 1,
                what=f"one node answers for {self.address}",
                within=_SOON,
                in_a_row=3,
            )
        except EventuallyFailed:
            KINDS["rolling-restart"].act(self.scene, self._lab.nodes[0])
            stage.run.rolled_out(stage.run.adapter.announcer)


class Company:
    """The labs of several arms: booted when first asked for and kept up, each with an address that serves."""

    def __init__(
        self,
        components: Path | None,
        say: Callable[[str], None],
        topology: Topology | None = None,
        *,
        everywhere: bool = False,
    ) -> None:
        """Nothing is booted yet. `everywhere`: backends on every worker, else where no fault reaches."""
        self._components, self._say, self._topology = components, say, topology or Topology()
        self._everywhere = everywhere
        self._stack = ExitStack()
        self._subjects: dict[str, Subject] = {}
        self._stalls: Stalls | None = None

    def subject(self, arm: Arm) -> Subject:
        """The arm, at work. Raises `LabError` when a lab cannot be had."""
        if arm.name not in self._subjects:
            if self._stalls is None:
                self._stalls = self._stack.enter_context(Stalls())
            opened = scene.opened(arm, self._topology, components=self._components, say=self._say)
            made = self._stack.enter_context(opened)
            nodes = None if self._everywhere else [made.lab.nodes[0].name]
            self._subjects[arm.name] = Subject.of(made, self._stalls, nodes=nodes)
        return self._subjects[arm.name]

    def close(self) -> None:
        """Take all of it down; what is asked for after it is booted anew."""
        self._subjects, self._stalls = {}, None
        self._stack.close()

    def __enter__(self) -> Self:
        """The company itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Take all of it down."""
        self.close()


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


def _nothing() -> None:
    """There is nothing to undo."""
