"""When addresses are assigned and released, where Services share one too."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from lbproof.standing.assignments import Assignments

ADDRESS = "192.0.2.1"


def service(name: str, *addresses: str) -> dict[str, Any]:
    """A Service with some addresses in its status."""
    rows = [{"ip": address} for address in addresses]
    return {"metadata": {"uid": name, "name": name}, "spec": {}, "status": {"loadBalancer": {"ingress": rows}}}


def test_a_shared_address_is_released_by_the_last_service() -> None:
    """Whichever of them leaves first."""
    for first, last in (("a", "b"), ("b", "a")):
        assignments = Assignments(cast("Any", SimpleNamespace(is_foreign=lambda _: False)))
        for t, name in enumerate(("a", "b"), start=1):
            assignments.version(t, "MODIFIED", service(name, ADDRESS))
        assignments.version(3, "DELETED", service(first))

        assert [one.service["metadata"]["uid"] for one in assignments.present()] == [last]
        assert assignments.released(0) == []
        assert [one.ended for one in assignments.at(ADDRESS, 3.5, 4)] == [float("inf")]

        assignments.version(5, "MODIFIED", service(last))
        assert assignments.present() == []
        assert assignments.released(0) == [ADDRESS]
        assert assignments.at(ADDRESS, 6, 7) == []
