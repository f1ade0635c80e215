"""Pods as processes: what a kubelet would do with them, seen from the API and from their own output."""

from __future__ import annotations

import base64
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from lbproof.witnesses import http
from lbproof.witnesses.kube import ApiError
from lbproof.witnesses.wait import consistently, eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from lbproof.lab.netns.lab import NetnsLab
    from lbproof.witnesses.kube import Kube

PODS = "/api/v1/namespaces/default/pods"
SECRETS = "/api/v1/namespaces/default/secrets"


def main_of(seen: dict[str, Any]) -> dict[str, Any]:
    """The status of a pod's only container."""
    rows = seen["status"].get("containerStatuses") or [{}]
    return dict(rows[0])


def output(lab: NetnsLab, name: str) -> str:
    """What a pod's container has written."""
    log = lab.state / "log" / f"default_{name}_main.log"
    return log.read_text() if log.exists() else ""


def python(code: str, **more: object) -> dict[str, Any]:
    """A container that runs a few lines of Python."""
    return {"image": "test/python:1", "args": ["-c", code], **more}


def test_a_ready_pod_has_a_kubelet_s_status(serving: Callable[..., Any]) -> None:
    """Address, host, phase, start, container state: everything that controllers read."""
    status = serving("status")["status"]

    assert status["phase"] == "Running"
    assert status["podIP"].startswith("10.244.1.")
    assert status["hostIP"] == "192.168.172.151"
    assert status["startTime"]
    container = status["containerStatuses"][0]
    assert (container["ready"], container["restartCount"]) == (True, 0)
    assert container["state"]["running"]["startedAt"]


def test_a_status_that_another_wrote_is_written_back(serving: Callable[..., Any], kube: Kube) -> None:
    """The node controller sets Ready=False while a node is not heard; the kubelet says that it is not so."""
    seen = serving("written-back")
    conditions = [
        row | ({"status": "False", "reason": "NodeNotReady"} if row["type"] == "Ready" else {})
        for row in seen["status"]["conditions"]
    ]
    marked = kube.patch(f"{PODS}/written-back/status", {"status": {"conditions": conditions}})
    eventually(lambda: kube.get(f"{PODS}/written-back"), ready, what="pod written-back is Ready again", within=5)
    steady = kube.get(f"{PODS}/written-back")["metadata"]["resourceVersion"]
    consistently(
        lambda: kube.get(f"{PODS}/written-back")["metadata"]["resourceVersion"],
        lambda version: version == steady,
        what="nothing is written again",
        during=1.5,
    )

    assert not ready(marked)


def ready(seen: dict[str, Any]) -> bool:
    """Whether a pod is Ready."""
    return any(row["type"] == "Ready" and row["status"] == "True" for row in seen["status"]["conditions"])


def test_a_pod_in_its_node_s_network_has_its_address(pod: Callable[..., Any], pod_when: Callable[..., Any]) -> None:
    """`hostNetwork` means the node's own address."""
    pod("host", hostNetwork=True)
    seen = pod_when("host", lambda seen: main_of(seen).get("ready"))

    assert seen["status"]["podIP"] == "192.168.172.151"


def test_nginx_is_the_real_one_and_names_its_pod(
    lab: NetnsLab, pod: Callable[..., Any], pod_when: Callable[..., Any]
) -> None:
    """The image `nginx` is this machine's nginx with its libraries."""
    pod("web", container={"image": "nginx:1.24.0", "readinessProbe": {"httpGet": {"path": "/", "port": 80}}})
    seen = pod_when("web", lambda seen: main_of(seen).get("ready"))
    answer = http.get(lab.node("w02"), ip_address(seen["status"]["podIP"]), 80)

    assert answer.body == b"web\n"


def test_a_program_finds_its_cluster(lab: NetnsLab, pod: Callable[..., Any], pod_when: Callable[..., Any]) -> None:
    """The in-cluster configuration is real: token, CA and address get an authenticated answer."""
    code = (
        "import os, ssl, urllib.request as u\n"
        "d = '/var/run/secrets/kubernetes.io/serviceaccount/'\n"
        "url = 'https://%s:%s/apis/authentication.k8s.io/v1/selfsubjectreviews' % "
        "(os.environ['KUBERNETES_SERVICE_HOST'], os.environ['KUBERNETES_SERVICE_PORT'])\n"
        'q = u.Request(url, b\'{"kind":"SelfSubjectReview","apiVersion":"authentication.k8s.io/v1"}\','
        " {'Authorization': 'Bearer ' + open(d + 'token').read(), 'Content-Type': 'application/json'})\n"
        "print(u.urlopen(q, context=ssl.create_default_context(cafile=d + 'ca.crt')).read().decode())\n"
        "print(open(d + 'namespace').read())\n"
    )
    pod("cluster", restartPolicy="Never", container=python(code))
    seen = pod_when("cluster", lambda seen: seen["status"]["phase"] in {"Succeeded", "Failed"})

    assert seen["status"]["phase"] == "Succeeded", output(lab, "cluster")
    assert "system:serviceaccount:default:default" in output(lab, "cluster")
    assert output(lab, "cluster").endswith("\ndefault\n")


