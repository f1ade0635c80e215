"""Objects and images of an adapter, validated: an adapter that fails or returns something else is one line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lbproof.lab.base import Image, LabError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lbproof.adapters.base import Adapter, Object, PoolSpec, Site


class AdapterError(LabError):
    """The adapter failed; the message says in which method and why."""


def manifests(adapter: Adapter, site: Site) -> list[Object]:
    """Return the objects to install. Raises `AdapterError`."""
    return _objects(adapter, "manifests", lambda: adapter.manifests(site))


def pools(adapter: Adapter, alive: Sequence[PoolSpec], site: Site) -> list[Object]:
    """Return the objects of the pools that are alive. Raises `AdapterError`."""
    return _objects(adapter, "pools", lambda: adapter.pools(alive, site))


def images(adapter: Adapter, site: Site) -> list[Image]:
    """Return the programs that stand for its images. Raises `AdapterError`."""
    found: list[Any] = _called(adapter, "images", lambda: list(adapter.images(site)))
    wrong = next((one for one in found if not isinstance(one, Image)), None)
    if wrong is not None:
        raise AdapterError(f"adapter {adapter.name}: images() returned {_shown(wrong)}, which is no Image")
    return found


def _called(adapter: Adapter, method: str, call: Callable[[], Any]) -> Any:  # noqa: ANN401 - what the method returns
    try:
        return call()
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
    return found


def _is_object(made: object) -> bool:
    if not isinstance(made, dict) or not isinstance(made.get("metadata"), dict):
        return False
    texts = (made.get("apiVersion"), made.get("kind"), made["metadata"].get("name"))
    return all(isinstance(text, str) and text for text in texts)


def _shown(value: object) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}…"  # noqa: PLR2004 - what fits one line
