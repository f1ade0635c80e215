"""The stand-in for one node's kubelet: registers the node, renews its lease, and realises the pods bound to it.

Its threads live in the node's network namespace and reach the API server across the segment. A node whose cable is
pulled, or that is cut off from the control plane, therefore goes silent by itself, as a real one does.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from lbproof.lab.base import LabError
from lbproof.lab.common.conditions import is_ready
from lbproof.lab.common.netns import enter
from lbproof.lab.netns import status
from lbproof.lab.netns.api import MERGE, STRATEGIC, UNREACHABLE, Api, ApiError
from lbproof.lab.netns.pod import Pod
from lbproof.lab.netns.processes import namespace

if TYPE_CHECKING:
    from collections.abc import Callable

    from lbproof.lab.netns.plan import Place
    from lbproof.lab.netns.pod_host import Inside

_log = logging.getLogger(__name__)

_LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
_GONE = {404, 409}
RETRY = 0.2


class Kubelet:
    """Agent of one node, from its boot until its crash."""

    def __init__(self, place: Place, inside: Inside) -> None:
        """Nothing is done yet."""
        self.place, self.inside = place, inside
        self.api = Api(str(inside.api_address), inside.token, inside.ca)
        self.pods: dict[str, Pod] = {}
        self.frozen = False
        self.files = inside.work / "nodes" / place.node.name
        self.files.mkdir(parents=True, exist_ok=True)  # a node that boots again has its files
        self._silent = False
        self._reporting = threading.Lock()
        """Held while something is said of the node, so that nothing is once the kubelet has fallen silent."""
        self._off = threading.Event()
        self._beat = threading.Event()
        self._registered = threading.Event()
        self._numbers = list(range(2, 255))
        self._lock = threading.Lock()

    def start(self) -> None:
        """Begin."""
        self._thread(self._leases)
        self._thread(self._watch)

    def stop(self) -> None:
        """Crash with the node: kill the processes of its pods and report nothing more."""
        self._off.set()
        for pod in list(self.pods.values()):
            pod.lose()

    def beat(self) -> None:
        """Renew the lease, and the status if need be, now: the node can be heard again."""
        self._beat.set()

    def fall_silent(self) -> None:
        """Say nothing more of the node; what is being said is said first. Pods are seen to as before."""
        with self._reporting:
            self._silent = True

    def report_again(self) -> None:
        """Say again how the node is, now."""
        self._silent = False
        self.beat()

    def _thread(self, work: Callable[[], None]) -> None:
        def main() -> None:
            enter(namespace(self.place.node.name))
            while not self._off.is_set():
                try:
                    work()
                except UNREACHABLE as error:
                    _log.debug("kubelet %s: %s", self.place.node.name, error)
                    self._off.wait(RETRY)
                except ApiError as error:
                    _log.warning("kubelet %s: %s", self.place.node.name, error)
                    self._off.wait(RETRY)

        threading.Thread(target=main, name=f"kubelet {self.place.node.name}", daemon=True).start()

    # addresses of pods
    def take_number(self, before: str) -> int:
        """A number for a pod; the one of the address that it had `before`, if it is free: it cannot change."""
        with self._lock:
            if not self._numbers:
                raise LabError(f"node {self.place.node.name} has no address left for a pod")
            same = [number for number in self._numbers if before and self._first(number) == before]
            number = same[0] if same else self._numbers[0]
            self._numbers.remove(number)
        return number

    def _first(self, number: int) -> str:
        return str(self.place.pod_addresses(number)[0])

    def give_number_back(self, number: int) -> None:
        """A pod's number is free again, after all others."""
        with self._lock:
            self._numbers.append(number)

    # the node
    def _register(self) -> None:
        try:
            self.api(
                "POST", "/api/v1/nodes", status.node_object(self.place, excluded=self.inside.exclude_control_plane)
            )
        except ApiError as error:
            if error.status not in _GONE:
                raise
        self._post_status()
        self._registered.set()

    def _post_status(self) -> None:
        body = status.node_status(self.place, self.inside.version, status.now())
        self.api("PATCH", f"/api/v1/nodes/{self.place.node.name}/status", body, content=STRATEGIC)

    def _leases(self) -> None:
        if not self._registered.is_set():
            self._register()
        while not self._off.is_set():
            with self._reporting:
                if not self.frozen and not self._silent:
                    self._renew()
            self._beat.wait(self.inside.lease_every)
            self._beat.clear()

    def _renew(self) -> None:
        """A lease alone does not undo Ready=Unknown: whoever was given up must post its status again."""
        name = self.place.node.name
        renewed = time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime())
        spec = {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": renewed}
        try:
            self.api("PATCH", f"{_LEASES}/{name}", {"spec": spec}, content=MERGE)
        except ApiError as error:
            if error.status not in _GONE:
                raise
            lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}, "spec": spec}
            self.api("POST", _LEASES, lease)
        node = self.api("GET", f"/api/v1/nodes/{name}")
        if not is_ready(node):
            self._post_status()

    # its pods
    def _watch(self) -> None:
        path = f"/api/v1/pods?fieldSelector=spec.nodeName={self.place.node.name}"
        listed = self.api("GET", path)
        present = {obj["metadata"]["uid"] for obj in listed["items"]}
        for uid, pod in list(self.pods.items()):
            if uid not in present:
                pod.finish(0)
        for obj in listed["items"]:
            self._seen(obj)
        version = listed["metadata"]["resourceVersion"]
        while not self._off.is_set():
            for event in self.api.watch(path, version):
                if event["type"] == "ERROR":
                    _log.info("kubelet %s: watch ended: %s", self.place.node.name, event["object"])
                    return
                while self.frozen and not self._off.wait(RETRY):
                    pass  # nothing is taken in while the node stands still
                version = event["object"]["metadata"]["resourceVersion"]
                self._event(event["type"], event["object"])

    def _event(self, kind: str, obj: dict[str, Any]) -> None:
        if self._off.is_set():
            return
        if kind in {"ADDED", "MODIFIED"}:
            self._seen(obj)
        elif kind == "DELETED" and (pod := self.pods.get(obj["metadata"]["uid"])):
            pod.finish(0)

    def _seen(self, obj: dict[str, Any]) -> None:
        """A pod of this node is there or has changed."""
        metadata = obj["metadata"]
        pod = self.pods.get(metadata["uid"])
        if pod is not None:
            pod.update(obj)
            if "deletionTimestamp" in metadata:
                pod.finish(metadata.get("deletionGracePeriodSeconds", 0))
        elif "deletionTimestamp" in metadata:
            self._delete(obj)
        elif obj.get("status", {}).get("phase") not in {"Succeeded", "Failed"}:
            self.pods[metadata["uid"]] = fresh = Pod(obj, self)
            fresh.start()

    def forget(self, obj: dict[str, Any]) -> None:
        """A pod has ended here: its object may go."""
        metadata = obj["metadata"]
        del self.pods[metadata["uid"]]
        while not self._off.is_set():
            try:
                self._delete(obj)
            except (ApiError, *UNREACHABLE) as error:
                _log.info("pod %s/%s: %s", metadata["namespace"], metadata["name"], error)
                self._off.wait(RETRY)
            else:
                return

    def _delete(self, obj: dict[str, Any]) -> None:
        metadata = obj["metadata"]
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"
        try:
            self.api("DELETE", path, {"gracePeriodSeconds": 0, "preconditions": {"uid": metadata["uid"]}})
        except ApiError as error:
            if error.status not in _GONE:
                raise