def test_the_environment_is_what_the_pod_asks_for(
    lab: NetnsLab, kube: Kube, pod: Callable[..., Any], pod_when: Callable[..., Any]
) -> None:
    """Fields, ConfigMaps, Secrets and `$(NAME)` in values and arguments."""
    kube.create("/api/v1/namespaces/default/configmaps", {"metadata": {"name": "env"}, "data": {"colour": "green"}})
    kube.create(SECRETS, {"metadata": {"name": "env"}, "stringData": {"word": "hush"}})
    env = [
        {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "APP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
        {"name": "COLOUR", "valueFrom": {"configMapKeyRef": {"name": "env", "key": "colour"}}},
        {"name": "WORD", "valueFrom": {"secretKeyRef": {"name": "env", "key": "word"}}},
        {"name": "NONE", "valueFrom": {"secretKeyRef": {"name": "no", "key": "no", "optional": True}}},
        {"name": "BOTH", "value": "$(COLOUR)-$(WORD)-$$(WORD)"},
    ]
    code = "import os, sys; print(sys.argv[1], *(os.environ.get(n) for n in 'NODE APP COLOUR WORD NONE BOTH'.split()))"
    pod("env", restartPolicy="Never", container={"image": "test/python", "args": ["-c", code, "$(IP)"], "env": env})
    seen = pod_when("env", lambda seen: seen["status"]["phase"] == "Succeeded")

    assert output(lab, "env") == f"{seen['status']['podIP']} w01 env green hush None green-hush-$(WORD)\n"


def test_a_changed_secret_reaches_a_program_that_waits_for_it(
    lab: NetnsLab, kube: Kube, pod: Callable[..., Any], pod_when: Callable[..., Any]
) -> None:
    """A mounted Secret is refreshed, fast while the pod is not Ready, and an optional one may come late."""
    code = (
        "import pathlib, socket, threading\n"
        "f = pathlib.Path('/cert/late')\n"
        "while not f.exists(): threading.Event().wait(0.05)\n"
        "print(f.read_text()); s = socket.create_server(('', 80))\n"
        "while True: s.accept()\n"
    )
    pod(
        "late",
        volumes=[{"name": "cert", "secret": {"secretName": "late", "optional": True}}],
        container=python(
            code,
            volumeMounts=[{"name": "cert", "mountPath": "/cert", "readOnly": True}],
            readinessProbe={"tcpSocket": {"port": 80}},
        ),
    )
    pod_when("late", lambda seen: "running" in main_of(seen).get("state", {}))
    kube.create(SECRETS, {"metadata": {"name": "late"}, "data": {"late": base64.b64encode(b"come").decode()}})
    pod_when("late", lambda seen: main_of(seen)["ready"], within=5)

    assert output(lab, "late") == "come\n"


def test_a_missing_secret_is_waited_for_and_named(
    kube: Kube, pod: Callable[..., Any], pod_when: Callable[..., Any]
) -> None:
    """A pod whose volume cannot be made says why, and starts once it can."""
    volume = {"name": "v", "secret": {"secretName": "missing"}}
    pod("waits", volumes=[volume], container={"volumeMounts": [{"name": "v", "mountPath": "/v"}]})
    seen = pod_when("waits", lambda seen: "waiting" in main_of(seen).get("state", {}))
    kube.create(SECRETS, {"metadata": {"name": "missing"}, "stringData": {"a": "b"}})
    pod_when("waits", lambda seen: main_of(seen)["ready"])

    assert main_of(seen)["state"]["waiting"]["reason"] == "ContainerCreating"
    assert '"missing" not found' in main_of(seen)["state"]["waiting"]["message"]
    assert seen["status"]["phase"] == "Pending"


def test_an_unknown_image_says_which_are_known(pod: Callable[..., Any], pod_when: Callable[..., Any]) -> None:
    """The pod waits as it would for a registry, and the message names the images of the lab."""
    pod("unknown", container={"image": "example.com/what/ever:1"})
    seen = pod_when("unknown", lambda seen: "waiting" in main_of(seen).get("state", {}))
    waiting = main_of(seen)["state"]["waiting"]

    assert waiting["reason"] in {"ErrImagePull", "ImagePullBackOff"}
    assert "agnhost" in waiting["message"]
    assert "nginx" in waiting["message"]


def test_a_container_that_ends_is_started_again(pod: Callable[..., Any], pod_when: Callable[..., Any]) -> None:
    """The restarts are counted and the exit code of the last run is kept."""
    pod("again", container=python("import sys; sys.exit(7)"))
    seen = pod_when("again", lambda seen: main_of(seen).get("restartCount", 0) >= 2)

    waits = pod_when("again", lambda seen: "waiting" in main_of(seen)["state"])

    assert main_of(seen)["lastState"]["terminated"]["exitCode"] == 7
    assert seen["status"]["phase"] == "Running"
    assert main_of(waits)["state"]["waiting"]["reason"] == "CrashLoopBackOff"


def test_init_containers_come_first_and_in_order(
    lab: NetnsLab, pod: Callable[..., Any], pod_when: Callable[..., Any]
) -> None:
    """What one leaves in a shared volume the next finds."""
    mount = {"volumeMounts": [{"name": "shared", "mountPath": "/shared"}]}
    append = "open('/shared/f', 'a').write('%s')"
    pod(
        "ordered",
        restartPolicy="Never",
        volumes=[{"name": "shared", "emptyDir": {}}],
        initContainers=[{"name": name, **python(append % name, **mount)} for name in ("one", "two")],
        container=python("print(open('/shared/f').read())", **mount),
    )
    pod_when("ordered", lambda seen: seen["status"]["phase"] == "Succeeded")

    assert output(lab, "ordered") == "onetwo\n"


def test_a_deleted_pod_may_finish_its_work(lab: NetnsLab, kube: Kube, pod: Callable[..., Any]) -> None:
    """SIGTERM first, and the object goes when the program has ended, well before its grace is over."""
    code = (
        "import signal, threading\n"
        "done = threading.Event()\n"
        "signal.signal(signal.SIGTERM, lambda *_: done.set())\n"
        "print('here'); done.wait(); threading.Event().wait(0.5); print('done')\n"
    )
    pod("graceful", terminationGracePeriodSeconds=30, container=python(code))
    eventually(lambda: output(lab, "graceful"), lambda text: text == "here\n", what="the program runs", within=10)
    kube.delete(f"{PODS}/graceful")
    eventually(lambda: gone(kube, "graceful"), bool, what="the pod goes", within=5)

    assert output(lab, "graceful") == "here\ndone\n"


def test_a_deaf_pod_is_killed_when_its_grace_is_over(lab: NetnsLab, kube: Kube, pod: Callable[..., Any]) -> None:
    """A program that ignores SIGTERM ends by SIGKILL, and its address answers no more."""
    code = "import signal, threading; signal.signal(15, signal.SIG_IGN); print('here'); threading.Event().wait()"
    pod("deaf", terminationGracePeriodSeconds=1, container=python(code))
    eventually(lambda: output(lab, "deaf"), lambda text: text == "here\n", what="the program runs", within=10)
    kube.delete(f"{PODS}/deaf")
    waited = eventually(lambda: gone(kube, "deaf"), bool, what="the pod goes", within=5)

    assert waited.took >= 0.9


def test_a_failing_probe_takes_readiness_away(
    lab: NetnsLab, pod: Callable[..., Any], pod_when: Callable[..., Any]
) -> None:
    """A container that stops answering is not Ready at its next probe, and is again when it answers again."""
    code = (
        "import http.server as h\n"
        "class H(h.BaseHTTPRequestHandler):\n"
        "    sick = False\n"
        "    def do_GET(self):\n"
        "        H.sick = {'/sick': True, '/well': False}.get(self.path, H.sick)\n"
        "        self.send_response(500 if H.sick else 200); self.end_headers()\n"
        "h.ThreadingHTTPServer(('', 80), H).serve_forever()\n"
    )
    probe = {"httpGet": {"path": "/", "port": 80}, "periodSeconds": 1, "failureThreshold": 1}
    pod("moody", container=python(code, readinessProbe=probe))
    address = ip_address(pod_when("moody", lambda seen: main_of(seen).get("ready"))["status"]["podIP"])
    http.get(lab.node("w01"), address, 80, "/sick")
    pod_when("moody", lambda seen: not main_of(seen)["ready"], within=5)
    http.get(lab.node("w01"), address, 80, "/well")
    pod_when("moody", lambda seen: main_of(seen)["ready"], within=5)


def test_a_command_may_be_the_probe(pod: Callable[..., Any], pod_when: Callable[..., Any]) -> None:
    """An `exec` probe runs among the container's own files."""
    code = "import threading; threading.Event().wait(0.5); open('/tmp/up', 'w'); threading.Event().wait()"
    probe = {"exec": {"command": ["test", "-f", "/tmp/up"]}}  # noqa: S108 - in the container's own root
    pod("command", container=python(code, readinessProbe=probe))
    seen = pod_when("command", lambda seen: "running" in main_of(seen).get("state", {}))
    pod_when("command", lambda seen: main_of(seen)["ready"], within=5)

    assert not main_of(seen)["ready"]


def gone(kube: Kube, name: str) -> bool:
    """Whether there is no such pod."""
    try:
        kube.get(f"{PODS}/{name}")
    except ApiError as error:
        return error.status == 404
    return False
