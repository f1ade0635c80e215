"""Interface of an adapter: how to install an implementation, give it pools, ask for addresses and read what it reports.

An adapter contains names, patterns and objects, never verdicts: the same checks run on every implementation. It is a
class derived from `Adapter`, registered under the entry point `lbproof.adapters`. A member that belongs to a feature
(`FEATURE_MEMBERS`) is needed where the feature is claimed, and never used where it is not.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

from lbproof.adapters.reports import AnnouncerStatus, ConditionPattern, EventPattern, MetadataKey
from lbproof.adapters.syntax import check_object_name
from lbproof.adapters.typecheck import check_fields
from lbproof.lab.base import Image, Node
from lbproof.spec import BadOption
from lbproof.spec.families import Family, IPAddress, IPNetwork, family_of
from lbproof.spec.names import nearest

if TYPE_CHECKING:
    from lbproof.witnesses.kube import Kube

Object = dict[str, Any]
"""Kubernetes object as raw JSON."""


_NONE: Mapping[str, Any] = MappingProxyType({})


class Ask(StrEnum):
    """Way in which a Service requests an address."""

    ANNOTATION = "annotation"
    """The annotation `Adapter.address_annotation`."""
    FIELD = "field"
    """`spec.loadBalancerIP`."""


class Cause(StrEnum):
    """Reason why a request cannot be satisfied."""

    POOL_EXHAUSTED = "pool-exhausted"
    NOT_IN_POOL = "not-in-pool"
    IN_USE = "in-use"
    BAD_REQUEST = "bad-request"


class WorkloadRole(StrEnum):
    """What a workload does, for the checks that restart or kill it."""

    CONTROLLER = "controller"
    """Gives addresses to Services."""
    ANNOUNCER = "announcer"
    """Answers for addresses on the segment."""


WORKLOAD_KINDS = ("Deployment", "DaemonSet", "StatefulSet", "StaticPod")


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Workload of the implementation. Its pods are ready when those that its kind demands are new and Ready."""

    kind: str
    """One of `WORKLOAD_KINDS`. A static pod is one or more pods that kubelets start from files; one suffices."""
    namespace: str
    name: str
    selector: Mapping[str, str]
    """Labels of its pods."""
    roles: Collection[WorkloadRole] = ()
    """Both for a single workload, none for one that only has to be ready."""

    def __post_init__(self) -> None:
        """Raise `BadOption` for a wrong value, such as an empty selector, which all pods would match."""
        check_fields(self)
        if self.kind not in WORKLOAD_KINDS:
            guess = nearest(self.kind, WORKLOAD_KINDS)
            hint = f"did you mean {guess!r}? It is" if guess else "it is"
            raise BadOption(f"workload {self.name}: unknown kind {self.kind!r}; {hint} {', '.join(WORKLOAD_KINDS)}")
        for name in ("namespace", "name"):
            check_object_name(getattr(self, name), f"Workload.{name}")
        if not self.selector:
            raise BadOption(f"workload {self.name}: an empty selector matches every pod of {self.namespace}")

    def __str__(self) -> str:
        """`DaemonSet metallb-system/speaker`."""
        return f"{self.kind} {self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class AddressRange:
    """Block from a first to a last address; a check of malformed pools (CRD-01) also makes reversed and mixed ones."""

    first: IPAddress
    last: IPAddress

    def __str__(self) -> str:
        """`first-last`."""
        return f"{self.first}-{self.last}"


Block: TypeAlias = IPNetwork | IPAddress | AddressRange | str
"""Addresses of a pool. A string is no valid block and is written as it is (CRD-01)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSpec:
    """Pool that the suite wants."""

    name: str
    """Lower-case letters, digits and `-`."""
    blocks: tuple[Block, ...]
    auto_assign: bool = True
    """Serve Services that name no pool. Always true without the feature `auto-assign`."""
    include_edges: bool = True
    """Also assign the first and the last address of a network. Always true without the feature `include-edges`."""
    advertised: bool = True
    """Announce its addresses. Always true without the feature `advertised`."""
    namespaces: tuple[str, ...] = ()
    """Serve Services of these namespaces alone; of all without any, and always without the feature `pool-scope`."""
    labels: tuple[tuple[str, str], ...] = ()
    """Serve Services with these labels alone; all without any, and always without the feature `pool-labels`."""
    priority: int = 0
    """Place among pools that are restricted and serve a Service: lower numbers from 1 on first (`pool-priority`)."""
    interfaces: tuple[str, ...] = ()
    """Interfaces of the nodes that announce its addresses, whatever subnets they have there; all of them if empty.
    Benchmarks alone set it without the feature `if-select`."""
    nodes: tuple[str, ...] = ()
    """Nodes that may announce its addresses, by name; all of them if empty, and without the feature `node-select`."""
    pairs: tuple[tuple[str, str], ...] = ()
    """Nodes that may announce its addresses, each with the interface on which it may; empty without the feature
    `pair-select`. `interfaces` and `nodes` are empty then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolUsage:
    """Numbers of addresses of a pool, as the implementation publishes them."""

    assigned: int
    available: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Cluster in which an implementation is installed."""

    paths: Mapping[str, Path]
    """Paths of the adapter's `components` (in a lab without images) and `files`, by name."""
    nodes: tuple[Node, ...]
    """Nodes, the control plane first."""
    subnets: tuple[IPNetwork, ...]
    """Subnets of the nodes' segment, the lab's primary family first."""
    interface: str
    """Interface of the nodes on that segment."""
    api_server: str
    """`address:port` of the API server, as the nodes reach it without a Service."""
    proxy_mode: str
    """Mode of kube-proxy: `iptables`, `nftables`, `ipvs`, or `none` without kube-proxy."""
    class_only: bool = False
    """Serve only Services of the class `Adapter.own_class` (feature `class`)."""

    @property
    def families(self) -> tuple[Family, ...]:
        """Address families of the segment, the lab's primary one first."""
        return tuple(map(family_of, self.subnets))


