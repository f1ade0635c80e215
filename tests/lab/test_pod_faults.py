"""A pod that something unexpected happens to: its status says what, and it can still be deleted. No lab is needed."""

from __future__ import annotations

import base64
from ipaddress import ip_address
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from lbproof.lab.netns import network
from lbproof.lab.netns import pod as pod_module
from lbproof.lab.netns.container import ContainerError
from lbproof.lab.netns.pod import Pod
from lbproof.lab.netns.volumes import Source
from lbproof.witnesses.wait import eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NODE = ip_address("192.0.2.1")
BYTES = base64.b64encode(b"\xff\xfe").decode()
REFERENCES: dict[str, dict[str, Any]] = {
    "env": {"env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]},
    "env of a ConfigMap": {"env": [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "s", "key": "k"}}}]},
    "envFrom": {"envFrom": [{"secretRef": {"name": "s"}}]},
    "envFrom of a ConfigMap": {"envFrom": [{"configMapRef": {"name": "s"}}]},
}


class Host:
    """A node without a kubelet: records what is written of its pods."""

    def __init__(self, work: Path) -> None:
        """`work` is where volumes are."""
        node = SimpleNamespace(name="w01", addresses=(NODE,))
        self.place = SimpleNamespace(node=node)
        self.inside = SimpleNamespace(work=work, images=[])
        self.files = work
        self.frozen = False
        self.forgotten: list[str] = []
        self.freed: list[int] = []
        self.statuses: list[dict[str, Any]] = []
        self.version = 1

    def api(self, method: str, path: str, body: dict[str, Any] | None = None, **_: object) -> dict[str, Any]:
        """Answer with a Secret or ConfigMap of one key, or take in a status."""
        if method == "GET":
            return {"data" if "secrets" in path else "binaryData": {"k": BYTES}}
        assert body is not None
        self.statuses.append(body["status"])
        self.version += 1
        return {"metadata": {"uid": "u-1", "resourceVersion": str(self.version)}, "status": body["status"]}

    def take_number(self, before: str) -> int:
        """A pod's number."""
        raise KeyError(f"unexpected {before}")

    def give_number_back(self, number: int) -> None:
        """Record it."""
        self.freed.append(number)

    def forget(self, obj: dict[str, Any]) -> None:
        """Record it."""
        self.forgotten.append(obj["metadata"]["uid"])


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., tuple[Pod, Host]]:
    """Start a pod on a node without a kubelet."""
    monkeypatch.setattr(pod_module, "enter", lambda _: None)
    monkeypatch.setattr(network, "forget_pod", lambda *_: None)

    def begin(**spec: Any) -> tuple[Pod, Host]:  # noqa: ANN401 - any field of a pod's spec
        host = Host(tmp_path)
        metadata = {"uid": "u-1", "namespace": "default", "name": "odd", "resourceVersion": "1"}
        containers = [{"name": "main", "image": "x"}]
        spec = {"hostNetwork": True, "containers": containers, **spec}
        made = Pod({"metadata": metadata, "spec": spec, "status": {}}, host)  # type: ignore[arg-type]
        made.start()
        return made, host

    return begin


def waiting(host: Host) -> dict[str, Any]:
    """Why the pod's container waits, by the last status."""
    rows = host.statuses[-1]["containerStatuses"] if host.statuses else [{}]
    return dict(rows[0].get("state", {}).get("waiting", {}))


@pytest.mark.parametrize("where", ["volumes", "network"])
def test_an_unexpected_error_is_in_the_status_and_the_pod_can_be_deleted(
    begun: Callable[..., tuple[Pod, Host]], monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Whatever it is; a pod that had no number gives none back."""

    def fail(*_: object) -> None:
        raise KeyError("unexpected volume")

    monkeypatch.setattr(Source, "populate", fail)
    made, host = begun(hostNetwork=where == "volumes")
    seen = eventually(lambda: waiting(host), bool, what="the pod says why it waits", within=5).value
    made.finish(0)
    eventually(lambda: host.forgotten, bool, what="the pod goes", within=5)

    assert seen["reason"] == "CreateContainerError"
    assert seen["message"].startswith("KeyError: 'unexpected ")
    assert (host.forgotten, host.freed) == (["u-1"], [])


@pytest.mark.parametrize("broken", ["_step", "_live"])
def test_a_pod_whose_thread_fails_is_ended(
    begun: Callable[..., tuple[Pod, Host]], monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    """Its processes, network and object go, as nobody looks after them any more."""

    def fail(_: Pod) -> float:
        raise KeyError("unexpected")

    monkeypatch.setattr(Pod, broken, fail)
    _, host = begun()

    assert eventually(lambda: host.forgotten, bool, what="the pod goes", within=5).value == ["u-1"]


def test_a_network_that_cannot_be_removed_keeps_no_pod(
    begun: Callable[..., tuple[Pod, Host]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The object goes all the same."""

    def fail(*_: object) -> None:
        raise KeyError("unexpected")

    monkeypatch.setattr(network, "forget_pod", fail)
    monkeypatch.setattr(Pod, "_set_up", lambda self: setattr(self, "_set", True))
    made, host = begun(hostNetwork=False)
    made.finish(0)

    assert eventually(lambda: host.forgotten, bool, what="the pod goes", within=5).value == ["u-1"]


@pytest.mark.parametrize("reference", REFERENCES)
def test_bytes_that_are_not_utf_8_are_no_variable(tmp_path: Path, reference: str) -> None:
    """A kubelet cannot hand them over either (CRI: strings of protocol buffers), and says CreateContainerError."""
    host = Host(tmp_path)
    pod = {"metadata": {"namespace": "default", "name": "odd"}, "spec": {"containers": []}}
    source = Source(host.api, pod, (NODE,))  # type: ignore[arg-type]
    with pytest.raises(ContainerError, match=r'"s": the value of key \'k\' is not UTF-8') as error:
        source.environment(REFERENCES[reference], {})

    assert error.value.reason == "CreateContainerError"
