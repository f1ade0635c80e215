"""The client of the API, against a real API server: what it sends and gives back, and how it fails."""

from __future__ import annotations

import itertools
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import pytest
from tests.observe.places import kubeconfig_text
from tests.reference.apiserver import ApiServer

from lbproof.witnesses.kube import ApiError, Kube
from lbproof.witnesses.wait import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MAPS = "/api/v1/namespaces/default/configmaps"
SERVICES = "/api/v1/namespaces/default/services"
_NUMBERS = itertools.count(1)

ANYTHING = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
Object = dict[str, Any]


@pytest.fixture(scope="module")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The administrator's kubeconfig of a real API server."""
    folder = tmp_path_factory.mktemp("observe-api")
    with ApiServer(folder) as server:
        token = server.client.headers["Authorization"].removeprefix("Bearer ")
        path = folder / "kubeconfig"
        path.write_text(kubeconfig_text(server.url, token=token, ca=str(server.ca)))
        yield path


@pytest.fixture(scope="module")
def kube(kubeconfig: Path) -> Iterator[Kube]:
    """A client of it."""
    made = Kube(kubeconfig)
    yield made
    made.close()


@pytest.fixture
def name() -> str:
    """A name that no other test uses."""
    return f"it-{next(_NUMBERS)}"


@pytest.fixture
def thing(kube: Kube, name: str) -> Iterator[Object]:
    """A ConfigMap; it is removed in the end, if it is still there."""
    yield kube.create(MAPS, {"metadata": {"name": name, "labels": {"by": name}}, "data": {"a": "1"}})
    kube.request("DELETE", f"{MAPS}/{name}")


@pytest.fixture
def later() -> Iterator[Callable[..., None]]:
    """Do something in a moment, while the test waits."""
    timers: list[threading.Timer] = []

    def start(seconds: float, act: Callable[..., object], *args: object) -> None:
        timers.append(threading.Timer(seconds, act, args))
        timers[-1].start()

    yield start
    for timer in timers:
        timer.join()


def client_of(folder: Path, url: str) -> Kube:
    """A client by a kubeconfig of its own."""
    path = folder / "kubeconfig"
    path.write_text(kubeconfig_text(url, token="none"))  # noqa: S106 - nobody reads it
    return Kube(path)


def path_of(thing: Object) -> str:
    """The API path of a ConfigMap."""
    return f"{MAPS}/{thing['metadata']['name']}"


def test_an_object_is_what_the_server_says(kube: Kube, thing: Object) -> None:
    """Read back it is what was created, the fields that the server added included."""
    assert kube.get(path_of(thing)) == thing
    assert thing["metadata"]["managedFields"]


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "ALL_PROXY"])
def test_no_proxy_is_asked_for_a_lab(kubeconfig: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A proxy of the user's shell stands outside the lab, and cannot lead into it."""
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv(name, "http://127.0.0.1:9")
    client = Kube(kubeconfig)

    assert client.get("/api/v1/namespaces/default")["kind"] == "Namespace"
    client.close()


def test_it_is_the_server_that_refuses(kube: Kube, name: str) -> None:
    """A body that no typed client would send arrives; the error has the server's words and what was asked."""
    with pytest.raises(ApiError) as refused:
        kube.create(SERVICES, {"metadata": {"name": name}, "spec": {"ports": [{"name": "http"}]}})

    assert (refused.value.status, refused.value.reason) == (422, "Invalid")
    assert str(refused.value).startswith(f"POST {SERVICES}: 422 Invalid: ")
    assert "spec.ports[0].port" in refused.value.message


def test_what_is_not_there_is_404(kube: Kube) -> None:
    """With the server's words."""
    with pytest.raises(ApiError, match=r'404 NotFound: configmaps "nothing" not found') as refused:
        kube.get(f"{MAPS}/nothing")

    assert refused.value.status == 404


def test_what_is_gone_already_is_discarded_all_the_same(kube: Kube, thing: Object, name: str) -> None:
    """Twice is as good as once; whatever else the server refuses is raised."""
    assert kube.exists(f"{MAPS}/{name}")

    kube.discard(f"{MAPS}/{thing['metadata']['name']}")
    kube.discard(f"{MAPS}/{name}")

    assert not kube.exists(f"{MAPS}/{name}")
    with pytest.raises(ApiError, match="405"):
        kube.discard("/version")


def test_the_time_is_the_servers_in_whole_seconds(kube: Kube) -> None:
    """It is that of objects that are created now; nothing is created."""
    before = datetime.now(UTC).replace(microsecond=0)
    seen = datetime.fromisoformat(kube.time())

    assert before <= seen <= datetime.now(UTC)
    assert not kube.exists("/api/v1/namespaces/default/configmaps/lbproof-time")


def test_a_list_says_the_kind_of_each(kube: Kube, thing: Object) -> None:
    """The server leaves kinds out of lists; evidence and manifests need them. Queries choose."""
    found = kube.list(MAPS, labelSelector=f"by={thing['metadata']['name']}")

    assert found == [thing]
    assert (found[0]["apiVersion"], found[0]["kind"]) == ("v1", "ConfigMap")


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        ("merge", {"data": {"b": "2"}}, {"a": "1", "b": "2"}),
        ("json", [{"op": "replace", "path": "/data/a", "value": "3"}], {"a": "3"}),
    ],
)
def test_each_kind_of_patch_is_understood(
    kube: Kube, thing: Object, kind: Literal["merge", "json"], body: object, expected: Object
) -> None:
    """RFC 7386 and RFC 6902."""
    assert kube.patch(path_of(thing), body, kind)["data"] == expected


