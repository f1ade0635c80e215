"""What the methods of an adapter return, validated: an adapter that fails or returns something else is one line."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lbproof.adapters.base import PoolUsage
from lbproof.adapters.calls import errors_as
from lbproof.adapters.typecheck import check_value, shown
from lbproof.lab.base import Image, LabError
from lbproof.spec import BadOption
from lbproof.witnesses.kube import ApiError, ApiUnreachable

if TYPE_CHECKING:
    from collections.abc import Callable

    from lbproof.adapters.base import Adapter, Object, PoolSpec, Site
    from lbproof.adapters.reports import AnnouncerStatus
    from lbproof.witnesses.kube import Kube

_WITH_PODS = {"Pod", "Deployment", "DaemonSet", "StatefulSet", "ReplicaSet", "Job"}


class AdapterError(LabError):
    """The adapter failed; the message says in which method and why."""


def manifests(adapter: Adapter, site: Site) -> list[Object]:
    """Return the objects to install; each container of their pods has an image. Raises `AdapterError`."""
    found = _objects(adapter, "manifests", adapter.manifests, site)
    for made in found:
        if made["kind"] in _WITH_PODS and (wrong := _pod_error(made)):
            name = f"{made['kind']} {made['metadata']['name']}"
            raise AdapterError(f"adapter {adapter.name}: manifests() returned {name}, in which {wrong}")
    return found


def pools(adapter: Adapter, alive: Sequence[PoolSpec], site: Site) -> list[Object]:
    """Return the objects of the pools that are alive. Raises `AdapterError`."""
    return _objects(adapter, "pools", adapter.pools, alive, site)


def images(adapter: Adapter, site: Site) -> Sequence[Image]:
    """Return the programs that stand for its images. Raises `AdapterError`."""
    found: Sequence[Image] = _called(adapter, "images", Sequence[Image], adapter.images, site)
    patterns = [one.pattern for one in found]
    for one in found:
        if wrong := _image_error(one, patterns):
            raise AdapterError(f"adapter {adapter.name}: images() {wrong}")
    return found


def _image_error(image: Image, patterns: Sequence[str]) -> str:
    """Return what is wrong with a program that stands for an image; empty for nothing."""
    if patterns.count(image.pattern) > 1:
        return f"has the image {image.pattern!r} twice"
    for path in (image.program, *image.binds):
        if not Path(path).is_absolute() or not Path(path).exists():
            return f"names {path!r} for {image.pattern}: the absolute path of a file or folder that exists is wanted"
    if not Path(image.program).is_file() or not os.access(image.program, os.X_OK):
        return f"names the program {image.program!r} for {image.pattern}, which cannot be executed"
    return ""


def pool_name(adapter: Adapter, pool: PoolSpec) -> str:
    """Return the name by which Services know a pool. Raises `AdapterError`."""
    found: str = _called(adapter, "pool_name", str, adapter.pool_name, pool)
    if not found:
        raise AdapterError(f"adapter {adapter.name}: pool_name() is empty")
    return found


def pool_error(adapter: Adapter, cluster: Kube, pool: PoolSpec) -> str:
    """Return what is reported about an unusable pool. Raises `AdapterError`, `ApiError` and `ApiUnreachable`."""
    found: str = _called(adapter, "pool_error", str, adapter.pool_error, cluster, pool)
    return found


def pool_usage(adapter: Adapter, cluster: Kube, pool: PoolSpec) -> PoolUsage:
    """Return how many addresses of a pool are published as assigned and as available. Raises as `pool_error`."""
    found: PoolUsage = _called(adapter, "pool_usage", PoolUsage, adapter.pool_usage, cluster, pool)
    return found


def announcers(adapter: Adapter, cluster: Kube, service: Object) -> Sequence[str]:
    """Return the nodes that are named as announcers of a Service, oldest first. Raises as `pool_error`."""
    return named_by(adapter, adapter.announcer_status, cluster, service)


def named_by(adapter: Adapter, source: AnnouncerStatus, cluster: Kube, service: Object) -> Sequence[str]:
    """Return the nodes that one source names as announcers of a Service, oldest first. Raises as `pool_error`."""
    found: Sequence[str] = _called(adapter, "announcer_status.named", Sequence[str], source.named, cluster, service)
    return found


def _called(adapter: Adapter, method: str, kind: Any, call: Callable[..., Any], *arguments: Any) -> Any:  # noqa: ANN401
    """Call a method; return what it returned if that is of the type `kind`."""
    what = f"adapter {adapter.name}: {method}()"
    with errors_as(AdapterError, f"{what} failed", except_for=(ApiError, ApiUnreachable, LabError)):
        try:
            found = call(*arguments)
        except LabError as error:
            raise AdapterError(f"{what}: {error}") from error
        try:
            check_value(found, kind, what)
        except BadOption as error:
            raise AdapterError(str(error)) from None
        return found


def _objects(adapter: Adapter, method: str, call: Callable[..., Any], *arguments: Any) -> list[Object]:  # noqa: ANN401
    found: list[Object] = _called(adapter, method, list[Any], call, *arguments)
    for at, made in enumerate(found):
        if not _is_object(made):
            raise AdapterError(
                f"adapter {adapter.name}: {method}() returned {shown(made)} as number {at + 1}, "
                "which lacks apiVersion, kind or metadata.name"
            )
        try:
            json.dumps(made, allow_nan=False)
        except (TypeError, ValueError) as error:
            name = f"{made['kind']} {made['metadata']['name']}"
            raise AdapterError(
                f"adapter {adapter.name}: {method}() returned {name}, which is no JSON: {error}"
            ) from error
    return found


def _is_object(made: object) -> bool:
    if not isinstance(made, dict) or not isinstance(made.get("metadata"), dict):
        return False
    texts = (made.get("apiVersion"), made.get("kind"), made["metadata"].get("name"))
    namespace = made["metadata"].get("namespace")
    return all(isinstance(text, str) and text for text in texts) and isinstance(namespace, str | None)


def _pod_error(made: Object) -> str:
    """Return what is wrong with the parts of a pod, or of a pod's template, that the suite reads; empty for none."""
    found: Any = made
    place: list[str] = []
    for step in ("spec",) if made["kind"] == "Pod" else ("spec", "template", "spec"):
        if step == "spec" and not isinstance(found.get("metadata") or {}, dict):
            return f"{'.'.join([*place, 'metadata'])} is {shown(found['metadata'])}, not an object"
        place.append(step)
        found = found.get(step)
        if not isinstance(found, dict):
            return f"{'.'.join(place)} is {shown(found)}, not an object"
    for group in ("initContainers", "containers"):
        where = ".".join([*place, group])
        containers = found.get(group) or []
        if not isinstance(containers, list):
            return f"{where} is {shown(containers)}, not a list"
        for at, container in enumerate(containers):
            image = container.get("image") if isinstance(container, dict) else None
            if not isinstance(image, str) or not image:
                return f"{where}[{at}] has no image"
    return ""
