"""Events of the standing witnesses of a run, and how they read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lbproof.spec.promises import PROMISES, WITNESSES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Event = dict[str, Any]
_STATES = ("watching", "unavailable", "broken")
"""States of a standing witness, from best to worst."""


class UnknownPromise(ValueError):  # noqa: N818 - it names what was given
    """An event names a standing promise or its requirement, and the specification has none."""


def by_requirement(events: Iterable[Event]) -> dict[str, list[Event]]:
    """Return the violations that were seen, by requirement. Raises `UnknownPromise`."""
    found: dict[str, list[Event]] = {}
    for event in events:
        if event["event"] == "standing":
            promise = PROMISES.get(event["promise"])
            if promise is None or event["requirement"] not in promise.requirements:
                raise UnknownPromise(f"there is no standing promise {event['promise']} of {event['requirement']}")
            found.setdefault(event["requirement"], []).append(event)
    return found


def by_promise(events: Iterable[Event]) -> list[list[Event]]:
    """Return violations that read alike together: those of one promise and requirement, in the order of the first."""
    found: dict[tuple[str, str], list[Event]] = {}
    for event in events:
        found.setdefault((event["promise"], event["requirement"]), []).append(event)
    return list(found.values())


def witnesses(events: Iterable[Event]) -> dict[str, Event]:
    """Return the worst event on the state of each standing witness in any lab."""
    found: dict[str, Event] = {}
    for event in events:
        if event["event"] == "witness":
            known = found.get(event["witness"])
            if known is None or _STATES.index(event["state"]) > _STATES.index(known["state"]):
                found[event["witness"]] = event
    return found


def reason(event: Event) -> str:
    """Return what a standing witness saw, and which case ran meanwhile."""
    return f"while {event['during']} ran: {event['what']}" if event["during"] else str(event["what"])


def not_watched(states: Mapping[str, Event]) -> list[tuple[str, str]]:
    """Return name and reason of each witness that did not watch, or not to the end."""
    titles = {"unavailable": "not watched", "broken": "broken"}
    return [
        (WITNESSES.get(name, name), f"{titles[event['state']]}: {event.get('why', 'no reason')}")
        for name, event in states.items()
        if event["state"] in titles
    ]
