"""The supervisor's client of the API server: raw JSON over `http.client`.

The suite's own client needs most of a second to import and 60 MiB, which the lab's boot and its supervisor would pay in
full; here four verbs and a watch are all that a kubelet needs. A connection is made in the network namespace of the
thread that asks, so a node's requests cross the segment as a kubelet's would, and stop with its cable.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
UNREACHABLE = (OSError, http.client.HTTPException)
"""What a request raises when no answer came."""


class ApiError(RuntimeError):
    """The API server refused a request."""

    def __init__(self, status: int, message: str, request: str) -> None:
        """The HTTP status, what the server said and what was asked."""
        super().__init__(f"{request}: {status} {message}")
        self.status = status


class Api:
    """One identity at one address of the API server; any number of threads, a connection for each."""

    def __init__(self, host: str, token: str, ca: Path, port: int = 6443) -> None:
        """Nothing is asked yet."""
        self._host, self._port, self._token = host, port, token
        self._tls = ssl.create_default_context(cafile=str(ca))
        self._local = threading.local()

    def __call__(
        self, method: str, path: str, body: object = None, *, content: str = "application/json", timeout: float = 10
    ) -> Any:  # noqa: ANN401 - it is JSON
        """The answer as parsed JSON. `ApiError` when refused, `OSError` or `HTTPException` when unreachable.

        A kept connection that the server closed meanwhile is made anew once.
        """
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": content, "Accept": "application/json"}
        kept: http.client.HTTPSConnection | None = getattr(self._local, "kept", None)
        while True:
            connection = kept or self._connect(timeout)
            try:
                connection.request(method, path, data, headers)
                answer = connection.getresponse()
                text = answer.read()
            except UNREACHABLE:
                connection.close()
                self._local.kept = None
                if kept is None:
                    raise
                kept = None
                continue
            self._local.kept = connection
            break
        if answer.status >= http.HTTPStatus.BAD_REQUEST:
            raise ApiError(answer.status, text.decode(errors="replace")[:500], f"{method} {path}")
        return json.loads(text) if text[:1] in {b"{", b"["} else text.decode()

    def watch(self, path: str, resource_version: str) -> Iterator[dict[str, Any]]:
        """Events of a collection after a version, until the server ends the watch (five minutes at most)."""
        connection = self._connect(timeout=330)
        try:
            query = f"watch=1&resourceVersion={resource_version}&timeoutSeconds=300&allowWatchBookmarks=true"
            connection.request(
                "GET",
                f"{path}{'&' if '?' in path else '?'}{query}",
                headers={"Authorization": f"Bearer {self._token}", "Accept": "application/json"},
            )
            answer = connection.getresponse()
            if answer.status != http.HTTPStatus.OK:
                raise ApiError(answer.status, answer.read().decode(errors="replace")[:500], f"watch {path}")
            while line := answer.readline():
                yield json.loads(line)
        finally:
            connection.close()

    def _connect(self, timeout: float) -> http.client.HTTPSConnection:
        connection = http.client.HTTPSConnection(self._host, self._port, context=self._tls, timeout=timeout)
        connection.connect()
        # a crashed peer sends no FIN: without keepalive a watch would wait forever
        for option, value in (
            (socket.TCP_KEEPIDLE, 2),
            (socket.TCP_KEEPINTVL, 1),
            (socket.TCP_KEEPCNT, 3),
            (socket.TCP_NODELAY, 1),
        ):
            connection.sock.setsockopt(socket.IPPROTO_TCP, option, value)
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return connection
