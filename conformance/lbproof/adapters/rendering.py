"""What the methods of an adapter return, validated: an adapter that fails or returns something else is one line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from lbproof.lab.base import Image, LabError
from lbproof.witnesses.kube import ApiError, ApiUnreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lbproof.adapters.base import Adapter, Object, PoolSpec, Site
    from lbproof.witnesses.kube import Kube

_WITH_PODS = {"Pod", "Deployment", "DaemonSet", "StatefulSet", "ReplicaSet", "Job"}


class AdapterError(LabError):
    """The adapter failed; the message says in which method and why."""


def manifests(adapter: Adapter, site: Site) -> list[Object]:
    """Return the objects to install; each container of their pods has an image. Raises `AdapterError`."""
    found = _objects(adapter, "manifests", lambda: adapter.manifests(site))
    for made in found:
        if made["kind"] in _WITH_PODS and (wrong := _pod_error(made)):
            name = f"{made['kind']} {made['metadata']['name']}"
            raise AdapterError(f"adapter {adapter.name}: manifests() returned {name}, in which {wrong}")
    return found


def pools(adapter: Adapter, alive: Sequence[PoolSpec], site: Site) -> list[Object]:
    """Return the objects of the pools that are alive. Raises `AdapterError`."""
    return _objects(adapter, "pools", lambda: adapter.pools(alive, site))


def images(adapter: Adapter, site: Site) -> list[Image]:
    """Return the programs that stand for its images. Raises `AdapterError`."""
    found: list[Any] = _called(adapter, "images", lambda: list(adapter.images(site)))
    for one in found:
        if not isinstance(one, Image):
            raise AdapterError(f"adapter {adapter.name}: images() returned {_shown(one)}, which is no Image")
        if not all(isinstance(text, str) for text in (one.pattern, one.program)):
            raise AdapterError(
                f"adapter {adapter.name}: images() returned {_shown(one)}, of which pattern or program is no text"
            )
    return found


def pool_name(adapter: Adapter, pool: PoolSpec) -> str:
    """Return the name by which Services know a pool. Raises `AdapterError`."""
    return _text(adapter, "pool_name", lambda: adapter.pool_name(pool), empty=False)


def pool_error(adapter: Adapter, cluster: Kube, pool: PoolSpec) -> str:
    """Return what is reported about an unusable pool. Raises `AdapterError`, `ApiError` and `ApiUnreachable`."""
    return _text(adapter, "pool_error", lambda: adapter.pool_error(cluster, pool), empty=True)


def announcers(adapter: Adapter, cluster: Kube, service: Object) -> list[str]:
    """Return the nodes that are named as announcers of a Service, oldest first. Raises as `pool_error`."""
    method = "announcer_status.named"
    found: list[Any] = _called(adapter, method, lambda: list(adapter.announcer_status.named(cluster, service)))
    if not all(isinstance(name, str) for name in found):
        raise AdapterError(f"adapter {adapter.name}: {method}() returned {_shown(found)}, which is no list of names")
    return found


def _text(adapter: Adapter, method: str, call: Callable[[], Any], *, empty: bool) -> str:
    found = _called(adapter, method, call)
    if not isinstance(found, str) or not (found or empty):
        wanted = "text" if empty else "text that is not empty"
        raise AdapterError(f"adapter {adapter.name}: {method}() returned {_shown(found)}; {wanted} is allowed")
    return found


def _called(adapter: Adapter, method: str, call: Callable[[], Any]) -> Any:  # noqa: ANN401 - what the method returns
    try:
        return call()
    except (ApiError, ApiUnreachable):
        raise  # the cluster's
    except LabError as error:
        raise AdapterError(f"adapter {adapter.name}: {method}(): {error}") from error
    except Exception as error:
        first, *_ = str(error).splitlines() or [""]
        raise AdapterError(f"adapter {adapter.name}: {method}() failed: {type(error).__name__}: {first}") from error


def _objects(adapter: Adapter, method: str, call: Callable[[], Any]) -> list[Object]:
    found = _called(adapter, method, call)
    if not isinstance(found, list):
        raise AdapterError(f"adapter {adapter.name}: {method}() returned {_shown(found)}, which is no list of objects")
    for at, made in enumerate(found):
        if not _is_object(made):
            raise AdapterError(
                f"adapter {adapter.name}: {method}() returned {_shown(made)} as number {at + 1}, "
                "which lacks apiVersion, kind or metadata.name"
            )
        try:
            json.dumps(made)
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
            return f"{'.'.join([*place, 'metadata'])} is {_shown(found['metadata'])}, not an object"
        place.append(step)
        found = found.get(step)
        if not isinstance(found, dict):
            return f"{'.'.join(place)} is {_shown(found)}, not an object"
    for group in ("initContainers", "containers"):
        where = ".".join([*place, group])
        containers = found.get(group) or []
        if not isinstance(containers, list):
            return f"{where} is {_shown(containers)}, not a list"
        for at, container in enumerate(containers):
            image = container.get("image") if isinstance(container, dict) else None
            if not isinstance(image, str) or not image:
                return f"{where}[{at}] has no image"
    return ""


def _shown(value: object) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}…"  # noqa: PLR2004 - what fits one line
