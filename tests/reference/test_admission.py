"""The policies of the manifests, against a real API server: what the accounts of the reference may not do."""

from __future__ import annotations

from base64 import b64encode
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING

import pytest
from tests.reference.apiserver import ApiServer, Object, wait

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

STATUS = "/api/v1/namespaces/default/services/a/status"
EVENTS = "/api/v1/namespaces/default/events"
SECRETS = "/api/v1/namespaces/metallb-system/secrets"
ADDRESS = {"status": {"loadBalancer": {"ingress": [{"ip": "10.0.0.1", "ipMode": "VIP"}]}}}
OWNER = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """One API server for the module, with a Service, in which the policies are in force."""
    with ApiServer(tmp_path_factory.mktemp("api")) as server:
        server.install()
        meta = {"name": "a", "labels": {"app": "a"}, "annotations": {"note": "mine", "other": "mine"}}
        spec = {"type": "LoadBalancer", "ports": [{"port": 80}]}
        server.create({"kind": "Service", "metadata": meta, "spec": spec})
        for request in forbidden():
            wait(partial(is_refused, server, *request), f"{request[1]} is restricted", 30)
        yield server


def is_refused(api: ApiServer, method: str, path: str, body: Object) -> bool:
    """Whether a policy refuses a request of the controller, which is not carried out."""
    return send(api, "controller", method, f"{path}?dryRun=All", body).status_code == HTTPStatus.UNPROCESSABLE_ENTITY


def forbidden() -> Iterator[tuple[str, str, Object]]:
    """Yield a request for each policy that it refuses: they come into force one by one."""
    about = {"kind": "Pod", "apiVersion": "v1", "name": "a", "namespace": "default"}
    key = b64encode(b"short").decode()
    yield "PATCH", STATUS, {"metadata": {"labels": {"new": "x"}}}
    yield "POST", EVENTS, {"metadata": {"generateName": "e-"}, "involvedObject": about, "reason": "Test"}
    yield "POST", SECRETS, {"metadata": {"name": "lbproof-heartbeat"}, "data": {"key": key}}


def send(api: ApiServer, account: str, method: str, path: str, body: Object) -> httpx.Response:
    """Send one request with the token of an account of the manifests, or as administrator."""
    headers = {"Content-Type": "application/merge-patch+json" if method == "PATCH" else "application/json"}
    if account != "admin":
        headers["Authorization"] = f"Bearer {(api.account(account) / 'token').read_text()}"
    return api.client.request(method, path, json=body, headers=headers)


def patched(api: ApiServer, body: Object) -> httpx.Response:
    """Patch the Service's status as the controller."""
    return send(api, "controller", "PATCH", STATUS, body)


@pytest.mark.parametrize(
    "body",
    [
        {"metadata": {"finalizers": ["example.com/never"]}},
        {"metadata": {"ownerReferences": [OWNER]}},
        {"metadata": {"labels": {"app": "b"}}},
        {"metadata": {"labels": None}},
        {"metadata": {"annotations": {"note": "yours"}}},
        {"metadata": {"annotations": {"note": None}}},
        {"metadata": {"annotations": {"new": "yours"}}},
        {"status": {"conditions": [{"type": "x", "status": "True", "reason": "r", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z"}]}},
    ],
)  # fmt: skip
def test_the_controller_changes_nothing_else_of_a_service(api: ApiServer, body: Object) -> None:
    """The controller's account may not change metadata or conditions of a Service; administrators may."""
    refused = patched(api, body)

    assert refused.status_code == 422, refused.text
    assert "lbproof-reference-service-status" in refused.json()["message"]


def test_the_controller_writes_its_addresses_and_annotations(api: ApiServer) -> None:
    """The controller's account may change addresses and its two annotations."""
    notes = {"metallb.io/ip-allocated-from-pool": "web", "lbproof.dev/allocated-ip": "10.0.0.1"}
    for body in ({"metadata": {"annotations": notes}, **ADDRESS}, {"metadata": {"annotations": dict.fromkeys(notes)}}):
        assert patched(api, body).is_success


@pytest.mark.parametrize(
    ("account", "kind", "version", "fine"),
    [
        ("speaker", "Service", "v1", True),
        ("speaker", "Pod", "v1", False),
        ("speaker", "IPAddressPool", "metallb.io/v1beta1", False),
        ("speaker", "Service", "serving.knative.dev/v1", False),
        ("controller", "IPAddressPool", "metallb.io/v1beta1", True),
        ("controller", "Secret", "v1", False),
    ],
)
def test_events_are_about_what_is_reported_on(
    api: ApiServer, account: str, kind: str, version: str, fine: bool
) -> None:
    """Events about other kinds are refused."""
    about = {"kind": kind, "apiVersion": version, "name": "a", "namespace": "default"}
    event = {"metadata": {"generateName": "e-"}, "involvedObject": about, "type": "Normal", "reason": "Test"}

    answer = send(api, account, "POST", EVENTS, event)

    assert answer.status_code == (201 if fine else 422), answer.text


def test_a_new_key_comes_with_the_old_one(api: ApiServer) -> None:
    """A heartbeat key has 16 bytes, and is replaced only together with the old one as `previous-key`."""
    old, new, short = (b64encode(text).decode() for text in (b"o" * 16, b"n" * 16, b"s" * 15))
    named = {"metadata": {"name": "lbproof-heartbeat"}}

    def put(**data: str | None) -> int:
        return send(api, "admin", "PATCH", f"{SECRETS}/lbproof-heartbeat", {"data": data}).status_code

    assert send(api, "controller", "POST", SECRETS, {**named, "data": {"key": short}}).status_code == 422
    assert send(api, "controller", "POST", SECRETS, {**named, "data": {"key": old}}).is_success
    assert send(api, "admin", "POST", SECRETS, {"metadata": {"name": "other"}, "data": {"key": short}}).is_success
    assert put(key=new) == 422
    assert put(key=new, **{"previous-key": new}) == 422
    assert put(key=None) == 422
    assert put(key=short, **{"previous-key": old}) == 422
    assert put(key=new, **{"previous-key": old}) == 200
    assert put(**{"previous-key": None}) == 200
