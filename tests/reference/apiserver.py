"""Real etcd and kube-apiserver in a network namespace of their own."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import secrets
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import httpx
import trustme
import yaml

from lbproof.lab.components import ensure
from lbproof_reference.reading import parse

if TYPE_CHECKING:
    from collections.abc import Callable

MANIFESTS = Path(__file__).parents[2] / "reference" / "manifests"
RESOURCES = {
    "Namespace": "/api/v1/namespaces",
    "Service": "/api/v1/namespaces/{}/services",
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
    "CustomResourceDefinition": "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings",
    "ValidatingAdmissionPolicy": "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings",
    "L2Advertisement": "/apis/metallb.io/v1beta1/namespaces/{}/l2advertisements",
    "IPAddressPool": "/apis/metallb.io/v1beta1/namespaces/{}/ipaddresspools",
}
Object = dict[str, Any]
_NUMBERS = itertools.count()


class ApiServer:
    """API server behind a veth; `client` is admin, `account(name)` is a folder as mounted into a pod."""

    def __init__(self, folder: Path) -> None:
        """Store the folder for files; `with` starts the processes."""
        self._folder, self._undo = folder, contextlib.ExitStack()

    def _start(self) -> None:
        folder = self._folder
        number = next(_NUMBERS)  # the kernel removes the links of the one before later than its namespace
        octet = (os.getpid() + number) % 250 + 1
        self.host, here = f"10.87.{octet}.2", f"10.87.{octet}.1"
        name, veth = f"lbr{os.getpid() % 100000}-api{number}", f"lbr{os.getpid() % 100000}-{number}"
        for command in (
            f"ip netns add {name}",
            f"ip link add {veth} type veth peer eth0 netns {name}",
            f"ip addr add {here}/30 dev {veth}",
            f"ip link set {veth} up",
            f"ip -n {name} addr add {self.host}/30 dev eth0",
            f"ip -n {name} link set eth0 up",
            f"ip -n {name} link set lo up",
        ):
            subprocess.run(command.split(), check=True)
            if command.startswith("ip netns add"):
                self._undo.callback(subprocess.run, ["ip", "netns", "del", name], check=True)
        key = folder / "sa.key"
        trustme.CA().private_key_pem.write_to_path(str(key))
        token = secrets.token_hex(16)
        (folder / "tokens.csv").write_text(f"{token},admin,admin,system:masters\n")
        programs = ensure(["etcd", "kube-apiserver"], progress=print)
        self._spawn(
            name, programs["etcd"], f"--data-dir={folder}/etcd",
            "--listen-client-urls=http://127.0.0.1:2379", "--advertise-client-urls=http://127.0.0.1:2379",
            "--listen-peer-urls=http://127.0.0.1:2380",
        )  # fmt: skip
        self._spawn(
            name, programs["kube-apiserver"], "--etcd-servers=http://127.0.0.1:2379", f"--cert-dir={folder}/pki",
            f"--bind-address={self.host}", f"--advertise-address={self.host}", "--secure-port=6443",
            f"--token-auth-file={folder}/tokens.csv", "--authorization-mode=RBAC",
            f"--service-account-key-file={key}", f"--service-account-signing-key-file={key}",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--service-cluster-ip-range=10.96.0.0/16,fd00:96::/112",
            "--enable-priority-and-fairness=false",
            "--feature-gates=StrictIPCIDRValidation=false",  # as in older servers: leading zeros in an IP are accepted
        )  # fmt: skip
        self.url = f"https://{self.host}:6443"
        self.ca = folder / "pki" / "apiserver.crt"
        wait(lambda: self.ca.exists() and self._listens(), "the API server listens", 30)
        self.client = httpx.Client(
            base_url=self.url,
            verify=ssl.create_default_context(cafile=self.ca),
            headers={"Authorization": f"Bearer {token}"},
            trust_env=False,
        )
        self._undo.callback(self.client.close)
        wait(self._answers, "the API server is ready", 30)

    def __enter__(self) -> Self:
        """Start the processes and wait until they are ready."""
        with self._undo:  # undo the completed steps if a later one fails
            self._start()
            self._undo = self._undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """End the processes and remove the namespace."""
        self._undo.close()

    def create(self, obj: Object) -> Object:
        """POST an object to the path of its kind."""
        path = RESOURCES[obj["kind"]].format(obj["metadata"].get("namespace", "default"))
        return self.call("POST", path, obj)

    def call(self, method: str, path: str, body: Object | None = None) -> Object:
        """Send one request and return its JSON. Raises AssertionError with the response text for 4xx and 5xx."""
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        response = self.client.request(
            method, path, content=None if body is None else json.dumps(body), headers={"Content-Type": kind}
        )
        if response.is_error:
            raise AssertionError(f"{method} {path}: {response.status_code} {response.text}")
        steps = parse(response.content).__await__()  # an event loop may run already
        while True:
            try:
                next(steps)
            except StopIteration as end:
                answer: Object = end.value
                return answer

    def install(self) -> None:
        """Install the CRDs, RBAC and policies of the reference from its manifests."""
        for file in ("00-crds.yaml", "10-rbac.yaml", "11-admission.yaml"):
            for document in yaml.safe_load_all((MANIFESTS / file).read_text()):
                self.create(document)
        wait(lambda: self.client.get("/apis/metallb.io/v1beta1/ipaddresspools").is_success, "the CRDs are served", 10)

    def account(self, name: str, pod: Object | None = None) -> Path:
        """Return a folder with the token and CA of a ServiceAccount in metallb-system; the token may be of a Pod."""
        folder = self._folder / (pod["metadata"]["name"] if pod else name)
        folder.mkdir(exist_ok=True)
        path = f"/api/v1/namespaces/metallb-system/serviceaccounts/{name}/token"
        spec: Object = {}
        if pod:
            own = {key: pod["metadata"][key] for key in ("name", "uid")}
            spec["boundObjectRef"] = {"kind": "Pod", "apiVersion": "v1", **own}
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        token = self.call("POST", path, request)
        (folder / "token").write_text(token["status"]["token"])
        (folder / "ca.crt").write_bytes(self.ca.read_bytes())
        return folder

    def controller(self, *flags: str, pod: Object | None = None) -> subprocess.Popen[bytes]:
        """Start the reference's controller as a process and wait until it is ready; it ends with this server.

        With a Pod, as the one of its container.
        """
        if pod:
            flags += ("--pod", pod["metadata"]["name"], "--pod-uid", pod["metadata"]["uid"])
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        with (self._folder / "controller.log").open("a") as log:
            process = subprocess.Popen(
                [
                    sys.executable, "-m", "lbproof_reference", "controller", "--api", self.url,
                    "--account", str(self.account("controller", pod)), "--port", str(port), *flags,
                ],
                stderr=log,
            )  # fmt: skip
        self._undo.callback(end, process)
        wait(lambda: _ready(port), "the controller is ready", 30)
        return process

    def _spawn(self, netns: str, program: Path, *flags: str) -> None:
        log = self._undo.enter_context((self._folder / f"{program.name}.log").open("w"))
        process = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{netns}", str(program), *flags], stdout=log, stderr=log
        )
        self._undo.callback(end, process)

    def _listens(self) -> bool:
        try:
            socket.create_connection((self.host, 6443), 0.2).close()
        except OSError:
            return False
        return True

    def _answers(self) -> bool:
        try:
            return self.client.get("/readyz").is_success
        except httpx.TransportError:  # a TLS handshake may time out on a busy machine
            return False


def _ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", trust_env=False).is_success
    except httpx.TransportError:
        return False


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and wait for it."""
    process.kill()
    process.wait(5)


def wait(fine: Callable[[], bool], what: str, seconds: float = 5) -> None:
    """Poll until `fine()` is true. Raises AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not fine():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        pause.wait(0.02)
