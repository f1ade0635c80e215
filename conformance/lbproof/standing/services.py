"""Judge of the standing promises about Services: reads every version of each Service in the order of the API server.

It decides without a clock or a client. Only Services that the suite created are judged.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TYPE_CHECKING

from lbproof.context.objects import KUBERNETES, author_of
from lbproof.context.unchanged import is_removal, items_of, untouched
from lbproof.spec import BUDGETS
from lbproof.standing.finding import Finding
from lbproof.standing.surroundings import asks_for, ips

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lbproof.adapters.base import Object
    from lbproof.context.unchanged import Item
    from lbproof.spec.promises import Row
    from lbproof.standing.surroundings import Surroundings

_BALANCED = "LoadBalancer"
_LATE = 2.0
"""Seconds that a version may arrive after a check has read it and asked for something else."""


@dataclass(slots=True)
class _Known:
    """A Service as it was seen last."""

    service: Object
    row: Row
    was_balanced: bool
    """Whether it has ever been of type LoadBalancer."""
    settled: float
    """Moment since which the implementation's present choice of addresses stands."""
    written: frozenset[Item]
    """Items that the suite has written."""
    rewritten: list[Finding] = field(default_factory=list)
    """Changes of its spec by another than the suite while it had no address."""


@dataclass(frozen=True, slots=True)
class _HandedOver:
    """Service that was the implementation's until a moment, and has another class since."""

    t: float
    left: frozenset[Item]
    """What others than the suite had written on it until then, which the former owner may remove."""


