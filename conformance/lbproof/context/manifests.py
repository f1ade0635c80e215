"""Manifests of the suite as raw JSON: a Service, a workload whose replies name the pod, a namespace.

The workload runs agnhost's `netexec`, the Kubernetes project's test server: `/hostname` returns the name of the pod,
`/clientip` the source address of the request.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lbproof.spec.families import family_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lbproof.adapters.base import Object
    from lbproof.spec.families import IPAddress

AGNHOST = "registry.k8s.io/e2e-test-images/agnhost:2.57"
OURS = {"app.kubernetes.io/managed-by": "lbproof"}
"""Label of all objects that the suite creates, used to find and remove them."""
TARGET_PORT = 8080
LINGER = 4
"""Seconds that a pod serves on when it is ended: more than kube-proxy takes to hear of it on a busy machine."""
HTTP = ({"name": "http", "port": 80, "targetPort": TARGET_PORT},)
"""Ports of a Service unless a check gives others."""
READY: Mapping[str, bool] = {"ready": True}
READY_UNSET: tuple[Mapping[str, bool], ...] = ({}, {"serving": True, "terminating": False})
"""Conditions that leave `ready` out, which means true (API type EndpointConditions)."""
TERMINATING: Mapping[str, bool] = {"ready": False, "serving": True, "terminating": True}
"""Conditions of an endpoint that is being ended and still serves (KEP-1669)."""
PUBLISHED: Mapping[str, bool] = {"ready": True, "serving": False, "terminating": False}
"""Conditions of the endpoint of a pod that is not ready, of a Service with `publishNotReadyAddresses`: it is ready."""
NOT_READY: Mapping[str, bool] = {"ready": False, "serving": False, "terminating": False}


def images_of(objects: Iterable[Object]) -> list[str]:
    """List the distinct images of pods and of templates of pods, including init containers."""
    found: dict[str, None] = {}
    for made in objects:
        pod = _part(pod_of(made), "spec")
        for container in (*(pod.get("initContainers") or []), *(pod.get("containers") or [])):
            if image := container.get("image"):
                found[image] = None
    return list(found)


def labels_of(made: Object) -> Object:
    """Return the labels of a pod, or of the pods of a workload."""
    return _part(_part(pod_of(made), "metadata"), "labels")


def pod_of(made: Object) -> Object:
    """Return a pod, or the template of the pods of an object; empty when it has none."""
    return made if made["kind"] == "Pod" else _part(_part(made, "spec"), "template")


def _part(made: Object, name: str) -> Object:
    """Return a field that is an object; empty when it is absent or something else."""
    found = made.get(name)
    return found if isinstance(found, dict) else {}


def merged(made: Object, patch: Mapping[str, Any]) -> Object:
    """Return an object with a JSON merge patch applied (RFC 7386)."""
    found = dict(made)
    for key, value in patch.items():
        if value is None:
            found.pop(key, None)
        elif isinstance(value, Mapping):
            inner = found.get(key)
            found[key] = merged(inner if isinstance(inner, dict) else {}, value)
        else:
            found[key] = value
    return found


def namespace(name: str) -> Object:
    """Build a Namespace manifest."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": OURS}}


def service(
    namespace: str,
    name: str,
    *,
    type: str = "LoadBalancer",  # noqa: A002 - the API field's name
    selector: Mapping[str, str] | None = None,
    ports: Sequence[Mapping[str, Any]] = HTTP,
    **spec: Any,  # noqa: ANN401 - any field of ServiceSpec
) -> Object:
    """Build a Service manifest; without a selector its endpoints are those of `endpoints`, or none."""
    body: Object = {"type": type, "ports": [dict(port) for port in ports], **spec}
    if selector:
        body["selector"] = dict(selector)
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace, "labels": dict(OURS)},
        "spec": body,
    }


def endpoints(
    namespace: str,
    name: str,
    pods: Sequence[tuple[IPAddress, str]],
    *,
    ports: Sequence[Mapping[str, Any]] = HTTP,
    conditions: Mapping[str, bool] = READY,
) -> Object:
    """Build the EndpointSlice of a Service without a selector, from address and node of pods of one family.

    The node may be empty: `nodeName` is optional (discovery.k8s.io/v1). `ports`: those of the Service.
    """
    labels = {"kubernetes.io/service-name": name, "endpointslice.kubernetes.io/managed-by": "lbproof"}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "namespace": namespace, "labels": {**OURS, **labels}},
        "addressType": family_of(pods[0][0]).label,
        "ports": [
            {"name": port.get("name", ""), "port": _target(port), "protocol": port.get("protocol", "TCP")}
            for port in ports
        ],
        "endpoints": [
            {"addresses": [str(address)], "conditions": dict(conditions)} | ({"nodeName": node} if node else {})
            for address, node in pods
        ],
    }


def _target(port: Mapping[str, Any]) -> int:
    """Return the number of the endpoints' port for a port of a Service, which may name it or leave it out."""
    target = port.get("targetPort", port["port"])
    return target if isinstance(target, int) else TARGET_PORT


def web(namespace: str, name: str, *, replicas: int, nodes: Sequence[str] = (), lingers: bool = False) -> Object:
    """Build a Deployment of `netexec`, spread over all nodes, or restricted to the named nodes.

    `lingers`: a pod that is ended goes on serving for `LINGER` seconds, until everybody knows.
    """
    labels = {"app": name}
    pod: Object = {
        "terminationGracePeriodSeconds": LINGER + 1 if lingers else 1,
        "tolerations": [{"operator": "Exists", "effect": "NoSchedule", "key": "node-role.kubernetes.io/control-plane"}]
        if nodes
        else [],
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": labels},
            }
        ],
        "containers": [
            {
                "name": "web",
                "image": AGNHOST,
                "imagePullPolicy": "IfNotPresent",
                "args": [
                    *("netexec", f"--http-port={TARGET_PORT}", f"--udp-port={TARGET_PORT}"),
                    *([f"--delay-shutdown={LINGER}"] if lingers else []),
                ],
                "ports": [{"containerPort": TARGET_PORT}],
                "readinessProbe": {"httpGet": {"path": "/hostname", "port": TARGET_PORT}, "periodSeconds": 1},
            }
        ],
    }
    if nodes:
        match = {"key": "kubernetes.io/hostname", "operator": "In", "values": list(nodes)}
        pod["affinity"] = {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [match]}]}
            }
        }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace, "labels": {**OURS, **labels}},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": {**OURS, **labels}}, "spec": pod},
        },
    }
