"""Client of the Kubernetes API with raw JSON, the only module that sends requests to an API server.

The `kubernetes` package reads the kubeconfig and manages credentials and connections. Its models are not used: they
drop unknown fields and reject bodies before the server can, and a verdict would then be about the client instead of
the cluster.
"""

from __future__ import annotations

import json
import math
import threading
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Literal, cast
from urllib.parse import urlencode

import urllib3
import yaml

from lbproof.witnesses.writes import Writes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

Object = dict[str, Any]
"""A Kubernetes object as raw JSON."""
Objects = list[Object]
Body = Any
"""Request body: an object, a list of JSON patches, or raw bytes."""

TIMEOUT = 15.0
"""Request timeout in seconds."""
_PATCHES = {
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "apply": "application/apply-patch+yaml",
}
_CREATED = 400
"""Lowest HTTP status that means a rejected request."""


class ApiError(RuntimeError):
    """Request rejected by the API server."""

    def __init__(self, what: str, status: int, reason: str, message: str) -> None:
        """`what`: request (`POST /api/v1/…`); `status`: HTTP status; `reason`, `message`: of the `Status` object."""
        super().__init__(f"{what}: {status} {reason}: {message}")
        self.what, self.status, self.reason, self.message = what, status, reason, message


class ApiUnreachable(OSError):  # noqa: N818 - it says a state, beside `ApiError`
    """No answer from the API server."""


