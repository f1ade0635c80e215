"""What becomes of a check's namespaces when it ends: one that is empty may stay in a lab that ends with the run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.suite.acme import Acme
from tests.suite.fake_cluster import FakeCluster
from tests.suite.test_pools import context

from lbproof.context import CheckContext
from lbproof.witnesses.writes import Writes

if TYPE_CHECKING:
    from collections.abc import Callable

SERVICES = "/api/v1/namespaces/{}/services"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices"
MAPS = "/api/v1/namespaces/{}/configmaps"


class Recorded(FakeCluster):
    """Records paths: of writes as the real client does, and of deletions."""

    def __init__(self) -> None:
        super().__init__()
        self.deleted: list[str] = []

    def apply(self, manifest: dict[str, Any]) -> dict[str, Any]:
        self.writes.begin("PATCH", f"/api/v1/namespaces/{manifest['metadata']['name']}?fieldManager=lbproof")
        return super().apply(manifest)

    def create(self, path: str, body: dict[str, Any]) -> None:
        self.writes.begin("POST", path)
        self.objects[f"{path}/{body['metadata']['name']}"] = body

    def discard(self, path: str) -> None:
        self.deleted.append(path)
        for one in [made for made in self.objects if made.startswith(path)]:
            del self.objects[one]


def ended(stays: bool, act: Callable[[Recorded, str], object]) -> list[str]:
    """Return the paths that are deleted when a check ends after an act in its namespace, which is NAME in them."""
    cluster = Recorded()
    run = context(Acme(), cluster)
    run.stays = stays
    check = CheckContext(run, "POOL-01", capture=False)
    name = check.namespace
    act(cluster, name)
    check.start_over()
    return [path.replace(name, "NAME") for path in cluster.deleted]


def services(cluster: Recorded, name: str) -> None:
    """Create a Service with endpoints, and delete it alone."""
    cluster.create(SLICES.format(name), {"metadata": {"name": "web"}})
    cluster.create(SERVICES.format(name), {"metadata": {"name": "web"}})
    cluster.discard(f"{SERVICES.format(name)}/web")


def test_an_empty_namespace_stays_in_a_lab_that_ends() -> None:
    """EndpointSlices of the suite are removed, because implementations read all of them."""
    assert ended(False, lambda *_: None) == []
    assert ended(False, services) == [f"{SERVICES.format('NAME')}/web", SLICES.format("NAME")]


@pytest.mark.parametrize(
    ("stays", "act"),
    [
        pytest.param(True, services, id="the lab stays"),
        pytest.param(False, lambda c, n: c.create(SERVICES.format(n), {"metadata": {"name": "left"}}), id="a Service"),
        pytest.param(False, lambda c, n: c.create(MAPS.format(n), {"metadata": {"name": "x"}}), id="another object"),
        pytest.param(False, lambda c, n: c.writes.begin("PATCH", f"/api/v1/namespaces/{n}"), id="a label of its own"),
    ],
)
def test_any_other_namespace_is_deleted(stays: bool, act: Callable[[Recorded, str], object]) -> None:
    """In a lab that stays for its user, or with something left in it that later checks must not meet."""
    assert ended(stays, act)[-1] == "/api/v1/namespaces/NAME"


def test_requests_to_a_namespace_of_a_longer_name_are_not_its_own() -> None:
    """The second namespace of a check has the name of the first, and more."""
    writes = Writes()
    writes.begin("PATCH", "/api/v1/namespaces/web?force=true")
    writes.begin("POST", "/api/v1/namespaces/web-b/configmaps")
    writes.begin("PATCH", "/api/v1/namespaces/web/services/one/status")

    assert writes.collections_in("web") == {"services"}
    writes.begin("PATCH", "/api/v1/namespaces/web")
    assert writes.collections_in("web") == {"services", "namespaces"}
