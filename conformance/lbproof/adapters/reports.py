"""What an implementation reports on a Service: Events and conditions as patterns, and the places that name a node."""

from __future__ import annotations

import re
from collections.abc import Mapping  # noqa: TC003 - fields are read while it runs, to validate them
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from lbproof.adapters.syntax import check_key, check_object_name
from lbproof.adapters.typecheck import check_fields
from lbproof.spec import BadOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lbproof.witnesses.kube import Kube

Object = dict[str, Any]
_NODE = "(?P<node>.+)"
_EXAMPLE = {"namespace": "default", "name": "service"}
"""Service by which templates are tried."""


def _compiled(owner: object, **expressions: str) -> None:
    """Raise `BadOption` for the first regular expression that is none."""
    for name, expression in expressions.items():
        try:
            re.compile(expression)
        except re.error as error:
            kind = type(owner).__name__
            raise BadOption(f"{kind}: {name} = {expression!r} is not a regular expression: {error}") from None


def _names_node(owner: object, name: str, expression: str) -> None:
    _compiled(owner, **{name: expression})
    if "node" not in re.compile(expression).groupindex:
        raise BadOption(f"{type(owner).__name__}: {name} = {expression!r} has no group (?P<node>…)")


@dataclass(frozen=True, slots=True, kw_only=True)
class EventPattern:
    """Pattern of an Event: both expressions must match (`re.search`), in its reason and its message."""

    type: str
    """`Normal` or `Warning`."""
    reason: str
    message: str = ""

    def __post_init__(self) -> None:
        """Raise `BadOption` for another type and for an expression that is none."""
        check_fields(self)
        if self.type not in {"Normal", "Warning"}:
            raise BadOption(f"EventPattern: type is {self.type!r}; it is Normal or Warning")
        _compiled(self, reason=self.reason, message=self.message)

    def matches(self, event: Object) -> bool:
        """Return whether a `v1` Event matches."""
        return (
            event.get("type") == self.type
            and bool(re.search(self.reason, event.get("reason") or ""))
            and bool(re.search(self.message, event.get("message") or ""))
        )

    def texts(self, service: Object, events: Sequence[Object]) -> list[str]:  # noqa: ARG002 - as ConditionPattern's
        """Return the messages of the Events about a Service that match, oldest first."""
        return [event.get("message") or "" for event in events if self.matches(event)]

    def __str__(self) -> str:
        """`an Event Warning ^AllocationFailed$`."""
        return f"an Event {self.type} {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionPattern:
    """Pattern of a condition in a Service's `status.conditions`; expressions are searched in reason and message."""

    type: str
    status: str = "False"
    reason: str = ""
    message: str = ""

    def __post_init__(self) -> None:
        """Raise `BadOption` for another status and for an expression that is none."""
        check_fields(self)
        if not self.type:
            raise BadOption("ConditionPattern: type is empty")
        if self.status not in {"True", "False", "Unknown"}:
            raise BadOption(f"ConditionPattern: status is {self.status!r}; it is True, False or Unknown")
        _compiled(self, reason=self.reason, message=self.message)

    def texts(self, service: Object, events: Sequence[Object]) -> list[str]:  # noqa: ARG002 - as EventPattern's
        """Return the messages of the conditions of a Service that match, or the reason of one without a message."""
        return [
            row.get("message") or row.get("reason") or ""
            for row in service.get("status", {}).get("conditions", [])
            if (row.get("type"), row.get("status")) == (self.type, self.status)
            and re.search(self.reason, row.get("reason") or "")
            and re.search(self.message, row.get("message") or "")
        ]

    def __str__(self) -> str:
        """`a condition example.com/Satisfied False`."""
        return f"a condition {self.type} {self.status}"


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataKey:
    """Key of an annotation or a label of a Service."""

    annotation: str = ""
    label: str = ""

    def __post_init__(self) -> None:
        """Raise `BadOption` unless it is one of both, and a key that Kubernetes accepts."""
        check_fields(self)
        if bool(self.annotation) == bool(self.label):
            raise BadOption("MetadataKey: it is an annotation or a label, and one of both")
        check_key(self.annotation or self.label, f"MetadataKey.{'annotation' if self.annotation else 'label'}")

    def __str__(self) -> str:
        """`annotation example.com/pool`."""
        return f"annotation {self.annotation}" if self.annotation else f"label {self.label}"

    @property
    def _place(self) -> tuple[str, str]:
        return ("annotations", self.annotation) if self.annotation else ("labels", self.label)

    def value(self, service: Object) -> str | None:
        """Return its value on a Service; None without one."""
        kind, key = self._place
        found: str | None = (service["metadata"].get(kind) or {}).get(key)
        return found

    def patch(self, value: str | None) -> Object:
        """Return the metadata of a merge patch that sets its value, or removes it."""
        kind, key = self._place
        return {kind: {key: value}}

    def set(self, service: Object, value: str) -> None:
        """Set its value on a Service's manifest."""
        kind, key = self._place
        service["metadata"].setdefault(kind, {})[key] = value


