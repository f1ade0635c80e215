"""Interface of an adapter: how to install an implementation, create pools, request addresses and read its Events.

An adapter contains names and manifests, never verdicts: the same checks run on every implementation. A vendor's adapter
is a class with these members, registered under the entry point `lbproof.adapters`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Protocol

from lbproof.spec import UnknownName, check_budgets, check_features

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from lbproof.lab.base import Image
    from lbproof.witnesses.kube import Kube

Object = dict[str, Any]
"""Kubernetes object as raw JSON."""


class Ask(StrEnum):
    """Method by which a Service requests an address."""

    ANNOTATION = "annotation"
    FIELD = "field"


class Cause(StrEnum):
    """Reason why a request cannot be satisfied."""

    POOL_EXHAUSTED = "pool-exhausted"
    NO_POOL = "no-pool"
    NOT_IN_POOL = "not-in-pool"
    IN_USE = "in-use"
    BAD_REQUEST = "bad-request"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Deployment or DaemonSet of the implementation."""

    kind: str
    """`Deployment` or `DaemonSet`."""
    namespace: str
    name: str
    selector: Mapping[str, str]
    """Labels of its pods."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventPattern:
    """Pattern of an Event: both expressions must match (`re.search`), in its reason and its message."""

    type: str
    """`Normal` or `Warning`."""
    reason: str
    message: str = ""

    def matches(self, event: Object) -> bool:
        """Return whether a `v1` Event matches."""
        return (
            event.get("type") == self.type
            and bool(re.search(self.reason, event.get("reason") or ""))
            and bool(re.search(self.message, event.get("message") or ""))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EventPatterns:
    """Patterns of an implementation's Events and annotations."""

    allocated: EventPattern
    """Event of an assignment; its message names the address."""
    refused: Mapping[Cause, EventPattern]
    announcing: EventPattern
    """Event of an announcement; its message names the node in double quotes."""
    pool_annotations: tuple[str, ...]
    """Annotations of a Service that name its pool; one of them is sufficient."""


class Adapter(Protocol):
    """Adapter of one implementation."""

    name: str
    """Name for `--implementation` and the report."""
    version: str
    features: frozenset[str]
    """Claimed features (`lbproof list --features`)."""
    budgets: Mapping[str, float]
    """Budgets above the default, in seconds; at most the ceiling."""
    components: tuple[str, ...]
    """Programs that replace its images in a lab without images (`lbproof doctor` lists them)."""
    files: tuple[str, ...]
    """Components from which its manifests are built, in every lab."""
    namespace: str
    """Namespace of the implementation and its pools."""
    controller: Workload
    announcer: Workload
    event_patterns: EventPatterns
    resources: tuple[str, ...]
    """Names of its CustomResourceDefinitions."""
    pool_path: str
    """API path of the collection of pools."""

    def images(self, programs: Mapping[str, Any]) -> Sequence[Image]:
        """Map images to programs for a lab without images; `programs` is name → path of its `components`."""
        ...

    def manifests(self, programs: Mapping[str, Any]) -> list[Object]:
        """Return the objects to install, in order; `programs` is name → path of its `files`."""
        ...

    def pool(
        self,
        name: str,
        blocks: Sequence[str],
        *,
        auto_assign: bool = True,
        include_edges: bool = True,
        advertised: bool = True,
    ) -> list[Object]:
        """Return the objects of a pool of CIDRs and ranges.

        `auto_assign`: serve Services that name no pool. `include_edges`: also assign the first and the last address
        of a network. `advertised`: announce on the segment.
        """
        ...

    def ask(self, service: Object, addresses: str, how: Ask) -> None:
        """Add a request for an address to a Service's manifest."""
        ...

    def ask_pool(self, service: Object, pool: str) -> None:
        """Add the name of a pool to a Service's manifest."""
        ...

    def pool_error(self, cluster: Kube, pool: str) -> str:
        """Return the reported error of an accepted but unusable pool; empty when there is none."""
        ...

    def with_class(self, cluster: Kube, rolled_out: Callable[[Workload], None]) -> AbstractContextManager[str]:
        """Serve only one class during the block; yield its name. `rolled_out` waits for the rollout of a workload."""
        ...


def python_modules_of(adapter: Adapter) -> Mapping[str, str]:
    """Return the Python modules that its programs import in a lab without images: module → pip requirement.

    Only an implementation in Python has them, in its member `python_modules`.
    """
    found: Mapping[str, str] = getattr(adapter, "python_modules", {})
    return found


def adapters() -> dict[str, Callable[[], Adapter]]:
    """Return all installed adapters by name: those of lbproof and those registered by vendors."""
    return {point.name: point.load for point in entry_points(group="lbproof.adapters")}


def load(name: str, where: str) -> Adapter:
    """Load the adapter with a name, or at `package.module:attribute`.

    Raises `UnknownName` with the nearest valid name, also for an unknown feature or budget of the adapter, and
    `BadOption` for a budget above its ceiling.
    """
    module, colon, attribute = name.partition(":")
    if colon:
        try:
            make: Any = getattr(import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise UnknownName(
                "implementation", name, f"{where} ({error})", adapters(), "lbproof list --implementations"
            ) from error
    else:
        known = adapters()
        if name not in known:
            raise UnknownName("implementation", name, where, known, "lbproof list --implementations")
        make = known[name]()
    adapter: Adapter = make()
    check_features(sorted(adapter.features, key=str), f"adapter {name}")
    check_budgets(adapter.budgets, f"adapter {name}")
    return adapter
