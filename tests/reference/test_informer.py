"""Lists and watches: one malformed object does not stop the others."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.reference.scripted_api import ScriptedApi

from lbproof_reference.informer import Informer
from lbproof_reference.kube import SERVICES, Kube
from lbproof_reference.reading import parse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

DEPTHS = (1_200, 9_000)
"""Above Python's recursion limit, and near the API server's limit of 10,000."""


def service(name: str, version: int, annotation: str = "", managed: str = "[]") -> str:
    """Return a Service as JSON, with unescaped non-ASCII characters as the API server writes them."""
    meta = {"namespace": "ns", "name": name, "resourceVersion": str(version), "annotations": {"a": annotation}}
    text = json.dumps(meta, ensure_ascii=False)
    return f'{{"metadata":{text[:-1]},"managedFields":{managed}}},"spec":{{"type":"LoadBalancer"}}}}'


def event(obj: str) -> bytes:
    """Return a line of a watch."""
    return f'{{"type":"ADDED","object":{obj}}}\n'.encode()


def nested(depth: int) -> str:
    """Return JSON of that depth."""
    return "[" + '{"f:a\\"}]":' * depth + "{}" + "}" * depth + "]"


@asynccontextmanager
async def closing(kube: Kube) -> AsyncIterator[Kube]:
    """Close a client at the end of the block."""
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
    """Wait until exactly these Services are known. Raises TimeoutError."""
    async with asyncio.timeout(20):
        while informer.objects.keys() != {f"ns/{name}" for name in names}:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("end", ["\x85", "\u2028", "\u2029", "\x0b", "\x0c", "\x1c"])
def test_a_line_of_a_watch_ends_at_a_newline_alone(tmp_path: Path, end: str) -> None:
    """Other line boundaries of `str.splitlines` do not split a line of a watch."""
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
    """After a malformed line the informer lists again instead of watching the same version."""

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
    """Objects nested deeper than Python's recursion limit are read from lists and watches."""
    deep = event(service("b", 1, managed=nested(depth))) + event(service("c", 2))

    async def follow() -> None:
        async with following(ScriptedApi(tmp_path, [service("a", 0, managed=nested(depth))], [deep])) as informer:
            await until_known(informer, "a", "b", "c")
            assert all(found["spec"] == {"type": "LoadBalancer"} for found in informer.objects.values())

    asyncio.run(follow())


@pytest.mark.parametrize("depth", [*range(880, 1000, 20), *DEPTHS])
def test_a_list_that_comes_again_is_compared_at_any_depth(tmp_path: Path, depth: int) -> None:
    """A repeated list is compared without an error at any depth."""
    again = f'{{"metadata":{{"namespace":"ns","name":"x"}},"status":{nested(depth)}}}'

    async def follow() -> None:
        api = ScriptedApi(tmp_path, [again], [b"?\n", b"?\n"])
        async with following(api) as informer:
            await until_known(informer, "x")
            async with asyncio.timeout(20):
                while api.lists < 3:  # noqa: ASYNC110 - it tells nobody
                    await asyncio.sleep(0.01)

    asyncio.run(follow())


def test_an_informer_knows_whether_it_is_cut_from_the_api_server(tmp_path: Path) -> None:
    """It is cut from the moment that a watch or a list fails until a watch is open again, even if nothing happens."""

    async def follow() -> None:
        api = ScriptedApi(tmp_path, [], [b"?\n"])
        async with following(api) as informer:
            seen = list[bool]()
            async with asyncio.timeout(20):
                while seen != [False, True, False]:
                    seen += [informer.is_cut] if seen[-1:] != [informer.is_cut] else []
                    await asyncio.sleep(0.001)
        assert len(api.watched) == 2

    asyncio.run(follow())


def test_an_answer_that_is_no_json_is_an_error_of_the_request(tmp_path: Path) -> None:
    """A write whose answer is not JSON has failed, and is not taken for a malformed object."""

    async def ask() -> None:
        async with ScriptedApi(tmp_path, ["?"], []) as api:
            kube = Kube(api.url, api.account)
            with pytest.raises(httpx.DecodingError, match="not JSON"):
                await kube.call("GET", "/objects")
            await kube.close()

    asyncio.run(ask())


