"""The API server and the Lease in it, with the standard library alone."""

import http.client
import json
import os
import ssl
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
NAMESPACE, NAME = "acme-lb", "leader"
LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"
TIMEOUT = 1.0
DURATION = 6
"""Seconds without a change until another node may take the Lease."""
HOLD = 4.5
"""Seconds for which its holder relies on it, from before the request that renewed it."""
RENEW = 1.0


class Api:
    """Requests on one connection, which is opened again after an error."""

    def __init__(self) -> None:
        host, port = os.environ["KUBERNETES_SERVICE_HOST"], int(os.environ["KUBERNETES_SERVICE_PORT"])
        tls = ssl.create_default_context(cafile=ACCOUNT / "ca.crt")
        self.connection = http.client.HTTPSConnection(host, port, timeout=TIMEOUT, context=tls)

    def __call__(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """Return the answer, or {} when there is no such object. Raises OSError."""
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        headers = {"Authorization": f"Bearer {(ACCOUNT / 'token').read_text()}", "Content-Type": kind}
        try:
            self.connection.request(method, path, json.dumps(body) if body else None, headers)
            answer = self.connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.connection.close()
            raise OSError(f"{method} {path}: {error!r}") from error
        if answer.status == http.HTTPStatus.NOT_FOUND:
            return {}
        if answer.status >= http.HTTPStatus.BAD_REQUEST:
            raise OSError(f"{method} {path}: {answer.status} {text[:300]!r}")
        found: dict[str, Any] = json.loads(text)
        return found


class Lease:
    """The Lease of the leader. Its holder is a node, so a pod that was restarted there goes on at once."""

    def __init__(self, api: Api, node: str) -> None:
        self.api, self.node = api, node
        self.until = self.seen = 0.0
        self.version: str | None = None

    def left(self) -> float:
        """Return the seconds for which it is held."""
        return self.until - time.monotonic()

    def hold(self) -> bool:
        """Renew it, or take it when nobody holds it; return whether it is held. Raises OSError."""
        if self.left() > HOLD - RENEW:
            return True
        began, lease = time.monotonic(), self.read()
        holder, version = lease["spec"].get("holderIdentity"), lease["metadata"].get("resourceVersion", "")
        if version != self.version:
            self.version, self.seen = version, time.monotonic()
        if holder and holder != self.node and time.monotonic() - self.seen < DURATION:
            self.until = 0.0
            return False
        self.write(lease, self.node)
        self.until = began + HOLD
        return True

    def release(self) -> None:
        """Let another node take it without waiting."""
        if self.left() > 0:
            self.write(self.read(), "")

    def read(self) -> dict[str, Any]:
        kind = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "spec": {}}
        return kind | (self.api("GET", f"{LEASES}/{NAME}") or {"metadata": {"name": NAME, "namespace": NAMESPACE}})

    def write(self, lease: dict[str, Any], holder: str) -> None:
        """Write the holder; 409 when another node was faster."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")  # shown by kubectl, compared by nobody
        spec = {"holderIdentity": holder, "leaseDurationSeconds": DURATION, "renewTime": now}
        self.api("PUT", f"{LEASES}/{NAME}", lease | {"spec": spec})
