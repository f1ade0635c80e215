"""Handles for objects that a check creates: a Service by its name, a pool by its addresses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lbproof.adapters.base import Object
    from lbproof.witnesses.kube import Kube


class Service:
    """A Service of a check, by its name; every read queries the API."""

    def __init__(self, cluster: Kube, namespace: str, name: str) -> None:
        """Store the name; the Service need not exist yet."""
        self.cluster = cluster
        self.namespace = namespace
        self.name = name
        self.path = f"/api/v1/namespaces/{namespace}/services/{name}"

    def __str__(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"

    def read(self) -> Object:
        """Read the current object."""
        return self.cluster.get(self.path)

    def addresses(self) -> list[str]:
        """Return the IPs in its status."""
        return ingress(self.read())

    def annotations(self) -> dict[str, str]:
        """Return its annotations."""
        found: dict[str, str] = self.read()["metadata"].get("annotations", {})
        return found

    def events(self) -> list[Object]:
        """Return the Events about it, oldest first."""
        uid = self.read()["metadata"]["uid"]
        found = self.cluster.list(
            f"/api/v1/namespaces/{self.namespace}/events", fieldSelector=f"involvedObject.uid={uid}"
        )
        return sorted(found, key=_when)

    def patch(self, **body: Any) -> Object:  # noqa: ANN401 - any part of a Service
        """Apply a JSON merge patch."""
        return self.cluster.patch(self.path, body)

    def node_port(self) -> int:
        """Return the node port of its first port."""
        port: int = self.read()["spec"]["ports"][0]["nodePort"]
        return port

    def cluster_ip(self) -> str:
        """Return its cluster IP."""
        address: str = self.read()["spec"]["clusterIP"]
        return address


def _when(event: Object) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or event["metadata"]["creationTimestamp"])


def ingress(service: Object) -> list[str]:
    """Return the IPs in a Service's `status.loadBalancer.ingress`."""
    return [row["ip"] for row in service.get("status", {}).get("loadBalancer", {}).get("ingress", []) if "ip" in row]


class Pool:
    """A pool of a check."""

    def __init__(self, name: str, addresses: Sequence[str]) -> None:
        """`addresses`: every address that may be assigned from it."""
        self.name = name
        self.addresses = list(addresses)
