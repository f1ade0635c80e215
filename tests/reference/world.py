"""Namespace of a real API server with a running controller, for tests."""

from __future__ import annotations

from typing import Any

from tests.reference.apiserver import ApiServer, end, wait

from lbproof_reference.retained import record_path

Object = dict[str, Any]


class World:
    """Namespace and controller of one test."""

    def __init__(self, api: ApiServer, namespace: str) -> None:
        """Create the namespace and start a controller."""
        self.api, self.namespace = api, namespace
        self.advertisements = "/apis/metallb.io/v1beta1/namespaces/metallb-system/l2advertisements"
        self.services = f"/api/v1/namespaces/{namespace}/services"
        self.pools = "/apis/metallb.io/v1beta1/namespaces/metallb-system/ipaddresspools"
        api.create({"kind": "Namespace", "metadata": {"name": namespace}})
        self.controller = api.controller()

    def close(self) -> None:
        """End the controller and remove nodes, Services, advertisements and pools."""
        end(self.controller)
        theirs = [path.replace("metallb-system", self.namespace) for path in (self.pools, self.advertisements)]
        for path in ("/api/v1/nodes", self.services, self.pools, self.advertisements, *theirs):
            for item in self.api.call("GET", path)["items"]:
                self.api.call("DELETE", f"{path}/{item['metadata']['name']}")

    def restart(self) -> None:
        """Kill the controller and start another."""
        end(self.controller)
        self.controller = self.api.controller()

    def pool(self, name: str, *addresses: str, **spec: Any) -> None:  # noqa: ANN401 - a pool's spec is JSON
        """Create a pool."""
        self.api.create(
            {
                "apiVersion": "metallb.io/v1beta1",
                "kind": "IPAddressPool",
                "metadata": {"name": name, "namespace": "metallb-system"},
                "spec": {"addresses": list(addresses), **spec},
            }
        )

    def advertisement(self, name: str, namespace: str, **spec: Any) -> None:  # noqa: ANN401 - likewise
        """Create an L2Advertisement."""
        meta = {"name": name, "namespace": namespace}
        self.api.create({"apiVersion": "metallb.io/v1beta1", "kind": "L2Advertisement", "metadata": meta, "spec": spec})

    def node(self, name: str, address: str) -> None:
        """Create a node."""
        self.api.call("POST", "/api/v1/nodes", {"metadata": {"name": name}})
        status = {"addresses": [{"type": "InternalIP", "address": address}]}
        self.api.call("PATCH", f"/api/v1/nodes/{name}/status", {"status": status})

    def service(self, name: str, notes: dict[str, str] | None = None, **spec: Any) -> None:  # noqa: ANN401 - likewise
        """Create a Service of type LoadBalancer."""
        self.api.create(
            {
                "kind": "Service",
                "metadata": {"name": name, "namespace": self.namespace, "annotations": notes or {}},
                "spec": {"type": "LoadBalancer", "ports": [{"port": 80}], **spec},
            }
        )

    def get(self, name: str) -> Object:
        """Return the Service."""
        return self.api.call("GET", f"{self.services}/{name}")

    def ip(self, name: str) -> str | None:
        """Return the address in its status, or None."""
        ingress = self.get(name)["status"]["loadBalancer"].get("ingress")
        return str(ingress[0]["ip"]) if ingress else None

    def events(self, name: str) -> list[tuple[str, str, str]]:
        """Return (type, reason, message) of the Events about an object of that name."""
        found = self.api.call("GET", "/api/v1/events")["items"]
        return [
            (e["type"], e["reason"], e["message"]) for e in found if e["involvedObject"]["name"] == name
            and e["metadata"]["namespace"] in (self.namespace, "metallb-system")
        ]  # fmt: skip

    def deletes_pool(self, name: str, *retained: str) -> None:
        """Delete a pool, and wait until the controller's record names these addresses of it."""
        self.api.call("DELETE", f"{self.pools}/{name}")
        records = record_path("metallb-system").rpartition("/")[0]
        wait(lambda: all(f" {ip} " in str(self.api.call("GET", records)) for ip in retained), "the record", 10)

    def gets(self, name: str, address: str) -> None:
        """Wait until a Service has that address."""
        wait(lambda: self.ip(name) == address, f"{name} has {address}")

    def refused(self, name: str, why: str) -> None:
        """Wait until a Service has an Event with that reason; assert that it has no address."""
        prefix = f'Failed to allocate IP for "{self.namespace}/{name}": '
        wait(
            lambda: any(
                (kind, reason) == ("Warning", "AllocationFailed") and text.startswith(prefix) and why in text
                for kind, reason, text in self.events(name)
            ),
            f"{name} is refused with {why!r}; told {self.events(name)}",
        )
        assert self.ip(name) is None