class Kube:
    """Client of one cluster; thread-safe."""

    def __init__(self, kubeconfig: Path) -> None:
        """Read the kubeconfig without a request. Raises `ApiUnreachable` when it cannot be read or used."""
        from kubernetes.client.api_client import ApiClient  # noqa: PLC0415 - half a second that `lbproof list` need not pay
        from kubernetes.client.configuration import Configuration  # noqa: PLC0415
        from kubernetes.config import ConfigException, load_kube_config  # noqa: PLC0415

        configuration = Configuration()
        configuration.proxy = None  # no proxy from the environment, as it is outside the lab; the kubeconfig's stays
        try:
            load_kube_config(  # type: ignore[no-untyped-call]
                config_file=str(kubeconfig), client_configuration=configuration
            )
        except (ConfigException, OSError, yaml.YAMLError) as error:
            raise ApiUnreachable(f"kubeconfig {kubeconfig}: {' '.join(str(error).split())}") from error
        client = ApiClient(configuration)
        self._host: str = configuration.host.rstrip("/")
        self._pool: urllib3.PoolManager = client.rest_client.pool_manager
        self._pool.connection_pool_kw["maxsize"] = 32
        self._configuration = configuration
        self._paths: dict[tuple[str, str], tuple[str, bool]] = {}
        self._lock = threading.Lock()
        self.writes: Writes = Writes()
        """Requests of this client that change something."""

    def _headers(self) -> dict[str, str]:
        """Return the headers of every request; renew an expired token by the kubeconfig's own method."""
        credentials = cast("Iterable[dict[str, str]]", self._configuration.auth_settings().values())
        return {"Accept": "application/json"} | {
            c["key"]: c["value"] for c in credentials if c["in"] == "header" and c["value"]
        }

    def _send(
        self, method: str, path: str, body: Body, content_type: str, timeout: urllib3.Timeout, *, stream: bool
    ) -> urllib3.BaseHTTPResponse:
        headers = self._headers()
        data = None
        if body is not None:
            headers["Content-Type"] = content_type
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
        try:
            return self._pool.request(
                method,
                self._host + path,
                body=data,
                headers=headers,
                timeout=timeout,
                preload_content=not stream,
                retries=urllib3.Retry(total=None, connect=1, read=0, other=0, redirect=0, status=0),
            )
        except urllib3.exceptions.HTTPError as error:
            raise ApiUnreachable(
                f"{method} {path}: the API server at {self._host} does not answer: {_cause(error)}"
            ) from error

    def request(
        self,
        method: str,
        path: str,
        body: Body = None,
        *,
        content_type: str = "application/json",
        timeout: float = TIMEOUT,
    ) -> tuple[int, bytes]:
        """Send a request; return status and body for any status. Raises `ApiUnreachable`."""
        response = self._send(method, path, body, content_type, urllib3.Timeout(total=timeout), stream=False)
        return response.status, response.data

    def _call(self, method: str, path: str, body: Body = None, content_type: str = "application/json") -> Object:
        began = self.writes.begin(method, path) if method != "GET" else None
        status, data = self.request(method, path, body, content_type=content_type)
        answer = cast("Object", json.loads(data)) if data and status < _CREATED else {}
        if began is not None and status < HTTPStatus.INTERNAL_SERVER_ERROR:
            self.writes.end(path, began, answer)
        if status >= _CREATED:
            raise _refusal(f"{method} {path}", status, data)
        return answer

    def get(self, path: str, **query: object) -> Object:
        """Read one object. Raises `ApiError`, 404 when there is none."""
        return self._call("GET", _with(path, query))

    def list(self, path: str, **query: object) -> Objects:
        """List the objects of a collection, each with its `apiVersion` and `kind`."""
        return self.list_with_version(path, **query)[0]

    def list_with_version(self, path: str, **query: object) -> tuple[Objects, str]:
        """List the objects of a collection, and return the resourceVersion to watch from."""
        found = self.get(path, **query)
        kind = {"apiVersion": found["apiVersion"], "kind": found["kind"].removesuffix("List")}
        return [kind | item for item in found["items"] or []], found["metadata"]["resourceVersion"]

    def create(self, path: str, body: Object) -> Object:
        """Create an object in the collection at `path`."""
        return self._call("POST", path, body)

    def time(self) -> str:
        """Return the API server's time (RFC 3339, whole seconds), by the dry run of a creation."""
        path = "/api/v1/namespaces/default/configmaps?dryRun=All"
        return str(self.create(path, {"metadata": {"name": "lbproof-time"}})["metadata"]["creationTimestamp"])

    def patch(self, path: str, body: Body, kind: Literal["merge", "json"] = "merge") -> Object:
        """Patch an object; `body` has the form of the patch type (RFC 7386 or RFC 6902)."""
        return self._call("PATCH", path, body, _PATCHES[kind])

    def delete(self, path: str, **options: object) -> Object:
        """Delete an object; `options` are fields of DeleteOptions."""
        return self._call("DELETE", path, options or None)

    def find(self, path: str) -> Object | None:
        """Read one object; None when there is none."""
        found: Objects = []
        _but_not_found(lambda: found.append(self.get(path)))
        return found[0] if found else None

    def exists(self, path: str) -> bool:
        """Return whether an object exists at an API path."""
        return self.find(path) is not None

    def events_about(self, made: Object) -> Objects:
        """Return the Events about an object that was read, oldest first."""
        meta = made["metadata"]
        path = f"/api/v1/namespaces/{meta.get('namespace', 'default')}/events"
        return sorted(self.list(path, fieldSelector=f"involvedObject.uid={meta['uid']}"), key=_when)

    def discard(self, path: str) -> None:
        """Delete an object, if it exists."""
        _but_not_found(lambda: self.delete(path))

    def apply(self, manifest: Object) -> Object:
        """Apply server-side as field manager `lbproof`, taking over fields of other managers."""
        meta = manifest["metadata"]
        path = self.path_of(manifest["apiVersion"], manifest["kind"], meta.get("namespace"), meta["name"])
        return self._call("PATCH", f"{path}?fieldManager=lbproof&force=true", manifest, _PATCHES["apply"])

    def path_of(self, api_version: str, kind: str, namespace: str | None, name: str) -> str:
        """Return the API path of an object from the server's discovery, which is repeated for an unknown kind."""
        root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
        with self._lock:
            if (api_version, kind) not in self._paths:
                for row in self.get(root)["resources"]:
                    if "/" not in row["name"]:
                        self._paths[api_version, row["kind"]] = (row["name"], row["namespaced"])
            if (api_version, kind) not in self._paths:
                raise ApiError(
                    f"GET {root}", HTTPStatus.NOT_FOUND, "NotFound", f"the server has no kind {kind} in {api_version}"
                )
            plural, namespaced = self._paths[api_version, kind]
        where = f"/namespaces/{namespace or 'default'}" if namespaced else ""
        return f"{root}{where}/{plural}/{name}"

    def watch(self, path: str, resource_version: str, timeout: float, **query: object) -> Iterator[Object]:
        """Yield events `{"type", "object"}` of a collection from a resourceVersion on, for `timeout` seconds.

        With nothing happening it ends up to a second late, since the server counts in whole ones.
        Raises `ApiError` when the server ends the watch with an error (410: too old), and `ApiUnreachable` when
        the connection breaks.
        """
        asked = {"watch": 1, "resourceVersion": resource_version, **query}
        until = time.monotonic() + timeout
        response = self._send(
            "GET",
            _with(path, {**asked, "timeoutSeconds": max(1, math.ceil(timeout))}),
            None,
            "",
            urllib3.Timeout(connect=TIMEOUT, read=timeout + TIMEOUT),
            stream=True,
        )
        try:
            if response.status >= _CREATED:
                raise _refusal(f"WATCH {path}", response.status, response.read())
            rest = b""
            while (chunk := response.read1()) and time.monotonic() < until:
                *lines, rest = (rest + chunk).split(b"\n")
                for event in map(json.loads, filter(None, lines)):
                    if event["type"] == "ERROR":
                        status = event["object"]
                        raise ApiError(
                            f"WATCH {path}", status.get("code", 0), status.get("reason", ""), status.get("message", "")
                        )
                    yield event
        except urllib3.exceptions.HTTPError as error:
            raise ApiUnreachable(f"WATCH {path}: the connection broke: {error}") from error
        finally:
            response.close()

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()


def _when(event: Object) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or event["metadata"]["creationTimestamp"])


def _but_not_found(act: Callable[[], object]) -> bool:
    """Return False for the server's 404 and True for success; raise every other rejection."""
    try:
        act()
    except ApiError as error:
        if error.status == HTTPStatus.NOT_FOUND:
            return False
        raise
    return True


def _with(path: str, query: dict[str, object]) -> str:
    return f"{path}?{urlencode(query)}" if query else path


def _refusal(what: str, status: int, data: bytes) -> ApiError:
    try:
        body = json.loads(data)
    except ValueError:
        return ApiError(what, status, "", data[:300].decode(errors="replace"))
    return ApiError(what, status, body.get("reason", ""), body.get("message", ""))


def load_manifests(text: str) -> list[Object]:
    """Parse all objects of a YAML text."""
    return [document for document in yaml.safe_load_all(text) if document]


def _cause(error: BaseException) -> str:
    """Return the system's own reason of a failed request, or the type of the innermost exception."""
    reason = getattr(error, "reason", None)
    inner = reason if isinstance(reason, BaseException) else error.__cause__ or error.__context__
    if inner is not None:
        return _cause(inner)
    text = error.strerror if isinstance(error, OSError) else ""
    return text or type(error).__name__
