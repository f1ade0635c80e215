"""Lists and watches: whatever the API server admits into one object, all others are followed."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from tests.reference.scripted_api import ScriptedApi

from lbproof_reference.kube import SERVICES, Informer, Kube
from lbproof_reference.reading import parse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

DEPTHS = (1_200, 9_000)
"""Beyond Python's limit of recursion, and what the API server still reads (its own limit is 10,000)."""


def service(name: str, version: int, annotation: str = "", managed: str = "[]") -> str:
    """A Service as JSON; characters beyond ASCII stand for themselves, as the API server writes them."""
    meta = {"namespace": "ns", "name": name, "resourceVersion": str(version), "annotations": {"a": annotation}}
    text = json.dumps(meta, ensure_ascii=False)
    return f'{{"metadata":{text[:-1]},"managedFields":{managed}}},"spec":{{"type":"LoadBalancer"}}}}'


def event(obj: str) -> bytes:
    """A line of a watch."""
    return f'{{"type":"ADDED","object":{obj}}}\n'.encode()


def nested(depth: int) -> str:
    """JSON of that depth."""
    return "[" + '{"f:a\\"}]":' * depth + "{}" + "}" * depth + "]"


@asynccontextmanager
async def closing(kube: Kube) -> AsyncIterator[Kube]:
    """A client that is closed in the end."""
    try:
        yield kube
    finally:
        await kube.close()


@asynccontextmanager
async def following(api: ScriptedApi) -> AsyncIterator[Informer]:
    """Run an informer; its failure fails the test."""
    async with api, closing(Kube(api.url, api.account)) as kube, asyncio.TaskGroup() as group:
        informer = Informer(kube, SERVICES, lambda *_: None)
        work = group.create_task(informer.run())
        yield informer
        work.cancel()


async def until_known(informer: Informer, *names: str) -> None:
    """Wait for these Services and no others; TimeoutError when they do not come."""
    async with asyncio.timeout(20):
        while informer.objects.keys() != {f"ns/{name}" for name in names}:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("end", ["\x85", "\u2028", "\u2029", "\x0b", "\x0c", "\x1c"])
def test_a_line_of_a_watch_ends_at_a_newline_alone(tmp_path: Path, end: str) -> None:
    """What Python's `splitlines` takes for the end of a line may stand in any annotation."""
    text = f"left{end}right"
    lines = event(service("a", 1, text)) + event(service("b", 2))

    async def follow() -> None:
        api = ScriptedApi(tmp_path, [], [lines])
        async with following(api) as informer:
            await until_known(informer, "a", "b")
            assert informer.objects["ns/a"]["metadata"]["annotations"]["a"] == text
        assert api.lists == 1

    asyncio.run(follow())


@pytest.mark.parametrize(
    "broken", [b'{"type":\n', b"[]\n", b'{"type":"ADDED"}\n', b'{"a":"\xff"}\n', b"1" * 5000 + b"\n"]
)
def test_after_a_line_that_cannot_be_read_everything_is_listed_anew(tmp_path: Path, broken: bytes) -> None:
    """The same version is not watched again: what follows the line would never be seen."""

    async def follow() -> None:
        api = ScriptedApi(tmp_path, [], [broken])
        async with following(api) as informer:
            await informer.synced.wait()
            api.items.append(service("late", 3))
            await until_known(informer, "late")
            async with asyncio.timeout(20):
                while len(api.watched) < 2:  # noqa: ASYNC110 - it tells nobody
                    await asyncio.sleep(0.01)
        assert api.watched == ["101", "102"]

    asyncio.run(follow())


@pytest.mark.parametrize("depth", DEPTHS)
def test_an_object_nested_deeper_than_python_recurses_is_followed(tmp_path: Path, depth: int) -> None:
    """In a list and in a watch; what lies so deep is not ours to read."""
    deep = event(service("b", 1, managed=nested(depth))) + event(service("c", 2))

    async def follow() -> None:
        async with following(ScriptedApi(tmp_path, [service("a", 0, managed=nested(depth))], [deep])) as informer:
            await until_known(informer, "a", "b", "c")
            assert all(found["spec"] == {"type": "LoadBalancer"} for found in informer.objects.values())

    asyncio.run(follow())


@pytest.mark.parametrize("depth", [*range(880, 1000, 20), *DEPTHS])
def test_a_list_that_comes_again_is_compared_at_any_depth(tmp_path: Path, depth: int) -> None:
    """Just below the depth at which reading fails, comparing would."""
    again = f'{{"metadata":{{"namespace":"ns","name":"x"}},"status":{nested(depth)}}}'

    async def follow() -> None:
        api = ScriptedApi(tmp_path, [again], [b"?\n", b"?\n"])
        async with following(api) as informer:
            await until_known(informer, "x")
            async with asyncio.timeout(20):
                while api.lists < 3:  # noqa: ASYNC110 - it tells nobody
                    await asyncio.sleep(0.01)

    asyncio.run(follow())


def test_json_is_read_as_it_is_but_for_what_lies_too_deep() -> None:
    """Strings with brackets and escapes are no nesting."""
    fine = {"a": ['[{"\\', {"b": None}], "c": "}]"}

    assert parse(json.dumps(fine).encode()) == fine
    assert parse(b'{"fine":' + json.dumps(fine).encode() + b',"deep":' + nested(5000).encode() + b"}")["fine"] == fine
    with pytest.raises(ValueError, match="line 1"):
        parse(b'{"a":' + b"[" * 5000)
