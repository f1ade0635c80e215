"""Features that an implementation may claim, and profiles: named sets of them.

The claimed features select the requirements that run and must pass. `core` is always claimed. `FEATURES` has the
present names; `ALIASES` has names for several, which users and reports of specification 1.0 have.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lbproof.spec.names import check_name

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """Behaviour that an implementation may claim to support."""

    name: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Named set of features: some are required, the others are judged if claimed."""

    name: str
    text: str
    features: frozenset[str]
    """Features that are judged if claimed."""
    requires: frozenset[str]
    """Those of `features` that an implementation must claim to be conformant to the profile."""


def _features(**texts: str) -> dict[str, Feature]:
    return {name.replace("_", "-"): Feature(name=name.replace("_", "-"), text=text) for name, text in texts.items()}


FEATURES = _features(
    core="allocation, Pending, reclaim and the reachability of every tier",
    l2="addresses are announced on the segment by ARP",
    l2_nonic="an announced address is on no interface of any node",
    garp="gratuitous ARP on assignment and on a move",
    pool="addresses come from pools that the operator declares",
    auto_assign="a pool can be kept for the Services that name it or an address of it",
    include_edges="a pool can keep back the first and the last address of a network",
    advertised="a pool can be declared without being announced",
    pool_select="a Service may name the pool of its address",
    pool_scope="a pool can be restricted to the Services of some namespaces",
    pool_labels="a pool can be restricted to Services with some labels",
    pool_priority="pools that are restricted have an order in which they are used",
    pool_status="how many addresses of a pool are assigned and available is published",
    pool_namespaced="pools are objects of one namespace, and in any other they are refused or flagged",
    pool_mark="an annotation or a label on the Service names the pool that holds its address",
    explicit_ip_annotation="a Service may ask for an address of its own by an annotation",
    strict_requests="a Service whose requests contradict each other (field, annotation, pool) is given no address",
    without_endpoints="a Service that has no endpoints is given an address",
    explicit_ip_field="a Service may ask for an address of its own by spec.loadBalancerIP",
    default_class="a Service without spec.loadBalancerClass is served",
    **{"class": "spec.loadBalancerClass is honoured"},
    finalizer="a Service that has an address has a finalizer of the implementation",
    allocation_event="an Event on the Service names the address that it is given",
    refusal_reason="an Event or a condition on the Service says why it is given none",
    announcer_status="an Event, an annotation, a Lease or another object names the node that announces",
    mixed_protocols="a Service may have TCP and UDP ports",
    nodeportless="a Service without node ports is served (allocateLoadBalancerNodePorts false)",
    source_ranges="spec.loadBalancerSourceRanges is honoured",
    etp_local="spec.externalTrafficPolicy Local is honoured",
    withdraw_no_endpoints="an address is not announced while its Service has no ready endpoint",
    sharing="Services that ask for it share an address",
    conflict_event="an Event on the Service tells that another host uses its address",
    if_select="a pool can be announced on some interfaces of the nodes alone",
    node_select="a pool can be announced by some nodes alone",
    pair_select="a pool can be announced by some nodes alone, by each on an interface of its own",
    subnet_aware="where only some nodes have the subnet of an address, one of those announces it",
    replay_proof="frames of the nodes that a host repeats keep no address with a node that is dead",
    node_exclude="the label node.kubernetes.io/exclude-from-external-load-balancers keeps a node from announcing",
    node_exclude_value="that label keeps no node from announcing where its value says false",
    ipv6="Services of IPv6 are served; what is judged for each family is judged for both then",
    dual_stack="a Service of both families is given an address of each",
    ndp="IPv6 addresses are announced on the segment by neighbour discovery",
    article="the article's cluster and claims",
)
OPTIONAL = frozenset(
    {
        "finalizer",
        "pool-labels",
        "pool-namespaced",
        "pool-priority",
        "pool-scope",
        "pool-status",
        "mixed-protocols",
        "nodeportless",
        "source-ranges",
        "etp-local",
        "withdraw-no-endpoints",
        "sharing",
        "ipv6",
        "conflict-event",
        "if-select",
        "node-select",
        "pair-select",
        "subnet-aware",
        "replay-proof",
        "node-exclude",
        "node-exclude-value",
        "dual-stack",
        "ndp",
    }
)
"""Features that no profile requires: judged where they are claimed."""

IPV6 = "ipv6"
"""Feature that has each case judged for IPv6 too, unless the case says otherwise."""

ALIASES: Mapping[str, tuple[str, ...]] = {
    "explicit-ip": ("explicit-ip-annotation", "explicit-ip-field"),
    "events": ("allocation-event", "refusal-reason"),
    "pool-annotation": ("pool-mark",),
    "announcer-events": ("announcer-status",),
}
"""Name → features. Claiming it claims all of them; a requirement that needs it needs any one of them."""
_IMPLIED_IN_1_0: Mapping[str, tuple[str, ...]] = {
    "core": ("default-class",),
    "pool": ("auto-assign", "include-edges", "advertised", "pool-select", "without-endpoints"),
    "explicit-ip": ("strict-requests",),
}
"""Feature of specification 1.0 → features that were a part of it and could not be declined."""


def claims(names: Iterable[str], spec: str = "") -> frozenset[str]:
    """Return the features that are claimed by names, in which an alias stands for all its features.

    `spec`: version of the specification of a report whose claims these are; empty for the present one.
    """
    found: set[str] = set()
    for name in names:
        found.update(ALIASES.get(name, (name,)))
        found.update(_IMPLIED_IN_1_0.get(name, ()) if spec == "1.0" else ())
    return frozenset(found)


def lacking(needs: Iterable[str], claimed: Collection[str]) -> list[str]:
    """Return the needs that claimed features do not meet, in alphabetical order; any feature of an alias meets it."""
    return sorted(need for need in needs if not any(one in claimed for one in ALIASES.get(need, (need,))))


_FAMILIES = frozenset({"ipv6", "dual-stack", "ndp"})
"""Features of another family than that of the article's cluster."""
_LAYER2 = frozenset(
    {
        "l2",
        "l2-nonic",
        "garp",
        "advertised",
        "announcer-status",
        "withdraw-no-endpoints",
        "conflict-event",
        "if-select",
        "node-select",
        "pair-select",
        "subnet-aware",
        "replay-proof",
        "node-exclude",
        "node-exclude-value",
        "ndp",
    }
)

PROFILES = {
    profile.name: profile
    for profile in (
        Profile(
            name="core",
            text="what holds on any cluster: the API and the data path",
            features=frozenset(FEATURES) - _LAYER2 - {"article"},
            requires=frozenset({"core", "pool"}),
        ),
        Profile(
            name="layer2",
            text="core, and an announcer by ARP on the nodes' segment",
            features=frozenset(FEATURES) - {"article"},
            requires=frozenset({"core", "pool", "l2"}),
        ),
        Profile(
            name="article",
            text="the article's environment and its twenty claims",
            features=frozenset(FEATURES) - _FAMILIES,
            requires=frozenset(FEATURES) - OPTIONAL,
        ),
        Profile(
            name="full",
            text="everything that there is a check for",
            features=frozenset(FEATURES),
            requires=frozenset(FEATURES) - OPTIONAL,
        ),
    )
}
DEFAULT_PROFILE = "full"
"""Profile of a run that names none."""


def check_features(names: Iterable[str], where: str) -> None:
    """Validate names of features and aliases. Raises `UnknownName` for the first unknown one."""
    for name in names:
        check_name("feature", name, where, {**FEATURES, **ALIASES}, "lbproof list --features")