class ServiceJudge:
    """Judges each version of each Service as it arrives."""

    def __init__(self, surroundings: Surroundings) -> None:
        """Know no Service yet."""
        self._around = surroundings
        self._known: dict[str, _Known] = {}
        self._foreign: dict[str, _Known] = {}
        """Services of other classes, also those that are gone: their Events are read later."""
        self._handed_over: dict[str, _HandedOver] = {}
        """By UID."""
        self._shared: set[tuple[str, frozenset[str]]] = set()
        """Address and the Services that hold it, where that was found already."""

    def version(self, t: float, kind: str, service: Object, *, judged: bool = True) -> Iterator[Finding]:
        """Judge a version that arrived at a moment; `kind`: ADDED, MODIFIED or DELETED.

        `judged`: False where versions before it were not seen, so that nobody knows who made which change.
        """
        if not self._around.is_ours(service):
            return
        uid = service["metadata"]["uid"]
        before = self._known.pop(uid, None)
        row = _row(t, kind, service, before.service if before else None)
        balanced = service["spec"].get("type") == _BALANCED
        now = _Known(
            service,
            row,
            was_balanced=balanced or (before is not None and before.was_balanced),
            settled=t if before is None or ips(before.service) != ips(service) else before.settled,
            written=self._written(service, before),
            rewritten=before.rewritten if before else [],
        )
        if kind != "DELETED":
            self._known[uid] = now
        if not self._around.is_foreign(service):
            self._foreign.pop(uid, None)
        else:
            if before and before.was_balanced and not self._around.is_foreign(before.service):
                self._handed_over[uid] = _HandedOver(t, items_of(service) - now.written)
            self._foreign[uid] = now
        if before is None or not judged:
            return
        if kind == "DELETED":
            yield from self._gone(before, now)
        elif not self._around.wrote(service) and not _is_ending(service):
            yield from self._changed(before, now)

    def _written(self, service: Object, before: _Known | None) -> frozenset[Item]:
        """Return the items of a version that the suite has written, in it or in one before."""
        known, was = (before.written, items_of(before.service)) if before else (frozenset(), frozenset())
        return known | (items_of(service) - was) if self._around.wrote(service) else known

    def _changed(self, before: _Known, now: _Known) -> Iterator[Finding]:
        """Judge a version that another than the suite made."""
        what = "was changed by another than its owner"
        if self._around.is_foreign(now.service):
            if now.row["changed"] and not self._is_clean_up(before, now):
                yield _finding("foreign", "CLASS-02", what, before, now)
        elif not now.was_balanced:
            if now.row["changed"]:
                yield _finding("plain", "TIER-05", what, before, now)
        elif now.service["spec"].get("type") == _BALANCED:
            yield from self._own(before, now)

    def _is_clean_up(self, before: _Known, now: _Known) -> bool:
        """Return whether the former owner of a Service removes what is its own, in time, and does nothing else."""
        handed = self._handed_over.get(now.service["metadata"]["uid"])
        if handed is None or now.row["t"] - handed.t > BUDGETS["annotation_seen"].ceiling:
            return False
        return is_removal(before.service, now.service, handed.left)

    def _gone(self, before: _Known, now: _Known) -> Iterator[Finding]:
        """Judge the end of a Service."""
        if not self._around.was_deleted(now.service):
            what = "was deleted by another than its owner"
            if self._around.is_foreign(now.service):
                yield _finding("foreign", "CLASS-02", what, before, now)
            elif not now.was_balanced:
                yield _finding("plain", "TIER-05", what, before, now)
            else:
                yield _finding("intact", "PEND-01", what, before, now)
        yield from now.rewritten

    def _own(self, before: _Known, now: _Known) -> Iterator[Finding]:
        """Judge what the implementation, or another than the suite, did to one of its own Services."""
        held, holds = ips(before.service), ips(now.service)
        if holds:
            now.rewritten = []  # some implementations write what they give into the spec as well
        elif before.service["spec"] != now.service["spec"]:
            now.rewritten.append(
                _finding("intact", "PEND-01", "has another spec, and was given no address", before, now)
            )
        for address in [address for address in holds if address not in held]:
            yield from self._given(address, before, now)
        lost = [address for address in held if address not in holds]
        if lost and not self._is_explained(lost, before, now):
            instead = ", ".join(holds) or "none"
            what = f"lost {', '.join(lost)}, which nobody asked for, and then had {instead}"
            yield _finding("kept", self._stability(lost[0], now), what, before, now)

    def _given(self, address: str, before: _Known, now: _Known) -> Iterator[Finding]:
        """Judge an address that appears in a status."""
        t = now.row["t"]
        if self._around.claims("pool") and not self._around.in_pool(ip_address(address), t):
            asked = asks_for([now.service], address, self._around.adapter, self._around.claims)
            requirement = "REQ-02" if asked else "POOL-01"
            yield _finding("in-pool", requirement, f"was given {address}, which is in no pool", before, now)
        for other in self._others(now):
            if address not in ips(other.service) or not self._around.claims("pool"):
                continue
            if self._around.may_share(now.service, other.service):
                continue
            pair = frozenset((now.row["service"], other.row["service"]))
            if (address, pair) not in self._shared:
                self._shared.add((address, pair))
                requirement = "UPGR-04" if self._around.has_copies(t) else "POOL-02"
                found = _finding("one-holder", requirement, f"was given {address}", other, now)
                found.subject = address
                found.what = f"{address} was given to {now.row['service']} while {other.row['service']} had it"
                yield found

    def _others(self, now: _Known) -> list[_Known]:
        """Return the other Services whose addresses are the implementation's."""
        return [
            other
            for other in self._known.values()
            if other is not now
            and other.service["spec"].get("type") == _BALANCED
            and not _is_ending(other.service)
            and not self._around.is_foreign(other.service)
        ]

    def _is_explained(self, lost: list[str], before: _Known, now: _Known) -> bool:
        """Return whether the suite asked for the change, or disturbed what an address depends on."""
        t = now.row["t"]
        around = self._around
        since = before.settled - _LATE
        if around.asked(now.service, since, t) or around.is_disturbed(t) or self._shared_and_changed(lost, now, since):
            return True
        if around.changed_endpoints(now.service, since, t):
            return True
        return around.claims("pool") and any(around.pool_was_changed(ip_address(one), since, t) for one in lost)

    def _shared_and_changed(self, lost: list[str], now: _Known, since: float) -> bool:
        """Return whether the suite changed a Service with which this one shared what it lost: either may lose it."""
        around = self._around
        return around.claims("sharing") and any(
            address in ips(other.service) and around.asked(other.service, since, now.row["t"])
            for other in self._others(now)
            for address in lost
        )

    def _stability(self, address: str, now: _Known) -> str:
        """Return the requirement that says that nothing moves, by what went on."""
        t = now.row["t"]
        if self._around.has_copies(t):
            return "UPGR-04"
        if self._around.is_restarting(t) or not self._around.claims("pool"):
            return "UPGR-01"
        others = [other.service for other in self._others(now)]
        if self._around.claims("explicit-ip") and asks_for(others, address, self._around.adapter, self._around.claims):
            return "REQ-03"
        if self._around.widened(t):
            return "PEND-04"
        return "PEND-01" if any(not ips(other) for other in others) else "UPGR-01"

    def event(self, t: float, event: Object) -> Iterator[Finding]:
        """Judge an Event about a Service that arrived at a moment."""
        uid = event.get("involvedObject", {}).get("uid", "")
        known = self._foreign.get(uid)
        source = author_of(event)
        if known is None or source in KUBERNETES:
            return
        handed = self._handed_over.get(uid)
        if handed and t - handed.t <= BUDGETS["event_seen"].ceiling:  # told late of what it was
            return
        row = known.row | {"t": t, "type": "EVENT", "changed": {}, "by": [source]}
        row |= {"version": event["metadata"]["resourceVersion"], "event": event.get("reason", "")}
        yield Finding(
            promise="foreign",
            requirement="CLASS-02",
            subject=row["service"],
            what=f"{row['service']}, of another class, has an Event {event.get('reason', '')} of {source or '?'}",
            begin=t,
            end=t,
            observed=[known.row, row],
        )


def _is_ending(service: Object) -> bool:
    return "deletionTimestamp" in service["metadata"]


def _finding(promise: str, requirement: str, what: str, before: _Known, now: _Known) -> Finding:
    name = now.row["service"]
    by = f" (by {', '.join(now.row['by'])})" if now.row["by"] else ""
    return Finding(
        promise=promise,
        requirement=requirement,
        subject=name,
        what=f"{name} {what}{by}",
        begin=now.row["t"],
        end=now.row["t"],
        observed=[before.row, now.row],
    )


def _row(t: float, kind: str, service: Object, before: Object | None) -> Row:
    """Return a version as an observation, with what is different from the version before."""
    meta, parts = service["metadata"], untouched(service)
    was = untouched(before) if before else parts
    latest = max((entry.get("time", "") for entry in meta.get("managedFields", ())), default="")
    return {
        "t": t,
        "type": kind,
        "service": f"{meta['namespace']}/{meta['name']}",
        "version": meta["resourceVersion"],
        "status": ips(service),
        "changed": {name: [was[name], parts[name]] for name in parts if was[name] != parts[name]},
        "by": sorted({e["manager"] for e in meta.get("managedFields", ()) if e.get("time") == latest})
        if latest
        else [],
    }
