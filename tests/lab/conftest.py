"""What the lab's tests share: one small lab for all that does not need one of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lbproof.lab import registry
from lbproof.lab.base import SYSTEM, Image, Topology
from lbproof.lab.components import LAB, ensure
from lbproof.lab.netns.lab import NetnsLab
from lbproof.witnesses.kube import Kube
from lbproof.witnesses.wait import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

PYTHON = Image(
    pattern="test/python", program=sys.executable, args=("-u",), binds=(*SYSTEM, sys.prefix, sys.base_prefix)
)
PODS = "/api/v1/namespaces/default/pods"
HOSTILE = {
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "http_proxy": "http://127.0.0.1:9",
    "KUBECONFIG": "/nowhere/kubeconfig",
    "GODEBUG": "http2client=0",
    "GOMAXPROCS": "1",
    "GOOS": "plan9",
    "ETCD_NAME": "of-the-user",
    "PYTHONPATH": "/nowhere/python",
    "PYTHONSTARTUP": "/nowhere/startup.py",
    "PYTHONWARNINGS": "error",
    "SSL_CERT_FILE": "/nowhere/certificates",
    "MALLOC_ARENA_MAX": "1",
    "TZ": "Asia/Kathmandu",
    "LC_ALL": "tlh_KX",
    "LOCUST_HOST": "http://nowhere",
    "NO_COLOR": "1",
    "XDG_CONFIG_HOME": "/nowhere/config",
}
"""What a user's shell may hold that some program of a lab reads."""


@pytest.fixture(scope="session")
def programs() -> Mapping[str, Path]:
    """The components of a lab."""
    return ensure(LAB, progress=print)


@pytest.fixture(scope="session")
def lab(programs: Mapping[str, Path]) -> Iterator[NetnsLab]:
    """A running lab with two workers."""
    topology = Topology(workers=2, proxy_args=("--iptables-min-sync-period=10ms",), node_grace=8)
    made = NetnsLab.up(registry.free_name("test"), topology, programs=programs, images=[PYTHON])
    yield made
    made.down()


@pytest.fixture(scope="session")
def kube(lab: NetnsLab) -> Iterator[Kube]:
    """A client of that lab, by its kubeconfig."""
    client = Kube(lab.kubeconfig)
    yield client
    client.close()


@pytest.fixture
def pod(kube: Kube) -> Iterator[Callable[..., dict[str, Any]]]:
    """Make a pod of one container, with any more fields of its spec; it is deleted when the test is over."""
    made = []

    def make(name: str, *, annotations: Mapping[str, str] | None = None, **spec: Any) -> dict[str, Any]:  # noqa: ANN401 - any field
        container = {"name": "main", "image": "agnhost:2", **spec.pop("container", {})}
        body: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": {"app": name}, "annotations": dict(annotations or {})},
            "spec": {"terminationGracePeriodSeconds": 5, "nodeName": "w01", "containers": [container], **spec},
        }
        made.append(name)
        return kube.create(PODS, body)

    yield make
    for name in made:
        kube.request("DELETE", f"{PODS}/{name}?gracePeriodSeconds=0")  # 404 when the test has deleted it


@pytest.fixture
def pod_when(kube: Kube) -> Callable[..., dict[str, Any]]:
    """Wait until a pod is as wanted; gives it."""

    def wait(name: str, good: Callable[[dict[str, Any]], object], within: float = 20) -> dict[str, Any]:
        return eventually(
            lambda: kube.get(f"{PODS}/{name}"),
            good,
            what=f"pod {name}",
            within=within,
            show=lambda seen: str(seen["status"]),
        ).value

    return wait


@pytest.fixture
def serving(pod: Callable[..., Any], pod_when: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """A Ready pod that serves HTTP on port 8080."""

    def make(name: str, node: str = "w01", **spec: Any) -> dict[str, Any]:  # noqa: ANN401 - any field of a pod's spec
        probe = {"httpGet": {"path": "/hostname", "port": "web"}, "periodSeconds": 1, "failureThreshold": 1}
        container = {
            "args": ["netexec", "--http-port=8080"],
            "ports": [{"name": "web", "containerPort": 8080}],
            "readinessProbe": probe,
        }
        pod(name, nodeName=node, container=container, **spec)
        return pod_when(name, ready)

    return make


def ready(seen: dict[str, Any]) -> bool:
    """Whether a pod is Ready."""
    return any(row["type"] == "Ready" and row["status"] == "True" for row in seen["status"].get("conditions", []))


@pytest.fixture
def lab_in_process(programs: Mapping[str, Path]) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Start a process that boots a control plane with a lifeline and says `up`; it is killed in the end."""
    code = (
        "import sys, json, pathlib, threading\n"
        "from lbproof.lab.base import Topology\n"
        "from lbproof.lab.netns.lab import NetnsLab\n"
        "programs = {k: pathlib.Path(v) for k, v in json.loads(sys.argv[2]).items()}\n"
        "lab = NetnsLab.up(sys.argv[1], Topology(workers=0), programs=programs)\n"
        "print('up', flush=True)\n"
        "threading.Event().wait()\n"
    )
    started = []

    def start(name: str) -> subprocess.Popen[str]:
        row = json.dumps({key: str(path) for key, path in programs.items()})
        process = subprocess.Popen([sys.executable, "-c", code, name, row], stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def preloaded() -> str:
    """A library of glibc that no program loads by itself, as the mark that LD_PRELOAD would leave."""
    return str(next(Path("/lib").glob("*/libBrokenLocale.so.1")))


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Mapping[str, str]:
    """A shell and a home folder with everything that could change what runs."""
    home = tmp_path / "home"
    for name in (".netrc", ".curlrc", ".gitconfig", ".kube/config", ".config/pip/pip.conf", ".docker/config.json"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text("}{ not what it should be\n")
    given = {**HOSTILE, "LD_PRELOAD": preloaded(), "HOME": str(home)}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    return given
