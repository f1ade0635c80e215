"""Two copies of the controller as processes, each with the token of a Pod, against a real API server."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest
from tests.reference.apiserver import ApiServer, end, wait

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

PODS = "/api/v1/namespaces/metallb-system/pods"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/metallb-system/leases/lbproof-controller"
POOLS = "/apis/metallb.io/v1beta1/namespaces/metallb-system/ipaddresspools"
SERVICES = "/api/v1/namespaces/default/services"
TOKEN_CACHE_SECONDS = 10
Object = dict[str, Any]


class Copies:
    """Pods without a kubelet, and the processes of their containers."""

    def __init__(self, api: ApiServer) -> None:
        """Create two, the second of which waits, and a pool."""
        self.api = api
        meta = {"name": "web", "namespace": "metallb-system"}
        spec = {"addresses": ["10.0.0.0/28"]}
        api.create({"apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool", "metadata": meta, "spec": spec})
        self.pods = [self._pod(name) for name in ("one", "two")]
        self.processes = [api.controller(pod=pod) for pod in self.pods]

    def _pod(self, name: str) -> Object:
        containers = [{"name": "controller", "image": "lbproof/reference:dev"}]
        spec = {"serviceAccountName": "controller", "containers": containers}
        return self.api.call("POST", PODS, {"metadata": {"name": name}, "spec": spec})

    def holder(self) -> str:
        """Return the name of the Pod that leads."""
        identity: str = self.api.call("GET", LEASE)["spec"]["holderIdentity"]
        return identity.partition("_")[0]

    def delete_by_force(self, name: str) -> None:
        """Delete a Pod without a word from its node."""
        self.api.call("DELETE", f"{PODS}/{name}?gracePeriodSeconds=0")

    def serve(self, *names: str) -> None:
        """Create Services."""
        for name in names:
            spec = {"type": "LoadBalancer", "ports": [{"port": 80}]}
            self.api.create({"kind": "Service", "metadata": {"name": name}, "spec": spec})

    def addresses(self) -> dict[str, list[str]]:
        """Return the addresses of all LoadBalancers."""
        return {
            made["metadata"]["name"]: [row["ip"] for row in made["status"]["loadBalancer"].get("ingress", [])]
            for made in self.api.call("GET", SERVICES)["items"]
            if made["spec"]["type"] == "LoadBalancer"
        }

    def all_served(self) -> dict[str, list[str]]:
        """Wait until each LoadBalancer has an address, and return them; no two are the same."""
        wait(lambda: all(self.addresses().values()), "each Service has an address", 10)
        found = self.addresses()
        assert len({ip for ips in found.values() for ip in ips}) == len(found)
        return found

    def close(self) -> None:
        """End the processes and delete all objects."""
        for process in self.processes:
            end(process)
        for path in (PODS, SERVICES, POOLS):
            for item in self.api.call("GET", path)["items"]:
                if item["metadata"]["name"] != "kubernetes":
                    self.api.call("DELETE", f"{path}/{item['metadata']['name']}?gracePeriodSeconds=0")
        self.api.call("DELETE", LEASE)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """One API server for the module."""
    with ApiServer(tmp_path_factory.mktemp("api")) as server:
        server.install()
        yield server


@pytest.fixture
def copies(api: ApiServer) -> Iterator[Copies]:
    """Two copies, the first of which leads."""
    made = Copies(api)
    yield made
    made.close()


def code(process: subprocess.Popen[bytes], seconds: float) -> int:
    """Wait until a process has ended by itself; return its exit code."""
    return process.wait(seconds)


def test_the_second_copy_takes_over_when_the_pod_of_the_first_is_gone(copies: Copies) -> None:
    """Services keep their addresses, and those that wait get others."""
    copies.serve(*(f"a-{n}" for n in range(6)))
    before = copies.all_served()
    end(copies.processes[0])
    copies.serve(*(f"b-{n}" for n in range(6)))
    assert copies.holder() == "one"
    copies.delete_by_force("one")

    found = copies.all_served()

    assert copies.holder() == "two"
    assert {name: found[name] for name in before} == before


def test_a_container_that_starts_again_leads_at_once(copies: Copies) -> None:
    """A killed process is started again in its Pod, and has the Lease still."""
    end(copies.processes[0])
    copies.processes.append(copies.api.controller(pod=copies.pods[0]))
    copies.serve("a")
    copies.all_served()

    assert copies.holder() == "one"


def test_a_former_leader_that_stood_still_ends_and_writes_nothing(copies: Copies) -> None:
    """It is frozen while its Pod is deleted by force; when it goes on, no Service changes, and it ends."""
    copies.serve(*(f"a-{n}" for n in range(4)))
    copies.all_served()
    copies.processes[0].send_signal(signal.SIGSTOP)
    copies.serve(*(f"b-{n}" for n in range(4)))  # is in the sockets of the first, unread
    copies.delete_by_force("one")
    before = copies.all_served()
    copies.processes[0].send_signal(signal.SIGCONT)

    assert code(copies.processes[0], TOKEN_CACHE_SECONDS) != 0
    assert copies.all_served() == before


def test_the_token_of_a_pod_that_is_gone_is_refused(copies: Copies) -> None:
    """What the module `leader` assumes of the API server: it refuses a token whose Pod does not exist."""
    token = (copies.api.account("controller", copies.pods[0]) / "token").read_text()

    def status() -> int:
        headers = {"Authorization": f"Bearer {token}"}
        return copies.api.client.get(LEASE, headers=headers).status_code

    assert status() == 200
    copies.delete_by_force("one")
    wait(lambda: status() == 401, "the token is refused", TOKEN_CACHE_SECONDS + 5)
