"""A watch that missed something is an error of the run, and never silence of the implementation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from lbproof.context.service_watch import ServiceWatch, WatchBroke
from lbproof.witnesses import object_watch
from lbproof.witnesses.kube import ApiError
from lbproof.witnesses.wait import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lbproof.witnesses.kube import Kube


class Cluster:
    """An API server whose watches each deliver the next of the given lists and end; the marker is in the last one."""

    def __init__(self, *watches: list[Any]) -> None:
        self.watches = list(watches)
        self.versions: list[str] = []
        self.markers: list[Any] = []

    def list_with_version(self, _path: str) -> tuple[list[Any], str]:
        return [], "7"

    def watch(self, _path: str, version: str, *_: object, **__: object) -> Iterator[Any]:
        self.versions.append(version)
        for one in self.watches.pop(0) if self.watches else self.markers:
            if isinstance(one, Exception):
                raise one
            yield one

    def create(self, _path: str, made: dict[str, Any]) -> None:
        self.markers = [event("ADDED", made["metadata"]["name"], "9")]

    def delete(self, _path: str) -> None:
        pass


def event(kind: str, name: str, version: str) -> dict[str, Any]:
    """Return an event of a watch."""
    return {"type": kind, "object": {"metadata": {"name": name, "uid": name, "resourceVersion": version}}}


WEB = event("MODIFIED", "web", "8")
EXPIRED = ApiError("WATCH /api/v1/services", 410, "Expired", "too old resource version")


def test_a_watch_that_ends_goes_on_from_its_version() -> None:
    """The server ends a watch after some minutes, and a connection may break."""
    cluster = Cluster([], [WEB], [])
    seen: list[str] = []

    with ServiceWatch(cast("Kube", cluster), "ns", lambda kind, _: seen.append(kind)):
        pass

    assert (seen, cluster.versions[:3]) == (["MODIFIED"], ["7", "7", "8"])


FORBIDDEN = ApiError("WATCH /api/v1/services", 403, "Forbidden", "User cannot watch")


def test_a_watch_outlives_an_api_server_that_does_not_know_yet_who_may_do_what() -> None:
    """As one does for a moment after its start: it has read no rules."""
    cluster = Cluster([FORBIDDEN], [FORBIDDEN], [WEB], [])
    seen: list[str] = []

    with ServiceWatch(cast("Kube", cluster), "ns", lambda kind, _: seen.append(kind)):
        pass

    assert (seen, cluster.versions[:4]) == (["MODIFIED"], ["7", "7", "7", "8"])


def test_a_watch_that_is_refused_for_good_breaks_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its account was taken the right to watch."""
    monkeypatch.setattr(object_watch, "_STARTING", 0.2)
    cluster = cast("Kube", Cluster(*[[FORBIDDEN]] * 50))

    with pytest.raises(WatchBroke, match="403 Forbidden"), ServiceWatch(cluster, "ns", lambda *_: None):
        pass


@pytest.mark.parametrize(
    ("events", "says"),
    [([{"type": "BOOKMARK"}], "KeyError: 'object'"), ([""], "TypeError: "), ([EXPIRED], "versions are missing")],
    ids=["unreadable", "no-event", "expired"],
)
def test_a_watch_that_missed_something_breaks_the_check(events: list[object], says: str) -> None:
    """The reason is said."""
    cluster = cast("Kube", Cluster(events))

    with pytest.raises(WatchBroke, match=says), ServiceWatch(cluster, "ns", lambda *_: None):
        pass


@pytest.mark.parametrize(
    ("version", "seen"), [("8", ["MODIFIED"]), ("9", ["MODIFIED", "MODIFIED"])], ids=["same", "another"]
)
def test_a_list_that_is_read_anew_tells_what_has_another_version(version: str, seen: list[str]) -> None:
    """The API server was away and forgot versions: a Service that has the same one was not written."""
    cluster = Cluster([WEB, EXPIRED], [])
    lists = [[], [event("", "web", version)["object"]]]
    told: list[str] = []
    cluster.list_with_version = lambda _path: (lists.pop(0), "8")  # type: ignore[method-assign]

    def watch() -> None:
        with ServiceWatch(cast("Kube", cluster), "ns", lambda kind, _: told.append(kind)):
            eventually(lambda: len(cluster.versions), lambda times: times > 2, what="a third watch", within=5)

    if version == "8":
        watch()
    else:
        with pytest.raises(WatchBroke, match="versions are missing"):
            watch()
    assert told == seen


def test_what_the_watched_did_wrong_comes_before_the_end_of_the_watch() -> None:
    """An assertion of the function that is called for a change is about the implementation."""
    cluster = cast("Kube", Cluster([WEB]))

    def changed(_kind: str, _service: object) -> None:
        raise AssertionError("web was changed")

    with pytest.raises(AssertionError, match="web was changed"), ServiceWatch(cluster, "ns", changed):
        pass
