"""Handles for objects that a check creates: a Service by its name, a pool by its addresses."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from lbproof.witnesses.wait import Violation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lbproof.adapters.base import Object, PoolSpec
    from lbproof.spec.families import IPAddress
    from lbproof.witnesses.kube import Kube


KUBERNETES = ("endpoint-slice-controller", "endpoint-slice-mirroring-controller", "endpoint-controller")
"""Components of Kubernetes that write Events about Services of any type."""


def author_of(event: Object) -> str:
    """Return the component that wrote an Event."""
    found: str = event.get("reportingComponent") or event.get("source", {}).get("component", "")
    return found


class BadStatus(Violation):
    """The status of a Service has an IP that is not an address."""


class Service:
    """A Service of a check, by its name; every read queries the API."""

    def __init__(self, cluster: Kube, namespace: str, name: str) -> None:
        """Store the name; the Service need not exist yet."""
        self.cluster = cluster
        self.namespace = namespace
        self.name = name
        self.path = f"/api/v1/namespaces/{namespace}/services/{name}"
        self.known: Object = {}
        """Object as the check last knew it: the answer to its own last write, or what it waited for."""
        self.gone = False
        """Whether the check has deleted it and seen it gone."""

    def __str__(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"

    def read(self) -> Object:
        """Read the current object."""
        return self.cluster.get(self.path)

    def addresses(self) -> list[IPAddress]:
        """Return the IPs in its status. Raises `BadStatus`."""
        return ingress(self.read())

    def annotations(self) -> dict[str, str]:
        """Return its annotations."""
        found: dict[str, str] = self.read()["metadata"].get("annotations", {})
        return found

    def events(self) -> list[Object]:
        """Return the Events about it, oldest first."""
        return self.cluster.events_about(self.read())

    def events_of_others(self) -> list[Object]:
        """Return the Events about it of others than Kubernetes' own controllers, oldest first."""
        return [event for event in self.events() if author_of(event) not in KUBERNETES]

    def patch(self, **body: Any) -> Object:  # noqa: ANN401 - any part of a Service
        """Apply a JSON merge patch."""
        self.known = self.cluster.patch(self.path, body)
        return self.known

    def write_address(self, *addresses: IPAddress, **fields: str) -> None:
        """Write one or more addresses into its status, and nothing else, as another one than the implementation does.

        `fields`: further ones of each entry (`status.loadBalancer.ingress`).
        """
        status = {"loadBalancer": {"ingress": [{"ip": str(address), **fields} for address in addresses]}}
        self.known = self.cluster.patch(f"{self.path}/status", {"status": status})

    def node_port(self) -> int:
        """Return the node port of its first port."""
        port: int = self.read()["spec"]["ports"][0]["nodePort"]
        return port

    def cluster_ip(self) -> IPAddress:
        """Return its first cluster IP."""
        return ip_address(self.read()["spec"]["clusterIP"])


def rows_of(service: Object) -> list[Object]:
    """Return the entries of a Service's `status.loadBalancer.ingress`, those with a host name too."""
    found: list[Object] = service.get("status", {}).get("loadBalancer", {}).get("ingress") or []
    return found


def points_of(service: Object) -> list[str]:
    """Return the addresses and host names in a Service's status as they are written."""
    return [row.get("ip") or row.get("hostname") or "an entry without an address" for row in rows_of(service)]


def ingress(service: Object) -> list[IPAddress]:
    """Return the IPs in a Service's `status.loadBalancer.ingress`. Raises `BadStatus`."""
    try:
        return [ip_address(row["ip"]) for row in rows_of(service) if "ip" in row]
    except ValueError as error:
        meta = service["metadata"]
        raise BadStatus(f"the status of {meta['namespace']}/{meta['name']} has an IP that is none: {error}") from None


class Pool:
    """A pool of a check."""

    def __init__(self, spec: PoolSpec, addresses: Sequence[IPAddress]) -> None:
        """`addresses`: every address that may be assigned from it."""
        self.spec = spec
        self.name = spec.name
        self.addresses = list(addresses)
