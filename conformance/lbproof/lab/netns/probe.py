"""Readiness and liveness probes as a kubelet asks them: from the node, of the pod's address.

`httpGet`, `tcpSocket` and `exec` are asked for real; `grpc` never succeeds. A readiness probe's `initialDelaySeconds`
is not waited for and, until its first success, it is asked every tenth of a second: the lab is ready as soon as its
programs are.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

QUICK = 0.1
"""Seconds between readiness probes that have not succeeded yet."""


@dataclass(slots=True)
class ContainerProbe:
    """One probe of one run of a container."""

    spec: Mapping[str, Any]
    container: Mapping[str, Any]
    quick: bool
    """Ask often until the first success, and count no failure before it."""
    passed: bool = False
    """Whether it has succeeded at least `successThreshold` times since it last failed."""
    failed: bool = False
    """Whether it has failed `failureThreshold` times in a row."""
    in_a_row: int = 0
    """Answers of the same kind as the last: successes above zero, failures below."""
    due: float = 0.0

    def ask(self, address: str, execute: Callable[[Sequence[str], float], bool] | None = None) -> bool:
        """Ask once, from this thread's namespace; `execute` runs a command in the container within some seconds."""
        timeout = self.spec.get("timeoutSeconds", 1)
        if "exec" in self.spec:
            return execute is not None and execute(self.spec["exec"]["command"], timeout)
        if "tcpSocket" in self.spec:
            where = self.spec["tcpSocket"]
            return _connects(where.get("host", address), port(where["port"], self.container), timeout)
        if "httpGet" in self.spec:
            where = self.spec["httpGet"]
            return _answers(where, where.get("host", address), port(where["port"], self.container), timeout)
        return False

    def answered(self, success: bool, at: float) -> None:
        """Take an answer in, and say when the next is due."""
        never = self.quick and not self.passed and not self.failed
        self.in_a_row = max(self.in_a_row, 0) + 1 if success else min(self.in_a_row, 0) - 1
        if self.in_a_row >= self.spec.get("successThreshold", 1):
            self.passed, self.failed = True, False
        elif -self.in_a_row >= self.spec.get("failureThreshold", 3) and not never:
            self.passed, self.failed = False, True
        self.due = at + (QUICK if never and not self.passed else self.spec.get("periodSeconds", 10))


def port(wanted: int | str, container: Mapping[str, Any]) -> int:
    """A port by number, or by its name in the container's list; 0, which nothing listens on, when unknown."""
    if isinstance(wanted, int):
        return wanted
    return next((row["containerPort"] for row in container.get("ports", []) if row.get("name") == wanted), 0)


def _connects(host: str, number: int, timeout: float) -> bool:
    try:
        socket.create_connection((host, number), timeout).close()
    except OSError:
        return False
    return True


def _answers(where: Mapping[str, Any], host: str, number: int, timeout: float) -> bool:
    """Whether a GET is answered by a status from 200 to 399; a certificate is not looked at, as by a kubelet."""
    connection: http.client.HTTPConnection
    if where.get("scheme", "HTTP") == "HTTPS":
        trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection(host, number, timeout=timeout, context=trusting)
    else:
        connection = http.client.HTTPConnection(host, number, timeout=timeout)
    headers = {row["name"]: row["value"] for row in where.get("httpHeaders", [])}
    try:
        connection.request("GET", where.get("path", "/"), headers={"User-Agent": "kube-probe/1", **headers})
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return http.HTTPStatus.OK <= status < http.HTTPStatus.BAD_REQUEST
