"""A pod's volumes as directories, and its environment, from the API: Secrets, ConfigMaps, tokens and the pod itself.

Files appear as a kubelet makes them appear: in a dated directory behind the link `..data`, which is swapped in one
step, so a program sees all of a change or nothing of it, and one that watches `..data` is told.
"""

from __future__ import annotations

import base64
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lbproof.lab.netns.api import ApiError
from lbproof.lab.netns.container import ContainerError, expand
from lbproof.lab.netns.security import fs_group, fs_user

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lbproof.lab.netns.api import Api
    from lbproof.spec.families import IPAddress

NOT_FOUND = 404


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One file of a volume."""

    data: bytes
    mode: int = 0o644
    user: int = 0


Files = dict[str, File]


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
        group = fs_group(self._pod["spec"])
        for volume in self._pod["spec"].get("volumes", []):
            if "hostPath" in volume:
                continue
            path = directory / volume["name"]
            if not path.exists():
                path.mkdir(parents=True)
                path.chmod(0o777)
                if group is not None:
                    os.chown(path, -1, group)
                    path.chmod(0o2777)
            if "emptyDir" not in volume:
                publish(path, self._files(volume), group)

    def _files(self, volume: Mapping[str, Any]) -> Files:
        kind = next((key for key in volume if key != "name"), "unknown")
        if kind != "projected":
            return self._of_kind(kind, volume, volume[kind].get("defaultMode", 0o644))
        files: Files = {}
        mode = volume["projected"].get("defaultMode", 0o644)
        for source in volume["projected"]["sources"]:
            for part in source:
                files |= self._of_kind(part, source, mode)
        return files

    def _of_kind(self, kind: str, holder: Mapping[str, Any], mode: int) -> Files:
        """Return the files of a volume, or of a part of a projected one, with `mode` where an item has none."""
        chosen = holder[kind]
        if kind == "configMap":
            return self._data("configmaps", chosen["name"], chosen, mode)
        if kind == "secret":
            return self._data("secrets", chosen.get("secretName") or chosen["name"], chosen, mode)
        if kind == "downwardAPI":
            return self._downward(chosen, mode)
        if kind == "serviceAccountToken":
            user, group = fs_user(self._pod["spec"]), fs_group(self._pod["spec"])
            # readable by its user alone, or by all where no user or group can be given it (kubelet, projected.go)
            mode = mode if user is None and group is None else 0o600
            return {chosen["path"]: File(data=self._token(chosen), mode=mode, user=user or 0)}
        raise NotYetError(f"volume {holder.get('name', '')}: this lab has no volumes of type {kind}")

    def _data(self, collection: str, name: str, choice: Mapping[str, Any], mode: int) -> Files:
        """Return the files of a ConfigMap or Secret: all of its keys, or those that `items` choose."""
        data = self._keys(collection, name, optional=choice.get("optional", False))
        items = choice.get("items")
        if not items:
            return {key: File(data=value, mode=mode) for key, value in data.items()}
        missing = [item["key"] for item in items if item["key"] not in data]
        if missing and not choice.get("optional", False):
            raise NotYetError(f'{collection} "{name}" has no key {missing[0]!r}')
        return {
            item["path"]: File(data=data[item["key"]], mode=item.get("mode", mode))
            for item in items
            if item["key"] in data
        }

    def _keys(self, collection: str, name: str, *, optional: bool) -> dict[str, bytes]:
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

    def _downward(self, volume: Mapping[str, Any], mode: int) -> Files:
        return {
            item["path"]: File(data=self.field(item["fieldRef"]["fieldPath"]).encode(), mode=item.get("mode", mode))
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
                    at = f'{collection} "{chosen["name"]}"'
                    env |= {source.get("prefix", "") + key: _text(value, at, key) for key, value in data.items()}
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
                    return _text(data[chosen["key"]], f'{collection} "{chosen["name"]}"', chosen["key"])
                if optional:
                    return None
                raise NotYetError(f'{collection} "{chosen["name"]}" has no key {chosen["key"]!r}')
        raise NotYetError(f"variable {variable['name']}: this lab has no {next(iter(source))}")


def _text(value: bytes, holder: str, key: str) -> str:
    """Return a variable's value. Raises `ContainerError` for bytes that are not UTF-8, as a kubelet and the CRI do."""
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        message = f"{holder}: the value of key {key!r} is not UTF-8, so it cannot be a variable"
        raise ContainerError("CreateContainerError", message) from error


def publish(directory: Path, files: Files, group: int | None = None) -> None:
    """Make a directory show exactly these files, in one step; nothing is touched when it does already.

    With a group (`fsGroup`), all of it belongs to the group, which can read it (kubelet, `SetVolumeOwnership`).
    """
    if _shown(directory) == {name: file.data for name, file in files.items()}:
        return
    data = directory / "..data"
    old = data.readlink() if data.is_symlink() else None
    fresh = directory / f"..{time.time_ns()}"
    fresh.mkdir()
    for name, file in files.items():
        path = fresh / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.data)
        path.chmod(file.mode if group is None else file.mode | 0o440)
        os.chown(path, file.user, group or 0)
    for folder in (fresh, *(path for path in fresh.rglob("*") if path.is_dir())):
        os.chown(folder, 0, group or 0)
        folder.chmod(0o755 if group is None else 0o2755)
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


def _shown(directory: Path) -> dict[str, bytes] | None:
    data = directory / "..data"
    if not data.is_symlink():
        return None
    real = data.resolve()
    return {str(path.relative_to(real)): path.read_bytes() for path in real.rglob("*") if path.is_file()}