def test_a_deletion_takes_options(kube: Kube, thing: Object) -> None:
    """A precondition that does not hold keeps the object."""
    with pytest.raises(ApiError, match="409 Conflict"):
        kube.delete(path_of(thing), preconditions={"uid": "another"})
    kube.delete(path_of(thing), propagationPolicy="Background")

    with pytest.raises(ApiError, match="404"):
        kube.get(path_of(thing))


def test_applying_creates_then_changes_and_takes_over(kube: Kube, thing: Object) -> None:
    """Fields that somebody else owns included; what is not said stays."""
    name = thing["metadata"]["name"]
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}}
    applied = kube.apply(manifest | {"data": {"a": "mine"}})

    assert applied["data"] == {"a": "mine"}
    assert applied["metadata"]["labels"] == {"by": name}
    assert "lbproof" in [row["manager"] for row in applied["metadata"]["managedFields"]]


@pytest.fixture(scope="module")
def thought(kube: Kube) -> Iterator[Object]:
    """An object of a kind whose definition was applied when the server was already known."""
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "thoughts.lbproof.test"},
        "spec": {
            "group": "lbproof.test",
            "names": {"kind": "Thought", "plural": "thoughts"},
            "scope": "Namespaced",
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": ANYTHING}}],
        },
    }
    wanted = {"apiVersion": "lbproof.test/v1", "kind": "Thought", "metadata": {"name": "one"}, "spec": {"deep": [1]}}
    with pytest.raises(ApiError, match="404"):
        kube.apply(wanted)
    kube.apply(definition)
    yield eventually(lambda: kube.apply(wanted), bool, what="it is served", within=10, ignore=(ApiError,)).value
    kube.delete(kube.path_of("apiextensions.k8s.io/v1", "CustomResourceDefinition", None, "thoughts.lbproof.test"))


def test_a_kind_that_appears_later_is_found(kube: Kube, thought: Object) -> None:
    """Discovery is asked again, so a custom resource can be applied behind its definition."""
    assert thought["spec"] == {"deep": [1]}
    assert kube.path_of("lbproof.test/v1", "Thought", "default", "one") == (
        "/apis/lbproof.test/v1/namespaces/default/thoughts/one"
    )


def test_paths_are_the_servers(kube: Kube) -> None:
    """Plural and scope by discovery; a kind that there is not is named with its group."""
    assert kube.path_of("v1", "Service", "a", "b") == "/api/v1/namespaces/a/services/b"
    assert kube.path_of("v1", "Namespace", None, "a") == "/api/v1/namespaces/a"
    assert kube.path_of("discovery.k8s.io/v1", "EndpointSlice", "a", "b") == (
        "/apis/discovery.k8s.io/v1/namespaces/a/endpointslices/b"
    )
    with pytest.raises(ApiError, match="no kind Servise in v1"):
        kube.path_of("v1", "Servise", "a", "b")


def test_a_watch_gives_every_change_in_order(kube: Kube, thing: Object, later: Callable[..., None]) -> None:
    """From the version of a list on, and nothing that was before."""
    selector = {"labelSelector": f"by={thing['metadata']['name']}"}
    _, version = kube.list_with_version(MAPS, **selector)
    later(0.1, kube.patch, path_of(thing), {"data": {"a": "2"}})
    later(0.3, kube.delete, path_of(thing))
    seen = [
        (event["type"], event["object"]["data"]["a"])
        for event in itertools.islice(kube.watch(MAPS, version, 10, **selector), 2)
    ]

    assert seen == [("MODIFIED", "2"), ("DELETED", "2")]


@pytest.mark.parametrize("seconds", [0.3, 1.5])
def test_a_watch_of_nothing_ends_in_its_time(kube: Kube, seconds: float) -> None:
    """Not before; the server counts in whole seconds."""
    _, version = kube.list_with_version(MAPS)
    began = time.monotonic()
    seen = list(kube.watch(MAPS, version, seconds, labelSelector="by=nobody"))
    took = time.monotonic() - began

    assert seen == []
    assert took >= seconds


def test_a_watch_from_long_ago_is_refused(kube: Kube, thought: Object) -> None:
    """Whoever watches must list again, and is told so: version 1 was long before this kind was."""
    path = kube.path_of(thought["apiVersion"], thought["kind"], "default", "one").rpartition("/")[0]

    with pytest.raises(ApiError, match=r"^WATCH .* too old resource version") as refused:
        next(kube.watch(path, "1", 5))

    assert refused.value.status == 410