@runtime_checkable
class AnnouncerStatus(Protocol):
    """Place where an implementation names the node that announces a Service; the classes below are the usual ones."""

    @property
    def keeps_history(self) -> bool:
        """Return whether an earlier naming stays readable, as that of an Event does."""
        ...

    def named(self, cluster: Kube, service: Object) -> list[str]:
        """Return the nodes that are named: each time that one was, oldest first; or the present ones."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnouncerEvent:
    """Event about the Service."""

    event: EventPattern
    """Its message has a group `node`: `announcing from node "(?P<node>[^"]+)"`."""
    keeps_history = True

    def __post_init__(self) -> None:
        """Raise `BadOption` for a message without that group."""
        check_fields(self)
        _names_node(self, "message", self.event.message)

    def named(self, cluster: Kube, service: Object) -> list[str]:
        """Return the node of each matching Event, as often as the Event was repeated."""
        found: list[str] = []
        for event in cluster.events_about(service):
            if self.event.matches(event) and (match := re.search(self.event.message, event["message"])):
                found += [match["node"]] * times_of(event)
        return found


def times_of(event: Object) -> int:
    """Return how often an Event occurred (`count` of `v1`, `series` of `events.k8s.io/v1`)."""
    return int(event.get("count") or (event.get("series") or {}).get("count") or 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnouncerAnnotation:
    """Annotations of the Service, such as one for each address family."""

    annotations: tuple[str, ...]
    value: str = _NODE
    """Expression for the whole value; its group `node` is the node's name."""
    keeps_history = False

    def __post_init__(self) -> None:
        """Raise `BadOption` for an expression without that group, without annotations, and for a key that is none."""
        check_fields(self)
        _names_node(self, "value", self.value)
        if not self.annotations:
            raise BadOption("AnnouncerAnnotation: annotations is empty")
        for key in self.annotations:
            check_key(key, "AnnouncerAnnotation.annotations")

    def named(self, cluster: Kube, service: Object) -> list[str]:
        """Return the nodes that the annotations name now."""
        now = cluster.get(_path_of(service))["metadata"].get("annotations") or {}
        return _nodes_in(self.value, [now.get(name) for name in self.annotations])


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnouncerLease:
    """Lease whose holder announces, one for each Service or one for all."""

    namespace: str
    """Text in which `{namespace}` and `{name}` stand for the Service's."""
    name: str
    """Likewise: `kubevip-{name}`."""
    holder: str = _NODE
    """Expression for the whole `spec.holderIdentity`; its group `node` is the node's name."""
    keeps_history = False

    def __post_init__(self) -> None:
        """Raise `BadOption` for a bad template and for an expression without that group."""
        check_fields(self)
        _names_node(self, "holder", self.holder)
        for name in ("namespace", "name"):
            check_object_name(_filled(self, getattr(self, name), _EXAMPLE), f"AnnouncerLease.{name}")

    def named(self, cluster: Kube, service: Object) -> list[str]:
        """Return the present holder; nothing when there is no Lease."""
        about = _about(service)
        namespace, name = _filled(self, self.namespace, about), _filled(self, self.name, about)
        found = cluster.find(f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{name}")
        return _nodes_in(self.holder, [found["spec"].get("holderIdentity")] if found else [])


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnouncerResource:
    """Objects of a kind of the implementation's own, with the Service in their labels and the node in a field."""

    path: str
    """API path of the collection: `/apis/metallb.io/v1beta1/namespaces/metallb-system/servicel2statuses`."""
    labels: Mapping[str, str]
    """Labels of the objects of a Service; `{namespace}` and `{name}` in a value stand for the Service's."""
    field: str
    """Path of the field with the node, with dots: `status.node`."""
    keeps_history = False

    def __post_init__(self) -> None:
        """Raise `BadOption` for a bad template, for a path that is none, and for an empty field."""
        check_fields(self)
        for value in (self.path, *self.labels.values()):
            _filled(self, value, _EXAMPLE)
        if not self.path.startswith("/api") or not self.field:
            raise BadOption(
                f"AnnouncerResource: path {self.path!r} begins with /api, field {self.field!r} is not empty"
            )

    def named(self, cluster: Kube, service: Object) -> list[str]:
        """Return the nodes that the objects name now."""
        about = _about(service)
        selector = ",".join(f"{key}={_filled(self, value, about)}" for key, value in self.labels.items())
        found = []
        for value in cluster.list(_filled(self, self.path, about), labelSelector=selector):
            inner: Any = value
            for key in self.field.split("."):
                inner = (inner or {}).get(key)
            found.append(inner)
        return _nodes_in(_NODE, found)


def _nodes_in(expression: str, values: Sequence[str | None]) -> list[str]:
    matches = (re.fullmatch(expression, value) for value in values if value)
    return [match["node"] for match in matches if match]


def _about(service: Object) -> dict[str, str]:
    return {key: service["metadata"][key] for key in ("namespace", "name")}


def _filled(owner: object, template: str, about: Mapping[str, str]) -> str:
    try:
        return template.format(**about)
    except (LookupError, ValueError, AttributeError, TypeError):
        known = "{namespace} and {name}"
        raise BadOption(f"{type(owner).__name__}: {template!r} may contain {known}, and no other braces") from None


def _path_of(service: Object) -> str:
    meta = service["metadata"]
    return f"/api/v1/namespaces/{meta['namespace']}/services/{meta['name']}"
