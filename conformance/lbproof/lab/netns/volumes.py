"""A pod's volumes as directories, and its environment, from the API: Secrets, ConfigMaps, tokens and the pod itself.

Files appear as a kubelet makes them appear: in a dated directory behind the link `..data`, which is swapped in one
step, so a program sees all of a change or nothing of it, and one that watches `..data` is told.
"""

from __future__ import annotations

import base64
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lbproof.lab.netns.api import ApiError
from lbproof.lab.netns.container import expand

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lbproof.lab.netns.api import Api
    from lbproof.spec.families import IPAddress

NOT_FOUND = 404
Files = dict[str, bytes]


class NotYetError(RuntimeError):
    """Something that the pod refers to is not there: a kubelet says so and tries again."""


class Source:
    """Where one pod's volumes and environment come from."""

    def __init__(self, api: Api, pod: Mapping[str, Any], node_addresses: Sequence[IPAddress]) -> None:
        """Nothing is read yet."""
        self._api, self._pod, self._node_addresses = api, pod, node_addresses
        self.pod_addresses: Sequence[IPAddress] = ()
        self._tokens: dict[str, tuple[bytes, float]] = {}

    def populate(self, directory: Path) -> None:
        """Make or refresh every volume of the pod as `directory`/NAME. Raises `NotYetError`."""
        for volume in self._pod["spec"].get("volumes", []):
            if "hostPath" in volume:
                continue
            path = directory / volume["name"]
            path.mkdir(parents=True, exist_ok=True)
            if "emptyDir" not in volume:
                publish(path, self._files(volume))

    def _files(self, volume: Mapping[str, Any]) -> Files:
        if "configMap" in volume:
            return self._data("configmaps", volume["configMap"]["name"], volume["configMap"])
        if "secret" in volume:
            return self._data("secrets", volume["secret"]["secretName"], volume["secret"])
        if "downwardAPI" in volume:
            return self._downward(volume["downwardAPI"])
        if "projected" not in volume:
            kind = next((key for key in volume if key != "name"), "unknown")
            raise NotYetError(f"volume {volume['name']}: this lab has no volumes of type {kind}")
        files: Files = {}
        for source in volume["projected"]["sources"]:
            if "configMap" in source:
                files |= self._data("configmaps", source["configMap"]["name"], source["configMap"])
            if "secret" in source:
                files |= self._data("secrets", source["secret"]["name"], source["secret"])
            if "downwardAPI" in source:
                files |= self._downward(source["downwardAPI"])
            if "serviceAccountToken" in source:
                files[source["serviceAccountToken"]["path"]] = self._token(source["serviceAccountToken"])
        return files

    def _data(self, collection: str, name: str, choice: Mapping[str, Any]) -> Files:
        """The files of a ConfigMap or Secret: all of its keys, or those that `items` choose."""
        data = self._keys(collection, name, optional=choice.get("optional", False))
        items = choice.get("items")
        if not items:
            return data
        missing = [item["key"] for item in items if item["key"] not in data]
        if missing and not choice.get("optional", False):
            raise NotYetError(f'{collection} "{name}" has no key {missing[0]!r}')
        return {item["path"]: data[item["key"]] for item in items if item["key"] in data}

    def _keys(self, collection: str, name: str, *, optional: bool) -> Files:
        namespace = self._pod["metadata"]["namespace"]
        try:
            found = self._api("GET", f"/api/v1/namespaces/{namespace}/{collection}/{name}")
        except ApiError as error:
            if error.status != NOT_FOUND:
                raise
            if optional:
                return {}
            raise NotYetError(f'{collection} "{name}" not found in {namespace}') from error
        binary = {key: base64.b64decode(value) for key, value in found.get("binaryData", {}).items()}
        data = found.get("data", {})
        if collection == "secrets":
            return binary | {key: base64.b64decode(value) for key, value in data.items()}
        return binary | {key: value.encode() for key, value in data.items()}

    def _downward(self, volume: Mapping[str, Any]) -> Files:
        return {
            item["path"]: self.field(item["fieldRef"]["fieldPath"]).encode()
            for item in volume.get("items", [])
            if "fieldRef" in item
        }

    def _token(self, wanted: Mapping[str, Any]) -> bytes:
        """A token bound to the pod, made anew once four fifths of its life are over."""
        token, renew = self._tokens.get(wanted["path"], (b"", 0.0))
        if time.monotonic() < renew:
            return token
        life = wanted.get("expirationSeconds", 3600)
        metadata, spec = self._pod["metadata"], self._pod["spec"]
        bound = {"kind": "Pod", "apiVersion": "v1", "name": metadata["name"], "uid": metadata["uid"]}
        request: dict[str, Any] = {"expirationSeconds": life, "boundObjectRef": bound}
        if "audience" in wanted:
            request["audiences"] = [wanted["audience"]]
        account = spec.get("serviceAccountName", "default")
        made = self._api(
            "POST",
            f"/api/v1/namespaces/{metadata['namespace']}/serviceaccounts/{account}/token",
            {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": request},
        )
        token = str(made["status"]["token"]).encode()
        self._tokens[wanted["path"]] = (token, time.monotonic() + 0.8 * life)
        return token

    def field(self, path: str) -> str:
        """What a `fieldRef` means."""
        addresses = {"status.podIP": self.pod_addresses, "status.hostIP": self._node_addresses}
        if path.removesuffix("s") in addresses:
            known = addresses[path.removesuffix("s")]
            return ",".join(map(str, known if path.endswith("s") else known[:1]))
        metadata = self._pod["metadata"]
        for holder in ("labels", "annotations"):
            if path.startswith(f"metadata.{holder}['"):
                return str(metadata.get(holder, {}).get(path.partition("['")[2].removesuffix("']"), ""))
            if path == f"metadata.{holder}":
                return "\n".join(f'{key}="{value}"' for key, value in metadata.get(holder, {}).items())
        found: Any = self._pod
        for part in path.split("."):
            found = found.get(part, "") if isinstance(found, dict) else ""
        return str(found)

    def environment(self, container: Mapping[str, Any], base: Mapping[str, str]) -> dict[str, str]:
        """A container's variables after `base`. Raises `NotYetError` when one refers to what is not there."""
        env = dict(base)
        for source in container.get("envFrom", []):
            for reference, collection in (("configMapRef", "configmaps"), ("secretRef", "secrets")):
                if reference in source:
                    chosen = source[reference]
                    data = self._keys(collection, chosen["name"], optional=chosen.get("optional", False))
                    env |= {source.get("prefix", "") + key: value.decode() for key, value in data.items()}
        for variable in container.get("env", []):
            value = self._value(variable, env)
            if value is not None:
                env[variable["name"]] = value
        return env

    def _value(self, variable: Mapping[str, Any], env: Mapping[str, str]) -> str | None:
        if "valueFrom" not in variable:
            return expand(variable.get("value", ""), env)
        source = variable["valueFrom"]
        if "fieldRef" in source:
            return self.field(source["fieldRef"]["fieldPath"])
        for reference, collection in (("configMapKeyRef", "configmaps"), ("secretKeyRef", "secrets")):
            if reference in source:
                chosen = source[reference]
                optional = chosen.get("optional", False)
                data = self._keys(collection, chosen["name"], optional=optional)
                if chosen["key"] in data:
                    return data[chosen["key"]].decode()
                if optional:
                    return None
                raise NotYetError(f'{collection} "{chosen["name"]}" has no key {chosen["key"]!r}')
        raise NotYetError(f"variable {variable['name']}: this lab has no {next(iter(source))}")


def publish(directory: Path, files: Files) -> None:
    """Make a directory show exactly these files, in one step; nothing is touched when it does already."""
    if _shown(directory) == files:
        return
    data = directory / "..data"
    old = data.readlink() if data.is_symlink() else None
    fresh = directory / f"..{time.time_ns()}"
    for name, content in files.items():
        file = fresh / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    fresh.mkdir(exist_ok=True)
    swap = directory / "..data_tmp"
    swap.symlink_to(fresh.name)
    swap.rename(data)
    tops = {Path(name).parts[0] for name in files}
    for top in tops:
        if not (directory / top).is_symlink():
            (directory / top).symlink_to(Path("..data") / top)
    for gone in _visible(directory):
        if gone.name not in tops:
            gone.unlink()
    if old is not None:
        shutil.rmtree(directory / old)


def _visible(directory: Path) -> Iterable[Path]:
    return [path for path in directory.iterdir() if not path.name.startswith("..")]


def _shown(directory: Path) -> Files | None:
    data = directory / "..data"
    if not data.is_symlink():
        return None
    real = data.resolve()
    return {str(path.relative_to(real)): path.read_bytes() for path in real.rglob("*") if path.is_file()}
