"""When addresses are assigned and released, where Services share one too."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from lbproof.standing.assignments import Assignments

ADDRESS = "192.0.2.1"


def service(name: str, *addresses: str, **spec: str) -> dict[str, Any]:
    """A Service with some addresses in its status."""
    rows = [{"ip": address} for address in addresses]
    return {"metadata": {"uid": name, "name": name}, "spec": spec, "status": {"loadBalancer": {"ingress": rows}}}


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


def test_a_service_that_is_given_another_class_releases_its_address() -> None:
    """When its status is empty, or it is gone; what its new owner writes there is no assignment."""
    for kind, shown in (("MODIFIED", ()), ("DELETED", (ADDRESS,))):
        assignments = Assignments(cast("Any", SimpleNamespace(is_foreign=lambda made: bool(made["spec"]))))
        assignments.version(1, "MODIFIED", service("a", ADDRESS))
        assignments.version(2, "MODIFIED", service("a", ADDRESS, loadBalancerClass="other"))
        assert [one.address for one in assignments.present()] == [ADDRESS]

        assignments.version(3, kind, service("a", *shown, loadBalancerClass="other"))
        assert assignments.released(0) == [ADDRESS]

        assignments.version(4, "MODIFIED", service("a", ADDRESS, loadBalancerClass="other"))
        assert assignments.present() == []
