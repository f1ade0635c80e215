"""Standing promises: what holds for the whole of a run and not only in the case that proves it.

Two witnesses run as long as the checks: a watch of Services and their Events, and a capture of ARP and NDP with the
port of entry of each frame. What violates a promise is a failure of its requirement, whatever case ran meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Row = dict[str, Any]
"""Observation that proves a violation: a version of an object, or a frame."""
SILENCES = 2
"""Silences of assigned addresses that are a violation: a single one may be the machine's."""
UNANSWERED = 5
"""Requests in a row without an answer that are a silence."""
Witness = Literal["services", "segment"]
WITNESSES: dict[str, str] = {
    "services": "watch of Services and their Events",
    "segment": "ARP and NDP at the ports of the segment",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """Something that holds at any time."""

    name: str
    witness: Witness
    text: str
    requirements: tuple[str, ...]
    """Requirements that state it, each for some circumstances."""
    shown_by: Callable[[Sequence[Row]], bool]
    """Whether observations show a violation, as far as they alone can tell."""


def _two_holders(rows: Sequence[Row]) -> bool:
    """Return whether two Services have one address in their status."""
    return any(
        set(one["status"]) & set(other["status"])
        for one in rows
        for other in rows
        if one["service"] != other["service"]
    )


def _changed(rows: Sequence[Row]) -> bool:
    """Return whether a Service has changed or gone, or an Event is about it."""
    return any(row["changed"] or row["type"] in {"DELETED", "EVENT"} for row in rows)


def _given(rows: Sequence[Row]) -> bool:
    return any(row["status"] for row in rows)


def _lost(rows: Sequence[Row]) -> bool:
    """Return whether an address of the first version is missing in a later one."""
    return any(set(rows[0]["status"]) - set(row["status"]) for row in rows[1:])


def _two_nodes(rows: Sequence[Row]) -> bool:
    """Return whether two nodes claim one address."""
    return len({row["node"] for row in rows}) > 1 and len({row["sender_ip"] for row in rows}) == 1


def _claimed(rows: Sequence[Row]) -> bool:
    return bool(rows) and all(row["sender_ip"] and row["node"] for row in rows)


def _fell_silent(rows: Sequence[Row]) -> bool:
    """Return whether requests after claims had no answer, several times."""
    silences = {row["t"] for row in rows if row["sender_ip"] and row["unanswered"] >= UNANSWERED}
    return len(silences) >= SILENCES


_PROMISES = (
    Promise(
        name="one-holder",
        witness="services",
        text="No address is in the status of two Services, unless both ask to share it.",
        requirements=("POOL-02", "UPGR-04"),
        shown_by=_two_holders,
    ),
    Promise(
        name="in-pool",
        witness="services",
        text="An address that a Service is given is in a pool.",
        requirements=("POOL-01", "REQ-02"),
        shown_by=_given,
    ),
    Promise(
        name="kept",
        witness="services",
        text="An address that is assigned stays in the status of its Service.",
        requirements=("UPGR-01", "UPGR-04", "PEND-01", "PEND-04", "REQ-03"),
        shown_by=_lost,
    ),
    Promise(
        name="intact",
        witness="services",
        text="The spec of a Service that is given no address is changed by its owner alone.",
        requirements=("PEND-01",),
        shown_by=_changed,
    ),
    Promise(
        name="foreign",
        witness="services",
        text="A Service of another class is left alone.",
        requirements=("CLASS-02",),
        shown_by=_changed,
    ),
    Promise(
        name="plain",
        witness="services",
        text="A Service of type ClusterIP or NodePort is left alone.",
        requirements=("TIER-05",),
        shown_by=_changed,
    ),
    Promise(
        name="one-answerer",
        witness="segment",
        text="An assigned address is claimed by one node at a time.",
        requirements=("L2-01",),
        shown_by=_two_nodes,
    ),
    Promise(
        name="answered",
        witness="segment",
        text="An assigned address that was answered for does not fall silent while nothing is done to it.",
        requirements=("L2-01",),
        shown_by=_fell_silent,
    ),
    Promise(
        name="unassigned",
        witness="segment",
        text="An address that is assigned to nobody is claimed by nobody.",
        requirements=("L2-04", "RECL-03", "CLASS-02"),
        shown_by=_claimed,
    ),
    Promise(
        name="own-mac",
        witness="segment",
        text="A node claims an address at its own hardware address, which is also the source of the frame.",
        requirements=("L2-02",),
        shown_by=_claimed,
    ),
)
PROMISES = {promise.name: promise for promise in _PROMISES}
