"""What the suite must know of an implementation: how to install it, give it a pool, ask it, and read what it says.

An adapter holds words, never judgement: the same checks run on every implementation. One of a vendor's own is a class
with these members, registered under the entry point `lbproof.adapters`.
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
"""A Kubernetes object as raw JSON."""


class Ask(StrEnum):
    """How a Service asks for an address of its own."""

    ANNOTATION = "annotation"
    FIELD = "field"


class Cause(StrEnum):
    """Why a request cannot be met."""

    POOL_EXHAUSTED = "pool-exhausted"
    NO_POOL = "no-pool"
    NOT_IN_POOL = "not-in-pool"
    IN_USE = "in-use"
    BAD_REQUEST = "bad-request"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A Deployment or DaemonSet of the implementation."""

    kind: str
    """`Deployment` or `DaemonSet`."""
    namespace: str
    name: str
    selector: Mapping[str, str]
    """Labels of its pods."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventPattern:
    """How to recognise an Event: both patterns must be found (`re.search`) in its reason and its message."""

    type: str
    """`Normal` or `Warning`."""
    reason: str
    message: str = ""

    def matches(self, event: Object) -> bool:
        """Whether a `v1` Event is of this kind."""
        return (
            event.get("type") == self.type
            and bool(re.search(self.reason, event.get("reason") or ""))
            and bool(re.search(self.message, event.get("message") or ""))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EventPatterns:
    """How an implementation says things, for the checks that read them."""

    allocated: EventPattern
    """Says that an address was given; its message names the address."""
    refused: Mapping[Cause, EventPattern]
    announcing: EventPattern
    """Says which node announces; its message names the node in double quotes."""
    pool_annotations: tuple[str, ...]
    """Annotations of a Service that name its pool; any one will do."""


class Adapter(Protocol):
    """One implementation."""

    name: str
    """As in `--implementation` and in the report."""
    version: str
    features: frozenset[str]
    """Features that it claims (`lbproof list --features`)."""
    budgets: Mapping[str, float]
    """Waits that it needs longer than the default, in seconds; at most the ceiling."""
    components: tuple[str, ...]
    """Programs that stand for its images in a lab without images (`lbproof doctor` lists them)."""
    files: tuple[str, ...]
    """Components that its manifests are made from, in every lab."""
    namespace: str
    """Where it lives, and its pools."""
    controller: Workload
    announcer: Workload
    event_patterns: EventPatterns
    resources: tuple[str, ...]
    """Names of the CustomResourceDefinitions that it brings."""
    pool_path: str
    """API path of the pools' collection."""

    def images(self, programs: Mapping[str, Any]) -> Sequence[Image]:
        """What its images stand for in a lab that runs programs; `programs` is name → path of its `components`."""
        ...

    def manifests(self, programs: Mapping[str, Any]) -> list[Object]:
        """The objects to install, in order; `programs` is name → path of its `files`."""
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
        """The objects that make a pool of CIDRs and ranges.

        `auto_assign`: given to Services that name no pool. `include_edges`: the first and the last address of a
        network are given too. `advertised`: announced on the segment.
        """
        ...

    def ask(self, service: Object, addresses: str, how: Ask) -> None:
        """Make a Service's manifest ask for an address."""
        ...

    def ask_pool(self, service: Object, pool: str) -> None:
        """Make a Service's manifest name its pool."""
        ...

    def pool_error(self, cluster: Kube, pool: str) -> str:
        """What is said on or about a pool that was accepted but is not usable; empty when nothing is."""
        ...

    def with_class(self, cluster: Kube, rolled_out: Callable[[Workload], None]) -> AbstractContextManager[str]:
        """Serve one class only while inside; gives its name. `rolled_out` waits for a workload to be as configured."""
        ...


def python_modules_of(adapter: Adapter) -> Mapping[str, str]:
    """Python modules that its programs import in a lab without images: module → what pip is told to install.

    Only an implementation in Python has any, as its member `python_modules`.
    """
    found: Mapping[str, str] = getattr(adapter, "python_modules", {})
    return found


def adapters() -> dict[str, Callable[[], Adapter]]:
    """Every adapter that is installed, by name: those of lbproof and those that vendors registered."""
    return {point.name: point.load for point in entry_points(group="lbproof.adapters")}


def load(name: str, where: str) -> Adapter:
    """The adapter of that name, or the one at `package.module:attribute`.

    Raises `UnknownName` with the nearest one that there is, also for a feature or a budget that the adapter names and
    that there is not, and `BadOption` for a budget above its ceiling.
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
