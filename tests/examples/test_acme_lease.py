"""The example of a vendor: who is the leader."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from acme_lb.api import DURATION, HOLD, RENEW, Api, Lease

if TYPE_CHECKING:
    from collections.abc import Callable


class Server(Api):
    """API server with the Lease alone."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] = {}
        self.version = 0

    def __call__(self, method: str, path: str, body: Any = None) -> dict[str, Any]:  # noqa: ANN401 - as JSON
        """Read or replace the Lease; a replacement of another version than the present one is refused."""
        if method == "PUT":
            known = body["metadata"].get("resourceVersion", "")
            if known != self.lease.get("metadata", {}).get("resourceVersion", ""):
                raise OSError(f"PUT {path}: 409")
            self.version += 1
            self.lease = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self.version)}}
        return self.lease


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let time pass."""
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])

    def wait(seconds: float) -> None:
        now[0] += seconds

    return wait


def test_the_first_node_leads_and_the_second_waits(passes: Callable[[float], None]) -> None:
    """As long as the first one renews."""
    server = Server()
    first, second = Lease(server, "w01"), Lease(server, "w02")

    for _ in range(20):
        assert first.hold()
        assert not second.hold()
        passes(RENEW)


def test_a_lease_expires_when_it_is_not_seen_to_change(passes: Callable[[float], None]) -> None:
    """Counted from when it was seen; what its holder wrote about time does not matter."""
    server = Server()
    first, second = Lease(server, "w01"), Lease(server, "w02")
    first.hold()
    server.lease["spec"]["renewTime"] = "1970-01-01T00:00:00.000000Z"
    passes(DURATION)

    assert not second.hold()
    passes(DURATION - 0.1)
    assert not second.hold()
    passes(0.1)
    assert second.hold()


def test_the_holder_has_stopped_before_another_node_begins(passes: Callable[[float], None]) -> None:
    """Also when its last renewal was seen at once."""
    server = Server()
    first, second = Lease(server, "w01"), Lease(server, "w02")
    first.hold()
    second.hold()
    passes(HOLD)

    assert first.left() <= 0
    assert not second.hold()


def test_of_two_nodes_that_take_it_at_once_one_does() -> None:
    """The write of the other one is refused."""
    server = Server()
    first, second = Lease(server, "w01"), Lease(server, "w02")
    seen = second.read()
    first.hold()

    with pytest.raises(OSError, match="409"):
        second.write(seen, "w02")


def test_a_restarted_pod_goes_on_at_once() -> None:
    """The Lease names its node."""
    server = Server()
    Lease(server, "w01").hold()

    assert Lease(server, "w01").hold()


def test_a_released_lease_is_free_at_once() -> None:
    """An orderly end does not wait for its expiry."""
    server = Server()
    first, second = Lease(server, "w01"), Lease(server, "w02")
    first.hold()
    first.release()

    assert second.hold()


def test_nothing_is_released_that_is_not_held() -> None:
    """The holder stays."""
    server = Server()
    first, second = Lease(server, "w01"), Lease(server, "w02")
    first.hold()
    second.release()

    assert server.lease["spec"]["holderIdentity"] == "w01"
