"""Services that must not change while something else happens, by the API server's watch: also what polling would miss.

What a Service is compared with is what the check itself last knew of it (`Service.known`): the answer to its creation
or change, or what was waited for. A change that is quicker than the first look of the check is seen too.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lbproof.context.objects import points_of, rows_of
from lbproof.context.precedence import judging
from lbproof.context.service_watch import ServiceWatch
from lbproof.text import words
from lbproof.witnesses.wait import Violation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lbproof.adapters.base import Object
    from lbproof.context.objects import Service
    from lbproof.witnesses.kube import Kube

    Part = Callable[[Object], Object]
    Item = tuple[str, ...]
    """What can be added to a Service or removed from it by itself: where it is, and its value as JSON."""

_SHOWN = 8
"""Maximum number of changes in a message."""


def addresses_of(service: Object) -> Object:
    """Return the addresses and host names in the status, each with its `ipMode` (KEP-1860) unless that is VIP."""
    modes = [row.get("ipMode", "VIP") for row in rows_of(service)]
    told = ["" if mode == "VIP" else f" (ipMode {mode})" for mode in modes]
    return {"addresses": [f"{point}{mode}" for point, mode in zip(points_of(service), told, strict=True)]}


def intact(service: Object) -> Object:
    """Return addresses, spec and whether it is being deleted: what an implementation may not change unasked.

    Annotations, labels, finalizers and conditions of its own are no change of the Service.
    """
    deleted = "deletionTimestamp" in service["metadata"]
    return addresses_of(service) | {"spec": service["spec"], "being deleted": deleted}


def untouched(service: Object) -> Object:
    """Return the parts of a Service that nobody but its own controller may change."""
    meta = service["metadata"]
    parts = ("annotations", "labels", "finalizers", "ownerReferences", "deletionTimestamp")
    status = {part: value for part, value in service.get("status", {}).items() if value}
    return {part: meta.get(part) for part in parts} | {"spec": service["spec"], "status": status}


def items_of(service: Object) -> frozenset[Item]:
    """Return the items of those parts: each annotation, label, finalizer, field, entry of a list."""
    return frozenset(_items(untouched(service), ()))


def _items(value: object, at: Item) -> Iterator[Item]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _items(inner, (*at, name))
    elif isinstance(value, list):
        for entry in value:
            yield (*at, json.dumps(entry, sort_keys=True))
    elif value is not None:
        yield (*at, json.dumps(value))


def without(service: Object, items: frozenset[Item]) -> Object:
    """Return the parts that nobody but its own controller may change, without some items, present or not."""
    left = sorted(items_of(service) - items)
    return {part: [": ".join(item[1:]) for item in left if item[0] == part] for part in untouched(service)}


def is_removal(before: Object, after: Object, items: frozenset[Item]) -> bool:
    """Return whether some of these items of a Service are gone, and nothing else of it is different."""
    was, now = items_of(before), items_of(after)
    return now < was and was - now <= items


def differences(before: Object, after: Object) -> str:
    """Say which parts differ; the empty string when none does."""
    return ", ".join(
        f"{part} {words(before[part])} → {words(after[part])}" for part in before if before[part] != after[part]
    )


@contextmanager
def unchanged(cluster: Kube, services: tuple[Service, ...], part: Part) -> Iterator[None]:
    """Verify that a part of some Services does not change during the block, nor has since the check knew it last.

    Raises `Violation`, whatever else ends the block, and `WatchBroke` when changes may have been missed. There may be
    no Services.
    """
    if not services:
        yield
        return
    expected = {(service.namespace, service.name): part(service.known) for service in services}
    changes: list[str] = []

    def changed(kind: str, made: Object) -> None:
        key = made["metadata"]["namespace"], made["metadata"]["name"]
        if key not in expected:
            return
        found = "is gone" if kind == "DELETED" else differences(expected[key], part(made))
        if found:
            managers = sorted({entry["manager"] for entry in made["metadata"].get("managedFields", [])})
            changes.append(f"{'/'.join(key)}: {found} (written by {words(managers)})")

    def judge() -> None:
        if changes:
            more = [f"… {len(changes) - _SHOWN} more …"] if len(changes) > _SHOWN else []
            raise Violation(f"changed though nobody asked: {'; '.join([*changes[:_SHOWN], *more])}")

    watch = ServiceWatch(cluster, services[0].namespace, changed, everywhere=True)
    with judging(judge), watch:
        for made in watch.existing:
            changed("", made)
        yield
