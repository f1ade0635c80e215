"""A watch that ended early, for whatever reason, is an error of the run and never silence of the implementation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from lbproof.context.service_watch import ServiceWatch, WatchBroke

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lbproof.witnesses.kube import Kube


class Cluster:
    """An API server whose watch delivers the given events and then ends."""

    def __init__(self, *events: object) -> None:
        self.events = events

    def list_with_version(self, _path: str) -> tuple[list[Any], str]:
        return [], "7"

    def watch(self, *_: object) -> Iterator[Any]:
        yield from self.events

    def create(self, *_: object) -> None:
        pass

    def delete(self, _path: str) -> None:
        pass


WEB = {"type": "MODIFIED", "object": {"metadata": {"name": "web"}}}


@pytest.mark.parametrize(
    ("events", "says"),
    [((WEB,), "the server ended it"), (({"type": "BOOKMARK"},), "KeyError: 'object'"), (("",), "TypeError: ")],
    ids=["ended", "unreadable", "no-event"],
)
def test_a_watch_that_ends_early_breaks_the_check(events: tuple[Any, ...], says: str) -> None:
    """The reason is said; an event that cannot be read ends the watch as a broken connection does."""
    cluster = cast("Kube", Cluster(*events))
    seen: list[str] = []

    with pytest.raises(WatchBroke, match=says), ServiceWatch(cluster, "ns", lambda kind, _: seen.append(kind)):
        pass


def test_what_the_watched_did_wrong_comes_before_the_end_of_the_watch() -> None:
    """An assertion of the function that is called for a change is about the implementation."""
    cluster = cast("Kube", Cluster(WEB))

    def changed(_kind: str, _service: object) -> None:
        raise AssertionError("web was changed")

    with pytest.raises(AssertionError, match="web was changed"), ServiceWatch(cluster, "ns", changed):
        pass
