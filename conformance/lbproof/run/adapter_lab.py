"""Verification of an adapter in a lab: a pool, Services that are served, one that is refused, a release; a line each.

The steps use everything that the adapter claims to report, so that a wrong pattern is found before a run of all checks.
"""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import zip_longest
from typing import TYPE_CHECKING

from lbproof.adapters import rendering
from lbproof.adapters.base import Ask, Cause
from lbproof.context import CannotShow, CheckContext
from lbproof.lab.base import LabError
from lbproof.run.adapter_check import Line
from lbproof.run.failures import exit_code_of, first_line
from lbproof.spec import Exit
from lbproof.witnesses.kube import ApiError, ApiUnreachable
from lbproof.witnesses.stream import ProbeError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from lbproof.adapters.base import Object
    from lbproof.context import RunContext
    from lbproof.context.objects import Service

FAILURES = (AssertionError, ApiError, ApiUnreachable, LabError, CannotShow, ProbeError)
"""Exceptions that a step may end with."""


def timed(what: str, step: Callable[[], str]) -> Line:
    """Run a step; return its line."""
    began = time.monotonic()
    try:
        text, cause = step(), None
    except FAILURES as error:
        text, cause = first_line(error), error
    return Line(
        what=what,
        ok=cause is None,
        text=text,
        seconds=time.monotonic() - began,
        of_environment=isinstance(cause, CannotShow) or exit_code_of(cause) is Exit.NO_ENVIRONMENT,
    )


def in_lab(run: RunContext) -> Iterator[Line]:
    """Verify the adapter of an installed implementation; end after the first step that fails, and remove everything."""
    check = CheckContext(run, "adapter", capture=False)
    try:
        yield from _tried(run, check)
    except BaseException:
        check.close(rest=False)
        raise

    def clean_up() -> str:
        check.close(rest=False)
        return ""

    line = timed("clean-up", clean_up)
    if not line.ok:
        yield line


def _tried(run: RunContext, check: CheckContext) -> Iterator[Line]:
    for what, step in _Steps(check).all():
        line = timed(what, step)
        yield line
        if not line.ok:
            ended = timed("pods", lambda: ", ".join(run.workloads.ended()))
            if ended.text:
                text = f"containers have ended: {ended.text}" if ended.ok else ended.text
                yield replace(ended, ok=False, text=text)
            return


class _Steps:
    """Steps in their order, each of which returns what it saw."""

    def __init__(self, check: CheckContext) -> None:
        self._check, self._run, self._adapter = check, check.run, check.run.adapter

    def all(self) -> Iterator[tuple[str, Callable[[], str]]]:
        steps = {
            "pool": (self.pool, "pool"),
            "service": (self.service, "core"),
            "announced": (self.announced, "l2"),
            "allocation": (self.allocation, "allocation-event"),
            "pool mark": (self.pool_mark, "pool-mark"),
            "announcer": (self.announcer, "announcer-status"),
            "refusal": (self.refusal, "pool"),
            "release": (self.release, "pool"),
            "removal": (self.removal, "pool"),
        }
        for what, (step, feature) in steps.items():
            if self._run.claims(feature):
                yield what, step

    def pool(self) -> str:
        addresses = self._run.addresses(2)
        self._pool = self._check.pool(addresses, addresses=addresses)  # two blocks
        objects = [_named(made) for made in self._run.pools.objects]
        if error := rendering.pool_error(self._adapter, self._check.cluster, self._pool.spec):
            raise AssertionError(f"pool_error() says of a pool in which nothing is wrong: {error}")
        return f"{', '.join(map(str, addresses))} in {', '.join(objects)}"

    def service(self) -> str:
        ways = [how for how in Ask if self._run.claims(f"explicit-ip-{how}")]
        found = []
        for name, how, wanted in zip_longest(("first", "second"), ways, reversed(self._pool.addresses)):
            self._service = self._check.service(name, serving=True, ask=wanted if how else "", how=how)
            self._address = self._check.assigned(self._service)
            asked = f"asked for {wanted} by {how} and " if how else ""
            if self._address != wanted if how else self._address not in self._pool.addresses:
                raise AssertionError(f"{self._service} {asked}is given {self._address}")
            found.append(f"{self._service} {asked}is given {self._address}")
        return ", ".join(found)

    def announced(self) -> str:
        self._node = self._check.announcer(self._address)
        return f"{self._node.name} answers for {self._address}"

    def allocation(self) -> str:
        event = self._check.event(self._service, self._adapter.allocation, says=str(self._address))
        return f"{event['reason']}: {event['message']}"

    def pool_mark(self) -> str:
        name = rendering.pool_name(self._adapter, self._pool.spec)
        what = f"{' or '.join(map(str, self._adapter.pool_marks))} names {name}"
        return self._named(name, self._check.pool_marks, what, "annotation_seen")

    def announcer(self) -> str:
        node = self._check.announcer(self._address).name
        return self._named(node, self._check.named_announcers, f"{node} is named as the announcer", "event_seen")

    def _named(self, name: str, names: Callable[[Service], Collection[str | None]], what: str, budget: str) -> str:
        """Wait until a name is among those that the Service's reports give; return it."""
        self._check.wait.eventually(lambda: names(self._service), lambda found: name in found, what=what, budget=budget)
        return name

    def refusal(self) -> str:
        self._waiting = self._check.service("third", serving=True)
        reason = self._check.refused(self._waiting, Cause.POOL_EXHAUSTED)
        return reason or f"{self._waiting} has no address, and nothing says why"

    def release(self) -> str:
        self._check.delete(self._service)
        return f"{self._waiting} is given {self._check.assigned(self._waiting)}"

    def removal(self) -> str:
        before = self._run.pools.objects
        self._run.pools.drop(self._pool.name)
        after = [self._run.pools.key(made) for made in self._run.pools.objects]
        kept = [_named(made) for made in before if self._run.pools.key(made) in after]
        gone = [_named(made) for made in before if self._run.pools.key(made) not in after]
        return "; ".join(f"{what} {', '.join(names)}" for what, names in (("deleted", gone), ("kept", kept)) if names)


def _named(made: Object) -> str:
    return f"{made['kind']} {made['metadata']['name']}"
