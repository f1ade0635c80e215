"""Where an implementation reports: Events, conditions, annotations, labels, Leases, objects of its own."""

from __future__ import annotations

from typing import Any

import pytest
from tests.suite.fake_cluster import FakeCluster

from lbproof.adapters.programs import python_image, rendered
from lbproof.adapters.reports import (
    AnnouncerAnnotation,
    AnnouncerEvent,
    AnnouncerLease,
    AnnouncerResource,
    AnnouncerStatus,
    ConditionPattern,
    EventPattern,
    MetadataKey,
)
from lbproof.lab.base import LabError

LEASES = "/apis/coordination.k8s.io/v1/namespaces"
STATUSES = "/apis/acme.example/v1/namespaces/acme/statuses"


def service(**more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """A Service `shop/web`."""
    return {"metadata": {"namespace": "shop", "name": "web", **more.pop("metadata", {})}, **more}


def event(message: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """An Event of an announcement."""
    return {"type": "Normal", "reason": "Announced", "message": message, **more}


def named(place: AnnouncerStatus, made: dict[str, Any], **objects: dict[str, Any]) -> list[str]:
    """Nodes that are named for a Service in a cluster with these objects, by path."""
    cluster = FakeCluster()
    cluster.objects = {"/api/v1/namespaces/shop/services/web": made, **objects}
    return place.named(cluster.kube, made)


def test_an_event_names_a_node_as_often_as_it_was_repeated() -> None:
    """The API counts repeated Events in one object."""
    place = AnnouncerEvent(event=EventPattern(type="Normal", reason="Announced", message='from "(?P<node>[^"]+)"'))
    made = service(events=[event('from "w01"', count=2), event("nothing"), event('from "w02"', series={"count": 3})])

    assert named(place, made) == ["w01", "w01", "w02", "w02", "w02"]
    assert place.keeps_history


def test_annotations_name_a_node_now() -> None:
    """One for each family, with more than the node in it."""
    place = AnnouncerAnnotation(annotations=("acme/v4", "acme/v6"), value="(?P<node>[^,]+),.*")

    assert named(place, service(metadata={"annotations": {"acme/v4": "w01,eth0", "acme/v6": "w02,eth0"}})) == [
        "w01",
        "w02",
    ]
    assert named(place, service()) == []
    assert not place.keeps_history


def test_a_lease_names_its_holder() -> None:
    """One for each Service, or one for all; without a Lease nobody is named."""
    own = AnnouncerLease(namespace="{namespace}", name="lb-{name}", holder="(?P<node>[^_]+)_.*")
    common = AnnouncerLease(namespace="acme", name="leader")
    leases: dict[str, Any] = {
        f"{LEASES}/shop/leases/lb-web": {"spec": {"holderIdentity": "w01_42"}},
        f"{LEASES}/acme/leases/leader": {"spec": {}},
    }

    assert named(own, service(), **leases) == ["w01"]
    assert named(common, service(), **leases) == []
    assert named(AnnouncerLease(namespace="acme", name="none"), service(), **leases) == []


def test_an_object_of_its_own_names_a_node() -> None:
    """Found by labels that name the Service, read from a field."""
    place = AnnouncerResource(
        path=STATUSES, labels={"service": "{name}", "namespace": "{namespace}"}, field="status.node"
    )
    right = {"metadata": {"labels": {"service": "web", "namespace": "shop"}}, "status": {"node": "w01"}}
    other = {"metadata": {"labels": {"service": "web", "namespace": "other"}}, "status": {"node": "w02"}}
    bare = {"metadata": {"labels": {"service": "web", "namespace": "shop"}}}
    objects: dict[str, Any] = {f"{STATUSES}/1": right, f"{STATUSES}/2": other, f"{STATUSES}/3": bare}

    assert named(place, service(), **objects) == ["w01"]


def test_every_place_is_one_of_the_interface() -> None:
    """So is a vendor's own class, which needs no base class."""

    class Own:
        keeps_history = False

        def named(self, cluster: object, made: object) -> list[str]:  # noqa: ARG002
            return []

    assert isinstance(Own(), AnnouncerStatus)
    assert isinstance(AnnouncerLease(namespace="a", name="b"), AnnouncerStatus)


def test_a_refusal_is_an_event_or_a_condition() -> None:
    """Its text is the message, or the reason of a condition without one."""
    by_event = EventPattern(type="Warning", reason="^Refused$", message="full")
    by_condition = ConditionPattern(type="acme.example/Given", reason="^OutOf")
    condition = {"type": "acme.example/Given", "status": "False", "reason": "OutOfAddresses"}
    made = service(status={"conditions": [condition, {**condition, "status": "True"}, {**condition, "type": "Other"}]})
    events = [event("full"), {"type": "Warning", "reason": "Refused", "message": "pool a is full"}]

    assert by_event.texts(made, events) == ["pool a is full"]
    assert by_condition.texts(made, events) == ["OutOfAddresses"]
    assert by_condition.texts(service(), events) == []


@pytest.mark.parametrize("kind", ["annotation", "label"])
def test_a_key_is_of_an_annotation_or_a_label(kind: str) -> None:
    """It is written and read in its place."""
    key, made = MetadataKey(**{kind: "acme.example/pool"}), service()
    assert key.value(made) is None
    key.set(made, "blue")

    assert made["metadata"][f"{kind}s"] == {"acme.example/pool": "blue"}
    assert key.value(made) == "blue"


def test_a_program_renders_objects() -> None:
    """As Helm does, and an empty document is none."""
    assert rendered(["sh", "-c", "cat"], stdin="kind: A\n---\n---\nkind: B\n") == [{"kind": "A"}, {"kind": "B"}]


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["no-such-helm", "template", "acme", "x"], "`no-such-helm template acme`: No such file or directory"),
        (["sh", "-c", "echo one; echo no chart >&2; exit 3"], "ended with exit code 3: no chart"),
        (["sh", "-c", "exit 3"], "ended with exit code 3: it says nothing"),
        (["echo", "a: [b"], "printed no YAML"),
        (["true"], "printed no objects"),
        (["echo", "text"], "printed no objects"),
    ],
    ids=str,
)
def test_a_program_that_fails_is_one_line(argv: list[str], says: str) -> None:
    """With the last line of what it said."""
    with pytest.raises(LabError) as caught:
        rendered(argv)

    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_program_of_this_interpreter_stands_for_an_image() -> None:
    """With the system's libraries and whatever else it needs; what does not exist of that is found by the check."""
    image = python_image("acme/lb", ["-m", "acme"], binds=["/no/such"], env={"PYTHONPATH": "/x"})

    assert image.args == ("-m", "acme")
    assert "/usr" in image.binds
    assert "/no/such" in image.binds
    assert image.env == {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": "/x"}