class ShortPauses:
    """The module asyncio as the informer sees it, with a `sleep` that records its argument and soon returns."""

    def __init__(self) -> None:
        self.asked: list[float] = []

    def __getattr__(self, name: str) -> object:
        """Return what the module has."""
        return getattr(asyncio, name)

    async def sleep(self, seconds: float) -> None:
        """Record a pause in seconds."""
        self.asked.append(seconds)
        await asyncio.sleep(0)


@pytest.mark.parametrize("sent", [b"", b'{"type":"ERROR","object":{"code":410}}\n'])
def test_watches_that_end_at_once_are_repeated_with_growing_pauses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    """Neither a watch that the server closes at once nor one that begins with an error is repeated without a pause."""
    pauses = ShortPauses()
    monkeypatch.setattr("lbproof_reference.informer.asyncio", pauses)

    async def follow() -> None:
        api = ScriptedApi(tmp_path, [], [sent] * 6, closes=True)
        async with following(api), asyncio.timeout(20):
            while len(api.watched) < 6:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.01)

    asyncio.run(follow())
    assert len(pauses.asked) >= 5
    assert pauses.asked[4] > pauses.asked[0] > 0


def test_after_a_watch_that_expired_everything_is_listed_before_a_pause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is known is not older than the pause, which is long after an API server that was away for some time."""
    pauses = ShortPauses()
    monkeypatch.setattr("lbproof_reference.informer.asyncio", pauses)

    async def follow() -> None:
        api = ScriptedApi(tmp_path, [], [b'{"type":"ERROR","object":{"code":410}}\n'])
        async with following(api), asyncio.timeout(20):
            while not pauses.asked:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0)
            assert api.lists == 2

    asyncio.run(follow())


def read(text: str) -> object:
    """Return what the JSON says."""
    return asyncio.run(parse(text.encode()))


def test_json_is_read_as_it_is_but_for_what_lies_too_deep() -> None:
    """Brackets and escapes in strings do not count as nesting; the fields of managers are left out."""
    fine = {"a": ['[{"\\', {"b": None}], "c": "}]"}
    text = json.dumps(fine)

    assert read(text) == fine
    found = read(f'{{"fine":{text},"deep":{nested(5000)},"managedFields":[{text}],"last":[]}}')
    assert isinstance(found, dict)
    assert (found["fine"], found["managedFields"], found["last"]) == (fine, None, [])
    with pytest.raises(ValueError, match="malformed JSON"):
        read('{"a":' + "[" * 5000)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
)


@given(JSON, st.sampled_from((None, 2)), st.lists(st.tuples(st.integers(0), st.sampled_from('{}[],:"1a ')), max_size=2))
def test_large_json_is_read_and_refused_as_small(value: object, indent: int | None, changes: list[Any]) -> None:
    """What is parsed in steps is what is parsed in one go, and malformed JSON is refused by both.

    As from an API server: an object in UTF-8, which has no surrogates.
    """
    text = json.dumps({"a": value}, indent=indent, ensure_ascii=False)
    for number, character in changes:
        at = 1 + number % (len(text) - 1)
        text = text[:at] + character + text[at + 1 :]
    try:
        known = json.loads(text, parse_float=Decimal)
    except ValueError:
        known = ValueError
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("lbproof_reference.reading._AT_ONCE", 0)
        if known is ValueError:
            with pytest.raises(ValueError, match=r"."):
                read(text)
        else:
            assert read(text) == known


@pytest.mark.parametrize(
    "text",
    [
        service("a", 1, managed=nested(1200)[:-1] + ',{"f:a":{}}' * 100_000 + "]"),
        f'{{"items":[{",".join(service("a", 1, "x" * 2000) for _ in range(1000))}]}}',
    ],
    ids=["object", "list"],
)
def test_other_tasks_run_while_something_large_is_parsed(text: str) -> None:
    """Between two turns of another task, such as the one that sends heartbeats, a part of the text is parsed."""

    async def count() -> int:
        turns = 0
        parsing = asyncio.create_task(parse(text.encode()))
        while not parsing.done():
            await asyncio.sleep(0)
            turns += 1
        return turns

    assert asyncio.run(count()) > len(text) / 10_000