class Adapter:
    """Adapter of one implementation. Members without a value here have none by default."""

    # identity and claims
    name: str
    """Name for `--implementation` and the report."""
    version: str
    features: frozenset[str]
    """Claimed features (`lbproof list --features`)."""
    budgets: Mapping[str, float] = _NONE
    """Budgets that differ from the default, in seconds; at most the ceiling (`lbproof list --budgets`)."""

    # installation
    workloads: tuple[Workload, ...]
    """Workloads that must be ready before the first check."""
    components: tuple[str, ...] = ()
    """Programs of lbproof's catalogue that replace its images in a lab without images."""
    files: tuple[str, ...] = ()
    """Components of lbproof's catalogue from which its manifests are built, in every lab."""
    python_modules: Mapping[str, str] = _NONE
    """Python modules that its programs import in a lab without images: module → pip requirement."""
    proxy_mode: str = ""
    """Mode of kube-proxy that a new lab gets unless the operator chooses one; empty for the lab's default."""

    def images(self, site: Site) -> Sequence[Image]:  # noqa: ARG002 - for those who override it
        """Map images to programs for a lab without images."""
        return ()

    def manifests(self, site: Site) -> list[Object]:
        """Return the objects to install, in order."""
        raise NotImplementedError

    # Services
    service_opt_in: Mapping[str, Any] = _NONE
    """JSON merge patch (RFC 7386) for each LoadBalancer that the suite creates: an annotation, a label or a class."""
    address_annotation: str
    """Annotation by which a Service asks for an address, or for several, separated by commas."""
    pool_request: MetadataKey
    """Annotation or label by which a Service names its pool."""
    sharing_key: MetadataKey
    """Annotation or label by which Services ask to share an address: those with the same value may."""
    own_class: str
    """`spec.loadBalancerClass` that it serves when `Site.class_only`."""

    # pools
    def pools(self, alive: Sequence[PoolSpec], site: Site) -> list[Object]:
        """Return the objects of all pools that exist at a moment, in the order of creation.

        The suite applies those that are new or changed and deletes those that are no longer returned. The same
        arguments give the same objects. A malformed block is written as it is.
        """
        raise NotImplementedError

    def pool_name(self, pool: PoolSpec) -> str:
        """Return the name by which Services and the implementation know a pool."""
        return pool.name

    def pool_error(self, cluster: Kube, pool: PoolSpec) -> str:  # noqa: ARG002 - as `images`
        """Return what is reported about a pool that was accepted but is unusable; empty when nothing is."""
        return ""

    def pool_usage(self, cluster: Kube, pool: PoolSpec) -> PoolUsage:
        """Return how many addresses of a pool are published as assigned, and as available."""
        raise NotImplementedError

    # what it reports on a Service
    allocation: EventPattern
    """Event of an assignment; its message names the address."""
    refusals: Mapping[Cause, EventPattern | ConditionPattern]
    """Event or condition of a refusal, by cause; those of a requested address only where such requests are claimed."""
    pool_marks: tuple[MetadataKey, ...]
    """Annotations and labels that name the pool of the address; one of them is sufficient."""
    announcer_status: AnnouncerStatus
    """Where the node that announces is named."""
    other_announcer_statuses: tuple[AnnouncerStatus, ...] = ()
    """Further places where it is named (EVT-04)."""
    conflict: EventPattern
    """Event about a Service whose address another host uses; its message names the address."""


FEATURE_MEMBERS: Mapping[str, str] = {
    "pool": "pools",
    "pool-select": "pool_request",
    "pool-status": "pool_usage",
    "pool-mark": "pool_marks",
    "explicit-ip-annotation": "address_annotation",
    "sharing": "sharing_key",
    "class": "own_class",
    "allocation-event": "allocation",
    "refusal-reason": "refusals",
    "announcer-status": "announcer_status",
    "conflict-event": "conflict",
}
"""Feature → member that it needs."""
